//! Headers of every answer. A handler's own value wins.

use axum::{
    extract::Request,
    http::{HeaderName, HeaderValue, header},
    middleware::Next,
    response::Response,
};

use crate::hosts::AcceptedHost;

/// What the real service sends with everything.
const ALWAYS: [(HeaderName, &str); 4] = [
    (header::CACHE_CONTROL, "no-cache"),
    (header::PRAGMA, "no-cache"),
    (header::EXPIRES, "-1"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
];
/// Not for loopback names: a browser would insist on HTTPS for everything else on the developer's `localhost`.
const STRICT_TRANSPORT: &str = "max-age=31536000; includeSubDomains";

/// Adds what is missing.
pub(crate) async fn layer(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let is_remote = response.extensions().get::<AcceptedHost>().is_some_and(|host| !host.is_loopback());
    let headers = response.headers_mut();
    for (name, value) in ALWAYS {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    if is_remote {
        headers.entry(header::STRICT_TRANSPORT_SECURITY).or_insert(HeaderValue::from_static(STRICT_TRANSPORT));
    }
    response
}
