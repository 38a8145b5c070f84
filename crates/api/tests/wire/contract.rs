//! One table: every tracked type and method, with the status and the headers that clients check to the letter.

use axum::http::Method;
use galerie_testkit::{Answer, Gallery, GalleryOptions};
use serde_json::{Value, json};

const GROUP: &str = "{s}/resourceGroups/rg/providers/Microsoft.Compute";
const MIB: usize = 1 << 20;

/// The headers of an accepted request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Has {
    /// `Azure-AsyncOperation` only.
    Operation,
    /// That and `Location`.
    Both,
    /// Neither.
    Neither,
}

#[track_caller]
fn check(what: &str, answer: &Answer, status: u16, has: Has) {
    assert_eq!(answer.status, status, "{what}: {answer}");
    let (operation, location) = (answer.header("azure-asyncoperation"), answer.header("location"));
    assert_eq!((operation.is_some(), location.is_some()), (has != Has::Neither, has == Has::Both), "{what}: {answer}");
    assert_eq!(answer.header("retry-after"), (has != Has::Neither).then_some("1"), "{what}");
    for url in [operation, location].into_iter().flatten() {
        assert!(url.starts_with("https://localhost:8443/subscriptions/"), "{what}: {url}");
    }
    assert_eq!(location.is_some_and(|url| url.ends_with("&monitor=true")), location.is_some(), "{what}");
}

/// A type, and how it is answered.
struct Row {
    path: String,
    body: Value,
    /// PUT when new, PUT when there, PATCH.
    writes: [u16; 3],
    has: Has,
}

fn row(path: &str, api_version: &str, body: Value, is_disk: bool) -> Row {
    Row {
        path: format!("{GROUP}/{path}?api-version={api_version}"),
        body,
        writes: if is_disk { [202, 202, 202] } else { [201, 200, 200] },
        has: if is_disk { Has::Both } else { Has::Operation },
    }
}

/// What depends on what, in order of creation.
fn rows(disk_id: &str) -> Vec<Row> {
    let from = |id: &str| json!({ "source": { "id": id } });
    let copy = json!({ "createOption": "Copy", "sourceResourceId": disk_id });
    let definition = json!({
        "location": "eastus",
        "properties": {
            "osType": "Linux", "osState": "Generalized", "hyperVGeneration": "V2",
            "identifier": { "publisher": "p", "offer": "o", "sku": "s" }
        }
    });
    let version = json!({
        "location": "eastus",
        "properties": {
            "storageProfile": { "osDiskImage": from(disk_id) },
            "publishingProfile": { "targetRegions": [{ "name": "eastus" }] }
        }
    });
    let image = json!({
        "location": "eastus",
        "properties": {
            "hyperVGeneration": "V2",
            "storageProfile": {
                "osDisk": { "osType": "Linux", "osState": "Generalized", "managedDisk": { "id": disk_id } }
            }
        }
    });
    let profile =
        json!({ "location": "eastus", "properties": { "osType": "Linux", "applicableHostEndpoint": "IMDS" } });
    let profile_version = json!({ "location": "eastus", "properties": { "mode": "Enforce", "defaultAccess": "Deny" } });
    let empty =
        json!({ "location": "eastus", "properties": { "creationData": { "createOption": "Empty" }, "diskSizeGB": 1 } });
    let for_guests = json!({ "location": "eastus", "properties": { "supportedOSType": "Linux" } });
    let application_version = json!({ "location": "eastus", "properties": { "publishingProfile": {
        "source": { "mediaLink": disk_id }, "manageActions": { "install": "i", "remove": "r" } } } });
    let script_version =
        json!({ "location": "eastus", "properties": { "publishingProfile": { "source": { "scriptLink": disk_id } } } });
    vec![
        row("galleries/g", "2024-03-03", json!({ "location": "eastus" }), false),
        row("galleries/g/images/i", "2024-03-03", definition, false),
        row("galleries/g/images/i/versions/1.0.0", "2024-03-03", version, false),
        row("galleries/g/inVMAccessControlProfiles/p", "2024-03-03", profile, false),
        row("galleries/g/inVMAccessControlProfiles/p/versions/1.0.0", "2024-03-03", profile_version, false),
        row("galleries/g/applications/a", "2024-03-03", for_guests.clone(), false),
        row("galleries/g/applications/a/versions/1.0.0", "2022-01-03", application_version, false),
        row("galleries/g/scripts/s", "2025-03-03", for_guests, false),
        row("galleries/g/scripts/s/versions/1.0.0", "2025-03-03", script_version, false),
        row("images/m", "2024-07-01", image, false),
        row("disks/e", "2025-01-02", empty, true),
        row("snapshots/s", "2025-01-02", json!({ "location": "eastus", "properties": { "creationData": copy } }), true),
    ]
}

