//! Reading request bodies: always bounded, never waiting for ever.

use std::time::Duration;

use axum::{
    body::{Body, BodyDataStream},
    http::HeaderMap,
};
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use tokio::time::Instant;

/// How long the next piece of a body may take, and how far a client may fall behind [`LEAST_RATE_BYTES_S`].
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// How fast a body must come, on average over the time that it is waited for. Slower than any line that an image is sent
/// over (32 kbit/s); a client that sends a byte a minute would else hold its request, and an upload, for ever.
const LEAST_RATE_BYTES_S: u64 = 4 * 1024;
/// What is reserved before anything has arrived; a stated length alone buys no memory.
const FIRST_RESERVE_BYTES: usize = 64 * 1024;

/// Why a body could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BodyError {
    /// It is longer than allowed.
    #[error("the body is longer than {limit_bytes} bytes")]
    TooLarge {
        /// What is allowed.
        limit_bytes: usize,
    },
    /// The client stopped sending.
    #[error("the body ended early")]
    Broken,
}

/// The whole body.
///
/// # Errors
/// `TooLarge` before the excess is read, where the length is stated; `Broken` when it does not come.
pub(crate) async fn read(headers: &HeaderMap, body: Body, limit_bytes: usize) -> Result<Bytes, BodyError> {
    let stated = stated_length(headers);
    if stated.is_some_and(|length| length > limit_bytes as u64) {
        return Err(BodyError::TooLarge { limit_bytes });
    }
    let expected = stated.and_then(|length| usize::try_from(length).ok());
    let mut pieces = Pieces::of(body);
    let mut collected = BytesMut::with_capacity(expected.unwrap_or(0).min(FIRST_RESERVE_BYTES));
    while let Some(piece) = pieces.next().await? {
        if collected.len() + piece.len() > limit_bytes {
            return Err(BodyError::TooLarge { limit_bytes });
        }
        // A body in one piece, as most are, is not copied.
        if collected.is_empty() && expected.is_some_and(|expected| piece.len() == expected) {
            return Ok(piece);
        }
        collected.extend_from_slice(&piece);
    }
    match expected {
        Some(expected) if collected.len() != expected => Err(BodyError::Broken),
        _ => Ok(collected.freeze()),
    }
}

/// A body that is taken as it comes.
pub(crate) struct Pieces {
    stream: BodyDataStream,
    taken_bytes: u64,
    /// How long the client was waited for. What is done with its bytes in between is not its fault.
    waited: Duration,
}

impl Pieces {
    pub(crate) fn of(body: Body) -> Self {
        Self { stream: body.into_data_stream(), taken_bytes: 0, waited: Duration::ZERO }
    }

    /// The next piece.
    ///
    /// # Errors
    /// `Broken`, also when it takes too long.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, BodyError> {
        let began = Instant::now();
        let next = tokio::time::timeout(self.patience(), self.stream.next()).await;
        self.waited += began.elapsed();
        match next {
            Ok(None) => Ok(None),
            Ok(Some(Ok(piece))) => {
                self.taken_bytes += piece.len() as u64;
                Ok(Some(piece))
            }
            Ok(Some(Err(_))) | Err(_) => Err(BodyError::Broken),
        }
    }

    /// How long the next piece may take.
    fn patience(&self) -> Duration {
        let earned = Duration::from_millis(self.taken_bytes.saturating_mul(1000) / LEAST_RATE_BYTES_S);
        (IDLE_TIMEOUT + earned).saturating_sub(self.waited).min(IDLE_TIMEOUT)
    }
}

/// `Content-Length`, if it is stated.
pub(crate) fn stated_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(axum::http::header::CONTENT_LENGTH)?.to_str().ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn check(pieces: &[&'static str], stated: Option<&str>, limit_bytes: usize) -> Result<Bytes, BodyError> {
        let mut headers = HeaderMap::new();
        if let Some(stated) = stated {
            headers.insert("content-length", stated.parse().expect("a header"));
        }
        let pieces: Vec<Result<&'static str, std::io::Error>> = pieces.iter().map(|piece| Ok(*piece)).collect();
        read(&headers, Body::from_stream(futures::stream::iter(pieces)), limit_bytes).await
    }

    #[tokio::test]
    async fn bodies_are_bounded() {
        assert_eq!(check(&["ab", "c"], None, 3).await.expect("read"), "abc");
        assert_eq!(check(&["abc"], Some("3"), 3).await.expect("read"), "abc");
        assert_eq!(check(&[], None, 3).await.expect("read"), "");
        let too_large = Err(BodyError::TooLarge { limit_bytes: 3 });
        assert_eq!(check(&["ab", "cd"], None, 3).await, too_large);
        assert_eq!(check(&[], Some("4"), 3).await, too_large);
        assert_eq!(check(&["ab"], Some("3"), 3).await, Err(BodyError::Broken));
    }

    /// A body of pieces of 100 bytes, `every` so often; when it was given up, or that it was not.
    async fn trickle(piece_bytes: usize, every: Duration, pieces: usize) -> Option<Duration> {
        let stream = futures::stream::unfold(0, move |sent| async move {
            tokio::time::sleep(every).await;
            (sent < pieces).then(|| (Ok::<_, std::io::Error>(Bytes::from(vec![7; piece_bytes])), sent + 1))
        });
        let began = Instant::now();
        let read = read(&HeaderMap::new(), Body::from_stream(stream), usize::MAX).await;
        read.err().map(|_| began.elapsed())
    }

    /// Regression: a client that sent a byte within every minute held its request for ever.
    #[tokio::test(start_paused = true)]
    async fn a_body_must_come_at_a_rate() {
        let second = Duration::from_secs(1);
        let given_up = trickle(1, 30 * second, 1_000_000).await.expect("too slow");
        assert!(given_up < 65 * second, "{given_up:?}");
        let given_up = trickle(2048, second, 1_000_000).await.expect("at half the rate");
        assert!((115 * second..125 * second).contains(&given_up), "{given_up:?}");
        assert_eq!(trickle(4096, second, 10_000).await, None, "hours, if it comes");
        assert!(trickle(1 << 20, 61 * second, 3).await.is_some(), "no piece may take longer than a minute");
        assert_eq!(trickle(1 << 20, 59 * second, 3).await, None);
    }

    /// Regression: without a stated length, an empty first piece (HTTP/2 clients may send an empty frame) was taken for the
    /// whole body.
    #[tokio::test]
    async fn an_empty_piece_is_not_the_end() {
        assert_eq!(check(&["", "abc"], None, 3).await.expect("read"), "abc");
        assert_eq!(check(&["", "ab", "", "c"], Some("3"), 3).await.expect("read"), "abc");
    }
}
