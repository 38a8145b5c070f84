//! Requests: signed in, retried when the network or the server stumbles, answered within bounds.

use std::{path::Path, time::Duration};

use bytes::{Bytes, BytesMut};
use reqwest::{
    Certificate, Method, RequestBuilder, Response, StatusCode, Url,
    header::{HeaderMap, RETRY_AFTER},
};
use secrecy::ExposeSecret;
use serde_json::Value;
use tokio::sync::Mutex;

use super::{Error, Profile, Result, token::Token};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long an answer may pause; a server that imports or waits answers at once and is asked again.
const READ_TIMEOUT: Duration = Duration::from_secs(120);
/// As long as reading all of a large store takes.
const PATIENT_READ_TIMEOUT: Duration = Duration::from_secs(24 * 60 * 60);
/// How often a request is sent in all.
const ATTEMPTS: u32 = 6;
/// The first pause between two of them; each doubles, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(8);
/// Longer than any ARM answer: a page of a list is the longest.
const LONGEST_JSON_BYTES: usize = 16 << 20;
/// How much of one answer the server may send ahead, and of all on one connection.
const STREAM_WINDOW_BYTES: u32 = 4 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 16 << 20;

/// A server, signed in to when it is first needed.
pub(crate) struct Client {
    profile: Profile,
    http: reqwest::Client,
    /// What its tokens are for.
    audience: String,
    token: Mutex<Option<Token>>,
}

/// An answer that was read whole.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// How a request may be repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Repeat {
    /// Sending it twice is like sending it once.
    Safe,
    /// Only when it certainly did not arrive.
    Unsent,
}

impl Client {
    /// A client of the profile's server. Sends nothing yet.
    ///
    /// # Errors
    /// `Profile`, when the authority's file cannot be used.
    pub(crate) fn new(profile: Profile) -> Result<Self> {
        Self::with_read_timeout(profile, READ_TIMEOUT)
    }

    /// A client that waits for answers which take their time, such as a store's verification.
    ///
    /// # Errors
    /// As [`Client::new`].
    pub(crate) fn patient(profile: Profile) -> Result<Self> {
        Self::with_read_timeout(profile, PATIENT_READ_TIMEOUT)
    }

    /// A client of the server's directory, whose tokens are for Graph.
    ///
    /// # Errors
    /// As [`Client::new`].
    pub(crate) fn of_directory(profile: Profile) -> Result<Self> {
        let mut client = Self::new(profile)?;
        client.audience = format!("{}/msgraph", client.profile.endpoint_text());
        Ok(client)
    }

    fn with_read_timeout(profile: Profile, read_timeout: Duration) -> Result<Self> {
        let mut builder = http_builder(profile.ca_file.as_deref())?.read_timeout(read_timeout);
        if profile.is_loopback() {
            builder = builder.no_proxy();
        }
        let http = build(builder)?;
        let audience = profile.endpoint_text().to_owned();
        Ok(Self { profile, http, audience, token: Mutex::default() })
    }

    pub(crate) fn profile(&self) -> &Profile {
        &self.profile
    }

    /// The path's URL on this server; the path is percent-encoded where it must be.
    pub(super) fn url(&self, path: &str, query: &[(&str, &str)]) -> Url {
        let mut url = self.profile.endpoint.clone();
        url.set_path(path);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    }

    /// Sends a request with a token and reads its answer, whatever its status.
    ///
    /// # Errors
    /// `Unreachable`, `SignIn`, `Nonsense`; `Invalid` when the URL is of another server, which must not get our token.
    pub(super) async fn send(
        &self,
        method: Method,
        url: Url,
        repeat: Repeat,
        answer_max_bytes: usize,
        finish: impl Fn(RequestBuilder) -> RequestBuilder,
    ) -> Result<Answer> {
        if url.origin() != self.profile.endpoint.origin() {
            return Err(Error::Invalid(format!("{} is not on {}", without_query(&url), self.profile.endpoint_text())));
        }
        let mut renewed = false;
        loop {
            let token = self.token().await?;
            let answer = send_repeatedly(&self.profile.endpoint, repeat, answer_max_bytes, || {
                finish(self.http.request(method.clone(), url.clone())).bearer_auth(&token)
            })
            .await?;
            if answer.status != StatusCode::UNAUTHORIZED || renewed {
                return Ok(answer);
            }
            // The server's keys or our rank have changed meanwhile; ask once more.
            renewed = true;
            *self.token.lock().await = None;
        }
    }

    async fn token(&self) -> Result<String> {
        let mut held = self.token.lock().await;
        if let Some(secret) = held.as_ref().and_then(Token::secret) {
            return Ok(secret.expose_secret().to_owned());
        }
        let token = Token::of(&self.http, &self.profile, &self.audience).await?;
        let secret = token.secret().map(|secret| secret.expose_secret().to_owned()).unwrap_or_default();
        *held = Some(token);
        Ok(secret)
    }
}

impl Answer {
    /// The answer, if it is no refusal.
    ///
    /// # Errors
    /// `Refused`, in the server's words.
    pub(super) fn successful(self) -> Result<Self> {
        if self.status.is_success() { Ok(self) } else { Err(self.refusal()) }
    }

