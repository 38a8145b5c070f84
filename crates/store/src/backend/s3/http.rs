//! The requests themselves: over which connections they go, how long each may take, and how they are counted.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use object_store::{
    ClientOptions,
    client::{HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService},
};
use reqwest::{Certificate, Method, StatusCode, Url};

use crate::{Error, Result};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long an answer may let wait for itself, or for more of itself.
const READ_TIMEOUT: Duration = Duration::from_secs(30);
/// The slowest upload that is waited for, beyond [`READ_TIMEOUT`]: a pack of 64 MiB may take four minutes and a half.
const UPLOAD_MIN_BYTES_PER_S: u64 = 256 * 1024;

/// Makes the clients that object requests and credentials' requests go through.
#[derive(Debug)]
pub(super) struct Connector {
    service: Service,
}

impl Connector {
    /// A connector that counts the requests to `endpoint` as the bucket's.
    ///
    /// # Errors
    /// `Io`, `Invalid`, when the authorities cannot be used.
    pub(super) fn new(endpoint: &Url, bucket: &str, ca_file: Option<&Path>) -> Result<Self> {
        let (downloads, uploads) = (client(ca_file, Some(READ_TIMEOUT))?, client(ca_file, None)?);
        let host = endpoint.host_str().unwrap_or_default().to_owned();
        Ok(Self { service: Service { downloads, uploads, host, bucket: bucket.to_owned() } })
    }
}

impl HttpConnector for Connector {
    fn connect(&self, _options: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.service.clone()))
    }
}

fn client(ca_file: Option<&Path>, read_timeout: Option<Duration>) -> Result<reqwest::Client> {
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("galerie/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        // Large bodies side by side do better on connections of their own.
        .http1_only()
        .connect_timeout(CONNECT_TIMEOUT);
    if let Some(timeout) = read_timeout {
        builder = builder.read_timeout(timeout);
    }
    if let Some(path) = ca_file {
        let invalid = |why: String| Error::Invalid(format!("the authorities in {}: {why}", path.display()));
        let pem = std::fs::read(path).map_err(|source| Error::io(format!("read {}", path.display()), source))?;
        let roots = Certificate::from_pem_bundle(&pem).map_err(|error| invalid(error.to_string()))?;
        if roots.is_empty() {
            return Err(invalid("there is none".to_owned()));
        }
        builder = builder.tls_certs_only(roots);
    }
    builder.build().map_err(|error| Error::Invalid(format!("set up a client of an object store: {error}")))
}

#[derive(Debug, Clone)]
struct Service {
    downloads: reqwest::Client,
    /// Without a timeout of its own: that of a request depends on its length.
    uploads: reqwest::Client,
    host: String,
    bucket: String,
}

#[async_trait]
impl HttpService for Service {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let operation = self.operation(&request);
        let started = Instant::now();
        let answer = self.send(request).await;
        self.count(operation, started, &answer);
        match answer {
            // Asking again changes nothing, as it does for the other statuses above 500.
            Ok(mut response) if response.status() == StatusCode::NOT_IMPLEMENTED => {
                *response.status_mut() = StatusCode::BAD_REQUEST;
                Ok(response)
            }
            Ok(response) => Ok(response),
            // Whatever may have become of it, every request of a store may be sent again: see the parent module.
            Err(error) if error.kind() == HttpErrorKind::Decode => Err(error),
            Err(error) => Err(HttpError::new(HttpErrorKind::Request, error)),
        }
    }
}

impl Service {
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        if request.method() != Method::PUT {
            return self.downloads.call(request).await;
        }
        let length_bytes = request.body().content_length() as u64;
        let limit = READ_TIMEOUT + Duration::from_secs(length_bytes / UPLOAD_MIN_BYTES_PER_S);
        tokio::time::timeout(limit, self.uploads.call(request))
            .await
            .unwrap_or_else(|elapsed| Err(HttpError::new(HttpErrorKind::Timeout, elapsed)))
    }

    fn operation(&self, request: &HttpRequest) -> &'static str {
        let is_listing = || request.uri().query().is_some_and(|query| query.contains("list-type="));
        match *request.method() {
            _ if request.uri().host() != Some(&self.host) => "credentials",
            Method::GET if is_listing() => "list",
            Method::GET => "get",
            Method::HEAD => "head",
            Method::PUT => "put",
            Method::DELETE => "delete",
            _ => "other",
        }
    }

    fn count(&self, operation: &'static str, started: Instant, answer: &Result<HttpResponse, HttpError>) {
        let outcome = answer.as_ref().map_or("unanswered", |response| outcome(response.status()));
        metrics::counter!(
            "galerie_store_object_requests_total",
            "bucket" => self.bucket.clone(), "operation" => operation, "outcome" => outcome
        )
        .increment(1);
        metrics::histogram!("galerie_store_object_request_duration_seconds", "operation" => operation)
            .record(started.elapsed().as_secs_f64());
    }
}

fn outcome(status: StatusCode) -> &'static str {
    match status {
        _ if status.is_success() => "ok",
        StatusCode::NOT_FOUND => "missing",
        StatusCode::PRECONDITION_FAILED | StatusCode::CONFLICT => "taken",
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => "throttled",
        _ if status.is_server_error() => "failed",
        _ => "refused",
    }
}
