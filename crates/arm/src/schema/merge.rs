//! Putting an accepted body onto the stored document.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::View;
use super::table::{Kind, Property};
use crate::location::Location;

/// `incoming`, and of `stored` what the version cannot express or only the server writes.
pub(super) fn put(kind: &Kind, view: View, stored: &Value, incoming: Value) -> Value {
    match (kind, stored, incoming) {
        (Kind::Object { .. }, Value::Object(old), Value::Object(new)) => put_object(kind, view, old, new),
        (Kind::List(items), Value::Array(old), Value::Array(new)) => put_list(items, view, old, new),
        (_, _, incoming) => incoming,
    }
}

fn put_object(kind: &Kind, view: View, old: &Map<String, Value>, mut new: Map<String, Value>) -> Value {
    for (name, old_value) in old {
        match (kind.property(name), new.get_mut(name)) {
            // In both: look deeper. What no version knows is replaced whole.
            (Some((_, property)), Some(new_value)) => {
                let incoming = std::mem::take(new_value);
                *new_value = put(&property.kind, view, old_value, incoming);
            }
            (None, Some(_)) => {}
            // The version could have said it and did not: what it cannot say below it stays.
            (Some((_, property)), None) if is_written(property, view) => {
                if let Some(rest) = inexpressible(&property.kind, view, old_value) {
                    new.insert(name.clone(), rest);
                }
            }
            (None, None) if view.newer => {}
            (_, None) => {
                new.insert(name.clone(), old_value.clone());
            }
        }
    }
    Value::Object(new)
}

/// Whether leaving a property out of a write in this version means to remove it.
fn is_written(property: &Property, view: View) -> bool {
    property.is_in(view.writes) && !property.read_only.contains(view.writes)
}

fn put_list(items: &Kind, view: View, old: &[Value], new: Vec<Value>) -> Value {
    // The first of several equal entries counts; a map, because a caller chooses how many entries there are.
    let mut by_identity = HashMap::with_capacity(old.len());
    for (key, entry) in old.iter().filter_map(|entry| Some((identity(entry)?, entry))) {
        by_identity.entry(key).or_insert(entry);
    }
    let merged = new.into_iter().map(|entry| match identity(&entry).and_then(|key| by_identity.get(&key)) {
        Some(old_entry) => put(items, view, old_entry, entry),
        None => entry,
    });
    Value::Array(merged.collect())
}

/// What tells a list's entries apart: a region or feature by its name, a data disk by its lun.
fn identity(entry: &Value) -> Option<(&'static str, String)> {
    ["name", "lun", "region", "id"].into_iter().find_map(|member| {
        let key = match entry.get(member)? {
            Value::String(text) => {
                Location::normalise(text).map_or_else(|| text.to_lowercase(), |name| name.to_string())
            }
            Value::Number(number) => number.to_string(),
            _ => return None,
        };
        Some((member, key))
    })
}

/// What stays below a property that the version knows and the caller left out. Read-only parts go with what they describe.
fn inexpressible(kind: &Kind, view: View, stored: &Value) -> Option<Value> {
    let (Kind::Object { .. }, Value::Object(members)) = (kind, stored) else { return None };
    let mut rest = Map::new();
    for (name, value) in members {
        let kept = match kind.property(name) {
            Some((_, property)) if property.read_only.contains(view.writes) => None,
            Some((_, property)) if property.is_in(view.writes) => inexpressible(&property.kind, view, value),
            _ => Some(value.clone()),
        };
        rest.extend(kept.map(|kept| (name.clone(), kept)));
    }
    (!rest.is_empty()).then_some(Value::Object(rest))
}

/// Objects property by property, everything else whole.
pub(super) fn patch(kind: &Kind, stored: &Value, incoming: Value) -> Value {
    let (Kind::Object { .. }, Value::Object(old), Value::Object(new)) = (kind, stored, &incoming) else {
        return incoming;
    };
    let mut merged = old.clone();
    for (name, value) in new {
        let patched = match (kind.property(name), old.get(name)) {
            (Some((_, property)), Some(old_value)) => patch(&property.kind, old_value, value.clone()),
            _ => value.clone(),
        };
        merged.insert(name.clone(), patched);
    }
    Value::Object(merged)
}