    /// The body as JSON; `Null` when it is empty.
    pub(super) fn json(&self, what: &str) -> Result<Value> {
        if self.body.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&self.body).map_err(|error| Error::nonsense(what, error.to_string()))
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    fn refusal(&self) -> Error {
        let error = self.json("").ok().and_then(|body| body.get("error").cloned());
        let text = |name: &str| error.as_ref().and_then(|error| error.get(name)).and_then(Value::as_str);
        let code = text("code").map(str::to_owned).or_else(|| self.header("x-ms-error-code").map(str::to_owned));
        let message = text("message").map(str::to_owned).or_else(|| storage_message(&self.body));
        Error::Refused {
            status: self.status.as_u16(),
            code: code.unwrap_or_else(|| format!("HTTP {}", self.status.as_u16())),
            // An answer to HEAD has no body.
            message: message.unwrap_or_else(|| "The server refuses the request.".to_owned()),
            correlation_id: self
                .header("x-ms-correlation-request-id")
                .or(self.header("x-ms-request-id"))
                .map(str::to_owned),
        }
    }
}

/// The message in a storage error's XML, up to the line that repeats the request's id.
fn storage_message(body: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(body).ok()?;
    let (_, rest) = text.split_once("<Message>")?;
    let (message, _) = rest.split_once("</Message>")?;
    message.lines().next().map(str::to_owned)
}

/// A client for URLs that carry their own authorization (SAS).
///
/// # Errors
/// `Profile`, when the authority's file cannot be used.
pub(super) fn plain_http(ca_file: Option<&Path>, loopback: bool) -> Result<reqwest::Client> {
    let builder = http_builder(ca_file)?;
    build(if loopback { builder.no_proxy() } else { builder })
}

fn http_builder(ca_file: Option<&Path>) -> Result<reqwest::ClientBuilder> {
    let builder = reqwest::Client::builder()
        .user_agent(concat!("galerie/", env!("CARGO_PKG_VERSION")))
        .https_only(true)
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(CONNECT_TIMEOUT)
        .read_timeout(READ_TIMEOUT)
        .http2_initial_stream_window_size(STREAM_WINDOW_BYTES)
        .http2_initial_connection_window_size(CONNECTION_WINDOW_BYTES);
    let Some(path) = ca_file else { return Ok(builder) };
    let invalid =
        |problem: String| Error::Profile(format!("the authority's certificate {}: {problem}", path.display()));
    let pem = std::fs::read(path).map_err(|error| invalid(error.to_string()))?;
    let roots = Certificate::from_pem_bundle(&pem).map_err(|error| invalid(error.to_string()))?;
    if roots.is_empty() {
        return Err(invalid("there is none in the file".to_owned()));
    }
    Ok(builder.tls_certs_only(roots))
}

fn build(builder: reqwest::ClientBuilder) -> Result<reqwest::Client> {
    builder.build().map_err(|error| Error::Profile(format!("set up HTTPS: {}", crate::causes::in_full(&error))))
}

/// Sends what `request` makes until an answer comes that repeating does not change.
pub(super) async fn send_repeatedly(
    endpoint: &Url,
    repeat: Repeat,
    answer_max_bytes: usize,
    request: impl Fn() -> RequestBuilder,
) -> Result<Answer> {
    let mut pause = FIRST_PAUSE;
    for attempt in 1.. {
        let outcome = match request().send().await {
            Ok(response) => read_answer(response, answer_max_bytes).await,
            Err(source) => Err(unreachable(endpoint, source)),
        };
        let last = attempt == ATTEMPTS;
        match outcome {
            Ok(answer) if last || !is_passing(answer.status, repeat) => return Ok(answer),
            Ok(answer) => pause = pause.max(retry_after(&answer.headers).unwrap_or_default()).min(LONGEST_PAUSE),
            Err(error) if last || !may_repeat(&error, repeat) => return Err(error),
            Err(error) => tracing::debug!(error = &error as &dyn std::error::Error, attempt, "request is repeated"),
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
    unreachable!("the last attempt returns")
}

/// Statuses after which the same request may succeed.
fn is_passing(status: StatusCode, repeat: Repeat) -> bool {
    match status.as_u16() {
        429 | 503 => true,
        408 | 500 | 502 | 504 => repeat == Repeat::Safe,
        _ => false,
    }
}

fn may_repeat(error: &Error, repeat: Repeat) -> bool {
    let Error::Unreachable { source, .. } = error else { return false };
    // A refused connection will be refused again; one that broke may have been a server that restarts.
    let refused = source.is_connect();
    !refused && (repeat == Repeat::Safe || source.is_request() && !source.is_timeout() && !source.is_body())
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    headers.get(RETRY_AFTER)?.to_str().ok()?.parse().ok().map(Duration::from_secs)
}

async fn read_answer(response: Response, most_bytes: usize) -> Result<Answer> {
    let (status, headers) = (response.status(), response.headers().clone());
    let body = read_body(response, most_bytes).await?;
    Ok(Answer { status, headers, body })
}

/// Reads a body of at most so many bytes.
pub(super) async fn read_body(mut response: Response, most_bytes: usize) -> Result<Bytes> {
    let url = response.url().clone();
    let mut body = BytesMut::new();
    while let Some(piece) = response.chunk().await.map_err(|source| unreachable(&url, source))? {
        if body.len() + piece.len() > most_bytes {
            return Err(Error::nonsense(without_query(&url), format!("it is longer than {most_bytes} bytes")));
        }
        if body.is_empty() && response.content_length() == Some(piece.len() as u64) {
            return Ok(piece);
        }
        body.extend_from_slice(&piece);
    }
    Ok(body.freeze())
}

fn unreachable(url: &Url, source: reqwest::Error) -> Error {
    // The URL may hold a signature.
    Error::Unreachable { endpoint: url.origin().ascii_serialization(), source: source.without_url() }
}

/// A URL as messages show it: a query may hold a signature.
pub(super) fn without_query(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.to_string()
}

/// The bound for answers that are ARM documents.
pub(super) const fn json_max_bytes() -> usize {
    LONGEST_JSON_BYTES
}
