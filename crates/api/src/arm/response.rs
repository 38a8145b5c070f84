//! Answers in ARM's form.

use axum::{
    body::Body,
    http::{HeaderName, HeaderValue, Method, StatusCode, header},
    response::Response,
};
use galerie_arm::ArmError;
use galerie_control::{Page, Resource};
use serde_json::{Value, json};

use crate::middleware::audit::Refused;

/// Seconds between polls. Absent or 0 means half a minute to Azure's clients, and fractions 0 to some.
const RETRY_AFTER_S: &str = "1";
/// Marks errors of the front door, as the real service does.
const FAILURE_CAUSE: HeaderName = HeaderName::from_static("x-ms-failure-cause");
const JSON: HeaderValue = HeaderValue::from_static("application/json; charset=utf-8");

/// A body of JSON.
pub(crate) fn json(status: u16, value: &Value) -> Response {
    json_text(status, value.to_string())
}

fn json_text(status: u16, text: String) -> Response {
    let mut response = empty(status);
    response.headers_mut().insert(header::CONTENT_TYPE, JSON);
    *response.body_mut() = Body::from(text);
    response
}

/// No body.
pub(crate) fn empty(status: u16) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response
}

/// A resource, with its entity tag.
pub(crate) fn resource(status: u16, resource: &Resource) -> Response {
    let mut response = json(status, &resource.document);
    if let Ok(etag) = HeaderValue::from_str(&format!("\"{}\"", resource.etag)) {
        response.headers_mut().insert(header::ETAG, etag);
    }
    response
}

/// A page of a list; `next_link` is absolute.
pub(crate) fn page(page: &Page, next_link: Option<&str>) -> Response {
    let mut text = String::with_capacity(page.items.iter().map(|item| item.as_str().len() + 1).sum::<usize>() + 512);
    text.push_str("{\"value\":[");
    for (index, item) in page.items.iter().enumerate() {
        if index > 0 {
            text.push(',');
        }
        text.push_str(item.as_str());
    }
    text.push(']');
    if let Some(next_link) = next_link {
        text.push_str(",\"nextLink\":");
        text.push_str(&Value::from(next_link).to_string());
    }
    text.push('}');
    json_text(200, text)
}

/// A list that is one page.
pub(crate) fn list(value: Vec<Value>) -> Response {
    part_of_list(value, None)
}

/// A page of a list of what is made for the answer; `next_link` is absolute.
pub(crate) fn part_of_list(value: Vec<Value>, next_link: Option<String>) -> Response {
    let mut body = json!({ "value": value });
    if let Some(next_link) = next_link {
        body["nextLink"] = next_link.into();
    }
    json(200, &body)
}

/// An error. A 401 still lacks its challenge; see `authentication`.
pub(crate) fn error(error: &ArmError) -> Response {
    let mut response = json(error.status, &error.body());
    response.extensions_mut().insert(Refused::of(error));
    let headers = response.headers_mut();
    headers.insert(FAILURE_CAUSE, HeaderValue::from_static(if error.status < 500 { "gateway" } else { "service" }));
    if matches!(error.status, 429 | 503) {
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_S));
    }
    response
}

/// 405 with what is allowed.
pub(crate) fn method_not_allowed(method: &Method, path: &str, allowed: &[Method]) -> Response {
    let mut response = error(&ArmError::method_not_allowed(method.as_str(), path));
    let allowed = allowed.iter().map(Method::as_str).collect::<Vec<_>>().join(", ");
    let allowed = HeaderValue::from_str(&allowed).expect("methods are header characters");
    response.headers_mut().insert(header::ALLOW, allowed);
    response
}

/// The same answer with the pause between polls.
pub(crate) fn polled(mut response: Response) -> Response {
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_S));
    response
}
