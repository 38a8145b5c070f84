//! The slice of Microsoft Graph that az uses, at `/msgraph/v1.0` and `/msgraph/beta`: one file per object.
//!
//! A handler takes the request apart, asks the domain, and renders what it answers; rules are in `galerie_control`'s
//! `directory`. Errors are Graph's (`{"error": {"code", "message", "innerError"}}`). See `docs/design/identity.md`.

mod app_role_assignment;
mod application;
mod call;
mod credential;
mod directory_object;
mod document;
mod filter;
mod group;
mod list;
mod me;
mod organization;
mod owner;
mod properties;
mod role;
mod service_principal;
mod user;

use std::sync::Mutex;

use axum::{
    extract::Request,
    http::{Method, header},
    response::Response,
};
use galerie_arm::ArmError;
use galerie_control::{Caller, ObjectKind, RequestContext};
use serde_json::json;
use uuid::Uuid;

use self::call::Call;
use crate::{
    arm::{authentication, response},
    hosts::AcceptedHost,
    middleware::{audit::Refused, client_address::ClientAddress, request_ids::RequestIds},
    query::{Query, segments},
    route_class::RouteClass,
    routes,
    state::ApiState,
};

/// What a handler gives.
type Answer = Result<Response, ArmError>;

/// Answers a request to Graph.
pub(crate) async fn answer(state: &ApiState, request: Request, host: &AcceptedHost, ids: RequestIds) -> Response {
    match authentication::authenticate_for_graph(state, request.headers()).await {
        Ok(caller) => answer_caller(state, request, host, ids, caller).await,
        Err(refusal) => {
            let mut response = error(&refusal.error, ids.correlation);
            if let Some(challenge) = refusal.challenge(host) {
                response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
            }
            response
        }
    }
}

/// Answers a request whose caller is known.
pub(crate) async fn answer_caller(
    state: &ApiState,
    request: Request,
    host: &AcceptedHost,
    ids: RequestIds,
    caller: Caller,
) -> Response {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path().to_owned();
    let Some(segments) = segments(&path).map(|segments| segments.into_iter().flat_map(keyed).collect::<Vec<_>>())
    else {
        return error(&not_found(&path), ids.correlation);
    };
    let call = Call {
        state: state.clone(),
        method: parts.method,
        raw_path: path,
        segments,
        query: Query::parse(parts.uri.query()),
        headers: parts.headers,
        host: host.clone(),
        context: RequestContext {
            client_address: ClientAddress::among(&parts.extensions),
            ..RequestContext::of_the_directory(caller.clone(), ids.correlation)
        },
        body: Mutex::new(body),
    };
    let mut response = match route(call).await {
        Ok(response) => response,
        Err(failure) => error(&failure, ids.correlation),
    };
    response.extensions_mut().insert(caller);
    response
}

/// Any error as Graph would write it.
pub(crate) fn error(error: &ArmError, correlation_id: Uuid) -> Response {
    let body = json!({
        "error": {
            "code": error.code.as_ref(),
            "message": error.message,
            "innerError": {
                "request-id": correlation_id.to_string(),
                "client-request-id": correlation_id.to_string()
            }
        }
    });
    let mut response = response::json(error.status, &body);
    response.extensions_mut().insert(Refused::of(error));
    response
}

/// Hands the call to its handler.
async fn route(call: Call) -> Answer {
    let folded: Vec<String> = call.segments.iter().map(|segment| segment.to_ascii_lowercase()).collect();
    let folded: Vec<&str> = folded.iter().map(String::as_str).collect();
    if !routes::is_known(RouteClass::Graph, &folded, None) {
        return Err(not_found(&call.raw_path));
    }
    let ["msgraph", "v1.0" | "beta", ref rest @ ..] = folded[..] else { return Err(not_found(&call.raw_path)) };
    match *rest {
        ["me", ref rest @ ..] => me::answer(call, rest).await,
        ["users", ref rest @ ..] => user::answer(call, rest).await,
        ["groups", ref rest @ ..] => group::answer(call, rest).await,
        ["applications", ref rest @ ..] => application::answer(call, rest).await,
        ["serviceprincipals", ref rest @ ..] => service_principal::answer(call, rest).await,
        ["directoryobjects", ref rest @ ..] => directory_object::answer(call, rest).await,
        ["rolemanagement", "directory", ref rest @ ..] => role::answer(call, rest).await,
        ["organization"] => organization::organization(call).await,
        ["domains"] => organization::domains(call).await,
        // az asks for what users consented to; there is no consent here.
        ["oauth2permissiongrants"] if call.method == Method::GET => {
            Ok(call.list(Vec::new(), "oauth2PermissionGrants", None))
        }
        _ => Err(not_found(&call.raw_path)),
    }
}

/// `users('ada@example.com')` is `users/ada@example.com`.
fn keyed(segment: String) -> Vec<String> {
    match segment.split_once("('").and_then(|(name, key)| Some((name, key.strip_suffix("')")?))) {
        Some((name, key)) if !name.is_empty() => vec![name.to_owned(), key.replace("''", "'")],
        _ => vec![segment],
    }
}

/// What Graph says of a path that leads nowhere.
fn not_found(path: &str) -> ArmError {
    let path: String = path.chars().filter(|c| !c.is_control()).take(200).collect();
    ArmError::new(404, "BadRequest", format!("Resource not found for the segment '{path}'."))
}

/// A method that a path does not have.
fn wrong_method(call: &Call) -> ArmError {
    let message = format!("The method {} is not allowed at '{}'.", call.method, call.raw_path);
    ArmError::new(405, "Request_BadRequest", message)
}

/// As Graph's types are called (`@odata.type`).
fn type_name(kind: ObjectKind) -> &'static str {
    match kind {
        ObjectKind::User => "#microsoft.graph.user",
        ObjectKind::Group => "#microsoft.graph.group",
        ObjectKind::Application => "#microsoft.graph.application",
        ObjectKind::ServicePrincipal => "#microsoft.graph.servicePrincipal",
    }
}
