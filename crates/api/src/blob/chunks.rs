//! The upload of chunks that the client cut and hashed itself (`galerie publish`), on the same SAS as pages.
//!
//! Bodies: `galerie-bases` a JSON list of image version ids (and a bearer token: reading them is the caller's right, not the
//! SAS'), `galerie-blobs` frames (`galerie_store::frame`), `galerie-manifest` `{"manifestId": "..."}`.

use axum::{extract::Request, response::Response};
use galerie_arm::{ApiVersion, ResourceId, etag::Precondition, parse_body};
use galerie_control::{Blob, RequestContext};
use galerie_store::{
    ManifestId, StoredBlob,
    frame::{self, FrameDecoder},
};
use serde_json::{Value, json};

use super::error::Refusal;
use crate::{
    arm::{authentication, response},
    body,
    hosts::AcceptedHost,
    middleware::{client_address::ClientAddress, request_ids::RequestIds},
    state::ApiState,
};

/// Largest list of bases, and largest commitment.
const LARGEST_JSON_BYTES: usize = 64 * 1024;
/// Most stored bytes of one request.
const MOST_BODY_BYTES: usize = 64 * 1024 * 1024;
/// Blobs are handed over in batches of about this many stored bytes, so that a request holds no more.
const BATCH_BYTES: usize = 4 * 1024 * 1024;

/// `PUT ?comp=galerie-bases`.
pub(super) async fn allow_bases(
    state: &ApiState,
    blob: &Blob,
    request: Request,
    host: &AcceptedHost,
    ids: RequestIds,
) -> Result<Response, Refusal> {
    let caller = authentication::authenticate(state, request.headers(), None).await;
    let caller = caller.map_err(|refusal| match refusal.error.status {
        401 => {
            let message = format!("A bearer token is needed: {}", refusal.error);
            Refusal::Unauthenticated(message, refusal.challenge(host))
        }
        // A catalogue that is away says nothing about the token.
        _ => refusal.error.into(),
    })?;
    let client_address = ClientAddress::of(&request);
    let versions: Vec<String> = serde_json::from_value(read_json(request).await?)
        .map_err(|_| Refusal::input("The body must be a JSON list of image version ids."))?;
    let versions: Result<Vec<ResourceId>, _> = versions.iter().map(|id| ResourceId::parse(id, "body")).collect();
    let versions = versions.map_err(|error| Refusal::input(error.message))?;
    let context = RequestContext {
        caller,
        api_version: ApiVersion::stable(2024, 3, 3),
        preconditions: Precondition::default(),
        auxiliary: Vec::new(),
        correlation_id: ids.correlation,
        client_address,
    };
    blob.allow_bases(&context, &versions).await?;
    Ok(response::empty(201))
}

/// `PUT ?comp=galerie-blobs`. One without blobs says that the client is still there.
pub(super) async fn put_blobs(blob: &Blob, request: Request) -> Result<Response, Refusal> {
    let mut pieces = body::Pieces::of(request.into_body());
    let mut decoder = FrameDecoder::new();
    let (mut batch, mut batch_bytes, mut body_bytes) = (Vec::new(), 0, 0);
    while let Some(piece) = pieces.next().await? {
        body_bytes += piece.len();
        if body_bytes > MOST_BODY_BYTES {
            return Err(body::BodyError::TooLarge { limit_bytes: MOST_BODY_BYTES }.into());
        }
        decoder.push(&piece);
        while let Some(found) = decoder.next_frame().map_err(bad_frame)? {
            batch_bytes += frame::encoded_bytes(&found);
            batch.push(found);
            if batch_bytes >= BATCH_BYTES {
                hand_over(blob, &mut batch).await?;
                batch_bytes = 0;
            }
        }
    }
    decoder.finish().map_err(bad_frame)?;
    if body_bytes == 0 {
        blob.keep_chunks_open();
    }
    hand_over(blob, &mut batch).await?;
    Ok(response::empty(201))
}

async fn hand_over(blob: &Blob, batch: &mut Vec<StoredBlob>) -> Result<(), Refusal> {
    if !batch.is_empty() {
        blob.put_blobs(std::mem::take(batch)).await?;
    }
    Ok(())
}

fn bad_frame(error: galerie_store::Error) -> Refusal {
    Refusal::input(error.to_string())
}

/// `PUT ?comp=galerie-manifest`.
pub(super) async fn finish(blob: &Blob, request: Request) -> Result<Response, Refusal> {
    let body = read_json(request).await?;
    let manifest = body.get("manifestId").and_then(Value::as_str).and_then(|id| id.parse::<ManifestId>().ok());
    let manifest =
        manifest.ok_or_else(|| Refusal::input("The body must be {\"manifestId\": 64 hexadecimal digits}."))?;
    let imported = blob.finish_chunks(manifest).await?;
    let report = json!({
        "manifestId": imported.manifest.to_string(),
        "virtualSizeBytes": imported.virtual_size_bytes
    });
    Ok(response::json(201, &report))
}

async fn read_json(request: Request) -> Result<Value, Refusal> {
    let (parts, body) = request.into_parts();
    let bytes = body::read(&parts.headers, body, LARGEST_JSON_BYTES).await?;
    parse_body(&bytes, LARGEST_JSON_BYTES).map_err(|error| Refusal::input(error.message))
}
