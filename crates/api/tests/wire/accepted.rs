//! Accepted replies: statuses and headers, per resource.

use galerie_testkit::{Answer, Gallery};
use serde_json::{Value, json};

const GROUP: &str = "{s}/resourceGroups/rg/providers/Microsoft.Compute";

/// Status, and whether `Azure-AsyncOperation` and `Location` are there; `Retry-After: 1` wherever one of them is.
#[track_caller]
fn check(answer: &Answer, status: u16, asynchronous: bool, location: bool) {
    assert_eq!(answer.status, status, "{answer}");
    for (name, expected) in [("azure-asyncoperation", asynchronous), ("location", location)] {
        let url = answer.header(name);
        assert_eq!(url.is_some(), expected, "{name}: {answer}");
        assert!(url.is_none_or(|url| url.starts_with("https://localhost:8443/subscriptions/")), "{url:?}");
    }
    if asynchronous || location {
        assert_eq!(answer.header("retry-after"), Some("1"), "{answer}");
    }
}

fn definition() -> Value {
    json!({
        "location": "eastus",
        "properties": {
            "osType": "Linux", "osState": "Generalized", "hyperVGeneration": "V2",
            "identifier": { "publisher": "p", "offer": "o", "sku": "s" }
        }
    })
}

fn empty_disk() -> Value {
    json!({ "location": "eastus", "properties": { "creationData": { "createOption": "Empty" }, "diskSizeGB": 1 } })
}

#[tokio::test]
async fn galleries_and_definitions_are_201_then_200_without_location() {
    let gallery = Gallery::start().await;
    gallery.make_group("rg", "eastus").await;
    let path = format!("{GROUP}/galleries/g?api-version=2024-03-03");
    let created = gallery.put(&path, json!({ "location": "eastus" })).await;
    check(&created, 201, true, false);
    assert_eq!(created.json()["name"], "g");
    assert!(created.header("etag").is_some());
    gallery.succeeded(&created).await;
    check(&gallery.put(&path, json!({ "location": "eastus" })).await, 200, true, false);
    check(&gallery.patch(&path, json!({ "tags": { "a": "b" } })).await, 200, true, false);
    let path = format!("{GROUP}/galleries/g/images/i?api-version=2021-10-01");
    check(&gallery.put(&path, definition()).await, 201, true, false);
    check(&gallery.put(&path, definition()).await, 200, true, false);
    check(&gallery.patch(&path, json!({ "tags": { "a": "b" } })).await, 200, true, false);
}

#[tokio::test]
async fn disks_and_snapshots_are_202_with_both() {
    let gallery = Gallery::start().await;
    gallery.make_group("rg", "eastus").await;
    let path = format!("{GROUP}/disks/d?api-version=2025-01-02");
    let created = gallery.put(&path, empty_disk()).await;
    check(&created, 202, true, true);
    assert!(created.header("location").is_some_and(|url| url.ends_with("&monitor=true")));
    gallery.succeeded(&created).await;
    let finished = gallery.result_of(&created).await.expect(200);
    assert_eq!(finished.json()["properties"]["provisioningState"], "Succeeded");
    check(&gallery.put(&path, empty_disk()).await, 202, true, true);
    check(&gallery.patch(&path, json!({ "tags": { "a": "b" } })).await, 202, true, true);
    let source = gallery.get(&path).await.json()["id"].clone();
    let copy = json!({
        "location": "eastus",
        "properties": { "creationData": { "createOption": "Copy", "sourceResourceId": source } }
    });
    let path = format!("{GROUP}/snapshots/s?api-version=2025-01-02");
    check(&gallery.put(&path, copy.clone()).await, 202, true, true);
    check(&gallery.put(&path, copy).await, 202, true, true);
    let image = json!({
        "location": "eastus",
        "properties": {
            "hyperVGeneration": "V2",
            "storageProfile": {
                "osDisk": { "osType": "Linux", "osState": "Generalized", "managedDisk": { "id": source } }
            }
        }
    });
    let path = format!("{GROUP}/images/m?api-version=2024-07-01");
    check(&gallery.put(&path, image.clone()).await, 201, true, false);
    check(&gallery.put(&path, image).await, 200, true, false);
}

#[tokio::test]
async fn deletes_are_202_with_both_and_204_when_absent() {
    let gallery = Gallery::start().await;
    gallery.make_group("rg", "eastus").await;
    let path = format!("{GROUP}/galleries/g?api-version=2021-10-01");
    gallery.succeeded(&gallery.put(&path, json!({ "location": "eastus" })).await).await;
    let deleted = gallery.delete(&path).await;
    check(&deleted, 202, true, true);
    assert!(deleted.body.is_empty());
    gallery.succeeded(&deleted).await;
    let result = gallery.result_of(&deleted).await;
    assert!(matches!(result.status, 200 | 204) && result.body.is_empty(), "{result}");
    check(&gallery.delete(&path).await, 204, false, false);
    let absent = format!("{GROUP}/disks/none?api-version=2025-01-02");
    check(&gallery.delete(&absent).await, 204, false, false);
}

