//! The whole way: a disk is uploaded, becomes a version, is replicated, becomes disks elsewhere; the bytes are equal.

use axum::http::Method;
use bytes::Bytes;
use galerie_testkit::Gallery;
use serde_json::{Value, json};

const GROUP: &str = "{s}/resourceGroups/rg/providers/Microsoft.Compute";
const MIB: usize = 1 << 20;
/// The smallest disk that Azure takes.
const DISK_BYTES: usize = 20 * MIB;

/// Bytes that do not repeat, and a hole.
fn disk(seed: u8) -> Vec<u8> {
    let mut state = u32::from(seed) + 1;
    let mut bytes: Vec<u8> = (0..DISK_BYTES)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        })
        .collect();
    bytes[5 * MIB..9 * MIB].fill(0);
    bytes
}

fn version(source: &Value, regions: &[&str]) -> Value {
    let regions: Vec<Value> = regions.iter().map(|region| json!({ "name": region })).collect();
    json!({
        "location": "eastus",
        "properties": {
            "publishingProfile": { "targetRegions": regions },
            "storageProfile": { "osDiskImage": { "source": { "id": source } } }
        }
    })
}

async fn file_of(gallery: &Gallery, disk: &str) -> Bytes {
    let sas = gallery.grant(disk, "Read").await;
    let file = gallery.blob(Method::GET, &sas, "", &[], Bytes::new()).await.expect(200).body;
    gallery.end_access(disk).await;
    file
}

#[tokio::test]
async fn a_version_is_the_same_in_every_region() {
    let gallery = Gallery::start().await;
    gallery.make_group("rg", "eastus").await;
    let bytes = disk(1);
    gallery.upload_disk(&format!("{GROUP}/disks/source"), "eastus", &bytes).await;
    let source = gallery.get(&format!("{GROUP}/disks/source?api-version=2025-01-02")).await.json()["id"].clone();
    let definition = gallery.make_definition("rg", "g", "web", "eastus").await;
    let path = format!("{definition}/versions/1.0.0?api-version=2024-03-03");
    let body = version(&source, &["East US", "westeurope"]);
    let accepted = gallery.put(&path, body.clone()).await.expect(201);
    assert_eq!((accepted.header("location"), accepted.header("retry-after")), (None, Some("1")));
    gallery.succeeded(&accepted).await;
    let again = gallery.put(&path, body).await.expect(200);
    gallery.succeeded(&again).await;

    let shown = gallery.get(&format!("{path}&$expand=ReplicationStatus")).await.expect(200).json();
    let profile = &shown["properties"]["publishingProfile"];
    assert!(profile["publishedDate"].is_string(), "{profile}");
    assert_eq!(profile["targetRegions"][1]["name"], "West Europe");
    for region in profile["targetRegions"].as_array().expect("regions") {
        assert_eq!(
            (&region["regionalReplicaCount"], &region["storageAccountType"]),
            (&json!(1), &json!("Standard_LRS"))
        );
    }
    let status = &shown["properties"]["replicationStatus"];
    assert_eq!(
        (&status["aggregatedState"], status["summary"].as_array().map(Vec::len)),
        (&json!("Completed"), Some(2))
    );

    let home = file_of(&gallery, &format!("{GROUP}/disks/source")).await;
    assert!(home[..DISK_BYTES] == bytes, "the guest's bytes at home");
    let image = json!({
        "location": "westeurope",
        "properties": {
            "creationData": {
                "createOption": "FromImage",
                "galleryImageReference": { "id": shown["id"] }
            }
        }
    });
    let copy = format!("{GROUP}/disks/copy");
    gallery.succeeded(&gallery.put(&format!("{copy}?api-version=2025-01-02"), image.clone()).await).await;
    assert!(file_of(&gallery, &copy).await == home, "the same file to the last byte");
    let mut elsewhere = image;
    elsewhere["location"] = json!("westus");
    let refused = gallery.put(&format!("{GROUP}/disks/nowhere?api-version=2025-01-02"), elsewhere).await;
    assert_eq!((refused.status, refused.code().as_str()), (404, "GalleryImageNotFound"));
}

#[tokio::test]
async fn an_empty_storage_profile_keeps_the_source_and_regions_change() {
    let gallery = Gallery::start().await;
    gallery.make_group("rg", "eastus").await;
    gallery.upload_disk(&format!("{GROUP}/disks/source"), "eastus", &disk(2)).await;
    let source = gallery.get(&format!("{GROUP}/disks/source?api-version=2025-01-02")).await.json()["id"].clone();
    let definition = gallery.make_definition("rg", "g", "web", "eastus").await;
    let path = format!("{definition}/versions/1.0.0?api-version=2024-03-03");
    gallery.succeeded(&gallery.put(&path, version(&source, &["eastus"])).await).await;
    let mut update = version(&source, &["eastus", "West US"]);
    update["properties"]["storageProfile"] = json!({});
    gallery.succeeded(&gallery.put(&path, update).await.expect(200)).await;
    let shown = gallery.get(&path).await.json();
    assert_eq!(shown["properties"]["storageProfile"]["osDiskImage"]["source"]["id"], source, "{shown}");
    assert_eq!(shown["properties"]["publishingProfile"]["targetRegions"][1]["name"], "West US");
}

#[tokio::test]
async fn bad_versions_are_refused_with_reasons() {
    let gallery = Gallery::start().await;
    gallery.make_group("rg", "eastus").await;
    gallery.upload_disk(&format!("{GROUP}/disks/source"), "eastus", &disk(3)).await;
    let source = gallery.get(&format!("{GROUP}/disks/source?api-version=2025-01-02")).await.json()["id"].clone();
    let missing = json!(source.as_str().expect("an id").replace("disks/source", "disks/missing"));
    let definition = gallery.make_definition("rg", "g", "web", "eastus").await;
    for (name, source, regions, status) in [
        ("1.0", &source, vec!["eastus"], 400),
        ("1.0.0", &source, vec!["westus"], 400),
        ("1.0.0", &source, vec!["eastus", "East US"], 400),
        ("1.0.0", &source, vec!["eastus", "atlantis"], 400),
        ("1.0.0", &missing, vec!["eastus"], 404),
    ] {
        let path = format!("{definition}/versions/{name}?api-version=2024-03-03");
        let refused = gallery.put(&path, version(source, &regions)).await;
        assert_eq!(refused.status, status, "{name} {regions:?}: {refused}");
        assert!(refused.json()["error"]["message"].as_str().is_some_and(|text| !text.is_empty()));
        assert_eq!(gallery.get(&path).await.status, 404);
    }
}
