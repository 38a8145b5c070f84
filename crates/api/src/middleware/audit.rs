//! Refusals go into the audit, whatever the protocol: every 401 and 403, and what its maker says is one all the same (a wrong
//! password on a page, a subscription that must look as if it were not there).
//!
//! Whoever makes an answer leaves [`Refused`] and the caller among its extensions; where nobody did, the method and the
//! path stand for the action and the scope. Never the query: a SAS is one.

use axum::{
    extract::{Request, State},
    http::StatusCode,
    middleware::Next,
    response::Response,
};
use galerie_arm::{ArmError, error::Denied};
use galerie_control::{Caller, Denial};

use super::{client_address::ClientAddress, request_ids::RequestIds};
use crate::{route_class::RouteClass, state::ApiState};

/// What a user's failed sign-in is called in the audit.
const SIGN_IN: &str = "microsoft.directory/users/signIn";

/// What an error answer was about, among its extensions.
#[derive(Debug, Clone)]
pub(crate) struct Refused {
    code: String,
    denied: Option<Denied>,
    /// Whatever the status.
    is_refusal: bool,
}

impl Refused {
    /// What an error says.
    pub(crate) fn of(error: &ArmError) -> Self {
        let denied = error.denied.as_deref().cloned();
        Self { code: error.code.to_string(), is_refusal: denied.is_some(), denied }
    }

    /// Marks the answer to a sign-in that failed.
    pub(crate) fn mark(mut response: Response, code: String) -> Response {
        response.extensions_mut().insert(Self { code, denied: None, is_refusal: true });
        response
    }

    /// Marks the page that answers a user's failed sign-in; `user` is who was tried, if that may be said.
    pub(crate) fn mark_user(mut response: Response, code: String, user: Option<String>) -> Response {
        let denied = user.map(|user| Denied { action: SIGN_IN.to_owned(), scope: format!("/users/{user}") });
        response.extensions_mut().insert(Self { code, denied, is_refusal: true });
        response
    }
}

/// Notes refusals.
pub(crate) async fn layer(State(state): State<ApiState>, request: Request, next: Next) -> Response {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let (address, ids) = (ClientAddress::of(&request), RequestIds::of(&request));
    let response = next.run(request).await;
    let refused = response.extensions().get::<Refused>().cloned();
    let is_marked = refused.as_ref().is_some_and(|refused| refused.is_refusal);
    if !is_marked && !matches!(response.status(), StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
        return response;
    }
    let caller = response.extensions().get::<Caller>().cloned();
    let code = refused.as_ref().map_or_else(|| response.status().as_u16().to_string(), |refused| refused.code.clone());
    let unnamed = || Denied { action: format!("{method} {}", RouteClass::of(&path).label()), scope: path.clone() };
    let Denied { action, scope } = refused.and_then(|refused| refused.denied).unwrap_or_else(unnamed);
    state.control.audit_denial(Denial { caller, address, action, scope, code, correlation_id: ids.correlation });
    response
}
