//! Every type in every api-version: a body with everything that the version declares is accepted and comes back, other versions
//! show what they have of it and nothing else, and a write through an older one loses nothing that it cannot say.
//!
//! That no version shows what it does not declare is asserted by the testkit, for every answer.

use galerie_testkit::Gallery;
use serde_json::Value;

use crate::described::{Described, TYPES, prepared};

#[tokio::test]
async fn whatever_a_version_declares_is_accepted_and_comes_back() {
    let gallery = prepared().await;
    let mut faults = Vec::new();
    for kind in TYPES {
        for (index, version) in kind.versions.iter().enumerate() {
            let (target, body) = (kind.target(index + 1, version), kind.body(&gallery, version, index + 1));
            let answer = gallery.put(&target, body.clone()).await;
            if answer.status >= 300 {
                faults.push(format!("PUT {target}: {answer}\n    {body}"));
                continue;
            }
            if answer.header("azure-asyncoperation").is_some() {
                gallery.succeeded(&answer).await;
            }
            // What a version shows only when it is asked for.
            let whole =
                format!("{target}{}", if kind.path.contains("/images/i/") { "&$expand=UefiSettings" } else { "" });
            let shown = gallery.get(&whole).await.expect(200).json();
            lost(&body, &shown, "", &mut |pointer| {
                faults.push(format!("{target}: {pointer} is not answered as sent: {shown}"))
            });
            for other in kind.versions {
                let _ = gallery.get(&kind.target(index + 1, other)).await.expect(200);
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[tokio::test]
async fn a_write_through_an_older_version_loses_nothing() {
    let gallery = prepared().await;
    let mut faults = Vec::new();
    for kind in TYPES.iter().filter(|kind| kind.versions.len() > 1) {
        faults.extend(written_through_older_versions(&gallery, kind).await);
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

async fn written_through_older_versions(gallery: &Gallery, kind: &Described) -> Vec<String> {
    let (newest, older) = kind.versions.split_last().expect("versions");
    let newest = kind.target(1, newest);
    let made = gallery.put(&newest, kind.body(gallery, kind.versions.last().expect("versions"), 1)).await;
    gallery.succeeded(&made).await;
    let mut faults = Vec::new();
    for version in older {
        let before = gallery.get(&newest).await.expect(200).json();
        let target = kind.target(1, version);
        // What a client does that knows this version: it reads, changes, and writes back.
        let mut body = gallery.get(&target).await.expect(200).json();
        body["tags"] = serde_json::json!({ "changed": version });
        let written = gallery.put(&target, body.clone()).await;
        if written.status >= 300 {
            faults.push(format!("PUT {target}: {written}\n    {body}"));
            continue;
        }
        gallery.succeeded(&written).await;
        let mut expected = before;
        let after = gallery.get(&newest).await.expect(200).json();
        (expected["tags"], expected["etag"]) = (body["tags"].clone(), after["etag"].clone());
        if expected != after {
            faults.push(format!("PUT {target} made\n    {expected}\nto\n    {after}"));
        }
    }
    faults
}

/// Members that were sent, and are not answered as they were, letter by letter: each text of a body is one member's only.
fn lost(sent: &Value, shown: &Value, at: &str, report: &mut impl FnMut(&str)) {
    match (sent, shown) {
        (Value::Object(sent), Value::Object(_)) => {
            for (name, value) in sent {
                let here = format!("{at}/{name}");
                match shown.get(name) {
                    Some(shown) => lost(value, shown, &here, report),
                    None => report(&here),
                }
            }
        }
        (Value::Array(sent), Value::Array(shown)) if sent.len() == shown.len() => {
            for (index, (one, other)) in sent.iter().zip(shown).enumerate() {
                lost(one, other, &format!("{at}/{index}"), report);
            }
        }
        (Value::String(sent), Value::String(shown)) if is_region(at) && folded(sent) == folded(shown) => {}
        (sent, shown) if sent == shown => {}
        _ => report(at),
    }
}

/// Whether a member names a region, which is answered by its display name.
fn is_region(at: &str) -> bool {
    let lists = ["targetRegions", "targetLocations"];
    at == "/location" || lists.iter().any(|list| at.contains(&format!("/{list}/")) && at.ends_with("/name"))
}

fn folded(text: &str) -> String {
    text.replace(' ', "").to_lowercase()
}
