//! `.../appRoleAssignments` of users, groups and service principals, and `.../appRoleAssignedTo` of the latter: who is what to an
//! application.

use galerie_arm::ArmError;
use galerie_control::directory::{
    app_role_assignment::{AppRoleAssignment, AssignmentEnd, NewAppRoleAssignment},
    error,
    list::Continuation,
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    Answer,
    call::{Call, done, id},
    document,
    filter::Filter,
    properties::Properties,
    wrong_method,
};

/// Assignments that are looked at for one page of a filter; the page may then be short.
const MOST_LOOKED_AT: u32 = 1000;

/// What is below one of the two.
pub(super) async fn answer(mut call: Call, end: AssignmentEnd, below: &[&str]) -> Answer {
    let set = match end {
        AssignmentEnd::Principal(_) => "appRoleAssignments",
        AssignmentEnd::Resource(_) => "appRoleAssignedTo",
    };
    match (below, call.method.as_str()) {
        ([], "GET") => list(&call, end, set).await,
        ([], "POST") => {
            let new = new(&mut call, end).await?;
            let made = call.control().add_app_role_assignment(&call.context, new).await?;
            Ok(call.entity(201, set, shown(&made)))
        }
        ([wanted], "GET") => {
            let found = call.control().app_role_assignment(call.caller(), end, id(wanted)?).await?;
            Ok(call.entity(200, set, shown(&found)))
        }
        ([wanted], "DELETE") => {
            call.control().remove_app_role_assignment(&call.context, end, id(wanted)?).await?;
            Ok(done())
        }
        _ => Err(wrong_method(&call)),
    }
}

/// A page in the order of the ids.
async fn list(call: &Call, end: AssignmentEnd, set: &str) -> Answer {
    let filter = Filter::parse(call.query.get("$filter"))?;
    let (top, after) = (call.top()?, call.continuation()?.map(|after| after.id));
    let limit = if call.query.get("$filter").is_some() { MOST_LOOKED_AT.max(top) } else { top };
    let found = call.control().app_role_assignments(call.caller(), end, after, limit).await?;
    // The last that was looked at, if there may be more behind it.
    let mut next = found.last().filter(|_| found.len() == limit as usize).map(|last| last.id);
    let mut documents = Vec::new();
    for assignment in &found {
        let document = shown(assignment);
        if filter.matches(&document) {
            documents.push(document);
        }
        if documents.len() == top as usize {
            let is_last = found.last().is_some_and(|last| last.id == assignment.id);
            next = if is_last { next } else { Some(assignment.id) };
            break;
        }
    }
    let next = next.map(|id| Continuation { name: String::new(), id });
    Ok(call.list(documents, set, next.as_ref()))
}

/// What a body asks for; the end that the path names it may say again.
async fn new(call: &mut Call, end: AssignmentEnd) -> Result<NewAppRoleAssignment, ArmError> {
    const RESOURCE: &str = "AppRoleAssignment";
    let mut body = Properties::new(call.json().await?, RESOURCE);
    let mut read = |name: &str| -> Result<Uuid, ArmError> {
        let text = body.required(name)?;
        text.parse().map_err(|_| error::invalid_value(name, "a GUID"))
    };
    let new = NewAppRoleAssignment {
        principal: read("principalId")?,
        resource: read("resourceId")?,
        role: read("appRoleId")?,
    };
    body.take("@odata.type");
    body.end()?;
    let (name, said, path) = match end {
        AssignmentEnd::Principal(id) => ("principalId", new.principal, id),
        AssignmentEnd::Resource(id) => ("resourceId", new.resource, id),
    };
    if said != path {
        return Err(error::invalid_value(name, "the object that the path names"));
    }
    Ok(new)
}

fn shown(found: &AppRoleAssignment) -> Value {
    json!({
        "id": found.id,
        "appRoleId": found.role,
        "createdDateTime": document::time(found.created_ms),
        "deletedDateTime": null,
        "principalDisplayName": found.principal_name,
        "principalId": found.principal,
        "principalType": found.principal_kind.as_str(),
        "resourceDisplayName": found.resource_name,
        "resourceId": found.resource
    })
}
