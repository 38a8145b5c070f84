//! `/servicePrincipals`, their secrets, certificates and owners.

use galerie_arm::ArmError;
use galerie_control::{
    ObjectKind,
    directory::{Document, app_role_assignment::AssignmentEnd, error},
};

use super::{
    Answer, app_role_assignment,
    call::{Call, done},
    credential, directory_object, document, list, me, owner,
    properties::Properties,
    wrong_method,
};

/// What is kept of a service principal as it comes.
const KEPT: [&str; 9] = [
    "tags",
    "description",
    "notes",
    "homepage",
    "loginUrl",
    "logoutUrl",
    "replyUrls",
    "notificationEmailAddresses",
    "alternativeNames",
];
const READ_ONLY: [&str; 6] = [
    "displayName",
    "appDisplayName",
    "appOwnerOrganizationId",
    "servicePrincipalNames",
    "servicePrincipalType",
    "appRoles",
];

/// Whether only who is assigned to the application gets tokens for it.
const ASSIGNMENT_REQUIRED: &str = "appRoleAssignmentRequired";

/// What is kept of a body: most of it as it comes, and what decides something only as what it must be.
fn kept(mut body: Properties) -> Result<Document, ArmError> {
    let required = body.flag(ASSIGNMENT_REQUIRED)?;
    let mut document = body.rest(&KEPT, &READ_ONLY)?;
    document.extend(required.map(|required| (ASSIGNMENT_REQUIRED.to_owned(), required.into())));
    Ok(document)
}

pub(super) async fn answer(mut call: Call, rest: &[&str]) -> Answer {
    match (rest, call.method.as_str()) {
        ([], "GET") => list::answer(&call, ObjectKind::ServicePrincipal, "servicePrincipals").await,
        ([], "POST") => {
            let mut body = Properties::new(call.json().await?, "ServicePrincipal");
            let app_id = body.required("appId")?;
            let app_id = app_id.parse().map_err(|_| {
                error::bad_request(format!(
                    "The appId '{}' of the service principal does not reference a valid application object.",
                    app_id.chars().filter(|c| !c.is_control()).take(100).collect::<String>()
                ))
            })?;
            let enabled = body.flag("accountEnabled")?.unwrap_or(true);
            let document = kept(body)?;
            let made = call.control().service_principal_create(&call.context, app_id, enabled, document).await?;
            Ok(call.entity(201, "servicePrincipals", document::service_principal(&made)))
        }
        ([_], "GET") => {
            let found = call.control().service_principal(call.caller(), call.id(1)?).await?;
            Ok(call.entity(200, "servicePrincipals", document::service_principal(&found)))
        }
        ([_], "PATCH") => {
            let mut body = Properties::new(call.json().await?, "ServicePrincipal");
            let enabled = body.flag("accountEnabled")?;
            let certificates = credential::certificates(&mut body)?;
            credential::no_secrets(&mut body)?;
            let (id, change) = (call.id(1)?, kept(body)?);
            let certificates = certificates.as_deref();
            call.control().service_principal_update(&call.context, id, enabled, change, certificates).await?;
            Ok(done())
        }
        ([_], "DELETE") => {
            call.control().service_principal_delete(&call.context, call.id(1)?).await?;
            Ok(done())
        }
        ([_, "addpassword"], "POST") => credential::add(call, ObjectKind::ServicePrincipal).await,
        ([_, "removepassword"], "POST") => credential::remove(call, ObjectKind::ServicePrincipal).await,
        ([_, "owners", below @ ..], _) => owner::answer(call, ObjectKind::ServicePrincipal, below).await,
        ([_, "ownedobjects"], "GET") => {
            let id = call.id(1)?;
            me::owned(&call, id).await
        }
        ([_, "approleassignments", below @ ..], _) => {
            let id = call.id(1)?;
            let _ = call.control().service_principal(call.caller(), id).await?;
            app_role_assignment::answer(call, AssignmentEnd::Principal(id), below).await
        }
        ([_, "approleassignedto", below @ ..], _) => {
            let id = call.id(1)?;
            app_role_assignment::answer(call, AssignmentEnd::Resource(id), below).await
        }
        ([_, below @ ..], _) if !below.is_empty() => {
            let id = call.id(1)?;
            directory_object::of_member(call, id, below).await
        }
        _ => Err(wrong_method(&call)),
    }
}
