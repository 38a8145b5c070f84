//! The rules of in-VM access control profiles: which guests a set of rules is for, and of which endpoint.
//!
//! A profile says what in a guest may ask the host's metadata endpoints for what; the guest's agent enforces it. Here profiles
//! are kept, versioned and read. `version` has the rules of their versions.

pub(crate) mod rules;
pub(crate) mod version;

use galerie_arm::{AccessControlProfileName, ArmError};

use crate::resource::{
    document,
    plan::{Plan, Write},
};

/// What never changes.
const IMMUTABLE: &[&str] = &["properties.osType", "properties.applicableHostEndpoint"];

/// Decides about a write to a profile.
///
/// # Errors
/// A broken name, a missing or changed `osType` or `applicableHostEndpoint`.
pub(crate) fn plan(write: Write<'_>) -> Result<Plan, ArmError> {
    let _: AccessControlProfileName = write.id.name_at(1)?;
    let mut document = write.document.clone();
    match write.stored() {
        Some(stored) => {
            document::hold_still(&mut document, stored, write.resource_type.body_parameter(), IMMUTABLE)?;
        }
        None => {
            for path in IMMUTABLE {
                document::required_text(&document, path)?;
            }
        }
    }
    Ok(Plan::immediate(document))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::resource::testing::{GALLERY, Given};

    #[test]
    fn what_it_is_for_is_chosen_once() {
        let id = format!("{GALLERY}/inVMAccessControlProfiles/p");
        let body = |os: &str, endpoint: &str| json!({ "location": "eastus", "properties": { "osType": os, "applicableHostEndpoint": endpoint } });
        let stored = plan(Given::new(&id, body("Linux", "IMDS")).write()).unwrap().document;
        for (sent, expected) in [
            (body("Linux", "IMDS"), None),
            (json!({ "properties": { "description": "d" } }), None),
            (body("Windows", "IMDS"), Some("osType")),
            (body("Linux", "WireServer"), Some("applicableHostEndpoint")),
        ] {
            let answer = plan(Given::new(&id, sent.clone()).over(stored.clone()).write());
            let refused = answer.err().map(|error| error.target.unwrap());
            let expected = expected.map(|name| format!("galleryInVMAccessControlProfile.properties.{name}"));
            assert_eq!(refused, expected, "{sent}");
        }
    }

    #[test]
    fn what_is_missing_or_misnamed_is_named() {
        let refused = |name: &str, properties| {
            let id = format!("{GALLERY}/inVMAccessControlProfiles/{name}");
            plan(Given::new(&id, json!({ "properties": properties })).write()).unwrap_err().target.unwrap()
        };
        assert_eq!(refused("p", json!({ "osType": "Linux" })), "applicableHostEndpoint");
        assert_eq!(refused("p", json!({ "applicableHostEndpoint": "IMDS" })), "osType");
        for name in ["a--b", "a.", "_a", "a._b"] {
            assert_eq!(refused(name, json!({})), "inVMAccessControlProfileName", "{name}");
        }
    }
}
