//! Image versions: replication, `latest`, changes of target regions, deletion under way.

use galerie_arm::VersionReference;
use serde_json::json;

use crate::support::{Gallery, disk_bytes, version_body, vhd};

const ONE: &str = "galleries/g/images/web/versions/1.0.0";

/// A definition, and a disk to make versions of.
async fn prepared() -> Gallery {
    let gallery = Gallery::start().await;
    gallery.upload("source", &vhd(1).await).await;
    gallery.define("g", "web").await;
    gallery
}

#[tokio::test]
async fn a_version_is_copied_and_the_same_everywhere() {
    let gallery = prepared().await;
    let body = version_body(&gallery.compute("disks/source"), &["eastus", "West Europe"]);
    let accepted = gallery.put(ONE, body.clone()).await.unwrap();
    assert!(accepted.created);
    gallery.finish(&accepted.operation).await.unwrap();
    let version = gallery.get(ONE).await;
    assert_eq!(version["properties"]["provisioningState"], "Succeeded");
    assert_eq!(
        version["properties"]["replicationStatus"],
        json!({ "aggregatedState": "Completed", "summary": [
        { "region": "East US", "state": "Completed", "details": "", "progress": 100 },
        { "region": "West Europe", "state": "Completed", "details": "", "progress": 100 } ] })
    );
    gallery.delete("disks/source").await.unwrap();

    let from_image = |location: &str| {
        json!({ "location": location, "properties": { "creationData": { "createOption": "FromImage",
            "galleryImageReference": { "id": gallery.compute(ONE).as_str() } } } })
    };
    gallery.make("disks/home", from_image("eastus")).await;
    let disk = gallery.make("disks/away", from_image("westeurope")).await;
    assert_eq!(disk["properties"]["osType"], "Linux");
    let (home, away) = (gallery.download("disks/home").await, gallery.download("disks/away").await);
    assert!(home == away && home[..20 << 20] == disk_bytes(1)[..]);
    let error = gallery.put("disks/nowhere", from_image("westus")).await.unwrap_err();
    assert_eq!((error.status, error.code.as_ref()), (404, "GalleryImageNotFound"));
}

#[tokio::test]
async fn a_version_of_a_version_of_another_gallery() {
    let gallery = prepared().await;
    gallery.make(ONE, version_body(&gallery.compute("disks/source"), &["eastus"])).await;
    gallery.define("h", "web").await;
    let body = json!({ "location": "eastus", "properties": {
        "storageProfile": { "source": { "id": gallery.compute(ONE).as_str() } },
        "publishingProfile": { "targetRegions": [{ "name": "eastus" }, { "name": "westus" }] } } });
    let version = gallery.make("galleries/h/images/web/versions/2.0.0", body).await;
    assert_eq!(version["properties"]["storageProfile"]["source"]["id"], gallery.compute(ONE).as_str());
    let away = json!({ "location": "westus", "properties": {
        "storageProfile": { "source": { "id": gallery.compute(ONE).as_str() } } } });
    let error = gallery.put("galleries/h/images/web/versions/3.0.0", away).await.unwrap_err();
    assert!(error.message.starts_with("Source ") && error.message.contains("same region"), "{error}");
}

