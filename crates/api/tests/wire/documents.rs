//! Documents: defaults, echoes, older api-versions.

use galerie_testkit::Gallery;
use serde_json::json;

const GROUP: &str = "{s}/resourceGroups/rg/providers/Microsoft.Compute";

#[tokio::test]
async fn properties_are_echoed_as_sent_and_nulls_are_absent() {
    let gallery = Gallery::start().await;
    gallery.make_group("rg", "eastus").await;
    let path = format!("{GROUP}/galleries/g?api-version=2024-03-03");
    let body = json!({
        "location": "East US",
        "tags": {},
        "identity": null,
        "properties": {
            "description": "",
            "provisioningState": "Failed",
            "sharingProfile": { "permissions": "private" },
            "softDeletePolicy": {}
        }
    });
    gallery.succeeded(&gallery.put(&path, body).await).await;
    let found = gallery.get(&path).await.expect(200).json();
    let properties = &found["properties"];
    assert_eq!((&found["location"], &found["tags"]), (&json!("eastus"), &json!({})));
    assert_eq!(found.get("identity"), None);
    assert_eq!(properties["description"], "");
    assert_eq!(properties["provisioningState"], "Succeeded");
    assert_eq!(properties["sharingProfile"]["permissions"], "Private");
    assert_eq!(properties["softDeletePolicy"], json!({}));
    let unique = format!("{}-G", gallery.subscription);
    assert_eq!(properties["identifier"]["uniqueName"], unique);
}

#[tokio::test]
async fn a_write_through_an_older_version_keeps_what_it_cannot_say() {
    let gallery = Gallery::start().await;
    gallery.make_group("rg", "eastus").await;
    let newer = format!("{GROUP}/galleries/g?api-version=2024-03-03");
    let older = format!("{GROUP}/galleries/g?api-version=2019-07-01");
    let body = json!({ "location": "eastus", "properties": { "softDeletePolicy": { "isSoftDeleteEnabled": true } } });
    gallery.succeeded(&gallery.put(&newer, body).await).await;
    let seen = gallery.get(&older).await.json();
    assert_eq!(seen["properties"].get("softDeletePolicy"), None, "{seen}");
    let body = json!({ "location": "eastus", "properties": { "description": "d" } });
    gallery.succeeded(&gallery.put(&older, body).await).await;
    let found = gallery.get(&newer).await.json();
    assert_eq!(found["properties"]["softDeletePolicy"]["isSoftDeleteEnabled"], true, "{found}");
    assert_eq!(found["properties"]["description"], "d");
}

#[tokio::test]
async fn a_managed_image_has_its_defaults() {
    let gallery = Gallery::start().await;
    gallery.make_group("rg", "eastus").await;
    let disk =
        json!({ "location": "eastus", "properties": { "creationData": { "createOption": "Empty" }, "diskSizeGB": 1 } });
    let accepted = gallery.put(&format!("{GROUP}/disks/d?api-version=2025-01-02"), disk).await;
    gallery.succeeded(&accepted).await;
    let source = accepted.json()["id"].clone();
    let image = json!({
        "location": "eastus",
        "properties": {
            "storageProfile": { "osDisk": { "osType": "linux", "osState": "generalized", "managedDisk": { "id": source } } }
        }
    });
    let path = format!("{GROUP}/images/m?api-version=2024-07-01");
    gallery.succeeded(&gallery.put(&path, image).await).await;
    let profile = gallery.get(&path).await.json()["properties"]["storageProfile"].clone();
    assert_eq!(profile["dataDisks"], json!([]), "{profile}");
    let os = &profile["osDisk"];
    assert_eq!(
        (&os["osType"], &os["caching"], &os["osState"]),
        (&json!("Linux"), &json!("None"), &json!("Generalized")),
        "{os}"
    );
    assert!(os["storageAccountType"].is_string(), "{os}");
}

#[tokio::test]
async fn immutable_properties_and_names_are_refused_in_azures_words() {
    let gallery = Gallery::start().await;
    gallery.make_group("rg", "eastus").await;
    let definition = gallery.make_definition("rg", "g", "i", "eastus").await;
    let body = json!({
        "location": "eastus",
        "properties": {
            "osType": "Windows", "osState": "Generalized", "hyperVGeneration": "V2",
            "identifier": { "publisher": "galerie", "offer": "i", "sku": "test" }
        }
    });
    let refused = gallery.put(&format!("{definition}?api-version=2024-03-03"), body).await.expect(409);
    assert_eq!(refused.code(), "PropertyChangeNotAllowed");
    assert_eq!(refused.json()["error"]["target"], "galleryImage.properties.osType");
    let dashed = gallery
        .put(&format!("{GROUP}/galleries/my-gallery?api-version=2024-03-03"), json!({ "location": "eastus" }))
        .await;
    assert_eq!(dashed.status, 400, "{dashed}");
    gallery.make_group("rg2", "eastus").await;
    let twice = "{s}/resourceGroups/rg2/providers/Microsoft.Compute/galleries/G?api-version=2024-03-03";
    assert_eq!(gallery.put(twice, json!({ "location": "eastus" })).await.status, 409);
    let kept = gallery.delete(&format!("{GROUP}/galleries/g?api-version=2024-03-03")).await.expect(409);
    assert_eq!(kept.code(), "CannotDeleteResource");
    assert!(
        kept.json()["error"]["message"]
            .as_str()
            .is_some_and(|text| text.contains("Microsoft.Compute/galleries/g/images/i"))
    );
}
