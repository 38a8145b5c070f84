//! For every member of every body: a null is as if it was left out, as the real service's reader of JSON takes it, or it is refused
//! and named. It is never stored, and never an accident.

use galerie_testkit::{Answer, Gallery, openapi::properties::Property};
use serde_json::Value;

use crate::described::{Described, TYPES, prepared};

/// The first of many numbers that no resource has. A version that was deleted may be there still, and is to be restored by its name.
const NEW: usize = 50_000;
/// What differs between two resources that were made alike.
const OWN: [&str; 9] = [
    "etag",
    "id",
    "name",
    "publishedDate",
    "timeCreated",
    "uniqueId",
    "uniqueName",
    "communityGalleryInfo",
    "principalId",
];

#[tokio::test]
async fn a_null_is_as_if_it_was_left_out() {
    let gallery = prepared().await;
    let (mut faults, mut asked) = (Vec::new(), 0);
    for kind in TYPES {
        let version = kind.versions.last().expect("a version");
        // What must be there is `bad_input`'s.
        for property in kind.properties(&gallery, version).into_iter().filter(|property| !property.required) {
            asked += 1;
            if let Err(fault) = check(&gallery, kind, version, &property, NEW + 2 * asked).await {
                faults.push(format!("{} {} {version}: {fault}", kind.path, property.pointer));
            }
        }
    }
    assert!(asked > 150, "only {asked} members");
    assert!(faults.is_empty(), "{} of {asked}:\n{}", faults.len(), faults.join("\n"));
}

/// In a change, a null leaves what is there as it is, or it is refused and named.
#[tokio::test]
async fn a_null_in_a_change_changes_nothing() {
    let gallery = prepared().await;
    let (mut faults, mut asked, mut accepted) = (Vec::new(), 0, 0);
    for (place, kind) in TYPES.iter().enumerate() {
        let version = kind.versions.last().expect("a version");
        let (n, found) = (NEW - 1 - place, async |target: &str| {
            let mut found = gallery.get(target).await.expect(200).json();
            strip(&mut found);
            found
        });
        let target = kind.target(n, version);
        let made = gallery.put(&target, kind.body(&gallery, version, n)).await;
        assert!(made.status < 300, "{target}: {made}");
        settle(&gallery, &made).await;
        let before = found(&target).await;
        for property in kind.properties(&gallery, version) {
            let Some(body) = null_at(&property.pointer) else { continue };
            asked += 1;
            let answer = gallery.patch(&target, body).await;
            if answer.status < 300 {
                accepted += 1;
                settle(&gallery, &answer).await;
            } else if answer.status != 400 || !names(&answer, &property) {
                faults.push(format!("{} {}: {answer}", kind.path, property.pointer));
            }
            let after = found(&target).await;
            if after != before {
                faults.push(format!("{} {} changed\n{before}\nto\n{after}", kind.path, property.pointer));
                break;
            }
        }
    }
    assert!(asked > 150 && accepted > 100, "{accepted} accepted of {asked} members");
    assert!(faults.is_empty(), "{} of {asked}:\n{}", faults.len(), faults.join("\n"));
}

/// A change that says nothing but that; `None` for what is in a list, which is changed whole.
fn null_at(pointer: &str) -> Option<Value> {
    pointer.split('/').skip(1).collect::<Vec<_>>().into_iter().rev().try_fold(Value::Null, |inner, name| {
        let is_place = name.bytes().all(|byte| byte.is_ascii_digit());
        (!is_place).then(|| Value::from_iter([(name.to_owned(), inner)]))
    })
}

async fn settle(gallery: &Gallery, answer: &Answer) {
    if answer.header("azure-asyncoperation").is_some() {
        gallery.succeeded(answer).await;
    }
}

async fn check(
    gallery: &Gallery,
    kind: &Described,
    version: &str,
    property: &Property,
    n: usize,
) -> Result<(), String> {
    let mut with_null = kind.body(gallery, version, n);
    *with_null.pointer_mut(&property.pointer).expect("a good body has it") = Value::Null;
    let mut without = kind.body(gallery, version, n + 1);
    remove(&mut without, &property.pointer);
    let null = made(gallery, kind, version, n, with_null).await;
    let absent = made(gallery, kind, version, n + 1, without).await;
    let brief = |answer: &Answer| answer.to_string().chars().take(300).collect::<String>();
    match (null, absent) {
        (Ok(null), Ok(absent)) if null == absent => Ok(()),
        (Ok(null), Ok(absent)) => Err(format!("with null\n{null}\nwithout\n{absent}")),
        (Err(null), Err(absent)) if null.status == 400 && null.code() == absent.code() => Ok(()),
        (Err(null), _) if null.status == 400 && names(&null, property) => Ok(()),
        (Err(null), absent) => Err(format!("refused: {}; without: {:?}", brief(&null), absent.map_err(|a| brief(&a)))),
        (Ok(_), Err(absent)) => Err(format!("accepted, and refused when it is left out: {}", brief(&absent))),
    }
}

fn names(answer: &Answer, property: &Property) -> bool {
    let error = answer.json()["error"].clone();
    format!("{} {}", error["target"], error["message"]).to_lowercase().contains(&property.name().to_lowercase())
}

/// What a resource is that is made and goes again, without what is its own; or the refusal.
async fn made(gallery: &Gallery, kind: &Described, version: &str, n: usize, body: Value) -> Result<Value, Answer> {
    let target = kind.target(n, version);
    let made = gallery.put(&target, body).await;
    if made.status >= 300 {
        return Err(made);
    }
    settle(gallery, &made).await;
    let mut found = gallery.get(&target).await.expect(200).json();
    let deleted = gallery.delete(&target).await;
    if deleted.header("azure-asyncoperation").is_some() {
        gallery.succeeded(&deleted).await;
    } else if deleted.header("location").is_some() {
        let _ = gallery.result_of(&deleted).await;
    }
    strip(&mut found);
    Ok(unnumbered(gallery, &found, n))
}

/// The same with `n` where names and texts have the number. Random identifiers go first: the number's digits may stand in them.
fn unnumbered(gallery: &Gallery, found: &Value, n: usize) -> Value {
    let text = [gallery.subscription, gallery.tenant]
        .iter()
        .fold(found.to_string(), |text, random| text.replace(&random.to_string(), "random"))
        .replace(&n.to_string(), "n");
    serde_json::from_str(&text).expect("JSON")
}

fn strip(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|name, _| !OWN.contains(&name.as_str()));
            members.values_mut().for_each(strip);
        }
        Value::Array(entries) => entries.iter_mut().for_each(strip),
        _ => {}
    }
}

fn remove(body: &mut Value, pointer: &str) {
    let (above, name) = pointer.rsplit_once('/').expect("a pointer");
    match body.pointer_mut(above) {
        Some(Value::Object(members)) => drop(members.remove(name)),
        Some(Value::Array(entries)) => entries.clear(),
        _ => panic!("a good body has {pointer}"),
    }
}
