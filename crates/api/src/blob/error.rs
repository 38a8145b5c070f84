//! Storage's errors: XML, with the code also in `x-ms-error-code`.

use axum::{
    body::Body,
    http::{HeaderName, HeaderValue, Method, header},
    response::Response,
};
use galerie_arm::ArmError;
use galerie_control::BlobError;

use crate::{arm::response, body::BodyError, middleware::request_ids::RequestIds};

const ERROR_CODE: HeaderName = HeaderName::from_static("x-ms-error-code");

/// Why a request to a blob is refused.
#[derive(Debug)]
pub(super) enum Refusal {
    /// By the domain.
    Blob(BlobError),
    /// By the protocol: status, code, message.
    Protocol(u16, &'static str, String),
    /// A method that the URL does not have.
    Method,
    /// No good token where one is needed; with the challenge that says where they come from.
    Unauthenticated(String, Option<HeaderValue>),
    /// A range outside the blob, which has this many bytes.
    Range(u64),
}

impl Refusal {
    pub(super) fn header(name: &str) -> Self {
        let message =
            format!("The value for one of the HTTP headers is not in the correct format. HeaderName: {name}.");
        Self::Protocol(400, "InvalidHeaderValue", message)
    }

    pub(super) fn missing_header(name: &str) -> Self {
        let message = format!("An HTTP header that's mandatory for this request is not specified. HeaderName: {name}.");
        Self::Protocol(400, "MissingRequiredHeader", message)
    }

    pub(super) fn unsupported_header(name: &str) -> Self {
        let message = format!("One of the HTTP headers specified in the request is not supported. HeaderName: {name}.");
        Self::Protocol(400, "UnsupportedHeader", message)
    }

    pub(super) fn query(name: &str) -> Self {
        let message =
            format!("Value for one of the query parameters specified in the request URI is invalid. Name: {name}.");
        Self::Protocol(400, "InvalidQueryParameterValue", message)
    }

    pub(super) fn input(message: impl Into<String>) -> Self {
        Self::Protocol(400, "InvalidInput", message.into())
    }

    pub(super) fn condition_not_met() -> Self {
        let message = "The condition specified using HTTP conditional header(s) is not met.";
        Self::Protocol(412, "ConditionNotMet", message.to_owned())
    }

    /// What ARM would say of a request that no handler has seen, or whose handler failed.
    pub(super) fn of_the_front_door(error: &ArmError) -> Self {
        let code = match error.status {
            421 => "MisdirectedRequest",
            _ => "InternalError",
        };
        Self::Protocol(error.status, code, error.message.clone())
    }

    /// The answer. A HEAD has no body, so its code is in the header alone.
    pub(super) fn response(&self, method: &Method, ids: RequestIds) -> Response {
        let (status, code, message) = match self {
            Self::Blob(error) => {
                let (status, code) = error.status_and_code();
                (status, code, error.to_string())
            }
            Self::Protocol(status, code, message) => (*status, *code, message.clone()),
            Self::Unauthenticated(message, _) => (401, "NoAuthenticationInformation", message.clone()),
            Self::Method => {
                (405, "UnsupportedHttpVerb", "The resource doesn't support the specified HTTP verb.".to_owned())
            }
            Self::Range(_) => {
                (416, "InvalidRange", "The range specified is invalid for the current size of the resource.".to_owned())
            }
        };
        let mut response = response::empty(status);
        let headers = response.headers_mut();
        headers.insert(ERROR_CODE, HeaderValue::from_static(code));
        match self {
            Self::Unauthenticated(_, Some(challenge)) => {
                headers.insert(header::WWW_AUTHENTICATE, challenge.clone());
            }
            Self::Method => drop(headers.insert(header::ALLOW, HeaderValue::from_static("GET, HEAD, PUT"))),
            Self::Range(length_bytes) => {
                if let Ok(value) = HeaderValue::from_str(&format!("bytes */{length_bytes}")) {
                    headers.insert(header::CONTENT_RANGE, value);
                }
            }
            _ => {}
        }
        if method != Method::HEAD {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/xml"));
            *response.body_mut() = Body::from(xml(code, &format!("{message}\nRequestId:{}", ids.request)));
        }
        response
    }
}

impl From<BlobError> for Refusal {
    fn from(error: BlobError) -> Self {
        Self::Blob(error)
    }
}

impl From<BodyError> for Refusal {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::TooLarge { limit_bytes } => {
                let message = format!(
                    "The request body is too large and exceeds the maximum permissible limit of {limit_bytes} bytes."
                );
                Self::Protocol(413, "RequestBodyTooLarge", message)
            }
            BodyError::Broken => Self::input("The request body ended early."),
        }
    }
}

impl From<ArmError> for Refusal {
    fn from(error: ArmError) -> Self {
        Self::Blob(error.into())
    }
}

fn xml(code: &str, message: &str) -> String {
    let message = escape(message);
    format!(
        "\u{FEFF}<?xml version=\"1.0\" encoding=\"utf-8\"?><Error><Code>{code}</Code><Message>{message}</Message></Error>"
    )
}

/// As XML 1.0's text: control characters it cannot have are left out.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars().filter(|c| !c.is_control() || *c == '\n') {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_become_markup() {
        assert_eq!(escape("a<b>&\u{1}c"), "a&lt;b&gt;&amp;c");
    }
}
