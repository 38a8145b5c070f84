//! The token endpoints: client credentials (RFC 6749, section 4.4).

use axum::{
    extract::Request,
    http::{HeaderMap, HeaderValue, Method, header},
    response::Response,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use galerie_control::{IdentityError, IssuedToken, TokenVersion};
use secrecy::SecretString;
use serde_json::{Value, json};

use super::{Style, TENANT_ALIASES, error::OAuthError, resource};
use crate::{
    arm::response,
    body::{self, BodyError},
    hosts::AcceptedHost,
    query::{Query, decode},
    state::ApiState,
};

/// Largest form that is read.
const LARGEST_FORM_BYTES: usize = 64 * 1024;
const FORM: &str = "application/x-www-form-urlencoded";

/// `POST .../token`.
pub(super) async fn issue(
    state: &ApiState,
    request: Request,
    host: &AcceptedHost,
    tenant: &str,
    style: Style,
) -> Result<Response, OAuthError> {
    if request.method() != Method::POST {
        return Err(OAuthError::method_not_allowed(request.method().as_str()));
    }
    let (headers, form) = read_form(request).await?;
    let required = |name: &str| form.get(name).filter(|value| !value.is_empty());
    let grant = required("grant_type").ok_or_else(|| OAuthError::missing_parameter("grant_type"))?;
    if grant != "client_credentials" {
        return Err(OAuthError::unsupported_grant(grant));
    }
    let (client_id, secret) = credentials(&headers, &form)?;
    let audience = audience(&form, style)?;
    resource::check(&state.hosts, &audience)?;
    let tenant = resolve_tenant(state, tenant, &client_id).await?;
    let (version, issuer) = match style {
        Style::V1 => (TokenVersion::V1, format!("{}/{tenant}/", host.url())),
        Style::V2 => (TokenVersion::V2, format!("{}/{tenant}/v2.0", host.url())),
        Style::Adfs => (TokenVersion::V1, format!("{}/adfs", host.url())),
    };
    let identity = state.control.identity();
    let issued = identity.token_for_secret(&client_id, &secret, &tenant, &audience, version, &issuer).await;
    let issued = issued.map_err(|error| match error {
        IdentityError::WrongSecret => OAuthError::wrong_secret(&client_id),
        other => other.into(),
    })?;
    Ok(not_stored(response::json(200, &document(&issued, &audience, style))))
}

async fn read_form(request: Request) -> Result<(HeaderMap, Query), OAuthError> {
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

/// From the form, or from `Authorization: Basic` with both parts form-encoded (RFC 6749, section 2.3.1).
fn credentials(headers: &HeaderMap, form: &Query) -> Result<(String, SecretString), OAuthError> {
    if let Some(found) = basic(headers) {
        return Ok(found);
    }
    let client_id = form.get("client_id").filter(|id| !id.is_empty());
    let client_id = client_id.ok_or_else(|| OAuthError::missing_parameter("client_id"))?;
    if form.get("client_assertion").is_some() {
        return Err(OAuthError::assertion_not_supported());
    }
    let secret = form.get("client_secret").ok_or_else(OAuthError::missing_secret)?;
    Ok((client_id.to_owned(), SecretString::from(secret)))
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

/// v1 names a resource, v2 a scope; ADFS either.
fn audience(form: &Query, style: Style) -> Result<String, OAuthError> {
    let asked = |name: &str| form.get(name).filter(|value| !value.is_empty());
    match style {
        Style::V1 => asked("resource").map(str::to_owned).ok_or_else(|| OAuthError::missing_parameter("resource")),
        Style::V2 => asked("scope").ok_or_else(|| OAuthError::missing_parameter("scope")).and_then(resource::of_scope),
        Style::Adfs => match (asked("resource"), asked("scope")) {
            (Some(resource), _) => Ok(resource.to_owned()),
            (None, Some(scope)) => resource::of_scope(scope),
            (None, None) => Err(OAuthError::missing_parameter("scope")),
        },
    }
}

/// An alias is the tenant of the application that asks.
async fn resolve_tenant(state: &ApiState, tenant: &str, client_id: &str) -> Result<String, OAuthError> {
    if !TENANT_ALIASES.contains(&tenant.to_ascii_lowercase().as_str()) {
        let found = state.control.find_tenant(tenant).await?;
        return found.map(|found| found.id.to_string()).ok_or_else(|| OAuthError::unknown_tenant(tenant));
    }
    let found = state.control.identity().tenant_of_application(client_id).await?;
    found.map(|tenant| tenant.to_string()).ok_or_else(|| OAuthError::unknown_application(client_id))
}

fn document(issued: &IssuedToken, audience: &str, style: Style) -> Value {
    let (lifetime_s, issued_at_s) = (issued.expires_in_s, issued.issued_at_s);
    match style {
        Style::V1 => json!({
            "token_type": "Bearer",
            "expires_in": lifetime_s.to_string(),
            "ext_expires_in": lifetime_s.to_string(),
            "expires_on": (issued_at_s + lifetime_s).to_string(),
            "not_before": issued_at_s.to_string(),
            "resource": audience,
            "access_token": issued.access_token
        }),
        Style::V2 | Style::Adfs => json!({
            "token_type": "Bearer",
            "expires_in": lifetime_s,
            "ext_expires_in": lifetime_s,
            "access_token": issued.access_token
        }),
    }
}

/// A token is in no cache (RFC 6749, section 5.1).
fn not_stored(mut response: Response) -> Response {
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store, no-cache"));
    response
}
