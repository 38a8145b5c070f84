//! Disks' bytes by signature: what each kind of signature opens.

use std::sync::Arc;

use axum::http::Method;
use galerie_testkit::{Gallery, GalleryOptions, VirtualClock};
use serde_json::json;

use super::{GROUP, METHODS, Table, ask};
use crate::{route_class::RouteClass, routes};

/// What comes with the request.
const ASKERS: [&str; 12] = [
    "nothing",
    "the owner's token",
    "forged signature",
    "more letters than signed",
    "another disk's signature",
    "expired",
    "revoked",
    "given by one who lost the role",
    "given by one who is disabled",
    "given by one who is deleted",
    "to read",
    "to write",
];
const DISKS: &str = "{s}/resourceGroups/rg/providers/Microsoft.Compute/disks";
const ROLE: &str = "Contributor";
const DAY_S: u64 = 24 * 3600;

async fn disk(gallery: &Gallery, name: &str) -> String {
    let id = format!("{DISKS}/{name}");
    let properties = json!({ "creationData": { "createOption": "Empty" }, "diskSizeGB": 1 });
    let body = json!({ "location": "eastus", "properties": properties });
    let made = gallery.put(&format!("{id}?api-version=2025-01-02"), body).await;
    gallery.succeeded(&made).await;
    id
}

/// Begins access as somebody; answers the path and query of the SAS.
async fn grant(gallery: &Gallery, token: &str, disk: &str, access: &str, duration_s: u64) -> String {
    let path = gallery.path(&format!("{disk}/beginGetAccess?api-version=2025-01-02"));
    let body = json!({ "access": access, "durationInSeconds": duration_s }).to_string().into_bytes();
    let begun = ask(gallery, &Method::POST, &path, Some(token), body).await.expect(202);
    let location = gallery.path(begun.header("location").expect("where to look"));
    loop {
        let result = ask(gallery, &Method::GET, &location, Some(token), Vec::new()).await;
        if result.status != 202 {
            let sas = result.expect(200).json()["accessSAS"].as_str().expect("a SAS").to_owned();
            return gallery.path(&sas);
        }
        tokio::task::yield_now().await;
    }
}

/// Each asker's URL, and its token if it has one.
async fn signatures(gallery: &Gallery, clock: &VirtualClock) -> Vec<(String, Option<String>)> {
    let owner = gallery.token().await.to_owned();
    let readable = grant(gallery, &owner, &disk(gallery, "d").await, "Read", DAY_S).await;
    let upload = format!("{DISKS}/u");
    gallery.make_upload_disk(&upload, "eastus", (20 << 20) + 512).await;
    let writable = grant(gallery, &owner, &upload, "Write", DAY_S).await;
    let expired = grant(gallery, &owner, &disk(gallery, "e").await, "Read", 60).await;
    clock.advance_ms(61_000);
    let revoked_disk = disk(gallery, "r").await;
    let revoked = grant(gallery, &owner, &revoked_disk, "Read", DAY_S).await;
    assert_eq!(gallery.end_access(&revoked_disk).await["status"], "Succeeded");
    let mut others = Vec::new();
    for name in ["lost", "disabled", "deleted"] {
        let giver = gallery.make_principal(name).await;
        let role = gallery.give(&giver, ROLE, GROUP).await;
        others.push(grant(gallery, &giver.arm_token, &disk(gallery, name).await, "Read", DAY_S).await);
        match name {
            "lost" => gallery.take(&role, GROUP).await,
            "disabled" => gallery.disable(&giver).await,
            _ => gallery.delete_principal(&giver).await,
        }
    }
    let [lost, disabled, deleted] = <[String; 3]>::try_from(others).expect("three");
    let (path, query) = readable.split_once('?').expect("a query");
    let (upload_path, _) = writable.split_once('?').expect("a query");
    let signature = query.split("sig=").nth(1).expect("a signature");
    let forged = query.replace(signature, &signature.chars().rev().collect::<String>());
    ASKERS
        .into_iter()
        .map(|asker| match asker {
            "nothing" => (path.to_owned(), None),
            "the owner's token" => (path.to_owned(), Some(owner.clone())),
            "forged signature" => (format!("{path}?{forged}"), None),
            "more letters than signed" => (readable.replace("sp=r", "sp=rw"), None),
            "another disk's signature" => (format!("{upload_path}?{query}"), None),
            "expired" => (expired.clone(), None),
            "revoked" => (revoked.clone(), None),
            "given by one who lost the role" => (lost.clone(), None),
            "given by one who is disabled" => (disabled.clone(), None),
            "given by one who is deleted" => (deleted.clone(), None),
            "to read" => (readable.clone(), None),
            _ => (writable.clone(), None),
        })
        .collect()
}

#[tokio::test]
async fn every_request_to_a_blob_answers_each_signature_as_the_table_says() {
    let clock = Arc::new(VirtualClock::now());
    let gallery = Gallery::start_with(GalleryOptions { clock: Some(clock.clone()), ..GalleryOptions::default() }).await;
    gallery.make_group("rg", "eastus").await;
    let signatures = signatures(&gallery, &clock).await;
    let mut table = Table::new(&ASKERS);
    for pattern in routes::of(RouteClass::Blob) {
        let comp = pattern.split_once('?').map(|(_, query)| query);
        for method in METHODS {
            let mut statuses = Vec::new();
            for (url, token) in &signatures {
                let url = match comp {
                    Some(comp) if url.contains('?') => format!("{url}&{comp}"),
                    Some(comp) => format!("{url}?{comp}"),
                    None => url.clone(),
                };
                statuses.push(ask(&gallery, &method, &url, token.as_deref(), b"{}".to_vec()).await.status);
            }
            table.push(&method, pattern, statuses);
        }
    }
    table.check(RouteClass::Blob);
}
