//! Resource groups.

use axum::http::Method;
use galerie_testkit::Gallery;
use serde_json::json;

const GROUP: &str = "{s}/resourcegroups/rg?api-version=2024-11-01";

#[tokio::test]
async fn groups_are_made_changed_and_asked_for() {
    let gallery = Gallery::start().await;
    assert_eq!(gallery.call(Method::HEAD, GROUP, None).await.status, 404);
    let created = gallery.put(GROUP, json!({ "location": "East US", "tags": { "a": "1" } })).await.expect(201);
    assert_eq!(created.json()["properties"]["provisioningState"], "Succeeded");
    assert_eq!(created.json()["location"], "eastus");
    assert_eq!(created.json()["type"], "Microsoft.Resources/resourceGroups");
    assert_eq!(gallery.put(GROUP, json!({ "location": "eastus" })).await.status, 200);
    let head = gallery.call(Method::HEAD, GROUP, None).await;
    assert!(head.status == 204 && head.body.is_empty());
    let patched = gallery.patch(GROUP, json!({ "tags": { "b": "2" } })).await.expect(200);
    assert_eq!(patched.json()["tags"], json!({ "b": "2" }));
    let moved = gallery.put(GROUP, json!({ "location": "westus" })).await;
    assert_eq!((moved.status, moved.code().as_str()), (409, "InvalidResourceGroupLocation"));
    let unknown = gallery.put("{s}/resourcegroups/x?api-version=2024-11-01", json!({ "location": "mars" })).await;
    assert_eq!(unknown.status, 400, "{unknown}");
    let listed = gallery.get("{s}/resourcegroups?api-version=2024-11-01").await.expect(200).json();
    assert_eq!(listed["value"].as_array().map(Vec::len), Some(1));
}

/// Regression: groups had members of their own, whatever the api-version; see `galerie_control::resource_group`.
#[tokio::test]
async fn undeclared_members_are_refused_unless_the_version_is_newer_than_our_data() {
    let gallery = Gallery::start().await;
    for body in [
        json!({ "location": "eastus", "surprise": 1 }),
        json!({ "location": "eastus", "properties": { "surprise": 1 } }),
    ] {
        let refused = gallery.put(GROUP, body.clone()).await.expect(400);
        assert_eq!(refused.code(), "InvalidRequestContent");
        let message = refused.json()["error"]["message"].as_str().unwrap_or_default().to_owned();
        assert!(message.contains("Could not find member 'surprise' on object of type "), "{message}");
    }
    let newer = GROUP.replace("2024-11-01", "2035-01-01");
    let body = json!({ "location": "eastus", "properties": { "surprise": 1 } });
    assert_eq!(gallery.put(&newer, body).await.expect(201).json()["properties"]["surprise"], 1);
    let _ = gallery.patch(GROUP, json!({ "tags": { "a": "b" } })).await.expect(200);
    assert_eq!(gallery.get(&newer).await.json()["properties"]["surprise"], 1);
    assert!(gallery.get(GROUP).await.json()["properties"].get("surprise").is_none());
    let listed = gallery.get("{s}/resourcegroups?api-version=2035-01-01").await.json();
    assert_eq!(listed["value"][0]["properties"]["surprise"], 1);
}

#[tokio::test]
async fn deletion_cascades_and_answers_a_location_only() {
    let gallery = Gallery::start().await;
    gallery.make_group("rg", "eastus").await;
    gallery.make_definition("rg", "g", "i", "eastus").await;
    let deleted = gallery.delete(GROUP).await.expect(202);
    assert_eq!(deleted.header("azure-asyncoperation"), None);
    assert_eq!(deleted.header("retry-after"), Some("1"));
    let result = gallery.result_of(&deleted).await;
    assert!(matches!(result.status, 200 | 204) && result.body.is_empty(), "{result}");
    assert_eq!(gallery.get(GROUP).await.code(), "ResourceGroupNotFound");
    assert_eq!(gallery.delete(GROUP).await.status, 404);
    gallery.make_group("rg", "westus").await;
    let path = "{s}/resourceGroups/rg/providers/Microsoft.Compute/galleries/g?api-version=2024-03-03";
    assert_eq!(gallery.get(path).await.code(), "ResourceNotFound");
}
