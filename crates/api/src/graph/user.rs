//! `/users`.

use galerie_arm::ArmError;
use galerie_control::{
    ObjectKind,
    directory::{
        app_role_assignment::AssignmentEnd,
        error,
        user::{NewPassword, NewUser, UserChange, UserName},
    },
};
use secrecy::SecretString;

use super::{
    Answer, app_role_assignment,
    call::{Call, done},
    directory_object, document, list, me,
    properties::Properties,
    wrong_method,
};

/// What is kept of a user as it comes.
const KEPT: [&str; 19] = [
    "givenName",
    "surname",
    "mail",
    "mailNickname",
    "jobTitle",
    "department",
    "companyName",
    "employeeId",
    "officeLocation",
    "mobilePhone",
    "businessPhones",
    "otherMails",
    "preferredLanguage",
    "usageLocation",
    "country",
    "city",
    "state",
    "streetAddress",
    "postalCode",
];
const READ_ONLY: [&str; 2] = ["userType", "creationType"];

pub(super) async fn answer(mut call: Call, rest: &[&str]) -> Answer {
    match (rest, call.method.as_str()) {
        ([], "GET") => list::answer(&call, ObjectKind::User, "users").await,
        ([], "POST") => {
            let new = new(call.json().await?)?;
            let made = call.control().user_create(&call.context, new).await?;
            Ok(call.entity(201, "users", document::user(&made)))
        }
        ([_], "GET") => {
            let found = call.control().user(call.caller(), call.segment(1)).await?;
            Ok(call.entity(200, "users", document::user(&found)))
        }
        ([_], "PATCH") => {
            let change = change(call.json().await?)?;
            call.control().user_update(&call.context, call.segment(1), change).await?;
            Ok(done())
        }
        ([_], "DELETE") => {
            call.control().user_delete(&call.context, call.segment(1)).await?;
            Ok(done())
        }
        ([_, "revokesigninsessions"], "POST") => {
            call.control().user_revoke_sessions(&call.context, call.segment(1)).await?;
            Ok(crate::arm::response::json(200, &serde_json::json!({ "value": true })))
        }
        ([_, "ownedobjects"], "GET") => {
            let user = call.control().user(call.caller(), call.segment(1)).await?;
            me::owned(&call, user.id).await
        }
        ([_, "approleassignments", below @ ..], _) => {
            let user = call.control().user(call.caller(), call.segment(1)).await?;
            app_role_assignment::answer(call, AssignmentEnd::Principal(user.id), below).await
        }
        ([_, rest @ ..], _) if !rest.is_empty() => {
            let user = call.control().user(call.caller(), call.segment(1)).await?;
            directory_object::of_member(call, user.id, rest).await
        }
        _ => Err(wrong_method(&call)),
    }
}

fn new(body: serde_json::Map<String, serde_json::Value>) -> Result<NewUser, ArmError> {
    let mut body = Properties::new(body, "User");
    let name = body.required("userPrincipalName")?.parse::<UserName>()?;
    let display_name = body.required("displayName")?;
    let enabled = body.flag("accountEnabled")?.ok_or_else(|| error::missing("accountEnabled", "User"))?;
    let profile = body.object("passwordProfile")?.ok_or_else(|| error::missing("passwordProfile", "User"))?;
    let (password, must_change) = password(profile)?;
    let password = password.ok_or_else(|| error::missing("passwordProfile.password", "User"))?;
    let password = NewPassword { password, must_change: must_change.unwrap_or(false) };
    Ok(NewUser { name, display_name, enabled, password, document: body.rest(&KEPT, &READ_ONLY)? })
}

fn change(body: serde_json::Map<String, serde_json::Value>) -> Result<UserChange, ArmError> {
    let mut body = Properties::new(body, "User");
    let name = body.text("userPrincipalName")?.map(|name| name.parse::<UserName>()).transpose()?;
    let (display_name, enabled) = (body.text("displayName")?, body.flag("accountEnabled")?);
    let (password, must_change) = match body.object("passwordProfile")? {
        Some(profile) => password(profile)?,
        None => (None, None),
    };
    let password = password.map(|password| NewPassword { password, must_change: must_change.unwrap_or(false) });
    Ok(UserChange { name, display_name, enabled, password, must_change, document: body.rest(&KEPT, &READ_ONLY)? })
}

/// The password, and whether it is to be changed.
fn password(mut profile: Properties) -> Result<(Option<SecretString>, Option<bool>), ArmError> {
    let password = profile.text("password")?.map(SecretString::from);
    let must_change = profile.flag("forceChangePasswordNextSignIn")?;
    profile.end()?;
    Ok((password, must_change))
}
