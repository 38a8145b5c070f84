//! Writing pages: `Put Page` (update, clear) and `Put Blob` for a page blob.

use axum::{
    extract::Request,
    http::{HeaderMap, HeaderName, HeaderValue, header},
    response::Response,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use galerie_control::Blob;

use super::{
    conditions, crc64, describe,
    error::Refusal,
    md5,
    range::{self, Asked},
};
use crate::{arm::response, body};

/// Most bytes of one write, as in storage.
const MOST_WRITE_BYTES: usize = 4 * 1024 * 1024;
const PAGE_WRITE: &str = "x-ms-page-write";
const CRC64: &str = "x-ms-content-crc64";
const SEQUENCE_NUMBER: HeaderName = HeaderName::from_static("x-ms-blob-sequence-number");
const SERVER_ENCRYPTED: HeaderName = HeaderName::from_static("x-ms-request-server-encrypted");

/// `PUT ?comp=page`.
pub(super) async fn write(blob: &Blob, request: Request) -> Result<Response, Refusal> {
    let (parts, body) = request.into_parts();
    let headers = parts.headers;
    conditions::check(&headers, blob)?;
    refuse_transformations(&headers)?;
    let asked = range::asked(&headers)?.ok_or_else(|| Refusal::missing_header("x-ms-range"))?;
    match text(&headers, PAGE_WRITE)?.map(str::to_ascii_lowercase).as_deref() {
        Some("update") => update(blob, &headers, body, asked).await,
        Some("clear") => clear(blob, &headers, body, asked).await,
        Some(_) => Err(Refusal::header(PAGE_WRITE)),
        None => Err(Refusal::missing_header(PAGE_WRITE)),
    }
}

async fn update(blob: &Blob, headers: &HeaderMap, body: axum::body::Body, asked: Asked) -> Result<Response, Refusal> {
    let bytes = body::read(headers, body, MOST_WRITE_BYTES).await?;
    let asked_bytes = asked.last.and_then(|last| (last - asked.first).checked_add(1));
    if asked_bytes != Some(bytes.len() as u64) {
        return Err(Refusal::input("The length of the body is not that of the range."));
    }
    let checksum = check_transfer(headers, &bytes)?;
    blob.write_pages(asked.first, bytes).await?;
    let mut answer = written(blob);
    if let Some((name, value)) = checksum {
        answer.headers_mut().insert(name, value);
    }
    Ok(answer)
}

async fn clear(blob: &Blob, headers: &HeaderMap, body: axum::body::Body, asked: Asked) -> Result<Response, Refusal> {
    // A client that sends bytes means to write them.
    let has_body = || Refusal::input("Clearing pages has no body.");
    if body::stated_length(headers).is_some_and(|length| length > 0) {
        return Err(has_body());
    }
    if !body::read(headers, body, MOST_WRITE_BYTES).await?.is_empty() {
        return Err(has_body());
    }
    let end = asked.last.and_then(|last| last.checked_add(1)).ok_or_else(|| Refusal::header("x-ms-range"))?;
    blob.clear_pages(asked.first..end).await?;
    Ok(written(blob))
}

/// `PUT` of a whole page blob. The disk has its size; a client that makes a blob of that size begins its upload anew.
pub(super) async fn create(blob: &Blob, headers: &HeaderMap) -> Result<Response, Refusal> {
    let kind = text(headers, "x-ms-blob-type")?.ok_or_else(|| Refusal::missing_header("x-ms-blob-type"))?;
    if !kind.eq_ignore_ascii_case("PageBlob") {
        let message = "This is a page blob: write pages (in the SDKs: blob_type=PageBlob).";
        return Err(Refusal::Protocol(409, "InvalidBlobType", message.to_owned()));
    }
    if headers.get(header::IF_NONE_MATCH).is_some_and(|value| value == "*") {
        let message = "The specified blob already exists. (In the SDKs: overwrite=True.)";
        return Err(Refusal::Protocol(409, "BlobAlreadyExists", message.to_owned()));
    }
    conditions::check(headers, blob)?;
    let length = text(headers, "x-ms-blob-content-length")?.and_then(|text| text.parse::<u64>().ok());
    if length != Some(blob.length_bytes()) {
        let message = format!("The disk was made for an upload of {} bytes.", blob.length_bytes());
        return Err(Refusal::input(message));
    }
    blob.clear_pages(0..blob.length_bytes()).await?;
    Ok(written(blob))
}

fn written(blob: &Blob) -> Response {
    let mut answer = response::empty(201);
    describe(&mut answer, blob);
    answer.headers_mut().insert(SEQUENCE_NUMBER, HeaderValue::from_static("0"));
    answer.headers_mut().insert(SERVER_ENCRYPTED, HeaderValue::from_static("false"));
    answer
}

/// Verifies what the client computed; answers the header to confirm it with.
fn check_transfer(headers: &HeaderMap, bytes: &[u8]) -> Result<Option<(HeaderName, HeaderValue)>, Refusal> {
    if let Some(stated) = text(headers, CRC64)? {
        return match STANDARD.encode(crc64::checksum(bytes).to_le_bytes()) {
            found if found == stated => Ok(confirmation(HeaderName::from_static(CRC64), &found)),
            _ => Err(mismatch("Crc64Mismatch", "CRC64")),
        };
    }
    if let Some(stated) = text(headers, "content-md5")? {
        return match STANDARD.encode(md5::digest(bytes)) {
            found if found == stated => Ok(confirmation(HeaderName::from_static("content-md5"), &found)),
            _ => Err(mismatch("Md5Mismatch", "MD5")),
        };
    }
    Ok(None)
}

fn confirmation(name: HeaderName, value: &str) -> Option<(HeaderName, HeaderValue)> {
    HeaderValue::from_str(value).ok().map(|value| (name, value))
}

fn mismatch(code: &'static str, what: &str) -> Refusal {
    let message = format!(
        "The {what} value specified in the request did not match with the {what} value calculated by the server."
    );
    Refusal::Protocol(400, code, message)
}

/// What would change the bytes on their way: we would store something else than the client means.
fn refuse_transformations(headers: &HeaderMap) -> Result<(), Refusal> {
    let refused = [
        "x-ms-structured-body",
        "x-ms-encryption-key",
        "x-ms-encryption-scope",
        "x-ms-copy-source",
        "content-encoding",
    ];
    match refused.iter().find(|name| headers.contains_key(**name)) {
        Some(name) => Err(Refusal::unsupported_header(name)),
        None => Ok(()),
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &'static str) -> Result<Option<&'a str>, Refusal> {
    headers.get(name).map(|value| value.to_str().map_err(|_| Refusal::header(name))).transpose()
}
