//! Reading: `Get Blob`, `Get Blob Properties`, `Get Page Ranges`.

use std::fmt::Write as _;

use axum::{
    body::Body,
    http::{HeaderMap, HeaderName, HeaderValue, Method, request::Parts},
    response::Response,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::BytesMut;
use futures::TryStreamExt;
use galerie_control::Blob;

use super::{conditions, describe, error::Refusal, md5, range};
use crate::{arm::response, query::Query};

/// Most bytes whose digest may be asked for, as in storage.
const MOST_DIGESTED_BYTES: u64 = 4 * 1024 * 1024;
/// Most ranges in one answer; the rest is told as one.
const MOST_RANGES: usize = 100_000;
/// Says of every answer about a blob what kind it is, and that nobody leases it.
const ABOUT: [(&str, &str); 6] = [
    ("x-ms-blob-type", "PageBlob"),
    ("x-ms-blob-sequence-number", "0"),
    ("x-ms-lease-status", "unlocked"),
    ("x-ms-lease-state", "available"),
    ("x-ms-server-encrypted", "false"),
    ("accept-ranges", "bytes"),
];
/// What keeps a browser from running what somebody stored here.
const INERT: [(&str, &str); 3] = [
    ("content-type", "application/octet-stream"),
    ("content-security-policy", "sandbox; default-src 'none'"),
    ("x-content-type-options", "nosniff"),
];

/// `GET` and `HEAD` of the blob.
pub(super) async fn read(blob: &Blob, request: &Parts) -> Result<Response, Refusal> {
    let headers = &request.headers;
    if let Some(unchanged) = conditions::check_read(headers, blob)? {
        return Ok(unchanged);
    }
    let length_bytes = blob.length_bytes();
    // Get Blob Properties knows no ranges.
    let is_head = request.method == Method::HEAD;
    let asked = if is_head { None } else { range::asked(headers)? };
    let range = asked.map(|asked| asked.within(length_bytes)).transpose()?;
    let mut answer = response::empty(if range.is_some() { 206 } else { 200 });
    describe(&mut answer, blob);
    set_static(answer.headers_mut(), &ABOUT);
    set_static(answer.headers_mut(), &INERT);
    let name = request.uri.path().rsplit('/').next().unwrap_or_default();
    set(answer.headers_mut(), "content-disposition", &attachment(name));
    set(answer.headers_mut(), "x-ms-creation-time", &super::http_date(blob.last_modified_ms()));
    if let Some(range) = &range {
        set(answer.headers_mut(), "content-range", &format!("bytes {}-{}/{length_bytes}", range.start, range.end - 1));
    } else {
        set(answer.headers_mut(), "x-ms-blob-content-length", &length_bytes.to_string());
    }
    let range = range.unwrap_or(0..length_bytes);
    set(answer.headers_mut(), "content-length", &(range.end - range.start).to_string());
    if is_head {
        return Ok(answer);
    }
    if is_true(headers, "x-ms-range-get-content-md5") {
        return digested(blob, answer, range).await;
    }
    *answer.body_mut() = Body::from_stream(blob.read(range)?);
    Ok(answer)
}

/// A short range with the digest of its bytes.
async fn digested(blob: &Blob, mut answer: Response, range: std::ops::Range<u64>) -> Result<Response, Refusal> {
    if range.end - range.start > MOST_DIGESTED_BYTES {
        return Err(Refusal::Protocol(
            400,
            "OutOfRangeInput",
            "x-ms-range-get-content-md5 is for ranges of at most 4 MiB.".to_owned(),
        ));
    }
    let bytes: BytesMut = blob.read(range)?.try_collect::<Vec<_>>().await?.concat().as_slice().into();
    set(answer.headers_mut(), "content-md5", &STANDARD.encode(md5::digest(&bytes)));
    *answer.body_mut() = Body::from(bytes.freeze());
    Ok(answer)
}

/// `GET ?comp=pagelist`.
pub(super) async fn page_list(blob: &Blob, request: &Parts) -> Result<Response, Refusal> {
    if let Some(unchanged) = conditions::check_read(&request.headers, blob)? {
        return Ok(unchanged);
    }
    let query = Query::parse(request.uri.query());
    for name in ["prevsnapshot", "snapshot", "marker"] {
        if query.get(name).is_some_and(|value| !value.is_empty()) {
            return Err(Refusal::query(name));
        }
    }
    let length_bytes = blob.length_bytes();
    let asked = range::asked(&request.headers)?.map(|asked| asked.within(length_bytes)).transpose()?;
    let mut ranges = blob.page_ranges(asked.unwrap_or(0..length_bytes)).await?;
    if ranges.len() > MOST_RANGES {
        let end = ranges.last().map_or(length_bytes, |last| last.end);
        ranges.truncate(MOST_RANGES);
        if let Some(last) = ranges.last_mut() {
            last.end = end;
        }
    }
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"utf-8\"?><PageList>");
    for range in &ranges {
        let (start, end) = (range.start, range.end - 1);
        let _ = write!(xml, "<PageRange><Start>{start}</Start><End>{end}</End></PageRange>");
    }
    xml.push_str("</PageList>");
    let mut answer = response::empty(200);
    describe(&mut answer, blob);
    set(answer.headers_mut(), "content-type", "application/xml");
    set(answer.headers_mut(), "x-ms-blob-content-length", &length_bytes.to_string());
    *answer.body_mut() = Body::from(xml);
    Ok(answer)
}

/// A download's name: the blob's, with an ending that says what it is.
fn attachment(name: &str) -> String {
    let name = crate::query::decode(name, false).unwrap_or_default();
    let safe: String = name.chars().filter(|c| c.is_ascii_alphanumeric() || "-._".contains(*c)).take(100).collect();
    let ending = if safe.to_ascii_lowercase().ends_with(".vhd") { "" } else { ".vhd" };
    format!("attachment; filename=\"{}{ending}\"", if safe.is_empty() { "disk" } else { &safe })
}

fn is_true(headers: &HeaderMap, name: &str) -> bool {
    headers.get(name).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"true"))
}

fn set_static(headers: &mut HeaderMap, all: &[(&'static str, &'static str)]) {
    for (name, value) in all {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
}

fn set(headers: &mut HeaderMap, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(HeaderName::from_static(name), value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attachments_have_harmless_names() {
        assert_eq!(attachment("my%20disk"), "attachment; filename=\"mydisk.vhd\"");
        assert_eq!(attachment("a.VHD"), "attachment; filename=\"a.VHD\"");
        assert_eq!(attachment("%22%0d%0a"), "attachment; filename=\"disk.vhd\"");
    }
}
