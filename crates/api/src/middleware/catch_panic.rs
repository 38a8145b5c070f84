//! A panic while answering becomes a 500 that names the correlation id; the connection and the server go on.

use std::{any::Any, panic::AssertUnwindSafe};

use axum::{extract::Request, middleware::Next, response::Response};
use futures::FutureExt;
use galerie_arm::ArmError;
use uuid::Uuid;

use super::request_ids::RequestIds;
use crate::arm::response;

/// Answers, whatever happens inside.
pub(crate) async fn layer(request: Request, next: Next) -> Response {
    let correlation = request.extensions().get::<RequestIds>().map_or_else(Uuid::new_v4, |ids| ids.correlation);
    // Handlers share nothing mutable but what locks itself, so nothing half-changed is seen afterwards.
    match AssertUnwindSafe(next.run(request)).catch_unwind().await {
        Ok(answer) => answer,
        Err(panic) => {
            tracing::error!(%correlation, panic = message(&*panic), "a request panicked");
            response::error(&ArmError::internal(&correlation.to_string()))
        }
    }
}

fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&'static str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}

#[cfg(test)]
mod tests {
    use axum::{Router, body::Body, middleware::from_fn, routing::get};
    use tower::ServiceExt;

    use super::*;

    async fn fails() -> &'static str {
        panic!("on purpose")
    }

    #[tokio::test]
    async fn a_panic_is_an_answer_with_its_correlation_id() {
        let router = Router::new()
            .route("/", get(fails))
            .layer(from_fn(layer))
            .layer(from_fn(crate::middleware::request_ids::layer));
        let request = Request::builder().uri("/").body(Body::empty()).expect("a request");
        let answer = router.oneshot(request).await.expect("an answer");
        assert_eq!(answer.status(), 500);
        let correlation = answer.headers()["x-ms-correlation-request-id"].to_str().expect("text").to_owned();
        let body = axum::body::to_bytes(answer.into_body(), 4096).await.expect("a body");
        let body: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
        assert_eq!(body["error"]["code"], "InternalServerError");
        assert!(body["error"]["message"].as_str().is_some_and(|message| message.contains(&correlation)), "{body}");
    }
}
