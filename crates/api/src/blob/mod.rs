//! Disks' and snapshots' bytes, by shared access signature: the page-blob operations that storage clients send.
//!
//! | request | does |
//! |---|---|
//! | `PUT ?comp=page` | writes or clears pages |
//! | `PUT` with `x-ms-blob-type: PageBlob` | clears all pages, when the size is the disk's (SDKs' `upload_blob`) |
//! | `GET`, `HEAD` | bytes with ranges, properties |
//! | `GET ?comp=pagelist` | ranges that may hold data |
//! | `PUT ?comp=galerie-bases`, `-blobs`, `-manifest` | our own upload of chunks cut by the client |
//!
//! What users stored is served so that a browser never runs it: octet-stream, attachment, sandboxed, never sniffed.

mod chunks;
mod conditions;
mod crc64;
mod error;
mod md5;
mod pages;
mod range;
mod read;
pub(crate) mod sas;

use axum::{
    extract::Request,
    http::{HeaderMap, HeaderName, HeaderValue, Method, header},
    response::Response,
};
use galerie_arm::{ArmError, timestamp};
use galerie_control::{Blob, BlobAction, BlobError};
use time::{OffsetDateTime, PrimitiveDateTime, format_description::BorrowedFormatItem, macros::format_description};

use self::{error::Refusal, sas::Presented};
use crate::{
    hosts::AcceptedHost,
    middleware::request_ids::RequestIds,
    query::{Query, segments},
    route_class::RouteClass,
    routes,
    state::ApiState,
};

const VERSION: HeaderName = HeaderName::from_static("x-ms-version");
/// What we answer to a client that names no version.
const OWN_VERSION: &str = "2018-03-28";

/// Answers a request to a blob.
pub(crate) async fn answer(state: &ApiState, request: Request, host: &AcceptedHost, ids: RequestIds) -> Response {
    let (method, version) = (request.method().clone(), asked_version(request.headers()));
    let mut response = match route(state, request, host, ids).await {
        Ok(response) => response,
        Err(refusal) => refusal.response(&method, ids),
    };
    response.headers_mut().insert(VERSION, version);
    response
}

/// An error that was met before or outside the blob, in storage's words.
pub(crate) fn error(error: &ArmError, method: &Method, ids: RequestIds) -> Response {
    let mut response = Refusal::of_the_front_door(error).response(method, ids);
    response.headers_mut().insert(VERSION, HeaderValue::from_static(OWN_VERSION));
    response
}

/// The version that the client speaks, echoed: what we do is the same in all of them.
fn asked_version(headers: &HeaderMap) -> HeaderValue {
    let is_date = |value: &&HeaderValue| value.to_str().is_ok_and(|text| timestamp::parse_ms(text).is_some());
    headers.get(VERSION).filter(is_date).cloned().unwrap_or(HeaderValue::from_static(OWN_VERSION))
}

async fn route(state: &ApiState, request: Request, host: &AcceptedHost, ids: RequestIds) -> Result<Response, Refusal> {
    let segments = segments(request.uri().path()).ok_or(BlobError::NotFound)?;
    let query = Query::parse(request.uri().query());
    let presented = Presented::read(&segments, &query)?;
    let (method, comp) = (request.method().clone(), query.get("comp").map(str::to_ascii_lowercase));
    let action = if method == Method::PUT { BlobAction::Write } else { BlobAction::Read };
    let blob = state.control.open_blob(&presented.sas(), action).await?;
    if !routes::is_known(RouteClass::Blob, &segments, comp.as_deref()) {
        return Err(Refusal::query("comp"));
    }
    match (method, comp.as_deref()) {
        (Method::PUT, Some("page")) => pages::write(&blob, request).await,
        (Method::PUT, None) => pages::create(&blob, &request.into_parts().0.headers).await,
        (Method::PUT, Some("galerie-bases")) => chunks::allow_bases(state, &blob, request, host, ids).await,
        (Method::PUT, Some("galerie-blobs")) => chunks::put_blobs(&blob, request).await,
        (Method::PUT, Some("galerie-manifest")) => chunks::finish(&blob, request).await,
        (Method::GET | Method::HEAD, None) => read::read(&blob, &request.into_parts().0).await,
        (Method::GET, Some("pagelist")) => read::page_list(&blob, &request.into_parts().0).await,
        (Method::GET | Method::HEAD | Method::PUT, Some(_)) => Err(Refusal::query("comp")),
        _ => Err(Refusal::Method),
    }
}

/// `ETag` and `Last-Modified`, which every answer about a blob has.
fn describe(response: &mut Response, blob: &Blob) {
    let headers = response.headers_mut();
    let text = |text: String| HeaderValue::from_str(&text).expect("digits, letters and quotes");
    headers.insert(header::ETAG, text(format!("\"{}\"", blob.etag())));
    headers.insert(header::LAST_MODIFIED, text(http_date(blob.last_modified_ms())));
}

/// RFC 9110, section 5.6.7.
const HTTP_DATE: &[BorrowedFormatItem<'_>] =
    format_description!("[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT");

/// Seconds since the epoch of a date as HTTP writes it. The two obsolete forms, which nobody sends, are none.
fn parse_http_date(text: &str) -> Option<i64> {
    Some(PrimitiveDateTime::parse(text.trim(), HTTP_DATE).ok()?.assume_utc().unix_timestamp())
}

fn http_date(unix_ms: i64) -> String {
    let moment = OffsetDateTime::from_unix_timestamp(unix_ms.div_euclid(1000)).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    moment.format(HTTP_DATE).expect("every moment has these parts")
}

#[cfg(test)]
mod tests {
    #[test]
    fn dates_are_http_dates() {
        assert_eq!(super::http_date(784_111_777_999), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(super::parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT"), Some(784_111_777));
        assert_eq!(super::parse_http_date("1994-11-06T08:49:37Z"), None);
    }
}
