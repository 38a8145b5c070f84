//! Discovery documents (OpenID Connect Discovery 1.0), and Entra's discovery of clouds.

use axum::extract::Request;
use serde_json::{Value, json};

use super::error::OAuthError;
use crate::{hosts::AcceptedHost, query::Query, state::ApiState};

/// What an alias' issuer says in place of a tenant; clients put the token's tenant there.
const ANY_TENANT: &str = "{tenantid}";

/// `/{tenant}/v2.0/.well-known/openid-configuration`.
pub(super) fn v2(host: &AcceptedHost, tenant: &str) -> Value {
    let base = format!("{}/{tenant}", host.url());
    let issuer = format!("{}/{}/v2.0", host.url(), issuing(tenant));
    let endpoints = [format!("{base}/oauth2/v2.0/token"), format!("{base}/oauth2/v2.0/authorize")];
    document(host, &issuer, &endpoints, &format!("{base}/discovery/v2.0/keys"))
}

/// `/{tenant}/.well-known/openid-configuration`.
pub(super) fn v1(host: &AcceptedHost, tenant: &str) -> Value {
    let base = format!("{}/{tenant}", host.url());
    let issuer = format!("{}/{}/", host.url(), issuing(tenant));
    let endpoints = [format!("{base}/oauth2/token"), format!("{base}/oauth2/authorize")];
    document(host, &issuer, &endpoints, &format!("{base}/discovery/keys"))
}

/// `/adfs/.well-known/openid-configuration`.
pub(super) fn adfs(host: &AcceptedHost) -> Value {
    let base = format!("{}/adfs", host.url());
    let endpoints = [format!("{base}/oauth2/token"), format!("{base}/oauth2/authorize")];
    document(host, &base, &endpoints, &format!("{base}/discovery/keys"))
}

fn issuing(tenant: &str) -> &str {
    if super::TENANT_ALIASES.contains(&tenant) { ANY_TENANT } else { tenant }
}

fn document(host: &AcceptedHost, issuer: &str, [token, authorize]: &[String; 2], keys: &str) -> Value {
    json!({
        "token_endpoint": token,
        "token_endpoint_auth_methods_supported": ["client_secret_post", "client_secret_basic"],
        "jwks_uri": keys,
        "response_modes_supported": ["query", "fragment", "form_post"],
        "subject_types_supported": ["pairwise"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "response_types_supported": ["code"],
        "scopes_supported": ["openid"],
        "grant_types_supported": ["client_credentials"],
        "issuer": issuer,
        "authorization_endpoint": authorize,
        "claims_supported": ["sub", "iss", "aud", "exp", "iat", "nbf", "oid", "tid", "appid", "azp", "idtyp", "ver"],
        "cloud_instance_name": host.as_str(),
        "tenant_region_scope": "WW",
    })
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
