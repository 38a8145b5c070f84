//! Refuses hosts that are not ours (421), so that no URL is built from a stranger's name. See `hosts`.

use axum::{
    extract::{Request, State},
    http::{HeaderMap, Uri, header::HOST},
    middleware::Next,
    response::Response,
};
use galerie_arm::ArmError;

use super::request_ids::RequestIds;
use crate::{front_door, route_class::RouteClass, state::ApiState};

/// Puts the accepted host among the request's and the answer's extensions, or answers 421.
pub(crate) async fn layer(State(state): State<ApiState>, mut request: Request, next: Next) -> Response {
    let class = RouteClass::of(request.uri().path());
    if class == RouteClass::Health {
        // Probes come by address; the answer holds no URL.
        return next.run(request).await;
    }
    if request.headers().get_all(HOST).iter().count() > 1 {
        // RFC 9112, section 3.2: a proxy before us might have taken another one than we do.
        let error = ArmError::new(400, "InvalidHeaderValue", "The request has more than one Host header.");
        return front_door::error(&error, class, request.method(), RequestIds::of(&request));
    }
    let host = asked_host(request.uri(), request.headers());
    match state.hosts.accept(host) {
        Some(accepted) => {
            request.extensions_mut().insert(accepted.clone());
            let mut response = next.run(request).await;
            response.extensions_mut().insert(accepted);
            response
        }
        None => {
            let ids = RequestIds::of(&request);
            front_door::error(&ArmError::misdirected_request(host), class, request.method(), ids)
        }
    }
}

/// HTTP/2 has the host in the target, HTTP/1.1 in a header. The target wins, as RFC 9112 (section 3.2.2) has it.
fn asked_host<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> &'a str {
    let from_header = || headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    uri.authority().map_or_else(from_header, |authority| authority.as_str())
}
