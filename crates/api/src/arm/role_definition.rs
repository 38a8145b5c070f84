//! Role definitions: `Microsoft.Authorization/roleDefinitions`.

use axum::http::Method;
use galerie_control::Scope;

use super::{
    Answer,
    call::{Call, Failure, GET},
    response, role_filter,
};

static METHODS: [Method; 3] = [Method::GET, Method::PUT, Method::DELETE];

/// `{scope}/.../roleDefinitions`: in one answer, as the real service gives them.
pub(super) async fn list(call: Call, scope: Scope) -> Answer {
    call.only(&GET)?;
    let context = call.context()?;
    let filter = role_filter::of_definitions(call.query.get("$filter"))?;
    let roles = call.state.control.role_definition_list(&context, &scope, &filter).await?;
    Ok(response::list(roles))
}

/// `{scope}/.../roleDefinitions/{id}`.
pub(super) async fn answer(mut call: Call, scope: Scope) -> Answer {
    let id = call.segments.last().cloned().unwrap_or_default();
    match call.method {
        Method::GET => {
            let role = call.state.control.role_definition_get(&call.context()?, &scope, &id).await?;
            Ok(response::json(200, &role))
        }
        // 201 also for a change.
        Method::PUT => {
            let context = call.context()?;
            let body = call.json().await?;
            let role = call.state.control.role_definition_put(&context, &scope, &id, &body).await?;
            Ok(response::json(201, &role))
        }
        Method::DELETE => {
            let deleted = call.state.control.role_definition_delete(&call.context()?, &scope, &id).await?;
            Ok(deleted.map_or_else(|| response::empty(204), |role| response::json(200, &role)))
        }
        _ => Err(Failure::Method(&METHODS)),
    }
}
