//! What a response in one api-version shows of a document.

use serde_json::{Map, Value};

use super::View;
use super::table::Kind;

pub(super) fn project(root: &Kind, view: View, mut document: Value) -> Value {
    let etag = document.get_mut("etag").map(Value::take);
    let mut shown = show(root, view, document);
    if let (Value::Object(shown), Some(etag)) = (&mut shown, etag) {
        shown.insert("etag".to_owned(), etag);
    }
    shown
}

/// Takes the value apart and puts together what is shown of it: a page of a list holds a hundred of them.
fn show(kind: &Kind, view: View, value: Value) -> Value {
    match (kind, value) {
        (Kind::Object { .. }, Value::Object(members)) => Value::Object(show_members(kind, view, members)),
        (Kind::List(items), Value::Array(entries)) => {
            entries.into_iter().map(|entry| show(items, view, entry)).collect()
        }
        (Kind::Map(items), Value::Object(members)) => {
            members.into_iter().map(|(name, member)| (name, show(items, view, member))).collect()
        }
        (_, value) => value,
    }
}

fn show_members(kind: &Kind, view: View, members: Map<String, Value>) -> Map<String, Value> {
    let mut shown = Map::with_capacity(members.len());
    for (name, member) in members {
        match kind.property(&name) {
            Some((_, property)) if property.is_in(view.index) => {
                let was_stored_empty = is_empty_object(&member);
                let member = show(&property.kind, view, member);
                if was_stored_empty || !is_empty_object(&member) {
                    shown.insert(name, member);
                }
            }
            None if view.newer => {
                shown.insert(name, member);
            }
            _ => {}
        }
    }
    shown
}

/// An object that is empty only because this version cannot show what is in it may never have been written in this
/// version, so it is not shown; one that was stored empty is.
fn is_empty_object(value: &Value) -> bool {
    matches!(value, Value::Object(members) if members.is_empty())
}
