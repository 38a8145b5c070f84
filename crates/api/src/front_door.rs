//! Errors that are met before a protocol's handler is asked, or because it failed: each protocol's clients read their own
//! form only, so the class of the path chooses it.

use axum::{http::Method, response::Response};
use galerie_arm::ArmError;

use crate::{arm::response, blob, graph, middleware::request_ids::RequestIds, oauth, route_class::RouteClass};

/// The error in the words of the path's protocol.
pub(crate) fn error(error: &ArmError, class: RouteClass, method: &Method, ids: RequestIds) -> Response {
    match class {
        RouteClass::OAuth => oauth::error(error, ids),
        RouteClass::Blob => blob::error(error, method, ids),
        RouteClass::Graph => graph::error(error, ids.correlation),
        RouteClass::Home | RouteClass::Health | RouteClass::Metadata | RouteClass::Arm | RouteClass::Content => {
            response::error(error)
        }
    }
}
