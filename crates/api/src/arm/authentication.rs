//! Who calls: bearer tokens (RFC 6750), and the challenge that goes with every 401.
//!
//! The token's audience and issuer are good when they name this server or the public cloud's ARM; which hosts are ours is
//! `hosts`' business. What an external issuer's token is good for is the configuration's; it is for ARM and Graph alike. They are read from the token before its signature is checked, only to be handed to the check.

use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use galerie_arm::ArmError;
use galerie_control::Caller;
use serde::Deserialize;
use uuid::Uuid;

use crate::{arm::response, hosts::AcceptedHost, hosts::Hosts, state::ApiState};

/// Longest token that is looked at, in bytes.
const LONGEST_TOKEN_BYTES: usize = 16 * 1024;
/// The tenant of a challenge for a route that has none: whoever signs in there is asked for an application.
const ANY_TENANT: &str = "organizations";

/// Why the caller is refused, and the tenant to get a token from.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) error: ArmError,
    tenant: Option<Uuid>,
}

/// Finds out who calls. `subscription` is the one in the path; whoever has no token is told its tenant. A token of another
/// tenant is good here: that tenant's subscriptions are then as if they were not there.
///
/// # Errors
/// 401 for a token that is absent, wrong or over.
pub(crate) async fn authenticate(
    state: &ApiState,
    headers: &HeaderMap,
    subscription: Option<Uuid>,
) -> Result<Caller, Refusal> {
    let tenant = match subscription {
        Some(subscription) => {
            let found = state.control.tenant_of(subscription).await;
            found.map_err(|error| Refusal { error, tenant: None })?
        }
        None => None,
    };
    let refuse = |error: ArmError| Refusal { error, tenant };
    let token = bearer(headers).map_err(refuse)?;
    verify(state, token).await.map_err(refuse)
}

/// Finds out who calls Graph, whose tokens are for another audience.
///
/// # Errors
/// As [`authenticate`].
pub(crate) async fn authenticate_for_graph(state: &ApiState, headers: &HeaderMap) -> Result<Caller, Refusal> {
    let refuse = |error: ArmError| Refusal { error, tenant: None };
    let token = bearer(headers).map_err(refuse)?;
    verified(state, token, Hosts::is_graph_audience).await.map_err(refuse)
}

/// Who a token stands for.
///
/// # Errors
/// 401 for one that is wrong or over.
pub(super) async fn verify(state: &ApiState, token: &str) -> Result<Caller, ArmError> {
    verified(state, token, Hosts::is_arm_audience).await
}

async fn verified(state: &ApiState, token: &str, is_audience: fn(&Hosts, &str) -> bool) -> Result<Caller, ArmError> {
    // The issuer that a token names decides whose keys it is verified with, and there is no second try with others'.
    if let Some(caller) = state.control.identity().verify_external(token).await? {
        return Ok(caller);
    }
    let (audiences, issuers) = acceptable(&state.hosts, token, is_audience);
    Ok(state.control.identity().verify(token, &audiences, &issuers).await?)
}

impl Refusal {
    /// Refuses a caller whose tenant is known.
    pub(super) fn in_tenant(error: ArmError, tenant: Uuid) -> Self {
        Self { error, tenant: Some(tenant) }
    }

    /// The answer; a 401 says where tokens come from.
    pub(crate) fn response(&self, host: &AcceptedHost) -> Response {
        let mut response = response::error(&self.error);
        if let Some(challenge) = self.challenge(host) {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        }
        response
    }

    /// What goes with a 401, in any protocol; other refusals have none.
    pub(crate) fn challenge(&self, host: &AcceptedHost) -> Option<HeaderValue> {
        if self.error.status != 401 {
            return None;
        }
        let tenant = self.tenant.map_or_else(|| ANY_TENANT.to_owned(), |tenant| tenant.to_string());
        let description: String = self.error.message.chars().filter(|c| is_quotable(*c)).collect();
        let bearer = bearer_challenge(host, &tenant);
        HeaderValue::from_str(&format!("{bearer}, error=\"invalid_token\", error_description=\"{description}\"")).ok()
    }
}

/// Where tokens come from, as Entra's services write it. `tenant` is an id, a domain or an alias.
pub(crate) fn bearer_challenge(host: &AcceptedHost, tenant: &str) -> String {
    format!("Bearer authorization_uri=\"{}/{tenant}\"", host.url())
}

/// RFC 6750, section 3: an `error_description` has these characters only.
fn is_quotable(c: char) -> bool {
    matches!(c, ' '..='~') && !matches!(c, '"' | '\\')
}

fn bearer(headers: &HeaderMap) -> Result<&str, ArmError> {
    let value = headers.get(header::AUTHORIZATION).ok_or_else(ArmError::authentication_missing)?;
    let (scheme, token) = value.to_str().ok().and_then(|value| value.trim().split_once(' ')).unwrap_or_default();
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(ArmError::invalid_token("The 'Authorization' header must be 'Bearer' and a token."));
    }
    Ok(token.trim())
}

/// What the token says of itself, unverified.
#[derive(Deserialize)]
struct Stated {
    aud: String,
    iss: String,
    tid: String,
}

/// The token's own audience and issuer, as far as they are ours.
fn acceptable(hosts: &Hosts, token: &str, is_audience: fn(&Hosts, &str) -> bool) -> (Vec<String>, Vec<String>) {
    let Some(stated) = stated(token) else { return (Vec::new(), Vec::new()) };
    let issuers = hosts.is_issuer(&stated.iss, &stated.tid).then_some(stated.iss);
    let audiences = is_audience(hosts, &stated.aud).then_some(stated.aud);
    (audiences.into_iter().collect(), issuers.into_iter().collect())
}

fn stated(token: &str) -> Option<Stated> {
    if token.len() > LONGEST_TOKEN_BYTES {
        return None;
    }
    let payload = token.split('.').nth(1)?;
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()
}
