//! The identity provider's endpoints, Entra-shaped: discovery, keys, tokens, and the pages where users sign in; in AAD style
//! (`/{tenant}/...`) and in ADFS style (`/adfs/...`, which clients never check against Microsoft's list of clouds).
//!
//! An alias (`organizations`, `common`) stands for the tenant of the application that asks, or of the user who signs in,
//! never for "the first one". Pages are plain HTML without scripts. See `docs/design/identity.md`.

mod authorize;
mod device;
mod discovery;
mod error;
mod form;
mod page;
mod resource;
mod setup;
mod token;

use axum::{
    extract::Request,
    http::{HeaderValue, Method, StatusCode, header},
    response::Response,
};
use galerie_arm::ArmError;
use galerie_control::{Clock, SystemClock};
use uuid::Uuid;

use self::{error::OAuthError, page::Page};
use crate::{
    arm::{authentication::bearer_challenge, response},
    hosts::AcceptedHost,
    middleware::request_ids::RequestIds,
    query::segments,
    route_class::RouteClass,
    routes,
    state::ApiState,
};

/// Names that stand for whichever tenant the application is in.
const TENANT_ALIASES: [&str; 4] = ["organizations", "common", "consumers", "adfs"];

/// A style of endpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    /// `/{tenant}/oauth2/token`: `resource=`, numbers as text.
    V1,
    /// `/{tenant}/oauth2/v2.0/token`: `scope=`.
    V2,
    /// `/adfs/oauth2/token`: either.
    Adfs,
}

/// Answers a request to the identity provider.
pub(crate) async fn answer(state: &ApiState, request: Request, host: &AcceptedHost, ids: RequestIds) -> Response {
    let challenges = challenges(&request, host);
    match route(state, request, host, ids).await {
        Ok(response) => response,
        Err(error) => {
            let mut response = error.response(ids, SystemClock.now_ms());
            if response.status() == StatusCode::UNAUTHORIZED {
                for challenge in challenges {
                    response.headers_mut().append(header::WWW_AUTHENTICATE, challenge);
                }
            }
            response
        }
    }
}

/// An error that was met before or outside the endpoints, in their words.
pub(crate) fn error(error: &ArmError, ids: RequestIds) -> Response {
    OAuthError::of_the_front_door(error).response(ids, SystemClock.now_ms())
}

/// What a 401 (`invalid_client`) is sent with: where tokens come from, and the client's own scheme when it used one (RFC
/// 6749, section 5.2).
fn challenges(request: &Request, host: &AcceptedHost) -> Vec<HeaderValue> {
    let tenant = segments(request.uri().path()).and_then(|found| found.into_iter().next());
    let is_plain = |tenant: &String| tenant.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
    let tenant = tenant.filter(is_plain).unwrap_or_else(|| TENANT_ALIASES[0].to_owned());
    let mut challenges: Vec<HeaderValue> =
        HeaderValue::from_str(&bearer_challenge(host, &tenant)).into_iter().collect();
    if request.headers().contains_key(header::AUTHORIZATION) {
        challenges.push(HeaderValue::from_static("Basic realm=\"token\", charset=\"UTF-8\""));
    }
    challenges
}

async fn route(
    state: &ApiState,
    request: Request,
    host: &AcceptedHost,
    ids: RequestIds,
) -> Result<Response, OAuthError> {
    let path = request.uri().path().to_owned();
    let not_found = || OAuthError::not_found(&path);
    let segments = segments(&path).ok_or_else(not_found)?;
    let folded: Vec<String> = segments.iter().map(|segment| segment.to_ascii_lowercase()).collect();
    let folded: Vec<&str> = folded.iter().map(String::as_str).collect();
    if !routes::is_known(RouteClass::OAuth, &folded, None) {
        return Err(not_found());
    }
    match folded[..] {
        ["devicelogin"] | [_, "oauth2", "deviceauth"] => device::page(state, request).await,
        ["setup"] => setup::answer(state, request, ids.correlation).await,
        ["adfs", "oauth2", "authorize"] => authorize::answer(state, request, host, "adfs").await,
        ["adfs", "oauth2", "devicecode"] => device::begin(state, request, host, "adfs", Style::Adfs).await,
        ["adfs", "oauth2", "token"] => token::issue(state, request, host, "adfs", Style::Adfs).await,
        ["adfs", ".well-known", "openid-configuration"] => {
            let has_devices = state.options.device_code;
            get(&request, || Ok(discovery::adfs(host, has_devices)))
        }
        ["common", "discovery", "instance"] => get(&request, || discovery::instance(state, &request, host)),
        [_, "discovery", "keys"] | [_, "discovery", "v2.0", "keys"] => {
            get(&request, || Ok(state.control.identity().jwks()))
        }
        [_, "oauth2", "token"] => token::issue(state, request, host, &segments[0], Style::V1).await,
        [_, "oauth2", "v2.0", "token"] => token::issue(state, request, host, &segments[0], Style::V2).await,
        [_, ".well-known", "openid-configuration"] => {
            let tenant = known_tenant(state, &segments[0]).await?;
            let has_devices = state.options.device_code;
            get(&request, || Ok(discovery::v1(host, &tenant, has_devices)))
        }
        [_, "v2.0", ".well-known", "openid-configuration"] => {
            let tenant = known_tenant(state, &segments[0]).await?;
            let has_devices = state.options.device_code;
            get(&request, || Ok(discovery::v2(host, &tenant, has_devices)))
        }
        [_, "oauth2", "authorize"] | [_, "oauth2", "v2.0", "authorize"] => {
            authorize::answer(state, request, host, &segments[0]).await
        }
        [_, "oauth2", "devicecode"] => device::begin(state, request, host, &segments[0], Style::V1).await,
        [_, "oauth2", "v2.0", "devicecode"] => device::begin(state, request, host, &segments[0], Style::V2).await,
        _ => Err(not_found()),
    }
}

/// A document that is only read.
fn get(
    request: &Request,
    document: impl FnOnce() -> Result<serde_json::Value, OAuthError>,
) -> Result<Response, OAuthError> {
    match *request.method() {
        Method::GET | Method::HEAD => Ok(response::json(200, &document()?)),
        ref other => Err(OAuthError::method_not_allowed(other.as_str())),
    }
}

/// The tenant's id for a path segment that is its id or domain; an alias stays what it is.
async fn known_tenant(state: &ApiState, segment: &str) -> Result<String, OAuthError> {
    let folded = segment.to_ascii_lowercase();
    if TENANT_ALIASES.contains(&folded.as_str()) {
        return Ok(folded);
    }
    let found = state.control.find_tenant(segment).await?;
    found.map(|tenant| tenant.id.to_string()).ok_or_else(|| OAuthError::unknown_tenant(segment))
}

/// The tenant whose users may sign in, by the path's segment; `None` for an alias: the user's name decides.
async fn users_tenant(state: &ApiState, segment: &str) -> Result<Option<Uuid>, OAuthError> {
    if TENANT_ALIASES.contains(&segment.to_ascii_lowercase().as_str()) {
        return Ok(None);
    }
    let found = state.control.find_tenant(segment).await?;
    found.map(|tenant| Some(tenant.id)).ok_or_else(|| OAuthError::unknown_tenant(segment))
}

/// An error that a person sees.
fn error_page(error: &OAuthError) -> Response {
    Page::new(error.status(), "This does not work").error(Some(error.description())).response()
}
