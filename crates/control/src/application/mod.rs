//! The rules of gallery applications: which guests an application is for, and what can be done with it.
//!
//! An application is something that guests install: a package, and the commands that install and remove it. Guests' agents do
//! that; here applications are kept, versioned, replicated and read. `version` has the rules of their versions.

mod custom_action;
pub(crate) mod version;

use galerie_arm::{ApplicationName, ArmError};

pub(crate) use self::custom_action::unnamed_or_twice;

use crate::{
    image_definition::check_end_of_life,
    resource::{
        document,
        plan::{Plan, Write},
    },
};

/// What never changes.
const IMMUTABLE: &[&str] = &["properties.supportedOSType"];

/// Decides about a write to an application.
///
/// # Errors
/// A broken name, a missing or changed `supportedOSType`, custom actions that contradict themselves.
pub(crate) fn plan(write: Write<'_>) -> Result<Plan, ArmError> {
    let _: ApplicationName = write.id.name_at(1)?;
    plan_for_guests(write, |write| custom_action::check(write, "properties.customActions"))
}

/// What applications and scripts have in common: the guests that they are for.
///
/// # Errors
/// As [`plan`]; what `check` refuses.
pub(crate) fn plan_for_guests(
    write: Write<'_>,
    check: impl Fn(&Write<'_>) -> Result<(), ArmError>,
) -> Result<Plan, ArmError> {
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
    check(&write)?;
    check_end_of_life(&write, &document, "properties.endOfLifeDate")?;
    Ok(Plan::immediate(document))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::resource::testing::{GALLERY, Given};

    fn given(name: &str, properties: Value) -> Given {
        Given::new(&format!("{GALLERY}/applications/{name}"), json!({ "location": "eastus", "properties": properties }))
    }

    #[test]
    fn its_guests_are_chosen_once() {
        let stored = plan(given("a", json!({ "supportedOSType": "Linux" })).write()).unwrap().document;
        for (sent, expected) in [
            (json!({ "supportedOSType": "linux", "description": "d" }), None),
            (json!({ "description": "d" }), None),
            (json!({ "supportedOSType": "Windows" }), Some("galleryApplication.properties.supportedOSType")),
        ] {
            let answer = plan(given("a", sent.clone()).over(stored.clone()).write());
            assert_eq!(answer.err().and_then(|error| error.target).as_deref(), expected, "{sent}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (name, properties, expected) in [
            ("a", json!({}), "supportedOSType"),
            ("a-", json!({ "supportedOSType": "Linux" }), "galleryApplicationName"),
            ("_a", json!({ "supportedOSType": "Linux" }), "galleryApplicationName"),
            (
                "a",
                json!({ "supportedOSType": "Linux", "endOfLifeDate": "2001-01-01T00:00:00Z" }),
                "galleryApplication.properties.endOfLifeDate",
            ),
            (
                "a",
                json!({ "supportedOSType": "Linux", "customActions": [{ "name": "x" }] }),
                "galleryApplication.properties.customActions.script",
            ),
        ] {
            let error = plan(given(name, properties.clone()).write()).unwrap_err();
            assert_eq!((error.status, error.target.as_deref()), (400, Some(expected)), "{name} {properties}");
        }
    }
}