#[tokio::test]
async fn access_is_202_empty_with_both_and_its_result_is_a_sas() {
    let gallery = Gallery::start().await;
    gallery.make_group("rg", "eastus").await;
    let disk = format!("{GROUP}/disks/d");
    gallery.succeeded(&gallery.put(&format!("{disk}?api-version=2025-01-02"), empty_disk()).await).await;
    let begun = gallery
        .post(
            &format!("{disk}/beginGetAccess?api-version=2025-01-02"),
            Some(json!({ "access": "Read", "durationInSeconds": 60 })),
        )
        .await;
    check(&begun, 202, true, true);
    assert!(begun.body.is_empty());
    let document = gallery.succeeded(&begun).await;
    let sas = document["properties"]["output"]["accessSAS"].as_str().expect("a SAS").to_owned();
    assert!(sas.starts_with("https://localhost:8443/blob/"), "{sas}");
    assert_eq!(gallery.result_of(&begun).await.expect(200).json()["accessSAS"], sas.as_str());
    assert_eq!(
        gallery.get(&format!("{disk}?api-version=2025-01-02")).await.json()["properties"]["diskState"],
        "ActiveSAS"
    );
    let ended = gallery.post(&format!("{disk}/EndGetAccess?api-version=2025-01-02"), None).await;
    check(&ended, 202, true, true);
    let result = gallery.result_of(&ended).await.expect(200);
    assert!(result.body.is_empty(), "{result}");
}

#[tokio::test]
async fn the_status_document_is_always_200_with_retry_after() {
    let gallery = Gallery::start().await;
    gallery.make_group("rg", "eastus").await;
    let path = format!("{GROUP}/galleries/g?api-version=2024-03-03");
    let created = gallery.put(&path, json!({ "location": "eastus" })).await;
    let url = created.header("azure-asyncoperation").expect("a URL").to_owned();
    assert!(url.contains("/providers/Microsoft.Compute/locations/eastus/capsOperations/"), "{url}");
    assert!(url.ends_with("?api-version=2024-03-03"), "{url}");
    let status = gallery.get(&url).await;
    check(&status, 200, false, false);
    assert_eq!(status.header("retry-after"), Some("1"));
    let document = status.json();
    for name in ["startTime", "status", "name"] {
        assert!(document[name].is_string(), "{document}");
    }
    let unknown = url.replace(document["name"].as_str().expect("a name"), "00000000-0000-0000-0000-000000000001");
    assert_eq!(gallery.get(&unknown).await.status, 404);
}

#[tokio::test]
async fn a_failed_operation_is_told_in_the_document() {
    let gallery = Gallery::start().await;
    gallery.make_group("rg", "eastus").await;
    let disk = format!("{GROUP}/disks/d");
    gallery.make_upload_disk(&disk, "eastus", (20 << 20) + 512).await;
    gallery.grant(&disk, "Write").await;
    let ended = gallery.post(&format!("{disk}/endGetAccess?api-version=2025-01-02"), None).await.expect(202);
    let document = gallery.status_of(&ended).await;
    assert_eq!(document["status"], "Failed", "{document}");
    assert!(document["error"]["code"].is_string() && document["error"]["message"].is_string(), "{document}");
    assert!(gallery.result_of(&ended).await.status >= 400);
}

#[tokio::test]
async fn preconditions_are_412_and_304() {
    let gallery = Gallery::start().await;
    gallery.make_group("rg", "eastus").await;
    let path = gallery.path(&format!("{GROUP}/galleries/g?api-version=2024-03-03"));
    let send = async |method: &str, name: &'static str, value: &str| {
        let body = json!({ "location": "eastus", "tags": { "of": value } }).to_string();
        let request = axum::http::Request::builder()
            .method(method)
            .uri(&path)
            .header(name, value)
            .header("authorization", format!("Bearer {}", gallery.token().await));
        gallery.send(request.body(body.into()).expect("a request")).await
    };
    assert_eq!(send("PUT", "if-match", "*").await.status, 412);
    let created = send("PUT", "if-none-match", "*").await.expect(201);
    let etag = created.header("etag").expect("a tag").to_owned();
    assert_eq!(send("PUT", "if-none-match", "*").await.code(), "PreconditionFailed");
    assert_eq!(send("GET", "if-none-match", &etag).await.status, 304);
    assert_eq!(send("PUT", "if-match", &etag).await.status, 200);
    assert_eq!(send("PUT", "if-match", &etag).await.status, 412);
}
