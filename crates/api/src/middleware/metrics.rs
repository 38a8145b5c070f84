//! Counts requests by class and status, and how long their answers took. Labels have few values, whatever is sent.

use std::time::Instant;

use axum::{extract::Request, http::Method, middleware::Next, response::Response};

use crate::route_class::RouteClass;

/// Requests answered; labels `route`, `method`, `status`.
const REQUESTS: &str = "galerie_http_requests_total";
/// Seconds until the answer's head; label `route`.
const DURATION: &str = "galerie_http_request_duration_seconds";

/// Describes the metrics to whatever recorder is installed. Call once, after installing one.
pub(crate) fn describe() {
    metrics::describe_counter!(REQUESTS, "HTTP requests answered, by class of route, method and status");
    metrics::describe_histogram!(
        DURATION,
        metrics::Unit::Seconds,
        "Time until the head of the answer, by class of route"
    );
}

/// Counts and times.
pub(crate) async fn layer(request: Request, next: Next) -> Response {
    let began = Instant::now();
    let route = RouteClass::of(request.uri().path()).label();
    let method = method_label(request.method());
    let response = next.run(request).await;
    let status = response.status().as_str().to_owned();
    metrics::counter!(REQUESTS, "route" => route, "method" => method, "status" => status).increment(1);
    metrics::histogram!(DURATION, "route" => route).record(began.elapsed().as_secs_f64());
    response
}

fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::PUT => "PUT",
        Method::POST => "POST",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}
