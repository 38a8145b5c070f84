//! The caller's own permissions over a scope.

use galerie_arm::role_definition;
use galerie_control::Scope;
use serde_json::Value;

use super::{
    Answer,
    call::{Call, GET},
    response,
};

/// `GET {scope}/.../permissions`.
pub(super) async fn list(call: Call, scope: Scope) -> Answer {
    call.only(&GET)?;
    let context = call.context()?;
    let permissions = call.state.control.permissions(&context, &scope).await?;
    let shown = role_definition::shown(&Value::from(permissions), context.api_version);
    Ok(response::list(shown.as_array().cloned().unwrap_or_default()))
}
