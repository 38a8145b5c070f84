//! For every member of every body: a wrong type, a value out of range, an unknown value, a text that is too long. The answer is
//! 400 in ARM's form and names the member; nothing is stored.

use galerie_testkit::{
    Answer, Gallery,
    openapi::properties::{Kind, Property},
};
use serde_json::{Value, json};

use crate::described::{Described, TYPES, prepared};

/// The version in which each type is asked: the newest that Azure publishes whole, and the first of scripts.
const VERSIONS: [&str; 5] = ["2024-03-03", "2024-11-01", "2024-03-02", "2025-03-01", "2025-03-03"];
/// A number that no resource has.
const NEW: usize = 901;
/// Longer than any text of a resource.
const LONG_CHARS: usize = 100_000;

#[tokio::test]
async fn every_member_refuses_what_it_cannot_be() {
    let gallery = prepared().await;
    let (mut faults, mut asked) = (Vec::new(), 0);
    for kind in TYPES {
        let version = kind.versions.iter().find(|version| VERSIONS.contains(version)).expect("a version");
        let body = kind.body(&gallery, version, 1);
        let made = gallery.put(&kind.target(1, version), body.clone()).await;
        assert!(made.status < 300, "{}: {made}", kind.path);
        if made.header("azure-asyncoperation").is_some() {
            gallery.succeeded(&made).await;
        }
        for property in kind.properties(&gallery, version) {
            for (what, value) in wrong_values(&property) {
                asked += 1;
                faults.extend(check(&gallery, kind, version, &property, what, value).await);
            }
        }
    }
    assert!(asked > 500, "only {asked} bodies");
    assert!(faults.is_empty(), "{} of {asked}:\n{}", faults.len(), faults.join("\n"));
}

/// What a member cannot be: (which fault, the value).
fn wrong_values(property: &Property) -> Vec<(&'static str, Value)> {
    match &property.kind {
        Kind::Object | Kind::Map => vec![("a text", json!("x")), ("a list", json!(["x"])), ("a number", json!(7))],
        Kind::List => vec![("a text", json!("x")), ("an object", json!({ "x": 1 })), ("a number", json!(7))],
        Kind::Text => vec![
            ("an object", json!({ "x": 1 })),
            ("a list", json!(["x"])),
            ("too long", json!("x".repeat(LONG_CHARS))),
        ],
        Kind::Date => vec![
            ("no date", json!("soon")),
            ("a number", json!(7)),
            ("an object", json!({ "x": 1 })),
            ("too long", json!("x".repeat(LONG_CHARS))),
        ],
        Kind::Enumeration(_) => {
            vec![
                ("an unknown value", json!("Unheard")),
                ("an object", json!({ "x": 1 })),
                ("a list", json!(["x"])),
                ("too long", json!("x".repeat(LONG_CHARS))),
            ]
        }
        Kind::Integer(most) => vec![
            ("a text", json!("many")),
            ("a fraction", json!(1.5)),
            ("an object", json!({ "x": 1 })),
            ("below zero", json!(-1)),
            ("out of range", if *most == i64::MAX { json!(u64::MAX) } else { json!(most + 1) }),
        ],
        Kind::Number => vec![("a text", json!("many")), ("an object", json!({ "x": 1 }))],
        Kind::Boolean => vec![("a text", json!("perhaps")), ("a number", json!(7)), ("an object", json!({ "x": 1 }))],
        Kind::Any => Vec::new(),
    }
}

/// Sends a wrong value with the PUT of something new and with the PATCH of something there.
async fn check(
    gallery: &Gallery,
    kind: &Described,
    version: &str,
    property: &Property,
    what: &str,
    value: Value,
) -> Vec<String> {
    let mut faults = Vec::new();
    let mut fault = |method: &str, text: &str, answer: &Answer| {
        faults.push(format!(
            "{method} {} {} {what}: {text}: {}",
            kind.path,
            property.pointer,
            answer.to_string().chars().take(400).collect::<String>()
        ));
    };
    let (new, there) = (kind.target(NEW, version), kind.target(1, version));
    let mut body = kind.body(gallery, version, NEW);
    put_at(&mut body, &property.pointer, value.clone());
    let answer = gallery.put(&new, body).await;
    match told(&answer, property) {
        Ok(()) => {}
        Err(text) => fault("PUT", text, &answer),
    }
    let found = gallery.get(&new).await;
    if found.status != 404 {
        fault("PUT", "something is there now", &found);
        let deleted = gallery.delete(&new).await;
        if deleted.header("azure-asyncoperation").is_some() {
            gallery.succeeded(&deleted).await;
        } else if deleted.header("location").is_some() {
            let _ = gallery.result_of(&deleted).await;
        }
    }
    let before = gallery.get(&there).await.expect(200).json();
    let mut change = changing(&property.pointer, &kind.body(gallery, version, 1));
    put_at(&mut change, &property.pointer, value);
    let answer = gallery.patch(&there, change).await;
    match told(&answer, property) {
        Err(text) if !is_refused_as_change(&answer, property) => fault("PATCH", text, &answer),
        _ => {}
    }
    let after = gallery.get(&there).await.expect(200);
    if after.json() != before {
        fault("PATCH", "it has changed", &after);
    }
    faults
}

/// A change that is good but for what is to be put at `pointer`: lists are changed whole, so the rest of theirs is there.
fn changing(pointer: &str, body: &Value) -> Value {
    let mut change = json!({});
    if let Some((list, _)) = pointer.split_once("/0") {
        put_at(&mut change, list, body.pointer(list).cloned().unwrap_or_default());
    }
    change
}

/// Whether a refusal is 400 and names the member.
fn told(answer: &Answer, property: &Property) -> Result<(), &'static str> {
    if answer.status != 400 {
        return Err("not 400");
    }
    let error = answer.json()["error"].clone();
    let text = format!("{} {}", error["target"], error["message"]).to_lowercase();
    if text.contains(&property.name().to_lowercase()) { Ok(()) } else { Err("does not name the member") }
}

/// Whether a change was refused because the member, or what it is in, never changes, whatever it should become.
fn is_refused_as_change(answer: &Answer, property: &Property) -> bool {
    if answer.status != 409 || answer.code() != "PropertyChangeNotAllowed" {
        return false;
    }
    let target = answer.json()["error"]["target"].as_str().unwrap_or_default().to_lowercase();
    let mut names = property.pointer.split('/').filter(|name| !matches!(*name, "" | "0" | "properties"));
    names.any(|name| target.contains(&name.to_lowercase()))
}

/// Puts a value at a pointer, with the lists and objects on the way.
fn put_at(body: &mut Value, pointer: &str, value: Value) {
    let mut at = body;
    for name in pointer.split('/').skip(1) {
        if name == "0" {
            if !at.is_array() {
                *at = json!([null]);
            }
            at = &mut at[0];
        } else {
            if !at.is_object() {
                *at = json!({});
            }
            at = &mut at[name];
        }
    }
    *at = value;
}
