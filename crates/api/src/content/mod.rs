//! Versions' bytes, blob by blob, for `galerie pull`, `nbd` and `application version pull`: by token, not by SAS.
//!
//! | request | answer |
//! |---|---|
//! | `GET /content{version id}?region=&lun=` | `{versionId, region, manifestId, virtualSizeBytes}` |
//! | `GET .../manifest` | one frame |
//! | `POST .../segments` | frames, in the order of the ids in the body (32 bytes each) |
//! | `POST .../segments/{segment id}/chunks` | frames likewise |
//!
//! A version of an image may be `latest`; one of an application or script is its package, and with the lun 0 its default
//! configuration. Only what the version lists is given out; the domain checks that.

mod frames;

use axum::{extract::Request, http::Method, response::Response};
use bytes::Bytes;
use galerie_arm::{ApiVersion, ArmError, ResourceId, ResourceType, VersionReference, etag::Precondition};
use galerie_control::{Content, RequestContext};
use galerie_store::{BlobId, SegmentId};
use serde_json::json;
use uuid::Uuid;

use crate::{
    arm::{authentication, response},
    body::{self, BodyError},
    hosts::AcceptedHost,
    middleware::{client_address::ClientAddress, request_ids::RequestIds},
    query::{Query, segments},
    route_class::RouteClass,
    routes,
    state::ApiState,
};

/// Bytes of an id in a body.
const ID_BYTES: usize = 32;
/// Largest body: as many ids as may be asked for at once.
const LARGEST_BODY_BYTES: usize = galerie_control::MOST_BLOBS * ID_BYTES;
/// Segments of a version's id.
const ID_SEGMENTS: usize = 12;

/// What is asked about a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Summary,
    Manifest,
    Segments,
    Chunks(SegmentId),
}

/// Answers a request below `/content`.
pub(crate) async fn answer(state: &ApiState, request: Request, host: &AcceptedHost, ids: RequestIds) -> Response {
    let path = request.uri().path().to_owned();
    let found = segments(&path).unwrap_or_default();
    let subscription = found.get(2).and_then(|id| Uuid::parse_str(id).ok());
    let caller = match authentication::authenticate(state, request.headers(), subscription).await {
        Ok(caller) => caller,
        Err(refusal) => return refusal.response(host),
    };
    let context = RequestContext {
        caller,
        api_version: ApiVersion::stable(2024, 3, 3),
        preconditions: Precondition::default(),
        auxiliary: Vec::new(),
        correlation_id: ids.correlation,
        client_address: ClientAddress::of(&request),
    };
    let caller = context.caller.clone();
    let mut response = dispatch(state, &context, request, &path, &found).await;
    response.extensions_mut().insert(caller);
    response
}

async fn dispatch(
    state: &ApiState,
    context: &RequestContext,
    request: Request,
    path: &str,
    found: &[String],
) -> Response {
    let Some(wanted) = wanted(found).filter(|_| routes::is_known(RouteClass::Content, found, None)) else {
        return response::error(&ArmError::path_not_found(path));
    };
    let allowed = if matches!(wanted, Wanted::Summary | Wanted::Manifest) { Method::GET } else { Method::POST };
    if request.method() != allowed {
        return response::method_not_allowed(request.method(), path, &[allowed]);
    }
    let Some(version) = version_path(found) else {
        return response::error(&ArmError::path_not_found(path));
    };
    match serve(state, context, request, &version, wanted).await {
        Ok(response) => response,
        Err(error) => response::error(&error),
    }
}

/// The path of the version that a path is about.
pub(crate) fn version_path(found: &[String]) -> Option<String> {
    Some(format!("/{}", found.get(1..=ID_SEGMENTS)?.join("/")))
}

/// A version that has bytes.
#[derive(Debug)]
pub(crate) enum Version {
    /// Of an image.
    OfImage(VersionReference),
    /// Of an application or script.
    OfPackage(ResourceId),
}

impl Version {
    /// Reads a version's path.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn parse(path: &str) -> Result<Self, ArmError> {
        let id = ResourceId::parse(path, "path").ok();
        let is_package = |id: &ResourceId| {
            matches!(id.resource_type(), Some(ResourceType::ApplicationVersion | ResourceType::ScriptVersion))
        };
        match id.filter(is_package) {
            Some(id) => Ok(Self::OfPackage(id)),
            None => VersionReference::parse(path, "path").map(Self::OfImage),
        }
    }
}

/// What the segments after `content` and the version's id ask for.
fn wanted(found: &[String]) -> Option<Wanted> {
    let rest: Vec<&str> = found.get(ID_SEGMENTS + 1..)?.iter().map(String::as_str).collect();
    match rest[..] {
        [] => Some(Wanted::Summary),
        ["manifest"] => Some(Wanted::Manifest),
        ["segments"] => Some(Wanted::Segments),
        ["segments", segment, "chunks"] => Some(Wanted::Chunks(segment.parse().ok()?)),
        _ => None,
    }
}

async fn serve(
    state: &ApiState,
    context: &RequestContext,
    request: Request,
    version: &str,
    wanted: Wanted,
) -> Result<Response, ArmError> {
    let version = Version::parse(version)?;
    let query = Query::parse(request.uri().query());
    let region = query.get("region").filter(|region| !region.is_empty());
    let lun = query.get("lun").filter(|lun| !lun.is_empty());
    let lun = lun.map(|lun| lun.parse().map_err(|_| ArmError::invalid_query("lun", lun))).transpose()?;
    let content = match &version {
        Version::OfImage(version) => state.control.open_content(context, version, region, lun).await?,
        Version::OfPackage(version) => state.control.open_package(context, version, region, lun).await?,
    };
    match wanted {
        Wanted::Summary => Ok(response::json(200, &summary(&content))),
        Wanted::Manifest => Ok(frames::whole(&[content.manifest_blob().await?])),
        Wanted::Segments => {
            let ids = read_ids(request).await?;
            frames::stream(content, ids, None).await
        }
        Wanted::Chunks(segment) => {
            let ids = read_ids(request).await?;
            frames::stream(content, ids, Some(segment)).await
        }
    }
}

fn summary(content: &Content) -> serde_json::Value {
    json!({
        "versionId": content.version_id(),
        "region": content.region().as_str(),
        "manifestId": content.manifest().to_string(),
        "virtualSizeBytes": content.virtual_size_bytes()
    })
}

async fn read_ids(request: Request) -> Result<Vec<BlobId>, ArmError> {
    let (parts, body) = request.into_parts();
    let bytes: Bytes = body::read(&parts.headers, body, LARGEST_BODY_BYTES).await.map_err(|error| match error {
        BodyError::TooLarge { limit_bytes } => ArmError::request_too_large(limit_bytes),
        BodyError::Broken => ArmError::invalid_request_content("the body ended early"),
    })?;
    let (ids, rest) = bytes.as_chunks::<ID_BYTES>();
    if !rest.is_empty() || ids.is_empty() {
        return Err(ArmError::invalid_request_content("the body must be ids of 32 bytes each"));
    }
    Ok(ids.iter().map(|id| BlobId(*id)).collect())
}
