//! The rules of image definitions: what an image is, chosen once.

use galerie_arm::{ApiVersion, ArmError, DefinitionName, VersionName, gallery::SharingPermission, timestamp};
use serde_json::{Value, json};

use crate::resource::{
    document::{self, set, set_default, text},
    plan::{Plan, Unique, Write},
};

/// From here on a definition is of generation 2 and supports trusted launch unless it says otherwise.
const TRUSTED_BY_DEFAULT: ApiVersion = ApiVersion::stable(2025, 3, 3);

/// What never changes. `features` is not here: `allowUpdateImage` opens it.
const IMMUTABLE: &[&str] = &[
    "properties.osType",
    "properties.osState",
    "properties.hyperVGeneration",
    "properties.architecture",
    "properties.identifier.publisher",
    "properties.identifier.offer",
    "properties.identifier.sku",
    "properties.purchasePlan",
    "properties.privacyStatementUri",
];

const FEATURES: &str = "properties.features";
const END_OF_LIFE: &str = "properties.endOfLifeDate";

/// Longest publisher, offer and sku, in characters.
const IDENTIFIER_LIMITS: [(&str, usize); 3] = [("publisher", 128), ("offer", 64), ("sku", 64)];

/// Decides about a write to an image definition.
///
/// # Errors
/// A broken name, a missing or changed immutable property, a recommendation turned upside down, a kind of security that the
/// gallery, which may be shared with `permissions`, cannot have.
pub(crate) fn plan(write: Write<'_>, permissions: SharingPermission) -> Result<Plan, ArmError> {
    let name: DefinitionName = write.id.name_at(1)?;
    let mut document = write.document.clone();
    match write.stored() {
        Some(stored) => hold_still(&mut document, stored)?,
        None => fill_in(&mut document, write.api_version)?,
    }
    let identifier = check_identifier(&document)?;
    check_features(&document)?;
    check_security(&document, write.stored(), permissions)?;
    check_recommended(&document)?;
    check_end_of_life(&write, &document, END_OF_LIFE)?;
    let gallery_key = write.id.parent().map(|gallery| gallery.key().to_owned()).unwrap_or_default();
    let [publisher, offer, sku] = &identifier;
    let unique = Unique {
        key: unique_key(&gallery_key, &identifier),
        taken: ArmError::identifier_not_unique(name.as_str(), publisher, offer, sku),
    };
    Ok(Plan { unique: Some(unique), ..Plan::immediate(document) })
}

/// What is unique in a gallery: the folded triplet. No part of one can hold a colon.
fn unique_key(gallery_key: &str, [publisher, offer, sku]: &[String; 3]) -> String {
    format!("identifier:{gallery_key}:{publisher}:{offer}:{sku}").to_lowercase()
}

fn hold_still(document: &mut Value, stored: &Value) -> Result<(), ArmError> {
    document::hold_still(document, stored, "galleryImage", IMMUTABLE)?;
    document::keep(document, stored, "properties.allowUpdateImage");
    if document::is_true(document, "properties.allowUpdateImage") {
        document::keep(document, stored, FEATURES);
        return Ok(());
    }
    document::hold_still(document, stored, "galleryImage", &[FEATURES])
}

/// Required properties, and the defaults of the request's api-version.
fn fill_in(document: &mut Value, api_version: ApiVersion) -> Result<(), ArmError> {
    document::required_text(document, "properties.osType")?;
    document::required_text(document, "properties.osState")?;
    let trusted = api_version >= TRUSTED_BY_DEFAULT;
    let is_arm = text(document, "properties.architecture").is_some_and(|text| text.eq_ignore_ascii_case("Arm64"));
    // Arm64 machines have no generation 1.
    set_default(document, "properties.hyperVGeneration", if trusted || is_arm { "V2" } else { "V1" });
    set_default(document, "properties.architecture", "x64");
    let second = text(document, "properties.hyperVGeneration") == Some("V2");
    let chosen = document::list(document, FEATURES)
        .iter()
        .any(|feature| text(feature, "name").is_some_and(|name| name.eq_ignore_ascii_case("SecurityType")));
    if trusted && second && !is_arm && !chosen {
        let mut features = document::list(document, FEATURES).to_vec();
        features.push(json!({ "name": "SecurityType", "value": "TrustedLaunchSupported" }));
        set(document, FEATURES, features);
    }
    Ok(())
}

