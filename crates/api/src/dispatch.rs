//! Hands a request to its protocol.

use axum::{
    extract::{Extension, Request, State},
    http::Method,
    response::Response,
};
use galerie_arm::ArmError;

use crate::{
    arm, arm::response, blob, content, forward, front_door, graph, health, home, hosts::AcceptedHost, metadata,
    middleware::request_ids::RequestIds, oauth, query::segments, route_class::RouteClass, routes, state::ApiState,
};

/// Everything that came through the middleware.
pub(crate) async fn dispatch(
    State(state): State<ApiState>,
    Extension(ids): Extension<RequestIds>,
    host: Option<Extension<AcceptedHost>>,
    request: Request,
) -> Response {
    let class = RouteClass::of(request.uri().path());
    let is_open = matches!(class, RouteClass::Health | RouteClass::Home | RouteClass::Metadata);
    if is_open && let Some(refusal) = refuse(class, &request, ids) {
        return refusal;
    }
    let Some(Extension(host)) = host else {
        return match class {
            // Probes come by address, so that no host was looked at.
            RouteClass::Health => health(&state, request.uri().path()).await,
            _ => front_door::error(&ArmError::misdirected_request(""), class, request.method(), ids),
        };
    };
    let request = match forward::route(&state, request, class, &host, ids).await {
        forward::Routed::Here(request) => request,
        forward::Routed::Answered(response) => return response,
    };
    match class {
        RouteClass::Health => health(&state, request.uri().path()).await,
        RouteClass::Home => home::page(&state.options.version),
        RouteClass::Metadata => metadata::answer(&request, &host),
        RouteClass::Arm => arm::answer(&state, request, host, ids).await,
        RouteClass::OAuth => oauth::answer(&state, request, &host, ids).await,
        RouteClass::Graph => graph::answer(&state, request, &host, ids).await,
        RouteClass::Blob => blob::answer(&state, request, &host, ids).await,
        RouteClass::Content => content::answer(&state, request, &host, ids).await,
    }
}

async fn health(state: &ApiState, path: &str) -> Response {
    health::answer(&state.control, &state.options.faults.said, path).await
}

/// What is open to everybody has few paths, and is read alone.
fn refuse(class: RouteClass, request: &Request, ids: RequestIds) -> Option<Response> {
    let (method, path) = (request.method(), request.uri().path());
    if !segments(path).is_some_and(|found| routes::is_known(class, &found, None)) {
        return Some(front_door::error(&ArmError::path_not_found(path), class, method, ids));
    }
    let is_read = matches!(*method, Method::GET | Method::HEAD);
    (!is_read).then(|| response::method_not_allowed(method, path, &[Method::GET]))
}
