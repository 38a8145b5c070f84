//! Conditions on a blob's entity tag and time. Storage clients resume downloads and guard uploads with them.

use axum::http::{HeaderMap, HeaderName, header};
use galerie_arm::{ETag, etag::EntityTags};
use galerie_control::Blob;

use super::error::Refusal;

/// Conditions that we do not keep; ignoring one would do what the client asked us not to do.
const UNSUPPORTED: [&str; 5] = [
    "x-ms-if-sequence-number-le",
    "x-ms-if-sequence-number-lt",
    "x-ms-if-sequence-number-eq",
    "x-ms-if-tags",
    "x-ms-lease-id",
];

/// Checks `If-Match` and `If-None-Match`; a blob always exists. Times are not compared: the tag says more.
///
/// # Errors
/// `ConditionNotMet`, or `UnsupportedHeader` for other conditions.
pub(super) fn check(headers: &HeaderMap, blob: &Blob) -> Result<(), Refusal> {
    if let Some(name) = UNSUPPORTED.iter().find(|name| headers.contains_key(**name)) {
        return Err(Refusal::unsupported_header(name));
    }
    let current = ETag::new(&blob.etag());
    let matches = |name: HeaderName| -> Result<Option<bool>, Refusal> {
        let Some(value) = headers.get(&name) else { return Ok(None) };
        let text = value.to_str().map_err(|_| Refusal::header(name.as_str()))?;
        let tags = EntityTags::parse(name.as_str(), text).map_err(|_| Refusal::header(name.as_str()))?;
        Ok(Some(tags.matches(Some(&current))))
    };
    if matches(header::IF_MATCH)? == Some(false) || matches(header::IF_NONE_MATCH)? == Some(true) {
        return Err(Refusal::condition_not_met());
    }
    Ok(())
}
