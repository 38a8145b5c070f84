//! Reaching into a resource's document by path.
//!
//! Documents have been through `arm::schema`, so a property that is there has the type its table says; what is missing
//! reads as `None`. Paths are the specification's: `properties.storageProfile.source.id`.

use galerie_arm::ArmError;
use serde_json::{Map, Value};

/// Bytes of the largest document that is kept, as JSON: a page of a list is a hundred of them.
const LARGEST_BYTES: usize = 256 * 1024;
/// Values in all that it may have; each takes tens of bytes when it is shown, however short it is.
const MOST_VALUES: usize = 10_000;

/// Refuses a document that is too large to be kept; properties that no version knows are kept, too.
///
/// # Errors
/// `RequestContentTooLarge`, `InvalidRequestContent`.
pub(crate) fn check_size(document: &Value) -> Result<(), ArmError> {
    if document.to_string().len() > LARGEST_BYTES {
        return Err(ArmError::request_too_large(LARGEST_BYTES));
    }
    if count(document) > MOST_VALUES {
        let why = format!("a resource keeps at most {MOST_VALUES} values");
        return Err(ArmError::invalid_request_content(&why));
    }
    Ok(())
}

fn count(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(count).sum(),
        Value::Object(members) => members.values().map(count).sum(),
        _ => 0,
    }
}

/// The value at `path`, `None` when any step is absent or null.
pub(crate) fn at<'a>(document: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').try_fold(document, |value, name| value.get(name)).filter(|value| !value.is_null())
}

/// The text at `path`; an empty text counts as absent.
pub(crate) fn text<'a>(document: &'a Value, path: &str) -> Option<&'a str> {
    at(document, path)?.as_str().filter(|text| !text.is_empty())
}

/// The whole number at `path`.
pub(crate) fn integer(document: &Value, path: &str) -> Option<i64> {
    at(document, path)?.as_i64()
}

/// The truth value at `path`; absent is false.
pub(crate) fn is_true(document: &Value, path: &str) -> bool {
    at(document, path).and_then(Value::as_bool).unwrap_or(false)
}

/// The list at `path`; absent is empty.
pub(crate) fn list<'a>(document: &'a Value, path: &str) -> &'a [Value] {
    at(document, path).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// Writes `value` at `path`, making the objects on the way.
pub(crate) fn set(document: &mut Value, path: &str, value: impl Into<Value>) {
    *slot(document, path) = value.into();
}

/// Writes `value` at `path` unless something is there.
pub(crate) fn set_default(document: &mut Value, path: &str, value: impl Into<Value>) {
    let slot = slot(document, path);
    if slot.is_null() {
        *slot = value.into();
    }
}

/// Removes what is at `path`, keeping the order of the rest.
pub(crate) fn remove(document: &mut Value, path: &str) {
    let (parent, name) = path.rsplit_once('.').unwrap_or(("", path));
    let parent =
        parent.split('.').filter(|name| !name.is_empty()).try_fold(document, |value, name| value.get_mut(name));
    if let Some(Value::Object(members)) = parent {
        members.shift_remove(name);
    }
}

/// Copies `path` from `stored` where `document` has nothing there.
pub(crate) fn keep(document: &mut Value, stored: &Value, path: &str) {
    if let (None, Some(value)) = (at(document, path), at(stored, path)) {
        set(document, path, value.clone());
    }
}

fn slot<'a>(document: &'a mut Value, path: &str) -> &'a mut Value {
    path.split('.').fold(document, |value, name| {
        if !value.is_object() {
            *value = Value::Object(Map::new());
        }
        match value {
            Value::Object(members) => members.entry(name).or_insert(Value::Null),
            _ => unreachable!("made an object above"),
        }
    })
}

