//! Conditions on a blob's entity tag and time. Storage clients resume downloads and guard uploads with them.

use axum::{
    http::{HeaderMap, HeaderName, header},
    response::Response,
};
use galerie_arm::{ETag, etag::EntityTags};
use galerie_control::Blob;

use super::{describe, error::Refusal, parse_http_date};
use crate::arm::response;

/// Conditions that we do not keep; ignoring one would do what the client asked us not to do.
const UNSUPPORTED: [&str; 5] = [
    "x-ms-if-sequence-number-le",
    "x-ms-if-sequence-number-lt",
    "x-ms-if-sequence-number-eq",
    "x-ms-if-tags",
    "x-ms-lease-id",
];

/// What the conditions of a request say about the blob as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Met {
    /// Go on.
    Yes,
    /// `If-Match` or `If-Unmodified-Since` does not hold.
    No,
    /// `If-None-Match` or `If-Modified-Since` does not hold: the client has what there is.
    NotModified,
}

/// Checks the conditions of a write.
///
/// # Errors
/// `ConditionNotMet`; `InvalidHeaderValue`; `UnsupportedHeader` for conditions that we do not keep.
pub(super) fn check(headers: &HeaderMap, blob: &Blob) -> Result<(), Refusal> {
    match evaluate(headers, &blob.etag(), blob.last_modified_ms())? {
        Met::Yes => Ok(()),
        Met::No | Met::NotModified => Err(Refusal::condition_not_met()),
    }
}

/// Checks the conditions of a read; an answer when the client has what there is (304).
///
/// # Errors
/// As [`check`].
pub(super) fn check_read(headers: &HeaderMap, blob: &Blob) -> Result<Option<Response>, Refusal> {
    match evaluate(headers, &blob.etag(), blob.last_modified_ms())? {
        Met::Yes => Ok(None),
        Met::No => Err(Refusal::condition_not_met()),
        Met::NotModified => {
            let mut answer = response::empty(304);
            describe(&mut answer, blob);
            Ok(Some(answer))
        }
    }
}

/// In the order of RFC 9110, section 13.2.2: where there is a tag, the time is not looked at. A blob always exists.
fn evaluate(headers: &HeaderMap, etag: &str, last_modified_ms: i64) -> Result<Met, Refusal> {
    if let Some(name) = UNSUPPORTED.iter().find(|name| headers.contains_key(**name)) {
        return Err(Refusal::unsupported_header(name));
    }
    let current = ETag::new(etag);
    // `Last-Modified` is told in seconds.
    let modified_s = last_modified_ms.div_euclid(1000);
    let is_unmodified = match tags(headers, &header::IF_MATCH)? {
        Some(wanted) => wanted.matches(Some(&current)),
        None => date(headers, &header::IF_UNMODIFIED_SINCE)?.is_none_or(|since_s| modified_s <= since_s),
    };
    let is_new = match tags(headers, &header::IF_NONE_MATCH)? {
        Some(known) => !known.matches(Some(&current)),
        None => date(headers, &header::IF_MODIFIED_SINCE)?.is_none_or(|since_s| modified_s > since_s),
    };
    Ok(match (is_unmodified, is_new) {
        (false, _) => Met::No,
        (true, false) => Met::NotModified,
        (true, true) => Met::Yes,
    })
}

fn tags(headers: &HeaderMap, name: &HeaderName) -> Result<Option<EntityTags>, Refusal> {
    let Some(text) = text(headers, name)? else { return Ok(None) };
    EntityTags::parse(name.as_str(), text).map(Some).map_err(|_| Refusal::header(name.as_str()))
}

/// In seconds since the epoch.
fn date(headers: &HeaderMap, name: &HeaderName) -> Result<Option<i64>, Refusal> {
    let Some(text) = text(headers, name)? else { return Ok(None) };
    parse_http_date(text).map(Some).ok_or_else(|| Refusal::header(name.as_str()))
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, Refusal> {
    headers.get(name).map(|value| value.to_str().map_err(|_| Refusal::header(name.as_str()))).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
    const THEN: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

    fn check(sent: &[(&str, &str)], expected: Option<Met>) {
        let mut headers = HeaderMap::new();
        for (name, value) in sent {
            headers.insert(HeaderName::try_from(*name).expect("a name"), value.parse().expect("a value"));
        }
        // Half a second after THEN.
        assert_eq!(evaluate(&headers, "t", 784_111_777_500).ok(), expected, "{sent:?}");
    }

    #[test]
    fn conditions_are_weighed_as_http_has_it() {
        check(&[], Some(Met::Yes));
        check(&[("if-match", "\"t\"")], Some(Met::Yes));
        check(&[("if-match", "\"u\"")], Some(Met::No));
        check(&[("if-none-match", "\"t\"")], Some(Met::NotModified));
        check(&[("if-none-match", "*")], Some(Met::NotModified));
        check(&[("if-none-match", "\"u\"")], Some(Met::Yes));
        check(&[("if-match", "\"u\""), ("if-none-match", "\"t\"")], Some(Met::No));
        check(&[("if-unmodified-since", THEN)], Some(Met::Yes));
        check(&[("if-unmodified-since", BEFORE)], Some(Met::No));
        check(&[("if-modified-since", THEN)], Some(Met::NotModified));
        check(&[("if-modified-since", BEFORE)], Some(Met::Yes));
        // A tag says more than a time.
        check(&[("if-none-match", "\"u\""), ("if-modified-since", THEN)], Some(Met::Yes));
        check(&[("if-match", "\"t\""), ("if-unmodified-since", BEFORE)], Some(Met::Yes));
        check(&[("if-modified-since", "yesterday")], None);
        check(&[("x-ms-lease-id", "x")], None);
    }
}
