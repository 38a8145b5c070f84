//! Soft deletion on the wire: the list, what each api-version shows of it, and what is refused.

use galerie_testkit::Gallery;
use serde_json::json;

const GROUP: &str = "{s}/resourceGroups/rg/providers/Microsoft.Compute";
const NEWEST: &str = "api-version=2026-03-03";

/// A gallery that keeps what is deleted, and a deleted version in it.
async fn with_a_deleted_version() -> (Gallery, String) {
    let gallery = Gallery::start().await;
    gallery.make_group("rg", "eastus").await;
    let disk =
        json!({ "location": "eastus", "properties": { "creationData": { "createOption": "Empty" }, "diskSizeGB": 1 } });
    gallery.succeeded(&gallery.put(&format!("{GROUP}/disks/d?api-version=2025-01-02"), disk).await).await;
    let source = gallery.get(&format!("{GROUP}/disks/d?api-version=2025-01-02")).await.json()["id"].clone();
    let definition = gallery.make_definition("rg", "g", "web", "eastus").await;
    let policy =
        json!({ "properties": { "softDeletePolicy": { "isSoftDeleteEnabled": true, "gracePeriodInDays": 3 } } });
    gallery.succeeded(&gallery.patch(&format!("{GROUP}/galleries/g?{NEWEST}"), policy).await.expect(200)).await;
    let body = json!({ "location": "eastus",
        "properties": { "storageProfile": { "osDiskImage": { "source": { "id": source } } } } });
    let version = format!("{definition}/versions/1.0.0");
    gallery.succeeded(&gallery.put(&format!("{version}?api-version=2024-03-03"), body).await).await;
    gallery.succeeded(&gallery.delete(&format!("{version}?api-version=2024-03-03")).await.expect(202)).await;
    (gallery, version)
}

fn list(artifact_type: &str, query: &str) -> String {
    format!("{GROUP}/galleries/g/softDeletedArtifactTypes/{artifact_type}/artifacts/web/versions?{query}")
}

#[tokio::test]
async fn the_list_is_shown_as_each_version_has_it() {
    let (gallery, version) = with_a_deleted_version().await;
    for (artifact_type, query, has_times) in [
        ("Images", "api-version=2024-03-03", false),
        ("images", NEWEST, true),
        ("IMAGES", "api-version=2025-03-03", false),
    ] {
        let found = gallery.get(&list(artifact_type, query)).await.expect(200).json();
        let [item] = &found["value"].as_array().expect("a list")[..] else { panic!("{found}") };
        assert_eq!((&item["name"], &item["location"]), (&json!("1.0.0"), &json!("eastus")));
        assert_eq!(item["type"], "Microsoft.Compute/galleries/softDeletedArtifactTypes/artifacts/versions");
        let id = item["id"].as_str().expect("an id");
        assert!(id.ends_with("/galleries/g/softDeletedArtifactTypes/Images/artifacts/web/versions/1.0.0"), "{id}");
        let properties = &item["properties"];
        let arm_id = properties["resourceArmId"].as_str().expect("the version's id");
        assert!(arm_id.ends_with(version.rsplit_once("/galleries/").expect("a gallery").1), "{arm_id}");
        assert_eq!(properties["softDeletedArtifactType"], "Images");
        assert_eq!(properties["consumptionEndTime"].is_string(), has_times, "{query}");
        assert_eq!(properties["hardDeletionTargetTime"].is_string(), has_times, "{query}");
    }
}

#[tokio::test]
async fn it_is_nowhere_else() {
    let (gallery, version) = with_a_deleted_version().await;
    let (definition, _) = version.rsplit_once("/versions/").expect("a version");
    assert_eq!(
        gallery.get(&format!("{version}?{NEWEST}")).await.expect(404).json()["error"]["code"],
        "ResourceNotFound"
    );
    let versions = gallery.get(&format!("{definition}/versions?{NEWEST}")).await.expect(200).json();
    assert_eq!(versions["value"], json!([]));
    for scope in ["{s}", "{s}/resourceGroups/rg"] {
        let all = gallery.get(&format!("{scope}/resources?api-version=2024-11-01")).await.expect(200).json();
        assert!(!all.to_string().contains("/versions/"), "{all}");
    }
    let refused = gallery.delete(&format!("{definition}?{NEWEST}")).await.expect(409).json();
    assert_eq!(refused["error"]["code"], "CannotDeleteResource");
}

#[tokio::test]
async fn what_is_wrong_is_named() {
    let (gallery, version) = with_a_deleted_version().await;
    let error = gallery.get(&list("Applications", NEWEST)).await.expect(400).json();
    assert_eq!(error["error"]["target"], "artifactType", "{error}");
    let nothing = list("Images", NEWEST).replace("/web/", "/nothing/");
    assert_eq!(gallery.get(&nothing).await.expect(404).json()["error"]["code"], "ParentResourceNotFound");
    let maybe = gallery.delete(&format!("{version}?{NEWEST}&bypassSoftDelete=maybe")).await.expect(400).json();
    assert!(maybe["error"]["message"].as_str().expect("a message").contains("bypassSoftDelete"), "{maybe}");
    let days = json!({ "properties": { "softDeletePolicy": { "retentionPeriodInDays": 1000 } } });
    let error = gallery.patch(&format!("{GROUP}/galleries/g?{NEWEST}"), days).await.expect(400).json();
    assert_eq!(error["error"]["target"], "gallery.properties.softDeletePolicy.retentionPeriodInDays", "{error}");
}

#[tokio::test]
async fn only_a_version_that_has_it_bypasses() {
    let (gallery, version) = with_a_deleted_version().await;
    let again = gallery.delete(&format!("{version}?api-version=2024-03-03&bypassSoftDelete=true")).await;
    assert_eq!(again.status, 204);
    assert_eq!(gallery.get(&list("Images", NEWEST)).await.json()["value"].as_array().map(Vec::len), Some(1));
    gallery.succeeded(&gallery.delete(&format!("{version}?{NEWEST}&bypassSoftDelete=True")).await.expect(202)).await;
    assert_eq!(gallery.get(&list("Images", NEWEST)).await.json()["value"], json!([]));
}
