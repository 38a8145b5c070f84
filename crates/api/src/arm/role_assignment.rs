//! Role assignments: `Microsoft.Authorization/roleAssignments`.

use axum::http::Method;
use galerie_control::Scope;

use super::{
    Answer,
    call::{Call, Failure, GET},
    response, role_filter,
};

static METHODS: [Method; 3] = [Method::GET, Method::PUT, Method::DELETE];

/// `{scope}/.../roleAssignments`.
pub(super) async fn list(call: Call, scope: Scope) -> Answer {
    call.only(&GET)?;
    let context = call.context()?;
    let filter = role_filter::of_assignments(call.query.get("$filter"))?;
    let page = call.state.control.role_assignment_list(&context, &scope, &filter, call.continuation()).await?;
    let next_link = page.continuation.as_deref().map(|continuation| call.next_link(continuation));
    Ok(response::part_of_list(page.items, next_link))
}

/// `{scope}/.../roleAssignments/{name}`.
pub(super) async fn answer(mut call: Call, scope: Scope) -> Answer {
    let name = call.segments.last().cloned().unwrap_or_default();
    match call.method {
        Method::GET => {
            let assignment = call.state.control.role_assignment_get(&call.context()?, &scope, &name).await?;
            Ok(response::json(200, &assignment))
        }
        Method::PUT => {
            let context = call.context()?;
            let body = call.json().await?;
            let put = call.state.control.role_assignment_put(&context, &scope, &name, &body).await?;
            let (is_new, assignment) = put;
            Ok(response::json(if is_new { 201 } else { 200 }, &assignment))
        }
        Method::DELETE => {
            let deleted = call.state.control.role_assignment_delete(&call.context()?, &scope, &name).await?;
            Ok(deleted.map_or_else(|| response::empty(204), |assignment| response::json(200, &assignment)))
        }
        _ => Err(Failure::Method(&METHODS)),
    }
}
