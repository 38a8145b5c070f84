//! `/roleManagement/directory`: directory roles, and who has them.

use galerie_arm::ArmError;
use galerie_control::directory::{
    error,
    role::{DirectoryRole, RoleMember},
};
use serde_json::{Value, json};

use super::{
    Answer,
    call::{Call, done, id},
    filter::Filter,
    properties::Properties,
    wrong_method,
};

pub(super) async fn answer(mut call: Call, rest: &[&str]) -> Answer {
    match (rest, call.method.as_str()) {
        (["roledefinitions"], "GET") => {
            let filter = Filter::parse(call.query.get("$filter"))?;
            let shown = DirectoryRole::ALL.into_iter().map(definition).filter(|shown| filter.matches(shown)).collect();
            Ok(call.list(shown, "roleManagement/directory/roleDefinitions", None))
        }
        (["roledefinitions", _], "GET") => {
            let wanted = id(call.segment(3))?;
            let role = DirectoryRole::of_template(wanted).ok_or_else(|| error::not_found(call.segment(3)))?;
            Ok(call.entity(200, "roleManagement/directory/roleDefinitions", definition(role)))
        }
        (["roleassignments"], "GET") => {
            let filter = Filter::parse(call.query.get("$filter"))?;
            let principal = filter.equal("principalId").map(id).transpose()?;
            let members = call.control().role_members(call.caller(), principal).await?;
            let shown = members.into_iter().map(assignment).filter(|shown| filter.matches(shown)).collect();
            Ok(call.list(shown, "roleManagement/directory/roleAssignments", None))
        }
        (["roleassignments"], "POST") => {
            let new = member(&mut call).await?;
            call.control().add_role_member(&call.context, new).await?;
            Ok(call.entity(201, "roleManagement/directory/roleAssignments", assignment(new)))
        }
        (["roleassignments", _], "GET" | "DELETE") => {
            let wanted = id(call.segment(3))?;
            let members = call.control().role_members(call.caller(), None).await?;
            let found = members.into_iter().find(|member| member.id() == wanted);
            let found = found.ok_or_else(|| error::not_found(call.segment(3)))?;
            if call.method == axum::http::Method::GET {
                return Ok(call.entity(200, "roleManagement/directory/roleAssignments", assignment(found)));
            }
            call.control().remove_role_member(&call.context, found).await?;
            Ok(done())
        }
        _ => Err(wrong_method(&call)),
    }
}

async fn member(call: &mut Call) -> Result<RoleMember, ArmError> {
    let mut body = Properties::new(call.json().await?, "RoleAssignment");
    let principal = id(&body.required("principalId")?)?;
    let role = body.required("roleDefinitionId")?;
    let role = role.parse().ok().and_then(DirectoryRole::of_template);
    let scope = body.text("directoryScopeId")?;
    body.take("@odata.type");
    body.end()?;
    if scope.is_some_and(|scope| scope != "/") {
        return Err(error::invalid_value("directoryScopeId", "'/': a role is of the whole directory"));
    }
    let rule = "the template id of Global Administrator or Application Administrator";
    Ok(RoleMember { role: role.ok_or_else(|| error::invalid_value("roleDefinitionId", rule))?, principal })
}

fn definition(role: DirectoryRole) -> Value {
    json!({
        "id": role.template_id(),
        "templateId": role.template_id(),
        "displayName": role.display_name(),
        "isBuiltIn": true,
        "isEnabled": true,
        "resourceScopes": ["/"]
    })
}

fn assignment(member: RoleMember) -> Value {
    json!({
        "id": member.id(),
        "principalId": member.principal,
        "roleDefinitionId": member.role.template_id(),
        "directoryScopeId": "/"
    })
}
