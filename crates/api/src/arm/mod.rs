//! Azure Resource Manager over HTTP: authentication, routing by parsed path, one file per resource.
//!
//! Paths are matched segment by segment without regard to case, so ids with doubled or trailing slashes and any spelling
//! of `resourcegroups` find their handler. A handler takes the request apart, asks the domain one question, and puts the
//! answer together; rules are in `galerie_control`.

pub(crate) mod accepted;
mod access_control_profile;
#[cfg(test)]
mod access_table;
mod activity_log;
mod application;
mod audit;
pub(crate) mod authentication;
mod authorization;
mod auxiliary;
mod backup;
pub(crate) mod call;
mod clock;
mod community_gallery;
mod compute;
mod disk;
pub(crate) mod faults;
mod feature;
mod filter;
mod gallery;
mod image_definition;
mod image_version;
mod invitation;
mod managed_image;
mod operation;
mod permission;
mod processes;
mod provider;
mod proxy;
mod quota;
mod resource_graph;
mod resource_group;
mod resources;
pub(crate) mod response;
mod retention;
mod role_assignment;
mod role_definition;
mod role_filter;
mod route;
mod script;
mod share;
mod shared_gallery;
mod snapshot;
mod soft_deleted;
mod store_admin;
mod subscription;
mod subscription_alias;
mod tenant_admin;
pub(crate) mod throttle;
mod tracked;
mod unsupported;

use std::sync::Mutex;

use axum::{
    extract::Request,
    http::{HeaderName, HeaderValue, Method},
    response::Response,
};
use galerie_arm::ArmError;
use uuid::Uuid;

use self::call::{Call, Failure};
use crate::{
    hosts::AcceptedHost,
    middleware::{client_address::ClientAddress, request_ids::RequestIds},
    query::{Query, segments},
    state::ApiState,
};

/// What a handler gives: an answer, or what went wrong.
pub(crate) type Answer = Result<Response, Failure>;

/// Answers a request to ARM.
pub(crate) async fn answer(state: &ApiState, request: Request, host: AcceptedHost, ids: RequestIds) -> Response {
    let (parts, body) = request.into_parts();
    let raw_path = parts.uri.path().to_owned();
    let Some(segments) = segments(&raw_path).filter(|segments| route::is_known_root(segments)) else {
        return response::error(&ArmError::path_not_found(&raw_path));
    };
    let caller = authentication::authenticate(state, &parts.headers, subscription_of(&segments)).await;
    let caller = match caller {
        Ok(caller) => caller,
        Err(refusal) => return refusal.response(&host),
    };
    let auxiliary = match auxiliary::authenticate(state, &parts.headers, &caller).await {
        Ok(auxiliary) => auxiliary,
        Err(refusal) => return refusal.response(&host),
    };
    let client_address = ClientAddress::among(&parts.extensions);
    let (method, query) = (parts.method, Query::parse(parts.uri.query()));
    let (state, headers, body) = (state.clone(), parts.headers, Mutex::new(body));
    let call =
        Call { state, method, raw_path, segments, query, headers, host, ids, caller, auxiliary, client_address, body };
    answer_call(call).await
}

/// Answers a request whose caller is known.
async fn answer_call(call: Call) -> Response {
    faults::answer(call).await
}

/// Answers it as well as it can be answered.
async fn answer_admitted(call: Call) -> Response {
    let (is_write, ids) = (!matches!(call.method, Method::GET | Method::HEAD), call.ids);
    let asked = (call.method.clone(), call.path());
    let caller = call.caller.clone();
    let admission = call.state.throttle.as_ref().and_then(|throttle| throttle.admit(&call));
    let answer = match admission.as_ref().and_then(|admission| admission.refusal.clone()) {
        Some(refusal) => Err(refusal.into()),
        None => route::route(call).await,
    };
    let mut response = match answer {
        Ok(response) => response,
        Err(Failure::Arm(error)) => response::error(&with_correlation(error, ids)),
        Err(Failure::Method(allowed)) => response::method_not_allowed(&asked.0, &asked.1, allowed),
    };
    response.extensions_mut().insert(caller);
    match admission {
        Some(admission) => admission.headers.into_iter().for_each(|(name, value)| {
            response.headers_mut().insert(name, value);
        }),
        None => add_full_budgets(&mut response, is_write),
    }
    response
}

/// Whether a path is of our own administration, which Azure does not have.
fn is_own(segments: &[String]) -> bool {
    segments.first().is_some_and(|first| first.eq_ignore_ascii_case("galerie"))
}

fn subscription_of(segments: &[String]) -> Option<Uuid> {
    match segments {
        [keyword, id, ..] if keyword.eq_ignore_ascii_case("subscriptions") => Uuid::parse_str(id).ok(),
        _ => None,
    }
}

/// Our own faults name the request that met them.
fn with_correlation(error: ArmError, ids: RequestIds) -> ArmError {
    if error.status == 500 && error.code == "InternalServerError" {
        tracing::error!(correlation = %ids.correlation, %error, "a request failed");
        return ArmError::internal(&ids.correlation.to_string());
    }
    error
}

/// Of what is not throttled: clients that show these numbers get the real service's full budgets.
fn add_full_budgets(response: &mut Response, is_write: bool) {
    let (name, value) = if is_write {
        ("x-ms-ratelimit-remaining-subscription-writes", "199")
    } else {
        ("x-ms-ratelimit-remaining-subscription-reads", "249")
    };
    response.headers_mut().insert(HeaderName::from_static(name), HeaderValue::from_static(value));
}