fn check_identifier(document: &Value) -> Result<[String; 3], ArmError> {
    let mut parts = [const { String::new() }; 3];
    for (part, (name, most)) in parts.iter_mut().zip(IDENTIFIER_LIMITS) {
        let path = format!("properties.identifier.{name}");
        let value = document::required_text(document, &path)?;
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
        if value.len() > most || !value.chars().all(allowed) || value.ends_with('.') {
            let message = format!(
                "The {name} of the gallery image identifier is invalid. It may have up to {most} letters, digits, dashes, \
                 underscores and periods, and may not end with a period."
            );
            return Err(ArmError::invalid_parameter(&format!("galleryImage.{path}"), message));
        }
        value.clone_into(part);
    }
    Ok(parts)
}

/// Each feature is there once, says what it is, and holds from a version on that can be one.
fn check_features(document: &Value) -> Result<(), ArmError> {
    let features = document::list(document, FEATURES);
    for (index, feature) in features.iter().enumerate() {
        let target = format!("galleryImage.{FEATURES}[{index}]");
        let name =
            text(feature, "name").ok_or_else(|| ArmError::required_parameter_missing(&format!("{target}.name")))?;
        let is_same = |other: &Value| text(other, "name").is_some_and(|other| other.eq_ignore_ascii_case(name));
        if features[..index].iter().any(is_same) {
            let message = format!("The feature '{}' is there more than once.", name.escape_debug());
            return Err(ArmError::invalid_parameter(&format!("{target}.name"), message));
        }
        if let Some(version) = text(feature, "startsAtVersion")
            && let Err(error) = version.parse::<VersionName>()
        {
            return Err(ArmError::invalid_parameter(&format!("{target}.startsAtVersion"), error.message));
        }
    }
    Ok(())
}

/// What only runs as a trusted or confidential machine is for private galleries. A definition that has it keeps it.
fn check_security(document: &Value, stored: Option<&Value>, permissions: SharingPermission) -> Result<(), ArmError> {
    let is_private = permissions == SharingPermission::Private;
    if is_private
        || stored.is_some_and(|stored| document::same(document::at(document, FEATURES), document::at(stored, FEATURES)))
    {
        return Ok(());
    }
    let is_security =
        |feature: &&Value| text(feature, "name").is_some_and(|name| name.eq_ignore_ascii_case("SecurityType"));
    let Some(feature) = document::list(document, FEATURES).iter().find(is_security) else { return Ok(()) };
    let value = text(feature, "value").unwrap_or_default();
    if ["TrustedLaunch", "ConfidentialVM"].iter().any(|kind| kind.eq_ignore_ascii_case(value)) {
        let message = format!(
            "The SecurityType '{value}' is not supported in a gallery whose sharingProfile.permissions is '{permissions}': it is for \
             private galleries only. '{value}Supported' leaves the choice to whoever makes a machine."
        );
        return Err(ArmError::invalid_parameter(&format!("galleryImage.{FEATURES}"), message));
    }
    Ok(())
}

fn check_recommended(document: &Value) -> Result<(), ArmError> {
    /// Most vCPUs, and GB of memory, that a recommendation may name: what a 32-bit integer holds.
    const MOST: i64 = i32::MAX as i64;
    for name in ["vCPUs", "memory"] {
        let [least, most] =
            ["min", "max"].map(|end| document::integer(document, &format!("properties.recommended.{name}.{end}")));
        let target = format!("galleryImage.properties.recommended.{name}");
        for (end, value) in [("min", least), ("max", most)] {
            let name = format!("{name}.{end}");
            match value {
                Some(value) if !(0..=MOST).contains(&value) => {
                    return Err(ArmError::out_of_range(&name, value, 0, MOST).with_target(format!("{target}.{end}")));
                }
                _ => {}
            }
        }
        if let (Some(least), Some(most)) = (least, most)
            && least > most
        {
            let message = format!("The minimum value of {name} must not be greater than the maximum value of {name}.");
            return Err(ArmError::invalid_parameter(&target, message));
        }
    }
    Ok(())
}

