//! One line per request. Never a query (a SAS is one), never a header that authenticates.

use std::time::Instant;

use axum::{extract::Request, http::header::USER_AGENT, middleware::Next, response::Response};

use super::request_ids::RequestIds;

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
    let response = next.run(request).await;
    tracing::info!(
        target: "galerie::access",
        %method,
        path,
        status = response.status().as_u16(),
        duration_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
        correlation_id = correlation.map(tracing::field::display),
        agent,
        "request"
    );
    response
}

fn cut(text: &str) -> &str {
    let end = (0..=text.len().min(LONGEST_LOGGED_BYTES)).rev().find(|end| text.is_char_boundary(*end));
    &text[..end.unwrap_or(0)]
}