#[tokio::test]
async fn target_regions_come_and_go() {
    let gallery = prepared().await;
    let to = |regions: &[&str]| version_body(&gallery.compute("disks/source"), regions);
    gallery.make(ONE, to(&["eastus"])).await;
    let version = gallery.make(ONE, to(&["eastus", "westus"])).await;
    assert_eq!(version["properties"]["replicationStatus"]["summary"].as_array().unwrap().len(), 2);
    let version = gallery.make(ONE, to(&["eastus"])).await;
    assert_eq!(version["properties"]["replicationStatus"]["summary"].as_array().unwrap().len(), 1);
    assert_eq!(version["properties"]["publishingProfile"]["targetRegions"].as_array().unwrap().len(), 1);
    let patch = json!({ "properties": { "publishingProfile": { "excludeFromLatest": true } } });
    let patched = gallery.control.patch(&gallery.context(), &gallery.compute(ONE), patch).await.unwrap();
    let patched = patched.resource.unwrap().document;
    assert_eq!(patched["properties"]["publishingProfile"]["excludeFromLatest"], true);
    assert_eq!(patched["properties"]["publishingProfile"]["targetRegions"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn what_clients_read_modify_and_write_is_the_same_version() {
    let gallery = prepared().await;
    gallery.make(ONE, version_body(&gallery.compute("disks/source"), &["eastus"])).await;
    let id = gallery.compute(ONE);
    for version in ["2019-07-01", "2021-10-01", "2024-03-03", "2026-03-03", "2031-01-01"] {
        let context = gallery.context_of(version);
        let before = gallery.control.get(&context, &id, &Default::default()).await.unwrap().document;
        let mut body = before.clone();
        body["properties"]["storageProfile"] = json!({});
        gallery.control.put(&context, &id, body).await.unwrap_or_else(|error| panic!("{version}: {error}"));
        let after = gallery.control.get(&context, &id, &Default::default()).await.unwrap().document;
        assert_eq!(after["properties"], before["properties"], "{version}");
    }
}

#[tokio::test]
async fn latest_is_by_number_and_by_region() {
    let gallery = prepared().await;
    let source = gallery.compute("disks/source");
    gallery.make("galleries/g/images/web/versions/1.9.0", version_body(&source, &["eastus", "westus"])).await;
    gallery.make("galleries/g/images/web/versions/1.10.0", version_body(&source, &["eastus"])).await;
    let mut excluded = version_body(&source, &["eastus"]);
    excluded["properties"]["publishingProfile"]["excludeFromLatest"] = json!(true);
    gallery.make("galleries/g/images/web/versions/3.0.0", excluded).await;
    let mut there = version_body(&source, &["eastus"]);
    there["properties"]["publishingProfile"]["targetRegions"][0]["excludeFromLatest"] = json!(true);
    gallery.make("galleries/g/images/web/versions/2.0.0", there).await;
    let definition = gallery.compute("galleries/g/images/web");
    let reference = VersionReference::parse(definition.as_str(), "version").unwrap();
    for (region, expected) in [(None, "1.10.0"), (Some("eastus"), "1.10.0"), (Some("West US"), "1.9.0")] {
        let content = gallery.control.open_content(&gallery.context(), &reference, region, None).await.unwrap();
        assert!(content.version_id().ends_with(expected), "{region:?} {}", content.version_id());
    }
    let error =
        gallery.control.open_content(&gallery.context(), &reference, Some("westeurope"), None).await.unwrap_err();
    assert!(error.message.starts_with("There is no latest image version"), "{error}");
}

#[tokio::test]
async fn a_repeated_put_joins_the_running_operation() {
    let gallery = Gallery::idle().await;
    let body =
        json!({ "location": "eastus", "properties": { "creationData": { "createOption": "Empty" }, "diskSizeGB": 1 } });
    let first = gallery.put("disks/d", body.clone()).await.unwrap();
    let again = gallery.put("disks/d", body.clone()).await.unwrap();
    assert_eq!((again.created, &again.operation), (false, &first.operation));
    let mut other = body;
    other["tags"] = json!({ "a": "b" });
    assert_eq!(gallery.put("disks/d", other).await.unwrap_err().code, "Conflict");
    gallery.control.start();
    gallery.finish(&first.operation).await.unwrap();
}

#[tokio::test]
async fn deletion_wins_over_creation() {
    let gallery = prepared().await;
    let gallery = gallery.stopped().await;
    let body = version_body(&gallery.compute("disks/source"), &["eastus", "westus", "westeurope"]);
    let creating = gallery.put(ONE, body.clone()).await.unwrap();
    assert_eq!(creating.resource.unwrap().document["properties"]["provisioningState"], "Creating");
    gallery.delete(ONE).await.unwrap().unwrap();
    let error = gallery.finish(&creating.operation).await.unwrap_err();
    assert!(!error.message.is_empty());
    assert_eq!(gallery.get_error(ONE).await.status, 404);
    gallery.delete("galleries/g/images/web").await.unwrap().unwrap();
}

#[tokio::test]
async fn a_copy_goes_on_after_a_crash() {
    let gallery = prepared().await.stopped().await;
    let body = version_body(&gallery.compute("disks/source"), &["eastus", "westus", "westeurope"]);
    let creating = gallery.put(ONE, body).await.unwrap();
    let gallery = gallery.crash_and_start().await;
    gallery.finish(&creating.operation).await.unwrap();
    assert_eq!(gallery.get(ONE).await["properties"]["replicationStatus"]["aggregatedState"], "Completed");
}

#[tokio::test]
async fn old_shapes_make_new_versions() {
    let gallery = prepared().await;
    let image = json!({ "location": "eastus", "properties": { "storageProfile": {
        "osDisk": { "osType": "Linux", "osState": "Generalized", "managedDisk": { "id": gallery.compute("disks/source").as_str() } } } } });
    gallery.make("images/web", image).await;
    let body = json!({ "location": "eastus", "properties": { "publishingProfile": {
        "source": { "managedImage": { "id": gallery.compute("images/web").as_str() } },
        "targetRegions": [{ "name": "East US", "regionalReplicaCount": 1 }] } } });
    let old = gallery.context_of("2019-03-01");
    let accepted = gallery.control.put(&old, &gallery.compute(ONE), body).await.unwrap();
    let shown = accepted.resource.unwrap().document;
    assert_eq!(
        shown["properties"]["publishingProfile"]["source"]["managedImage"]["id"],
        gallery.compute("images/web").as_str()
    );
    let new = gallery.get(ONE).await;
    assert_eq!(new["properties"]["storageProfile"]["source"]["id"], gallery.compute("images/web").as_str());
    assert!(new["properties"]["publishingProfile"].get("source").is_none());
}
