//! Reading ARM documents for tables: text out of JSON, by dotted paths.

use galerie_arm::timestamp;
use serde_json::Value;

/// What lies at a path such as `properties.publishingProfile`.
pub(crate) fn at<'a>(document: &'a Value, path: &str) -> &'a Value {
    path.split('.').fold(document, |value, name| value.get(name).unwrap_or(&Value::Null))
}

/// As text: what is no text as JSON, what is not there as nothing.
pub(crate) fn text(document: &Value, path: &str) -> String {
    match at(document, path) {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// As text, if there is any.
pub(crate) fn some_text(document: &Value, path: &str) -> Option<String> {
    Some(text(document, path)).filter(|text| !text.is_empty())
}

/// The items of a list; none when there is no list.
pub(crate) fn items<'a>(document: &'a Value, path: &str) -> &'a [Value] {
    at(document, path).as_array().map_or(&[], Vec::as_slice)
}

/// A moment to the second, or what is there when it is none.
pub(crate) fn moment(document: &Value, path: &str) -> String {
    let text = text(document, path);
    match timestamp::parse_ms(&text) {
        Some(_) => text.get(..19).map_or(text.clone(), |second| second.replace('T', " ")),
        None => text,
    }
}

/// The name of the group in an id.
pub(crate) fn group_of(document: &Value) -> String {
    let id = text(document, "id");
    let mut segments = id.split('/').skip_while(|segment| !segment.eq_ignore_ascii_case("resourceGroups"));
    segments.nth(1).unwrap_or_default().to_owned()
}

/// The target regions of a version: `East US ×2, West Europe`.
pub(crate) fn target_regions(version: &Value) -> String {
    let regions = items(version, "properties.publishingProfile.targetRegions").iter().map(|region| {
        let (name, count) = (text(region, "name"), at(region, "regionalReplicaCount").as_u64().unwrap_or(1));
        if count == 1 { name } else { format!("{name} ×{count}") }
    });
    regions.collect::<Vec<_>>().join(", ")
}
