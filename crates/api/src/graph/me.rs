//! `/me`: the user who asks.

use galerie_arm::ArmError;
use galerie_control::ObjectKind;
use uuid::Uuid;

use super::{Answer, call::Call, directory_object, document, wrong_method};

pub(super) async fn answer(call: Call, rest: &[&str]) -> Answer {
    if call.caller().kind != ObjectKind::User {
        let message = "/me request is only valid with delegated authentication flow: sign in as a user.";
        return Err(ArmError::new(400, "BadRequest", message));
    }
    let me = call.caller().principal;
    match (rest, call.method.as_str()) {
        ([], "GET") => {
            let found = call.control().user(call.caller(), &me.to_string()).await?;
            Ok(call.entity(200, "users", document::user(&found)))
        }
        (["ownedobjects"], "GET") => owned(&call, me).await,
        (["revokesigninsessions"], "POST") => {
            call.control().user_revoke_sessions(&call.context, &me.to_string()).await?;
            Ok(crate::arm::response::json(200, &serde_json::json!({ "value": true })))
        }
        (below, _) if !below.is_empty() => directory_object::of_member(call, me, below).await,
        _ => Err(wrong_method(&call)),
    }
}

/// What a user or service principal owns.
pub(super) async fn owned(call: &Call, owner: Uuid) -> Answer {
    let top = call.top()?;
    let after = call.continuation()?.map(|after| after.id);
    let found = call.control().owned_objects(call.caller(), owner, after, top).await?;
    Ok(directory_object::page(call, &found, top, "directoryObjects"))
}
