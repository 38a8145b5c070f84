//! Reads and discards what a refused request still sends, within bounds, before it is answered.
//!
//! Over HTTP/1.1 an answer before the body's end closes the connection; a client that is still sending then sees a broken
//! pipe in place of the 401, 413 or 415 that explains it. HTTP/2 resets the one stream, and a client that sent
//! `Expect: 100-continue` has not begun: neither needs this.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    body::{Body, BodyDataStream, HttpBody},
    extract::Request,
    http::{Version, header},
    middleware::Next,
    response::Response,
};
use bytes::Bytes;
use futures::{Stream, StreamExt};

/// Most bytes that are discarded; a client that sends more is cut off.
const MOST_DISCARDED_BYTES: usize = 32 << 20;
/// How long discarding may take in all.
const DISCARD_WITHIN: Duration = Duration::from_secs(20);

/// Answers, and takes the rest of the body first.
pub(crate) async fn layer(request: Request, next: Next) -> Response {
    let is_waiting = request.headers().contains_key(header::EXPECT);
    if request.version() >= Version::HTTP_2 || is_waiting || request.body().is_end_stream() {
        return next.run(request).await;
    }
    let (parts, body) = request.into_parts();
    let shared = SharedBody(Arc::new(Mutex::new(body.into_data_stream())));
    let request = Request::from_parts(parts, Body::from_stream(shared.clone()));
    let response = next.run(request).await;
    let _ = tokio::time::timeout(DISCARD_WITHIN, shared.discard()).await;
    response
}

/// A body that its handler may drop unread.
#[derive(Clone)]
struct SharedBody(Arc<Mutex<BodyDataStream>>);

impl SharedBody {
    /// Reads to the end, or to the bound.
    async fn discard(mut self) {
        let mut discarded_bytes = 0;
        while let Some(Ok(piece)) = self.next().await {
            discarded_bytes += piece.len();
            if discarded_bytes > MOST_DISCARDED_BYTES {
                return;
            }
        }
    }
}

impl Stream for SharedBody {
    type Item = Result<Bytes, axum::Error>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).poll_next_unpin(context)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use axum::{Router, middleware::from_fn};
    use tower::ServiceExt;

    use super::*;

    /// How many of `pieces` a router that reads nothing takes.
    async fn taken(pieces: usize, expect: bool) -> usize {
        static PIECE: [u8; 1 << 20] = [0; 1 << 20];
        let taken = Arc::new(AtomicUsize::new(0));
        let counted = taken.clone();
        let body = futures::stream::iter(0..pieces).map(move |_| {
            counted.fetch_add(1, Ordering::Relaxed);
            Ok::<_, std::io::Error>(Bytes::from_static(&PIECE))
        });
        let router = Router::new().fallback(|| async { "refused" }).layer(from_fn(layer));
        let mut request = Request::put("/");
        if expect {
            request = request.header("expect", "100-continue");
        }
        let request = request.body(Body::from_stream(body)).expect("a request");
        router.oneshot(request).await.expect("an answer");
        taken.load(Ordering::Relaxed)
    }

    #[tokio::test]
    async fn the_rest_is_taken_within_bounds() {
        assert_eq!(taken(8, false).await, 8);
        assert_eq!(taken(100, false).await, 33);
        assert_eq!(taken(8, true).await, 0);
    }
}