#[tokio::test]
async fn every_type_and_method_has_its_status_and_headers() {
    let gallery = Gallery::start().await;
    gallery.make_group("rg", "eastus").await;
    let source = format!("{GROUP}/disks/source");
    gallery.upload_disk(&source, "eastus", &vec![1; 20 * MIB]).await;
    let rows = rows(&gallery.path(&source));
    let tags = json!({ "tags": { "a": "b" } });
    for Row { path, body, writes, has } in &rows {
        check(&format!("GET of the absent {path}"), &gallery.get(path).await, 404, Has::Neither);
        check(&format!("DELETE of the absent {path}"), &gallery.delete(path).await, 204, Has::Neither);
        let [new, there, patch] = *writes;
        for (method, status, sent) in
            [(Method::PUT, new, body), (Method::PUT, there, body), (Method::PATCH, patch, &tags)]
        {
            let what = format!("{method} {path}");
            let answer = gallery.call(method, path, Some(sent.clone())).await;
            check(&what, &answer, status, *has);
            assert_eq!(answer.json()["location"], "eastus", "{what}");
            assert!(answer.header("etag").is_some(), "{what}");
            gallery.succeeded(&answer).await;
            if *has == Has::Both {
                let finished = gallery.result_of(&answer).await.expect(200);
                assert_eq!(finished.json()["properties"]["provisioningState"], "Succeeded", "{what}");
            }
        }
        check(&format!("GET {path}"), &gallery.get(path).await, 200, Has::Neither);
        check(&format!("HEAD {path}"), &gallery.call(Method::HEAD, path, None).await, 204, Has::Neither);
    }
    for kind in ["disks/source", "snapshots/s"] {
        let action = |name: &str| format!("{GROUP}/{kind}/{name}?api-version=2025-01-02");
        let body = json!({ "access": "Read", "durationInSeconds": 60 });
        let begun = gallery.post(&action("beginGetAccess"), Some(body)).await;
        check(&format!("begin {kind}"), &begun, 202, Has::Both);
        assert!(begun.body.is_empty());
        gallery.succeeded(&begun).await;
        let granted = gallery.result_of(&begun).await.expect(200).json();
        assert!(granted["accessSAS"].is_string(), "{granted}");
        let ended = gallery.post(&action("endGetAccess"), None).await;
        check(&format!("end {kind}"), &ended, 202, Has::Both);
        assert!(ended.body.is_empty());
        gallery.succeeded(&ended).await;
        assert!(gallery.result_of(&ended).await.expect(200).body.is_empty());
    }
    for Row { path, .. } in rows.iter().rev() {
        let deleted = gallery.delete(path).await;
        check(&format!("DELETE {path}"), &deleted, 202, Has::Both);
        assert!(deleted.body.is_empty());
        gallery.succeeded(&deleted).await;
        let result = gallery.result_of(&deleted).await;
        assert!(matches!(result.status, 200 | 204) && result.body.is_empty(), "{path}: {result}");
        check(&format!("DELETE of the gone {path}"), &gallery.delete(path).await, 204, Has::Neither);
    }
}

#[tokio::test]
async fn an_operation_that_goes_on_says_when_and_where_to_ask_again() {
    // Without workers, what was accepted stays under way.
    let gallery = Gallery::start_with(GalleryOptions { workers: false, ..GalleryOptions::default() }).await;
    gallery.make_group("rg", "eastus").await;
    let body =
        json!({ "location": "eastus", "properties": { "creationData": { "createOption": "Empty" }, "diskSizeGB": 1 } });
    let path = format!("{GROUP}/disks/d?api-version=2025-01-02");
    let created = gallery.put(&path, body).await;
    check("PUT", &created, 202, Has::Both);
    let status = gallery.get(created.header("azure-asyncoperation").expect("a URL")).await.expect(200);
    assert_eq!((&status.json()["status"], status.header("retry-after")), (&json!("InProgress"), Some("1")));
    let group = gallery.delete("{s}/resourceGroups/rg?api-version=2024-11-01").await.expect(202);
    for accepted in [&created, &group] {
        let location = accepted.header("location").expect("a URL");
        let pending = gallery.get(location).await;
        assert_eq!((pending.status, pending.body.len()), (202, 0), "{pending}");
        assert_eq!(pending.header("retry-after"), Some("1"));
        assert_eq!(pending.header("location"), Some(location));
        assert_eq!(pending.header("azure-asyncoperation"), None);
    }
}
