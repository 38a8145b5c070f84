//! Microsoft Graph's place: nothing is served there yet, and that is said in Graph's own words.

use axum::{http::Uri, response::Response};
use serde_json::json;
use uuid::Uuid;

use crate::arm::response;

/// 501 as Graph would write it.
pub(crate) fn not_served(uri: &Uri, correlation_id: Uuid) -> Response {
    let path: String = uri.path().chars().take(200).collect();
    let body = json!({
        "error": {
            "code": "NotImplemented",
            "message": format!(
                "This server has no Microsoft Graph yet, so '{path}' cannot be answered. Give object ids in place of names \
                 (az: --assignee-object-id)."
            ),
            "innerError": { "request-id": correlation_id.to_string() }
        }
    });
    response::json(501, &body)
}
