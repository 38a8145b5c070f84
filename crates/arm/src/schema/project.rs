//! What a response in one api-version shows of a document.

use serde_json::{Map, Value};

use super::View;
use super::table::Kind;

pub(super) fn project(root: &Kind, view: View, document: &Value) -> Value {
    let mut shown = show(root, view, document);
    if let (Value::Object(shown), Some(etag)) = (&mut shown, document.get("etag")) {
        shown.insert("etag".to_owned(), etag.clone());
    }
    shown
}

fn show(kind: &Kind, view: View, value: &Value) -> Value {
    match (kind, value) {
        (Kind::Object { .. }, Value::Object(members)) => Value::Object(show_members(kind, view, members)),
        (Kind::List(items), Value::Array(entries)) => entries.iter().map(|entry| show(items, view, entry)).collect(),
        (Kind::Map(items), Value::Object(members)) => {
            members.iter().map(|(name, member)| (name.clone(), show(items, view, member))).collect()
        }
        _ => value.clone(),
    }
}

fn show_members(kind: &Kind, view: View, members: &Map<String, Value>) -> Map<String, Value> {
    let mut shown = Map::with_capacity(members.len());
    for (name, member) in members {
        match kind.property(name) {
            Some((_, property)) if property.is_in(view.index) => {
                let shown_member = show(&property.kind, view, member);
                if !is_emptied(member, &shown_member) {
                    shown.insert(name.clone(), shown_member);
                }
            }
            None if view.newer => {
                shown.insert(name.clone(), member.clone());
            }
            _ => {}
        }
    }
    shown
}

/// Whether an object is empty only because this version cannot show what is in it. Such an object may never have been written
/// in this version, so it is not shown; one that was stored empty is.
fn is_emptied(stored: &Value, shown: &Value) -> bool {
    matches!((stored, shown), (Value::Object(stored), Value::Object(shown)) if shown.is_empty() && !stored.is_empty())
}
