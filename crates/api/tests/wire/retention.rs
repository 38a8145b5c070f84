//! Retention policies and pins on the wire. Ours, not Azure's: nothing of them is in a document of Azure's.

use axum::http::Method;
use galerie_testkit::Gallery;
use serde_json::{Value, json};

const GROUP: &str = "{s}/resourceGroups/rg/providers/Microsoft.Compute";
const VERSION: &str = "api-version=2024-03-03";

/// A gallery with three versions; the path of their definition.
async fn with_versions() -> (Gallery, String) {
    let gallery = Gallery::start().await;
    gallery.make_group("rg", "eastus").await;
    let disk =
        json!({ "location": "eastus", "properties": { "creationData": { "createOption": "Empty" }, "diskSizeGB": 1 } });
    gallery.succeeded(&gallery.put(&format!("{GROUP}/disks/d?api-version=2025-01-02"), disk).await).await;
    let source = gallery.get(&format!("{GROUP}/disks/d?api-version=2025-01-02")).await.json()["id"].clone();
    let definition = gallery.make_definition("rg", "g", "web", "eastus").await;
    let body = json!({ "location": "eastus",
        "properties": { "storageProfile": { "osDiskImage": { "source": { "id": source } } } } });
    for number in 1..=3 {
        let path = format!("{definition}/versions/{number}.0.0?{VERSION}");
        gallery.succeeded(&gallery.put(&path, body.clone()).await).await;
    }
    let definition = gallery.path(&definition);
    (gallery, definition)
}

fn decisions(outcome: &Value) -> Vec<(&str, &str)> {
    let versions = outcome["versions"].as_array().expect("versions").iter();
    versions.map(|found| (text(found, "version"), text(found, "reason"))).collect()
}

fn text<'a>(document: &'a Value, name: &str) -> &'a str {
    document[name].as_str().expect("a text")
}

#[tokio::test]
async fn a_policy_is_set_tried_run_and_removed() {
    let (gallery, definition) = with_versions().await;
    let policy = format!("/galerie/retention{definition}");
    assert_eq!(gallery.get(&policy).await.expect(404).json()["error"]["code"], "NotFound");
    assert_eq!(gallery.post(&policy, None).await.status, 404, "there is nothing to run");
    let set = gallery.put(&policy, json!({ "keep": 2 })).await.expect(200).json();
    assert_eq!((&set["keep"], &set["olderThanDays"], &set["automatic"]), (&json!(2), &json!(0), &json!(false)));
    assert_eq!(gallery.get(&policy).await.expect(200).json(), set);
    let shown = gallery.get(&format!("{definition}?{VERSION}")).await.expect(200).json();
    assert!(!shown.to_string().to_lowercase().contains("retention"), "{shown}");
    let dry = gallery.post(&format!("{policy}?dryRun=true"), None).await.expect(200).json();
    let expected = [("3.0.0", "AmongTheLast"), ("2.0.0", "AmongTheLast"), ("1.0.0", "Superseded")];
    assert_eq!(decisions(&dry), expected);
    assert_eq!((&dry["dryRun"], &dry["versions"][2]["deleted"]), (&json!(true), &Value::Null));
    let tried = gallery.post(&format!("{policy}?dryRun=true&keep=1&olderThanDays=1"), None).await.expect(200).json();
    assert_eq!(decisions(&tried)[1], ("2.0.0", "Young"));
    let run = gallery.post(&policy, None).await.expect(200).json();
    assert_eq!((decisions(&run), &run["versions"][2]["deleted"]), (expected.to_vec(), &json!(true)));
    let _ = gallery.get(&format!("{definition}/versions/1.0.0?{VERSION}")).await.expect(404);
    let _ = gallery.delete(&policy).await.expect(204);
    let _ = gallery.delete(&policy).await.expect(204);
    let _ = gallery.get(&policy).await.expect(404);
}

#[tokio::test]
async fn a_pin_is_set_and_taken() {
    let (gallery, definition) = with_versions().await;
    let pin = format!("/galerie/retention{definition}/versions/1.0.0");
    assert_eq!(gallery.get(&pin).await.expect(200).json()["pinned"], false);
    for _ in 0..2 {
        assert_eq!(gallery.put(&pin, json!({})).await.expect(200).json()["pinned"], true);
    }
    let policy = format!("/galerie/retention{definition}");
    let dry = gallery.post(&format!("{policy}?dryRun=true&keep=1"), None).await.expect(200).json();
    assert_eq!(decisions(&dry)[2], ("1.0.0", "Pinned"));
    assert_eq!(gallery.delete(&pin).await.expect(200).json()["pinned"], false);
    let _ = gallery.put(&pin.replace("1.0.0", "9.9.9"), json!({})).await.expect(404);
}

#[tokio::test]
async fn what_is_wrong_is_named() {
    let (gallery, definition) = with_versions().await;
    let policy = format!("/galerie/retention{definition}");
    for (body, target) in [
        (json!({}), "keep"),
        (json!({ "keep": 0 }), "keep"),
        (json!({ "keep": 1, "olderThanDays": 1e9 }), "olderThanDays"),
        (json!({ "keep": 1, "kept": 1 }), "kept"),
    ] {
        let error = gallery.put(&policy, body.clone()).await.expect(400).json();
        assert!(error["error"].to_string().contains(target), "{body}: {error}");
    }
    for query in ["dryRun=perhaps", "dryRun=true&keep=x", "dryRun=true&keep=0", "dryRun=true&olderThanDays=1"] {
        let _ = gallery.post(&format!("{policy}?{query}"), None).await.expect(400);
    }
    let _ = gallery.put(&policy.replace("/web", "/nothing"), json!({ "keep": 1 })).await.expect(404);
    let _ = gallery.call(Method::PATCH, &policy, None).await.expect(405);
}
