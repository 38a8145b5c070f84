//! Forms that clients and browsers post, and how a client proves itself in one.

use axum::{
    extract::Request,
    http::{HeaderMap, header},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use galerie_control::ClientProof;
use secrecy::SecretString;

use super::error::OAuthError;
use crate::{
    body::{self, BodyError},
    middleware::client_address::ClientAddress,
    query::{Query, decode},
};

/// Largest form that is read.
const LARGEST_FORM_BYTES: usize = 64 * 1024;
const FORM: &str = "application/x-www-form-urlencoded";
/// RFC 7523, section 2.2.
const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// Reads a form.
///
/// # Errors
/// 415, 413, 400.
pub(super) async fn read(request: Request) -> Result<(HeaderMap, Query), OAuthError> {
    let (parts, body) = request.into_parts();
    let content_type = parts.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    if content_type.is_some_and(|found| !found.trim_start().to_ascii_lowercase().starts_with(FORM)) {
        return Err(OAuthError::unsupported_media_type());
    }
    let bytes = body::read(&parts.headers, body, LARGEST_FORM_BYTES).await.map_err(|error| match error {
        BodyError::TooLarge { .. } => OAuthError::too_large(),
        BodyError::Broken => OAuthError::invalid_request("The request body ended early."),
    })?;
    let text =
        std::str::from_utf8(&bytes).map_err(|_| OAuthError::invalid_request("The request body is not UTF-8."))?;
    Ok((parts.headers, Query::parse(Some(text))))
}

/// A parameter that is not empty.
pub(super) fn given<'a>(form: &'a Query, name: &str) -> Option<&'a str> {
    form.get(name).filter(|value| !value.is_empty())
}

/// The client, and its proof: from the form, or from `Authorization: Basic` with both parts form-encoded (RFC 6749, section
/// 2.3.1). `audiences` are what an assertion may be for.
///
/// # Errors
/// `invalid_request`; `invalid_client` for a kind of assertion that is none.
pub(super) fn credentials(
    headers: &HeaderMap,
    form: &Query,
    audiences: impl FnOnce() -> Vec<String>,
) -> Result<(String, ClientProof), OAuthError> {
    if let Some((client_id, secret)) = basic(headers) {
        return Ok((client_id, ClientProof::Secret(secret)));
    }
    if let Some(assertion) = given(form, "client_assertion") {
        if form.get("client_assertion_type") != Some(JWT_BEARER) {
            return Err(OAuthError::wrong_assertion("client_assertion_type must be jwt-bearer's"));
        }
        let client_id = given(form, "client_id").ok_or_else(|| OAuthError::missing_parameter("client_id"))?;
        let proof = ClientProof::Assertion { jwt: SecretString::from(assertion), audiences: audiences() };
        return Ok((client_id.to_owned(), proof));
    }
    let client_id = given(form, "client_id").ok_or_else(|| OAuthError::missing_parameter("client_id"))?;
    let proof = match given(form, "client_secret") {
        Some(secret) => ClientProof::Secret(SecretString::from(secret)),
        None => ClientProof::None,
    };
    Ok((client_id.to_owned(), proof))
}

fn basic(headers: &HeaderMap) -> Option<(String, SecretString)> {
    let (scheme, encoded) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let text = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (client_id, secret) = text.split_once(':')?;
    Some((decode(client_id, true)?, SecretString::from(decode(secret, true)?)))
}

/// Who asks, as far as that is known.
pub(super) fn address(request: &Request) -> String {
    ClientAddress::of(request).map_or_else(|| "unknown".to_owned(), |address| address.to_string())
}
