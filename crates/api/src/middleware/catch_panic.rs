//! A panic while answering becomes a 500 that names the correlation id; the connection and the server go on.

use std::{any::Any, panic::AssertUnwindSafe};

use axum::{extract::Request, middleware::Next, response::Response};
use futures::FutureExt;
use galerie_arm::ArmError;

use super::request_ids::RequestIds;
use crate::{front_door, route_class::RouteClass};

/// Answers, whatever happens inside.
pub(crate) async fn layer(request: Request, next: Next) -> Response {
    let ids = RequestIds::of(&request);
    let (class, method) = (RouteClass::of(request.uri().path()), request.method().clone());
    // Handlers share nothing mutable but what locks itself, so nothing half-changed is seen afterwards.
    match AssertUnwindSafe(next.run(request)).catch_unwind().await {
        Ok(answer) => answer,
        Err(panic) => {
            tracing::error!(correlation = %ids.correlation, panic = message(&*panic), "a request panicked");
            front_door::error(&ArmError::internal(&ids.correlation.to_string()), class, &method, ids)
        }
    }
}

fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&'static str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}

#[cfg(test)]
mod tests {
    use axum::{Router, body::Body, middleware::from_fn};
    use tower::ServiceExt;

    use super::*;

    async fn fails() -> &'static str {
        panic!("on purpose")
    }

    /// Status, correlation id, content type and body of a request whose handler panics.
    async fn panicked(path: &str) -> (u16, String, String, String) {
        let router =
            Router::new().fallback(fails).layer(from_fn(layer)).layer(from_fn(crate::middleware::request_ids::layer));
        let request = Request::builder().uri(path).body(Body::empty()).expect("a request");
        let answer = router.oneshot(request).await.expect("an answer");
        let header = |name: &str| answer.headers()[name].to_str().expect("text").to_owned();
        let (status, correlation) = (answer.status().as_u16(), header("x-ms-correlation-request-id"));
        let content_type = header("content-type");
        let body = axum::body::to_bytes(answer.into_body(), 4096).await.expect("a body");
        (status, correlation, content_type, String::from_utf8_lossy(&body).into_owned())
    }

    #[tokio::test]
    async fn a_panic_is_an_answer_with_its_correlation_id() {
        let (status, correlation, _, body) = panicked("/").await;
        let body: serde_json::Value = serde_json::from_str(&body).expect("JSON");
        assert_eq!((status, &body["error"]["code"]), (500, &"InternalServerError".into()));
        assert!(body["error"]["message"].as_str().is_some_and(|message| message.contains(&correlation)), "{body}");
    }

    /// Regression: every protocol's clients were answered with ARM's error.
    #[tokio::test]
    async fn a_panic_is_told_in_the_protocols_own_words() {
        for (path, content_type, part) in [
            ("/blob/x/y", "application/xml", "<Code>InternalError</Code>"),
            ("/t/oauth2/v2.0/token", "application/json; charset=utf-8", "\"error\":\"server_error\""),
            ("/msgraph/v1.0/me", "application/json; charset=utf-8", "\"innerError\":"),
            ("/content/x", "application/json; charset=utf-8", "\"code\":\"InternalServerError\""),
        ] {
            let (status, correlation, found, body) = panicked(path).await;
            assert_eq!((status, found.as_str()), (500, content_type), "{path}");
            assert!(body.contains(part) && body.contains(&correlation), "{path}: {body}");
        }
    }
}
