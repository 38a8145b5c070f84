//! A gallery's `identity`: a service principal of its own in the directory, which roles can be given to.
//!
//! It is made with the gallery's write and goes with the gallery, or when `type` is `None`. Nothing here gives anybody a
//! token of it. User-assigned identities are resources of Microsoft.ManagedIdentity, of which there are none, so naming one is
//! answered as Azure answers naming one that is not there.

use galerie_arm::{ArmError, ResourceId};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::resource::{
    document::{at, keep, remove, text},
    plan::{Effect, Write},
};

const IDENTITY: &str = "identity";
const TYPE: &str = "identity.type";
const PRINCIPAL: &str = "identity.principalId";
const USER_ASSIGNED: &str = "identity.userAssignedIdentities";
const USER_ASSIGNED_TYPE: &str = "Microsoft.ManagedIdentity/userAssignedIdentities";

/// What a new identity would be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Offered {
    /// The object id that it would have.
    pub(crate) principal: Uuid,
    /// The gallery's tenant.
    pub(crate) tenant: Uuid,
}

/// Checks the identity that a gallery is to have, and fills in whose it is. A write that does not mention it leaves it: giving it
/// up takes `None`, since the roles that it has go with it.
///
/// # Errors
/// `InvalidParameter` for a type that does not go with what is assigned; `LinkedInvalidPropertyId` for an id that is none of a
/// user-assigned identity; `FailedIdentityOperation` for one that is.
pub(crate) fn fill_in(document: &mut Value, write: &Write<'_>, offered: Offered) -> Result<Option<Effect>, ArmError> {
    let held = write.stored().and_then(principal_of);
    if text(document, TYPE).is_none() {
        if !at(document, USER_ASSIGNED).is_none_or(is_empty) {
            return Err(invalid("The type of the identity is missing."));
        }
        remove(document, IDENTITY);
        if let Some(stored) = write.stored() {
            keep(document, stored, IDENTITY);
        }
        return Ok(None);
    }
    let kind = text(document, TYPE).unwrap_or_default().to_ascii_lowercase();
    let wants = |part: &str| kind.split(',').any(|found| found.trim() == part);
    check_user_assigned(document, wants("userassigned"), write.id)?;
    if !wants("systemassigned") {
        remove(document, IDENTITY);
        return Ok(held.map(Effect::RemoveIdentity));
    }
    let principal = held.unwrap_or(offered.principal);
    document[IDENTITY] = json!({ "type": "SystemAssigned", "principalId": principal.to_string(), "tenantId": offered.tenant.to_string() });
    Ok(held.is_none().then_some(Effect::AddIdentity(principal)))
}

/// The object id of a gallery's identity.
pub(crate) fn principal_of(gallery: &Value) -> Option<Uuid> {
    text(gallery, PRINCIPAL)?.parse().ok()
}

fn check_user_assigned(document: &Value, wanted: bool, gallery: &ResourceId) -> Result<(), ArmError> {
    let named = at(document, USER_ASSIGNED).and_then(Value::as_object);
    let named: Vec<&String> = named.map(|named| named.keys().collect()).unwrap_or_default();
    match (wanted, named.first()) {
        (false, None) => Ok(()),
        (false, Some(_)) => {
            Err(invalid("userAssignedIdentities are there, and the type of the identity is not 'UserAssigned'."))
        }
        (true, None) => {
            Err(invalid("The type of the identity is 'UserAssigned', and there are no userAssignedIdentities."))
        }
        (true, Some(id)) => {
            let parsed = ResourceId::parse(id, "gallery.identity.userAssignedIdentities")?;
            if !parsed.full_type().eq_ignore_ascii_case(USER_ASSIGNED_TYPE) {
                return Err(ArmError::linked_invalid_property_id(id, "gallery.identity.userAssignedIdentities"));
            }
            Err(ArmError::user_assigned_identity_not_found(gallery.as_str(), parsed.as_str()))
        }
    }
}

