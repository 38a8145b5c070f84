//! Hands a request to its protocol.

use axum::{
    extract::{Extension, Request, State},
    response::Response,
};
use galerie_arm::ArmError;

use crate::{
    arm, blob, content, forward, front_door, graph, health, home, hosts::AcceptedHost, metadata,
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
    if class == RouteClass::Health && is_known(class, &request) {
        return health::answer(&state.control, &state.options.faults.said, request.uri().path()).await;
    }
    let Some(Extension(host)) = host else {
        return front_door::error(&ArmError::misdirected_request(""), class, request.method(), ids);
    };
    let request = match forward::route(&state, request, class, &host, ids).await {
        forward::Routed::Here(request) => request,
        forward::Routed::Answered(response) => return response,
    };
    match class {
        RouteClass::Health | RouteClass::Home | RouteClass::Metadata if !is_known(class, &request) => {
            front_door::error(&ArmError::path_not_found(request.uri().path()), class, request.method(), ids)
        }
        RouteClass::Health => health::answer(&state.control, &state.options.faults.said, request.uri().path()).await,
        RouteClass::Home => home::page(&state.options.version),
        RouteClass::Metadata => metadata::answer(&request, &host),
        RouteClass::Arm => arm::answer(&state, request, host, ids).await,
        RouteClass::OAuth => oauth::answer(&state, request, &host, ids).await,
        RouteClass::Graph => graph::answer(&state, request, &host, ids).await,
        RouteClass::Blob => blob::answer(&state, request, &host, ids).await,
        RouteClass::Content => content::answer(&state, request, &host, ids).await,
    }
}

/// Whether the table of routes has a request's path.
fn is_known(class: RouteClass, request: &Request) -> bool {
    segments(request.uri().path()).is_some_and(|found| routes::is_known(class, &found, None))
}
