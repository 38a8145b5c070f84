//! Disks, snapshots and managed images: made from each other without moving a byte.

use serde_json::json;

use crate::support::{Gallery, disk_bytes, upload_body, vhd};

#[tokio::test]
async fn an_uploaded_vhd_comes_back_byte_for_byte() {
    let gallery = Gallery::start().await;
    let uploaded = vhd(1).await;
    gallery.upload("one", &uploaded).await;
    let disk = gallery.get("disks/one").await;
    assert_eq!(
        (&disk["properties"]["diskState"], &disk["properties"]["provisioningState"]),
        (&json!("Unattached"), &json!("Succeeded"))
    );
    assert_eq!(disk["properties"]["diskSizeBytes"], 20 << 20);
    let downloaded = gallery.download("disks/one").await;
    assert_eq!(downloaded.len(), uploaded.len());
    assert!(downloaded[..20 << 20] == disk_bytes(1)[..], "the guest's bytes are equal");
}

#[tokio::test]
async fn an_empty_disk_is_zeros() {
    let gallery = Gallery::start().await;
    let body = json!({ "location": "westus", "sku": { "name": "Premium_LRS" },
        "properties": { "creationData": { "createOption": "Empty" }, "diskSizeGB": 1 } });
    let disk = gallery.make("disks/empty", body.clone()).await;
    assert_eq!(disk["sku"]["tier"], "Premium");
    assert_eq!(disk["properties"]["diskState"], "Unattached");
    let repeated = gallery.put("disks/empty", body).await.unwrap();
    assert!(!repeated.created);
    let grant = gallery.grant("disks/empty", "Read").await.unwrap();
    let blob = gallery.open(&grant, galerie_control::BlobAction::Read).await.unwrap();
    assert_eq!(blob.length_bytes(), (1 << 30) + 512);
    let footer = 1_u64 << 30..(1 << 30) + 512;
    assert_eq!(blob.page_ranges(0..blob.length_bytes()).await.unwrap(), vec![footer]);
}

#[tokio::test]
async fn copies_are_immediate_and_equal() {
    let gallery = Gallery::start().await;
    let uploaded = vhd(2).await;
    gallery.upload("one", &uploaded).await;
    let copy = |path: &str| {
        json!({ "location": "eastus", "properties": {
            "creationData": { "createOption": "Copy", "sourceResourceId": gallery.compute(path).as_str() } } })
    };
    let accepted = gallery.put("snapshots/snap", copy("disks/one")).await.unwrap();
    let snapshot = accepted.resource.unwrap().document;
    assert_eq!(snapshot["properties"]["provisioningState"], "Succeeded");
    assert_eq!(
        snapshot["properties"]["creationData"]["sourceUniqueId"],
        gallery.get("disks/one").await["properties"]["uniqueId"]
    );
    gallery.make("disks/two", copy("snapshots/snap")).await;
    gallery.make("snapshots/again", copy("snapshots/snap")).await;
    // What a copy was made from may go.
    gallery.delete("disks/one").await.unwrap();
    gallery.delete("snapshots/snap").await.unwrap();
    let of_disk = gallery.download("disks/two").await;
    let of_snapshot = gallery.download("snapshots/again").await;
    assert!(of_disk == of_snapshot, "the same VHD to the last byte");
    assert!(of_disk[..20 << 20] == disk_bytes(2)[..]);
}

#[tokio::test]
async fn sources_must_be_there_have_content_and_be_near() {
    let gallery = Gallery::start().await;
    gallery.make("disks/waiting", upload_body((20 << 20) + 512)).await;
    gallery.upload("one", &vhd(3).await).await;
    let copy = |location: &str, source: String| {
        json!({ "location": location, "properties": {
            "creationData": { "createOption": "Copy", "sourceResourceId": source } } })
    };
    let disk = |name: &str| gallery.compute(&format!("disks/{name}")).to_string();
    for (body, status, fragment) in [
        (copy("eastus", disk("none")), 404, "'Microsoft.Compute/disks/none'"),
        (copy("eastus", disk("waiting")), 409, "ReadyToUpload"),
        (copy("westus", disk("one")), 400, "must be in the location 'westus'"),
        (copy("eastus", "not an id".to_owned()), 400, "not an id"),
        (copy("eastus", gallery.compute("galleries/g").to_string()), 400, "must be a managed disk or snapshot"),
    ] {
        let error = gallery.put("snapshots/snap", body).await.unwrap_err();
        assert_eq!(error.status, status, "{error}");
        assert!(error.message.contains(fragment), "{error}");
    }
    assert_eq!(gallery.get_error("snapshots/snap").await.status, 404);
}

#[tokio::test]
async fn a_managed_image_holds_its_disks() {
    let gallery = Gallery::start().await;
    gallery.upload("os", &vhd(4).await).await;
    gallery.upload("data", &vhd(5).await).await;
    let body = json!({ "location": "eastus", "properties": { "storageProfile": {
        "osDisk": { "osType": "linux", "osState": "Generalized", "managedDisk": { "id": gallery.compute("disks/os").as_str() } },
        "dataDisks": [{ "lun": 2, "managedDisk": { "id": gallery.compute("disks/data").as_str() } }] } } });
    let image = gallery.make("images/web", body).await;
    let profile = &image["properties"]["storageProfile"];
    assert_eq!(profile["osDisk"]["osType"], "Linux");
    assert_eq!((&profile["osDisk"]["caching"], &profile["osDisk"]["osState"]), (&json!("None"), &json!("Generalized")));
    assert_eq!(profile["dataDisks"][0]["storageAccountType"], "Standard_LRS");
    gallery.delete("disks/os").await.unwrap();
    gallery.delete("disks/data").await.unwrap();

    gallery.define("g", "web").await;
    let version = json!({ "location": "eastus", "properties": {
        "storageProfile": { "source": { "id": gallery.compute("images/web").as_str() } } } });
    let version = gallery.make("galleries/g/images/web/versions/1.0.0", version).await;
    assert_eq!(
        version["properties"]["storageProfile"]["dataDiskImages"],
        json!([{ "lun": 2, "sizeInGB": 1, "hostCaching": "None" }])
    );
    let reference = gallery.compute("galleries/g/images/web/versions/1.0.0");
    let data = json!({ "location": "eastus", "properties": { "creationData": { "createOption": "FromImage",
        "galleryImageReference": { "id": reference.as_str(), "lun": 2 } } } });
    gallery.make("disks/fromdata", data).await;
    assert!(gallery.download("disks/fromdata").await[..20 << 20] == disk_bytes(5)[..]);
    let none = json!({ "location": "eastus", "properties": { "creationData": { "createOption": "FromImage",
        "galleryImageReference": { "id": reference.as_str(), "lun": 3 } } } });
    assert!(gallery.put("disks/none", none).await.unwrap_err().message.contains("lun 3"));
}
