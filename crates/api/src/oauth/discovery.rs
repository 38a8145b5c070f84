//! Discovery documents (OpenID Connect Discovery 1.0), and Entra's discovery of clouds.

use axum::extract::Request;
use galerie_control::ANY_TENANT;
use serde_json::{Value, json};

use super::error::OAuthError;
use crate::{hosts::AcceptedHost, query::Query, state::ApiState};

/// `/{tenant}/v2.0/.well-known/openid-configuration`.
pub(super) fn v2(host: &AcceptedHost, tenant: &str, has_devices: bool) -> Value {
    let base = format!("{}/{tenant}", host.url());
    let issuer = format!("{}/{}/v2.0", host.url(), issuing(tenant));
    let endpoints = ["token", "authorize", "devicecode"].map(|name| format!("{base}/oauth2/v2.0/{name}"));
    document(host, &issuer, &endpoints, &format!("{base}/discovery/v2.0/keys"), has_devices)
}

/// `/{tenant}/.well-known/openid-configuration`.
pub(super) fn v1(host: &AcceptedHost, tenant: &str, has_devices: bool) -> Value {
    let base = format!("{}/{tenant}", host.url());
    let issuer = format!("{}/{}/", host.url(), issuing(tenant));
    let endpoints = ["token", "authorize", "devicecode"].map(|name| format!("{base}/oauth2/{name}"));
    document(host, &issuer, &endpoints, &format!("{base}/discovery/keys"), has_devices)
}

/// `/adfs/.well-known/openid-configuration`.
pub(super) fn adfs(host: &AcceptedHost, has_devices: bool) -> Value {
    let base = format!("{}/adfs", host.url());
    let endpoints = ["token", "authorize", "devicecode"].map(|name| format!("{base}/oauth2/{name}"));
    document(host, &base, &endpoints, &format!("{base}/discovery/keys"), has_devices)
}

fn issuing(tenant: &str) -> &str {
    if super::TENANT_ALIASES.contains(&tenant) { ANY_TENANT } else { tenant }
}

fn document(
    host: &AcceptedHost,
    issuer: &str,
    [token, authorize, device]: &[String; 3],
    keys: &str,
    has_devices: bool,
) -> Value {
    let mut grants = vec!["client_credentials", "authorization_code", "refresh_token"];
    if has_devices {
        grants.push("urn:ietf:params:oauth:grant-type:device_code");
    }
    let mut document = json!({
        "token_endpoint": token,
        "token_endpoint_auth_methods_supported": ["client_secret_post", "client_secret_basic", "private_key_jwt"],
        "token_endpoint_auth_signing_alg_values_supported": ["RS256", "PS256", "ES256"],
        "jwks_uri": keys,
        "response_modes_supported": ["query", "fragment", "form_post"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "response_types_supported": ["code"],
        "scopes_supported": ["openid", "profile", "email", "offline_access"],
        "code_challenge_methods_supported": ["S256"],
        "grant_types_supported": grants,
        "issuer": issuer,
        "authorization_endpoint": authorize,
        "claims_supported": ["sub", "iss", "aud", "exp", "iat", "nbf", "oid", "tid", "appid", "azp", "idtyp", "ver", "upn", "name", "groups", "roles", "wids", "nonce"],
        "cloud_instance_name": host.as_str(),
        "tenant_region_scope": "WW",
    });
    if has_devices {
        document["device_authorization_endpoint"] = device.as_str().into();
    }
    document
}

/// `/common/discovery/instance`: which clouds there are, for a client that does not know this one.
///
/// # Errors
/// `invalid_instance` for an authority elsewhere.
pub(super) fn instance(state: &ApiState, request: &Request, host: &AcceptedHost) -> Result<Value, OAuthError> {
    let query = Query::parse(request.uri().query());
    let authority = query.get("authorization_endpoint").ok_or_else(OAuthError::unknown_instance)?;
    let (authority, path) = state.hosts.accept_url(authority).ok_or_else(OAuthError::unknown_instance)?;
    let tenant = path.split('/').find(|segment| !segment.is_empty()).unwrap_or("common");
    if !tenant.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte)) {
        return Err(OAuthError::unknown_instance());
    }
    let discovery = if tenant.eq_ignore_ascii_case("adfs") {
        format!("{}/adfs/.well-known/openid-configuration", authority.url())
    } else {
        format!("{}/{tenant}/v2.0/.well-known/openid-configuration", authority.url())
    };
    Ok(json!({
        "tenant_discovery_endpoint": discovery,
        "api-version": query.get("api-version").unwrap_or("1.1"),
        "metadata": [{
            "preferred_network": host.as_str(),
            "preferred_cache": host.as_str(),
            "aliases": [host.as_str()]
        }]
    }))
}
