//! One place for a version's source, although the specification moved it.
//!
//! Until 2019-03-01 it was `publishingProfile.source.managedImage.id`, and `storageProfile` was read-only; since 2019-07-01 it is
//! `storageProfile.source.id`. Documents keep the latter.

use serde_json::{Map, Value, json};

/// Moves the old form, if the body has it, to the current one.
pub(super) fn to_current(document: &mut Value) {
    let Some(properties) = document.get_mut("properties").and_then(Value::as_object_mut) else { return };
    let Some(profile) = properties.get_mut("publishingProfile").and_then(Value::as_object_mut) else { return };
    let Some(source) = profile.shift_remove("source") else { return };
    let Some(id) = source.pointer("/managedImage/id").cloned() else { return };
    let storage = properties.entry("storageProfile").or_insert_with(|| Value::Object(Map::new()));
    if let Some(storage) = storage.as_object_mut() {
        storage.insert("source".to_owned(), json!({ "id": id }));
    }
}

/// Gives versions that know the old form what they expect.
pub(super) fn to_old(document: &Value, shown: &mut Value) {
    let Some(id) = document.pointer("/properties/storageProfile/source/id").cloned() else { return };
    let Some(properties) = shown.get_mut("properties").and_then(Value::as_object_mut) else { return };
    let profile = properties.entry("publishingProfile").or_insert_with(|| Value::Object(Map::new()));
    if let Some(profile) = profile.as_object_mut() {
        profile.insert("source".to_owned(), json!({ "managedImage": { "id": id } }));
    }
}
