//! What stands before the server: counts, and faults.

use std::{
    collections::BTreeMap,
    io,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use hyper::{Method, Request, Response, StatusCode, body::Incoming, header::IF_NONE_MATCH, service::service_fn};
use hyper_util::rt::TokioIo;
use s3s::{Body, service::S3Service};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
};
use tokio_rustls::TlsAcceptor;

use crate::faults::{Bucket, ConditionalPuts, Fate, Fates, Faults};

/// How late a late answer is.
const LATE: Duration = Duration::from_millis(30);

#[derive(Debug)]
pub(crate) struct Front {
    service: S3Service,
    /// The folder with the buckets, each object a file.
    root: PathBuf,
    fates: Mutex<Arc<Fates>>,
    requests: Mutex<BTreeMap<&'static str, u64>>,
    /// The server behind looks whether a key is free and writes later. Amazon's does both at once, and so must this one.
    creating: tokio::sync::Mutex<()>,
}

/// Takes connections for ever.
pub(crate) async fn serve(listener: TcpListener, acceptor: Option<TlsAcceptor>, front: Arc<Front>) {
    loop {
        // A connection that is gone before it is taken is the client's business.
        let Ok((socket, _)) = listener.accept().await else { continue };
        let (acceptor, front) = (acceptor.clone(), Arc::clone(&front));
        tokio::spawn(async move {
            match acceptor {
                None => serve_connection(socket, front).await,
                Some(acceptor) => {
                    if let Ok(stream) = acceptor.accept(socket).await {
                        serve_connection(stream, front).await;
                    }
                }
            }
        });
    }
}

async fn serve_connection(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, front: Arc<Front>) {
    let answer = service_fn(move |request| {
        let front = Arc::clone(&front);
        async move { front.answer(request).await }
    });
    // It ends with an error when an answer was dropped on purpose.
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await;
}

impl Front {
    pub(crate) fn new(service: S3Service, root: PathBuf) -> Self {
        let fates = Mutex::new(Arc::new(Fates::new(Faults::default())));
        Self { service, root, fates, requests: Mutex::default(), creating: tokio::sync::Mutex::default() }
    }

    pub(crate) fn fail(&self, faults: Faults) {
        *self.fates.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(Fates::new(faults));
    }

    pub(crate) fn take_requests(&self) -> BTreeMap<&'static str, u64> {
        std::mem::take(&mut *self.requests.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// An error ends the connection without an answer.
    async fn answer(&self, request: Request<Incoming>) -> io::Result<Response<Body>> {
        *self.requests.lock().unwrap_or_else(PoisonError::into_inner).entry(operation(&request)).or_default() += 1;
        let fates = Arc::clone(&self.fates.lock().unwrap_or_else(PoisonError::into_inner));
        let lost = || io::Error::other("made to fail");
        match fates.faults.bucket {
            Bucket::There => {}
            Bucket::Gone => return Ok(refusal(StatusCode::NOT_FOUND, "NoSuchBucket")),
            Bucket::Unknown => return Ok(page_not_found()),
        }
        match fates.draw() {
            Fate::Answered => self.pass_on(request, fates.faults.conditional_puts).await,
            Fate::Throttled => Ok(refusal(StatusCode::SERVICE_UNAVAILABLE, "SlowDown")),
            Fate::Failed => Ok(refusal(StatusCode::INTERNAL_SERVER_ERROR, "InternalError")),
            Fate::Dropped => Err(lost()),
            Fate::Unanswered => {
                self.pass_on(request, fates.faults.conditional_puts).await?;
                Err(lost())
            }
            Fate::Slow => {
                tokio::time::sleep(LATE).await;
                self.pass_on(request, fates.faults.conditional_puts).await
            }
        }
    }

    async fn pass_on(&self, request: Request<Incoming>, puts: ConditionalPuts) -> io::Result<Response<Body>> {
        let is_conditional = request.method() == Method::PUT && request.headers().contains_key(IF_NONE_MATCH);
        if is_conditional && puts == ConditionalPuts::Refused {
            return Ok(refusal(StatusCode::NOT_IMPLEMENTED, "NotImplemented"));
        }
        let _one_at_a_time = if is_conditional { Some(self.creating.lock().await) } else { None };
        if is_conditional && puts == ConditionalPuts::Ignored {
            // The header is signed and cannot be taken out, but the server behind can be made to find nothing.
            let _ = std::fs::remove_file(self.root.join(request.uri().path().trim_start_matches('/')));
        }
        self.service.call(request.map(Body::from)).await.map_err(|error| io::Error::other(format!("{error:?}")))
    }
}

fn operation(request: &Request<Incoming>) -> &'static str {
    match *request.method() {
        Method::GET if request.uri().query().is_some_and(|query| query.contains("list-type=")) => "list",
        Method::GET => "get",
        Method::HEAD => "head",
        Method::PUT => "put",
        Method::DELETE => "delete",
        _ => "other",
    }
}

fn refusal(status: StatusCode, code: &str) -> Response<Body> {
    let text = format!("<Error><Code>{code}</Code><Message>made to fail</Message></Error>");
    let mut response = Response::new(Body::from(Bytes::from(text)));
    *response.status_mut() = status;
    response
}

fn page_not_found() -> Response<Body> {
    let mut response = Response::new(Body::from(Bytes::from_static(b"<html><h1>Not Found</h1></html>")));
    *response.status_mut() = StatusCode::NOT_FOUND;
    response
}