/// An end of life must be a date, and lie ahead when it is set; one that is repeated may have passed.
///
/// # Errors
/// `InvalidParameter`.
pub(crate) fn check_end_of_life(write: &Write<'_>, document: &Value, path: &str) -> Result<(), ArmError> {
    let Some(date) = text(document, path) else { return Ok(()) };
    if write.stored().and_then(|stored| text(stored, path)) == Some(date) {
        return Ok(());
    }
    let target = write.target(path);
    match timestamp::parse_ms(date) {
        Some(moment) if moment > write.now_ms => Ok(()),
        Some(_) => Err(ArmError::end_of_life_in_the_past(&target)),
        None => Err(ArmError::invalid_parameter(&target, "The value of endOfLifeDate is not a date and time.")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::resource::testing::{DEFINITION, Given};

    fn plan(write: Write<'_>) -> Result<Plan, ArmError> {
        super::plan(write, SharingPermission::Private)
    }

    #[test]
    fn some_security_is_for_private_galleries_only() {
        for (value, allowed) in [("TrustedLaunch", false), ("confidentialvm", false), ("TrustedLaunchSupported", true)]
        {
            let sent = with("properties.features", json!([{ "name": "SecurityType", "value": value }]));
            let given = Given::new(DEFINITION, sent.clone());
            for (permissions, allowed) in [
                (SharingPermission::Private, true),
                (SharingPermission::Groups, allowed),
                (SharingPermission::Community, allowed),
            ] {
                let answer = super::plan(given.write(), permissions);
                assert_eq!(
                    answer.map_err(|error| error.status).err(),
                    (!allowed).then_some(400),
                    "{value} {permissions}"
                );
            }
            let kept = Given::new(DEFINITION, sent.clone()).over(plan(given.write()).unwrap().document);
            super::plan(kept.write(), SharingPermission::Groups).unwrap();
        }
    }

    fn body() -> Value {
        json!({ "location": "eastus", "properties": { "osType": "Linux", "osState": "Generalized",
            "identifier": { "publisher": "p", "offer": "o", "sku": "s" } } })
    }

    fn with(path: &str, value: Value) -> Value {
        let mut body = body();
        set(&mut body, path, value);
        body
    }

    #[test]
    fn defaults_follow_the_api_version() {
        for (version, sent, generation, security) in [
            ("2021-10-01", body(), "V1", None),
            ("2025-03-02", body(), "V1", None),
            ("2025-03-03", body(), "V2", Some("TrustedLaunchSupported")),
            ("2025-03-03", with("properties.hyperVGeneration", json!("V1")), "V1", None),
            (
                "2026-03-03",
                with("properties.features", json!([{ "name": "SecurityType", "value": "Standard" }])),
                "V2",
                Some("Standard"),
            ),
            ("2021-10-01", with("properties.architecture", json!("Arm64")), "V2", None),
        ] {
            let plan = plan(Given::new(DEFINITION, sent).version(version).write()).unwrap();
            assert_eq!(plan.document["properties"]["hyperVGeneration"], generation, "{version}");
            assert_eq!(text(&plan.document["properties"]["features"][0], "value"), security, "{version}");
        }
    }

    #[test]
    fn bad_bodies_name_what_is_wrong() {
        for (sent, code, target) in [
            (with("properties.osType", json!(null)), "InvalidParameter", "osType"),
            (with("properties.osState", json!("")), "InvalidParameter", "osState"),
            (with("properties.identifier", json!({})), "InvalidParameter", "publisher"),
            (
                with("properties.identifier.sku", json!("a b")),
                "InvalidParameter",
                "galleryImage.properties.identifier.sku",
            ),
            (
                with("properties.identifier.offer", json!("a.")),
                "InvalidParameter",
                "galleryImage.properties.identifier.offer",
            ),
            (
                with("properties.recommended", json!({ "vCPUs": { "min": 4, "max": 2 } })),
                "InvalidParameter",
                "galleryImage.properties.recommended.vCPUs",
            ),
            (
                with("properties.recommended", json!({ "memory": { "min": -1 } })),
                "InvalidParameter",
                "galleryImage.properties.recommended.memory.min",
            ),
            (
                with("properties.endOfLifeDate", json!("2001-01-01")),
                "InvalidParameter",
                "galleryImage.properties.endOfLifeDate",
            ),
            (
                with("properties.endOfLifeDate", json!("soon")),
                "InvalidParameter",
                "galleryImage.properties.endOfLifeDate",
            ),
        ] {
            let error = plan(Given::new(DEFINITION, sent.clone()).write()).unwrap_err();
            assert_eq!((error.code.as_ref(), error.target.as_deref()), (code, Some(target)), "{sent}");
        }
    }

    #[test]
    fn what_an_image_is_never_changes() {
        let stored = plan(Given::new(DEFINITION, body()).write()).unwrap().document;
        for (sent, expected) in [
            (body(), Ok(())),
            (with("properties.identifier", json!({})), Ok(())),
            (with("properties.description", json!("new")), Ok(())),
            (with("properties.osType", json!("Windows")), Err("galleryImage.properties.osType")),
            (with("properties.identifier.sku", json!("t")), Err("galleryImage.properties.identifier.sku")),
            (with("properties.hyperVGeneration", json!("V2")), Err("galleryImage.properties.hyperVGeneration")),
            (
                with("properties.features", json!([{ "name": "SecurityType", "value": "TrustedLaunch" }])),
                Err("galleryImage.properties.features"),
            ),
        ] {
            let answer = plan(Given::new(DEFINITION, sent.clone()).over(stored.clone()).write());
            let answer = answer.map(|_| ()).map_err(|error| error.target.unwrap());
            assert_eq!(answer, expected.map_err(str::to_owned), "{sent}");
        }
    }

    #[test]
    fn features_change_when_the_definition_says_that_they_may() {
        let features =
            |value: &str, starts: &str| json!([{ "name": "SecurityType", "value": value, "startsAtVersion": starts }]);
        let stored = plan(Given::new(DEFINITION, with("properties.features", features("Standard", "1.0.0"))).write());
        let stored = stored.unwrap().document;
        let changed = with("properties.features", features("TrustedLaunch", "2.0.0"));
        let mut allowed = changed.clone();
        set(&mut allowed, "properties.allowUpdateImage", true);
        let mut denied = changed.clone();
        set(&mut denied, "properties.allowUpdateImage", false);
        for (sent, expected) in [(&changed, Err(409)), (&denied, Err(409)), (&allowed, Ok(json!("2.0.0")))] {
            let answer = plan(Given::new(DEFINITION, sent.clone()).over(stored.clone()).write());
            let answer = answer.map_err(|error| error.status);
            let seen = answer.map(|plan| plan.document["properties"]["features"][0]["startsAtVersion"].clone());
            assert_eq!(seen, expected, "{sent}");
        }
        // One that is open stays so for who does not mention it, and can be closed again.
        let open = plan(Given::new(DEFINITION, allowed).over(stored).write()).unwrap().document;
        let again = with("properties.features", features("Standard", "3.0.0"));
        plan(Given::new(DEFINITION, again).over(open.clone()).write()).unwrap();
        plan(Given::new(DEFINITION, denied).over(open).write()).unwrap();
    }

    #[test]
    fn features_are_whole_and_there_once() {
        for (features, target) in [
            (json!([{ "value": "V" }]), "galleryImage.properties.features[0].name"),
            (json!([{ "name": "a" }, { "name": "A" }]), "galleryImage.properties.features[1].name"),
            (json!([{ "name": "a", "startsAtVersion": "1.0" }]), "galleryImage.properties.features[0].startsAtVersion"),
        ] {
            let error =
                plan(Given::new(DEFINITION, with("properties.features", features.clone())).write()).unwrap_err();
            let named = error.target.as_deref() == Some(target) || error.message.contains(target);
            assert!(error.status == 400 && named, "{features}: {error}");
        }
    }

    #[test]
    fn the_triplet_folds() {
        let one = plan(Given::new(DEFINITION, body()).write()).unwrap().unique.unwrap().key;
        let other = with("properties.identifier", json!({ "publisher": "P", "offer": "O", "sku": "S" }));
        assert_eq!(plan(Given::new(DEFINITION, other).write()).unwrap().unique.unwrap().key, one);
    }
}
