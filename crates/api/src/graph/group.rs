//! `/groups`, their members and owners.

use galerie_arm::ArmError;
use galerie_control::{
    ObjectKind,
    directory::{app_role_assignment::AssignmentEnd, error},
};

use super::{
    Answer, app_role_assignment,
    call::{Call, done},
    directory_object, document, list, owner,
    properties::Properties,
    wrong_method,
};

/// What is kept of a group as it comes.
const KEPT: [&str; 3] = ["description", "mailNickname", "visibility"];

pub(super) async fn answer(mut call: Call, rest: &[&str]) -> Answer {
    match (rest, call.method.as_str()) {
        ([], "GET") => list::answer(&call, ObjectKind::Group, "groups").await,
        ([], "POST") => {
            let mut body = Properties::new(call.json().await?, "Group");
            let name = body.required("displayName")?;
            only_security(&mut body)?;
            let made = call.control().group_create(&call.context, &name, body.rest(&KEPT, &[])?).await?;
            Ok(call.entity(201, "groups", document::group(&made)))
        }
        ([_], "GET") => {
            let found = call.control().group(call.caller(), call.id(1)?).await?;
            Ok(call.entity(200, "groups", document::group(&found)))
        }
        ([_], "PATCH") => {
            let mut body = Properties::new(call.json().await?, "Group");
            let name = body.text("displayName")?;
            only_security(&mut body)?;
            let (id, change) = (call.id(1)?, body.rest(&KEPT, &[])?);
            call.control().group_update(&call.context, id, name.as_deref(), change).await?;
            Ok(done())
        }
        ([_], "DELETE") => {
            call.control().group_delete(&call.context, call.id(1)?).await?;
            Ok(done())
        }
        ([_, "members"], "GET") => members(&call).await,
        ([_, "members", "$ref"], "POST") => {
            let member = owner::referenced(&mut call).await?;
            call.control().group_add_member(&call.context, call.id(1)?, member).await?;
            Ok(done())
        }
        ([_, "members", _, "$ref"], "DELETE") => {
            call.control().group_remove_member(&call.context, call.id(1)?, call.id(3)?).await?;
            Ok(done())
        }
        ([_, "owners", below @ ..], _) => owner::answer(call, ObjectKind::Group, below).await,
        ([_, "approleassignments", below @ ..], _) => {
            let id = call.id(1)?;
            let _ = call.control().group(call.caller(), id).await?;
            app_role_assignment::answer(call, AssignmentEnd::Principal(id), below).await
        }
        ([_, below @ ..], _) if !below.is_empty() => {
            let id = call.id(1)?;
            directory_object::of_member(call, id, below).await
        }
        _ => Err(wrong_method(&call)),
    }
}

/// There are security groups only: no mail, no Microsoft 365.
fn only_security(body: &mut Properties) -> Result<(), ArmError> {
    if body.flag("mailEnabled")? == Some(true) {
        return Err(error::invalid_value("mailEnabled", "false: groups here are security groups"));
    }
    if body.flag("securityEnabled")? == Some(false) {
        return Err(error::invalid_value("securityEnabled", "true: groups here are security groups"));
    }
    match body.take("groupTypes") {
        Some(types) if types.as_array().is_none_or(|types| !types.is_empty()) => {
            Err(error::invalid_value("groupTypes", "an empty list: groups here are security groups"))
        }
        _ => Ok(()),
    }
}

async fn members(call: &Call) -> Answer {
    let (id, top) = (call.id(1)?, call.top()?);
    let after = call.continuation()?.map(|after| after.id);
    let found = call.control().group_members(call.caller(), id, after, top).await?;
    Ok(directory_object::page(call, &found, top, "directoryObjects"))
}
