//! One line per request. Never a query (a SAS is one), never a header that authenticates.
//!
//! What succeeds thousands of times for one image (pages, blobs) or every few seconds (health) is said at `debug`; a
//! metric counts it all the same.

use std::time::Instant;

use axum::{extract::Request, http::header::USER_AGENT, middleware::Next, response::Response};

use super::request_ids::RequestIds;
use crate::route_class::RouteClass;

/// What these lines are filtered by.
const TARGET: &str = "galerie::access";
/// Longest path and agent that are logged, in bytes.
const LONGEST_LOGGED_BYTES: usize = 512;

/// Logs method, path, status and duration until the answer's head.
pub(crate) async fn layer(request: Request, next: Next) -> Response {
    let began = Instant::now();
    let method = request.method().clone();
    let path = cut(request.uri().path()).to_owned();
    let agent =
        request.headers().get(USER_AGENT).and_then(|agent| agent.to_str().ok()).map(|agent| cut(agent).to_owned());
    let correlation = request.extensions().get::<RequestIds>().map(|ids| ids.correlation);
    let is_everyday = matches!(RouteClass::of(&path), RouteClass::Blob | RouteClass::Content | RouteClass::Health);
    let response = next.run(request).await;
    let status = response.status();
    let duration_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    let correlation_id = correlation.map(tracing::field::display);
    if is_everyday && status.is_success() {
        tracing::debug!(target: TARGET, %method, path, status = status.as_u16(), duration_ms, correlation_id, agent, "request");
    } else {
        tracing::info!(target: TARGET, %method, path, status = status.as_u16(), duration_ms, correlation_id, agent, "request");
    }
    response
}

fn cut(text: &str) -> &str {
    let end = (0..=text.len().min(LONGEST_LOGGED_BYTES)).rev().find(|end| text.is_char_boundary(*end));
    &text[..end.unwrap_or(0)]
}
