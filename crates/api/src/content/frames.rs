//! Answers of frames: short ones whole, long ones in batches, so that an answer holds a few megabytes however much is
//! asked for.

use axum::{
    body::Body,
    http::{HeaderValue, header},
    response::Response,
};
use bytes::{Bytes, BytesMut};
use futures::{StreamExt, stream};
use galerie_arm::ArmError;
use galerie_control::Content;
use galerie_store::{BlobId, ChunkId, SegmentId, StoredBlob, frame};

use crate::arm::response;

/// Blobs read at once: of the largest chunks a few megabytes.
const BATCH_BLOBS: usize = 64;

/// These blobs.
pub(super) fn whole(blobs: &[StoredBlob]) -> Response {
    with_body(Body::from(encode(blobs)))
}

/// Segments, or chunks of a segment, in the order of `ids`. The first batch is read before the answer begins, so that a
/// wrong request has a status; a failure later on cuts the answer short, which its framing shows.
pub(super) async fn stream(
    content: Content,
    ids: Vec<BlobId>,
    segment: Option<SegmentId>,
) -> Result<Response, ArmError> {
    let mut batches: Vec<Vec<BlobId>> = ids.chunks(BATCH_BLOBS).map(<[BlobId]>::to_vec).collect();
    batches.reverse();
    let first = match batches.pop() {
        Some(batch) => encode(&fetch(&content, &batch, segment).await?),
        None => Bytes::new(),
    };
    let rest = stream::try_unfold((content, batches), move |(content, mut batches)| async move {
        let Some(batch) = batches.pop() else { return Ok(None) };
        let frames = encode(&fetch(&content, &batch, segment).await?);
        Ok::<_, ArmError>(Some((frames, (content, batches))))
    });
    Ok(with_body(Body::from_stream(stream::once(async { Ok(first) }).chain(rest))))
}

async fn fetch(content: &Content, ids: &[BlobId], segment: Option<SegmentId>) -> Result<Vec<StoredBlob>, ArmError> {
    match segment {
        None => content.segments(&ids.iter().copied().map(SegmentId).collect::<Vec<_>>()).await,
        Some(segment) => content.chunks(segment, &ids.iter().copied().map(ChunkId).collect::<Vec<_>>()).await,
    }
}

fn encode(blobs: &[StoredBlob]) -> Bytes {
    let mut frames = BytesMut::with_capacity(blobs.iter().map(frame::encoded_bytes).sum());
    blobs.iter().for_each(|blob| frame::encode(blob, &mut frames));
    frames.freeze()
}

fn with_body(body: Body) -> Response {
    let mut answer = response::empty(200);
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(frame::CONTENT_TYPE));
    *answer.body_mut() = body;
    answer
}
