//! The other processes of the catalogue, over HTTPS: requests that are theirs to answer are handed on to them.
//!
//! HTTP/1.1, so that the `Host` that the client asked for can be kept while the connection goes to the peer's own address. The
//! peer's certificate is checked against the authorities that the catalogue holds, or `ca_file`; they are read again when a
//! peer cannot be reached, since it may have a new one.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    body::{Body, BodyDataStream, HttpBody},
    extract::Request,
    http::{HeaderMap, HeaderName, HeaderValue, header, request::Parts},
    response::Response,
};
use bytes::Bytes;
use futures::{FutureExt, Stream, StreamExt, future::BoxFuture};
use galerie_api::{Forward, Unsent};
use galerie_control::{Control, Peer};
use tokio::sync::RwLock;

use super::{Error, config::Config, tls};
use crate::causes::in_full;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Shorter than the time after which a peer closes an idle connection.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// What one connection means only to its two ends (RFC 9110, section 7.6.1).
const HOP_BY_HOP: [HeaderName; 7] = [
    header::CONNECTION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::PROXY_AUTHORIZATION,
    HeaderName::from_static("keep-alive"),
];

/// The way to them.
pub(super) struct Peers {
    config: Config,
    control: Control,
    /// Made when it is first needed.
    http: RwLock<Option<reqwest::Client>>,
}

impl std::fmt::Debug for Peers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Peers").finish_non_exhaustive()
    }
}

impl Peers {
    pub(super) fn new(config: Config, control: Control) -> Self {
        Self { config, control, http: RwLock::default() }
    }

    async fn http(&self) -> Result<reqwest::Client, Error> {
        if let Some(http) = self.http.read().await.clone() {
            return Ok(http);
        }
        let mut kept = self.http.write().await;
        let builder = reqwest::Client::builder()
            .https_only(true)
            .http1_only()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_idle_timeout(IDLE_TIMEOUT);
        let failed = |error: reqwest::Error| Error::tls("set up HTTPS to other processes", error);
        let builder = match tls::peers_authorities(&self.config, &self.control).await? {
            Some(pem) => builder.tls_certs_only(reqwest::Certificate::from_pem_bundle(pem.as_bytes()).map_err(failed)?),
            None => builder,
        };
        let http = builder.build().map_err(failed)?;
        *kept = Some(http.clone());
        Ok(http)
    }

    async fn hand_on(&self, peer: &Peer, host: &str, request: Request) -> Result<Response, Unsent> {
        let (parts, body) = request.into_parts();
        let http = match self.http().await {
            Ok(http) => http,
            Err(error) => return Err(Unsent::Broken(error.to_string())),
        };
        let kept = KeptBody::of(body);
        let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
        let mut sent =
            http.request(parts.method.clone(), format!("{}{target}", peer.url)).headers(headers(&parts, host));
        if !kept.is_empty {
            sent = sent.body(reqwest::Body::wrap_stream(kept.clone()));
        }
        match sent.send().await {
            Ok(answer) => Ok(response(answer)),
            Err(error) => {
                if error.is_connect() {
                    // The peer may have a certificate of a new authority.
                    *self.http.write().await = None;
                    if let Some(body) = kept.take_back() {
                        return Err(Unsent::Unreached(Box::new(Request::from_parts(parts, body))));
                    }
                }
                Err(Unsent::Broken(in_full(&error)))
            }
        }
    }
}

impl Forward for Peers {
    fn send<'a>(&'a self, peer: &'a Peer, host: &'a str, request: Request) -> BoxFuture<'a, Result<Response, Unsent>> {
        self.hand_on(peer, host, request).boxed()
    }
}

/// The client's headers, and the host that it asked for: HTTP/2 has that elsewhere.
fn headers(parts: &Parts, host: &str) -> HeaderMap {
    let mut headers = parts.headers.clone();
    HOP_BY_HOP.iter().for_each(|name| drop(headers.remove(name)));
    // The client was told to go on by this process when its body was read; the peer has nothing to wait for.
    headers.remove(header::EXPECT);
    if let Ok(host) = HeaderValue::from_str(host) {
        headers.insert(header::HOST, host);
    }
    headers
}

fn response(answer: reqwest::Response) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = answer.status();
    *response.headers_mut() = answer.headers().clone();
    HOP_BY_HOP.iter().for_each(|name| drop(response.headers_mut().remove(name)));
    *response.body_mut() = Body::from_stream(answer.bytes_stream());
    response
}

/// A body that can be had back while nothing of it was read: a request that reached nobody is whole.
#[derive(Clone)]
struct KeptBody {
    is_empty: bool,
    state: Arc<Mutex<BodyState>>,
}

enum BodyState {
    Whole(Body),
    Begun(BodyDataStream),
    TakenBack,
}

impl KeptBody {
    fn of(body: Body) -> Self {
        Self { is_empty: body.is_end_stream(), state: Arc::new(Mutex::new(BodyState::Whole(body))) }
    }

    /// `None` when somebody began to read it.
    fn take_back(&self) -> Option<Body> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match std::mem::replace(&mut *state, BodyState::TakenBack) {
            BodyState::Whole(body) => Some(body),
            BodyState::Begun(_) | BodyState::TakenBack => None,
        }
    }
}

impl Stream for KeptBody {
    type Item = Result<Bytes, axum::Error>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(&*state, BodyState::Whole(_))
            && let BodyState::Whole(body) = std::mem::replace(&mut *state, BodyState::TakenBack)
        {
            *state = BodyState::Begun(body.into_data_stream());
        }
        match &mut *state {
            BodyState::Begun(stream) => stream.poll_next_unpin(context),
            BodyState::Whole(_) | BodyState::TakenBack => Poll::Ready(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_body_comes_back_while_it_is_whole() {
        let mut kept = KeptBody::of(Body::from("whole"));
        let back = KeptBody::of(kept.take_back().unwrap());
        assert!(kept.take_back().is_none() && kept.next().await.is_none(), "it is somebody else's");
        let mut reader = back.clone();
        assert_eq!(reader.next().await.unwrap().unwrap(), "whole");
        assert!(back.take_back().is_none(), "something of it was read");
    }

    #[test]
    fn headers_of_one_connection_are_left_out() {
        let request = Request::builder().header("connection", "close").header("authorization", "Bearer t");
        let (parts, ()) = request.header("host", "peer").body(()).unwrap().into_parts();
        let headers = headers(&parts, "gallery.example.com");
        assert_eq!(headers.get("host").unwrap(), "gallery.example.com");
        assert_eq!(headers.get("authorization").unwrap(), "Bearer t");
        assert!(!headers.contains_key("connection"));
    }
}