fn is_empty(value: &Value) -> bool {
    value.as_object().is_some_and(serde_json::Map::is_empty)
}

fn invalid(message: &str) -> ArmError {
    ArmError::invalid_parameter("gallery.identity", message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        gallery::plan,
        resource::testing::{GALLERY, Given},
    };

    const OFFERED: Offered = Offered { principal: Uuid::from_u128(1), tenant: Uuid::from_u128(2) };
    const HELD: Uuid = Uuid::from_u128(3);
    const IDENTITY_ID: &str = "/subscriptions/11111111-2222-3333-4444-555555555555/resourceGroups/g/providers/Microsoft.ManagedIdentity/userAssignedIdentities/u";

    fn stored(has_identity: bool) -> Value {
        let mut gallery = json!({ "location": "eastus", "properties": {} });
        if has_identity {
            gallery["identity"] = json!({ "type": "SystemAssigned", "principalId": HELD.to_string(), "tenantId": OFFERED.tenant.to_string() });
        }
        gallery
    }

    fn write(sent: Option<Value>, has_identity: bool) -> Result<(Value, Vec<Effect>), ArmError> {
        let mut body = json!({ "location": "eastus", "properties": {} });
        if let Some(identity) = sent {
            body["identity"] = identity;
        }
        let planned = plan(Given::new(GALLERY, body).over(stored(has_identity)).write(), OFFERED)?;
        Ok((planned.document["identity"].clone(), planned.effects))
    }

    #[test]
    fn an_identity_is_made_kept_and_given_up() {
        let system = |id: Uuid| json!({ "type": "SystemAssigned", "principalId": id.to_string(), "tenantId": OFFERED.tenant.to_string() });
        let (add, gone) = (vec![Effect::AddIdentity(OFFERED.principal)], vec![Effect::RemoveIdentity(HELD)]);
        for (sent, has, expected, effects) in [
            (None, false, Value::Null, vec![]),
            (None, true, system(HELD), vec![]),
            (Some(json!({ "type": "SystemAssigned" })), false, system(OFFERED.principal), add.clone()),
            (Some(json!({ "type": "systemassigned" })), false, system(OFFERED.principal), add),
            (Some(json!({ "type": "SystemAssigned" })), true, system(HELD), vec![]),
            (Some(json!({ "type": "SystemAssigned", "userAssignedIdentities": {} })), true, system(HELD), vec![]),
            (Some(json!({ "type": "None" })), true, Value::Null, gone),
            (Some(json!({ "type": "None" })), false, Value::Null, vec![]),
            (Some(json!({ "principalId": HELD.to_string() })), true, system(HELD), vec![]),
        ] {
            let found = write(sent.clone(), has).unwrap();
            assert_eq!(found, (expected, effects), "{sent:?} {has}");
        }
    }

    #[test]
    fn what_does_not_go_is_named() {
        let named = json!({ IDENTITY_ID: {} });
        for (sent, code) in [
            (json!({ "type": "UserAssigned", "userAssignedIdentities": named }), "FailedIdentityOperation"),
            (
                json!({ "type": "SystemAssigned, UserAssigned", "userAssignedIdentities": named }),
                "FailedIdentityOperation",
            ),
            (json!({ "type": "UserAssigned" }), "InvalidParameter"),
            (json!({ "type": "SystemAssigned", "userAssignedIdentities": named }), "InvalidParameter"),
            (json!({ "userAssignedIdentities": named }), "InvalidParameter"),
            (json!({ "type": "UserAssigned", "userAssignedIdentities": { "u": {} } }), "LinkedInvalidPropertyId"),
            (json!({ "type": "UserAssigned", "userAssignedIdentities": { GALLERY: {} } }), "LinkedInvalidPropertyId"),
        ] {
            let error = write(Some(sent.clone()), true).unwrap_err();
            assert_eq!((error.status, error.code.as_ref()), (400, code), "{sent}");
        }
    }
}
