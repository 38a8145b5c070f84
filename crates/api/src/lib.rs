//! HTTP: Azure Resource Manager, tokens, blobs by SAS, versions' content; nothing else knows any of it.
//!
//! [`router`] is the whole surface, for a listener or for a test. Each protocol has its folder and its own error form:
//! `arm` (ARM's JSON), `oauth` (RFC 6749), `blob` (storage's XML), `content` (our own, ARM's errors). Promises: only
//! accepted hosts are answered, every absolute URL is built from the accepted one, every body is bounded, a panic is an
//! answer. Does not: decide anything about resources; that is `galerie_control`. See `docs/design/http.md`.

#[cfg(test)]
mod access_table;
mod arm;
mod blob;
mod body;
mod content;
mod dispatch;
mod forward;
mod front_door;
mod graph;
mod health;
mod home;
mod hosts;
mod metadata;
mod middleware;
mod oauth;
mod odata;
mod options;
mod query;
mod route_class;
mod routes;
mod state;

use axum::{
    Router,
    middleware::{from_fn, from_fn_with_state},
};
use galerie_control::Control;

use self::state::ApiState;
pub use self::{
    arm::faults::{AnswerFault, AnswerTrouble, Faults, Strikes},
    forward::{FORWARDED_BY, Forward, Unsent},
    options::{ApiOptions, Throttling},
};

/// Everything that this server answers, over `control`.
pub fn router(control: Control, options: ApiOptions) -> Router {
    let state = ApiState::new(control, options);
    // The last layer is the outermost.
    Router::new()
        .fallback(dispatch::dispatch)
        .layer(from_fn_with_state(state.clone(), middleware::accepted_host::layer))
        .layer(from_fn(middleware::catch_panic::layer))
        .layer(from_fn(middleware::standard_headers::layer))
        .layer(from_fn(middleware::unread_body::layer))
        .layer(from_fn_with_state(state.clone(), middleware::audit::layer))
        .layer(from_fn(middleware::access_log::layer))
        .layer(from_fn(middleware::metrics::layer))
        .layer(from_fn_with_state(state.clone(), middleware::client_address::layer))
        .layer(from_fn(middleware::request_ids::layer))
        .with_state(state)
}

/// Describes this crate's metrics to the installed recorder.
pub fn describe_metrics() {
    middleware::metrics::describe();
}
