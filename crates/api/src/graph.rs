//! Microsoft Graph's place: nothing is served there yet, and that is said in Graph's own words.

use axum::{http::Uri, response::Response};
use galerie_arm::ArmError;
use serde_json::json;
use uuid::Uuid;

use crate::arm::response;

/// 501 as Graph would write it.
pub(crate) fn not_served(uri: &Uri, correlation_id: Uuid) -> Response {
    let path: String = uri.path().chars().take(200).collect();
    let message = format!(
        "This server has no Microsoft Graph yet, so '{path}' cannot be answered. Give object ids in place of names \
         (az: --assignee-object-id)."
    );
    error(&ArmError::new(501, "NotImplemented", message), correlation_id)
}

/// Any error as Graph would write it.
pub(crate) fn error(error: &ArmError, correlation_id: Uuid) -> Response {
    let body = json!({
        "error": {
            "code": error.code.as_ref(),
            "message": error.message,
            "innerError": { "request-id": correlation_id.to_string() }
        }
    });
    response::json(error.status, &body)
}