/// Whether two values mean the same to ARM: texts without regard to case, nothing and emptiness alike.
pub(crate) fn same(left: Option<&Value>, right: Option<&Value>) -> bool {
    match (left.filter(|value| !is_empty(value)), right.filter(|value| !is_empty(value))) {
        (None, None) => true,
        (Some(left), Some(right)) => same_value(left, right),
        _ => false,
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.values().all(is_empty),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

fn same_value(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::String(left), Value::String(right)) => left.to_lowercase() == right.to_lowercase(),
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(left, right)| same_value(left, right))
        }
        (Value::Object(left), Value::Object(right)) => {
            left.keys().chain(right.keys()).all(|name| same(left.get(name), right.get(name)))
        }
        _ => left == right,
    }
}

/// Holds properties still: one that is left out keeps its stored value, one that differs is refused in Azure's words.
/// `parameter` is Compute's name of the body (`galleryImage`).
///
/// # Errors
/// `PropertyChangeNotAllowed` naming the first path.
pub(crate) fn hold_still(
    document: &mut Value,
    stored: &Value,
    parameter: &str,
    paths: &[&str],
) -> Result<(), ArmError> {
    for path in paths {
        keep(document, stored, path);
        if !same(at(document, path), at(stored, path)) {
            return Err(ArmError::property_change_not_allowed(&format!("{parameter}.{path}")));
        }
    }
    Ok(())
}

/// The text at `path`, or Azure's complaint about its absence, which names the last part of the path.
///
/// # Errors
/// `InvalidParameter`.
pub(crate) fn required_text<'a>(document: &'a Value, path: &str) -> Result<&'a str, ArmError> {
    text(document, path).ok_or_else(|| ArmError::required_parameter_missing(last_name(path)))
}

/// The last part of a path.
pub(crate) fn last_name(path: &str) -> &str {
    path.rsplit_once('.').map_or(path, |(_, name)| name)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn paths_reach_and_make() {
        let mut document = json!({ "a": { "b": "x" }, "n": null });
        assert_eq!(text(&document, "a.b"), Some("x"));
        assert_eq!(at(&document, "n"), None);
        assert_eq!(at(&document, "a.b.c"), None);
        set(&mut document, "n.deep.er", 1);
        set_default(&mut document, "a.b", "y");
        set_default(&mut document, "a.c", "z");
        assert_eq!(document, json!({ "a": { "b": "x", "c": "z" }, "n": { "deep": { "er": 1 } } }));
        remove(&mut document, "n.deep.er");
        remove(&mut document, "nothing.here");
        assert_eq!(document["n"], json!({ "deep": {} }));
    }

    #[test]
    fn sameness_is_arms() {
        for (left, right, expected) in [
            (json!("Linux"), json!("linux"), true),
            (json!({ "a": "" }), json!({}), true),
            (json!({}), json!(null), true),
            (json!({ "a": 1 }), json!({ "a": 2 }), false),
            (json!([1]), json!([1, 2]), false),
            (json!(false), json!(null), false),
            (json!({ "a": { "b": "X" } }), json!({ "a": { "b": "x", "c": null } }), true),
        ] {
            assert_eq!(same(Some(&left), Some(&right)), expected, "{left} {right}");
        }
    }

    #[test]
    fn what_is_held_still_may_be_left_out_but_not_changed() {
        let stored = json!({ "properties": { "osType": "Linux", "osState": "Generalized" } });
        let mut document = json!({ "properties": { "osType": "linux" } });
        let paths = ["properties.osType", "properties.osState"];
        hold_still(&mut document, &stored, "galleryImage", &paths).unwrap();
        assert_eq!(document["properties"]["osState"], "Generalized");
        let mut changed = json!({ "properties": { "osType": "Windows" } });
        let error = hold_still(&mut changed, &stored, "galleryImage", &paths).unwrap_err();
        assert_eq!((error.status, error.code.as_ref()), (409, "PropertyChangeNotAllowed"));
        assert_eq!(error.message, "Changing property 'galleryImage.properties.osType' is not allowed.");
    }
}
