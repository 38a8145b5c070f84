//! Reading request bodies: always bounded, never waiting for ever.

use std::time::Duration;

use axum::{body::Body, http::HeaderMap};
use bytes::{Bytes, BytesMut};
use futures::StreamExt;

/// How long the next piece of a body may take.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
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
    let mut stream = body.into_data_stream();
    let mut collected = BytesMut::with_capacity(expected.unwrap_or(0).min(FIRST_RESERVE_BYTES));
    while let Some(piece) = next(&mut stream).await? {
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

/// The next piece of a body that is taken as it comes.
///
/// # Errors
/// `Broken`.
pub(crate) async fn next(stream: &mut axum::body::BodyDataStream) -> Result<Option<Bytes>, BodyError> {
    match tokio::time::timeout(IDLE_TIMEOUT, stream.next()).await {
        Ok(None) => Ok(None),
        Ok(Some(Ok(piece))) => Ok(Some(piece)),
        Ok(Some(Err(_))) | Err(_) => Err(BodyError::Broken),
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

    /// Regression: without a stated length, an empty first piece (HTTP/2 clients may send an empty frame) was taken for the
    /// whole body.
    #[tokio::test]
    async fn an_empty_piece_is_not_the_end() {
        assert_eq!(check(&["", "abc"], None, 3).await.expect("read"), "abc");
        assert_eq!(check(&["", "ab", "", "c"], Some("3"), 3).await.expect("read"), "abc");
    }
}
