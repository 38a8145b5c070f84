//! `/healthz`: whether the server is ready. It begins to listen when it is, so an answer means yes.

use axum::response::{IntoResponse, Response};

/// 200.
pub(crate) fn ready() -> Response {
    ([("content-type", "text/plain; charset=utf-8")], "ok\n").into_response()
}
