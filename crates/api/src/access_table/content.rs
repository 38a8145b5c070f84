//! Versions' bytes by token.

use axum::http::Method;
use galerie_store::{BlobId, Manifest, Segment, frame};
use galerie_testkit::Gallery;
use serde_json::json;

use super::{ABSENT, GROUP, METHODS, Table, ask};
use crate::{route_class::RouteClass, routes};

/// A role over the group, without one, or what makes a token worthless.
const ASKERS: [&str; 13] = [
    "anonymous",
    "token for Graph",
    "deleted owner",
    "disabled owner",
    "other tenant",
    "no role",
    "Reader",
    "Compute Gallery Image Reader",
    "Contributor",
    "Compute Gallery Artifacts Publisher",
    "Compute Gallery Sharing Admin",
    "Data Operator for Managed Disks",
    "Owner",
];
const VERSION: &str = "{s}/resourceGroups/rg/providers/Microsoft.Compute/galleries/g/images/i/versions/1.0.0";
const MIB: usize = 1 << 20;

/// A version, and what it is made of.
struct Published {
    segment: BlobId,
    chunk: BlobId,
}

async fn publish(gallery: &Gallery) -> Published {
    gallery.make_group("rg", "eastus").await;
    let disk = "{s}/resourceGroups/rg/providers/Microsoft.Compute/disks/d";
    let mut bytes = vec![0; 20 * MIB];
    bytes[MIB..2 * MIB].fill(7);
    gallery.upload_disk(disk, "eastus", &bytes).await;
    gallery.make_definition("rg", "g", "i", "eastus").await;
    let source = json!({ "osDiskImage": { "source": { "id": gallery.path(disk) } } });
    let body = json!({ "location": "eastus", "properties": { "storageProfile": source } });
    let made = gallery.put(&format!("{VERSION}?api-version=2024-03-03"), body).await;
    gallery.succeeded(&made).await;
    for (below, properties) in [
        ("applications/a", json!({ "supportedOSType": "Linux" })),
        ("scripts/s", json!({ "supportedOSType": "Linux" })),
        (
            "applications/a/versions/1.0.0",
            json!({ "publishingProfile": { "source": { "mediaLink": gallery.path(disk) },
            "manageActions": { "install": "i", "remove": "r" } } }),
        ),
        (
            "scripts/s/versions/1.0.0",
            json!({ "publishingProfile": { "source": { "scriptLink": gallery.path(disk) } } }),
        ),
    ] {
        let path = format!("{GROUP}/providers/Microsoft.Compute/galleries/g/{below}?api-version=2025-03-03");
        let body = json!({ "location": "eastus", "properties": properties });
        gallery.succeeded(&gallery.put(&path, body).await).await;
    }
    let manifest = gallery.get(&format!("/content{VERSION}/manifest")).await.expect(200);
    let manifest = frame::decode_all(manifest.body, 1).expect("frames").remove(0).decode().expect("verified");
    let manifest = Manifest::decode(&manifest).expect("a manifest");
    let (_, segment) = *manifest.segments().iter().next().expect("a segment");
    let path = gallery.path(&format!("/content{VERSION}/segments"));
    let answer = ask(gallery, &Method::POST, &path, Some(gallery.token().await), segment.0.0.to_vec()).await;
    let blob = frame::decode_all(answer.expect(200).body, 1).expect("frames").remove(0).decode().expect("verified");
    let entries = Segment::decode(&blob).expect("a segment");
    let chunk = entries.entries().iter().find_map(|entry| entry.chunk).expect("a chunk");
    Published { segment: segment.0, chunk: chunk.0 }
}

/// Each asker's token.
async fn tokens(gallery: &Gallery) -> Vec<Option<String>> {
    let other = gallery.second_tenant().await;
    let mut tokens = Vec::new();
    for asker in ASKERS {
        let one = gallery.make_principal(asker).await;
        let token = match asker {
            "anonymous" => None,
            "token for Graph" => {
                gallery.give(&one, "Owner", GROUP).await;
                Some(one.graph_token)
            }
            "deleted owner" => {
                gallery.give(&one, "Owner", GROUP).await;
                gallery.delete_principal(&one).await;
                Some(one.arm_token)
            }
            "disabled owner" => {
                gallery.give(&one, "Owner", GROUP).await;
                gallery.disable(&one).await;
                Some(one.arm_token)
            }
            "other tenant" => Some(other.token.clone()),
            "no role" => Some(one.arm_token),
            role => {
                gallery.give(&one, role, GROUP).await;
                Some(one.arm_token)
            }
        };
        tokens.push(token);
    }
    tokens
}

#[tokio::test]
async fn every_part_of_a_version_answers_everybody_as_the_table_says() {
    let gallery = Gallery::start().await;
    let published = publish(&gallery).await;
    let tokens = tokens(&gallery).await;
    let mut table = Table::new(&ASKERS);
    for pattern in routes::of(RouteClass::Content) {
        for method in METHODS {
            let body = if pattern.ends_with("chunks") { published.chunk } else { published.segment };
            let [mut there, mut absent] = [Vec::new(), Vec::new()];
            for (asker, token) in ASKERS.iter().zip(&tokens) {
                let path = path_of(&gallery, pattern, &published);
                let found = ask(&gallery, &method, &path, token.as_deref(), body.0.to_vec()).await;
                let none = path.replace("/1.0.0", "/9.9.9");
                let not_found = ask(&gallery, &method, &none, token.as_deref(), body.0.to_vec()).await;
                // Whoever may not know whether something is there hears the same either way.
                if not_found.status != 200 && found.status != 200 {
                    let told = String::from_utf8_lossy(&found.body).replace("1.0.0", "9.9.9");
                    assert_eq!(told, String::from_utf8_lossy(&not_found.body), "{method} {path} of {asker}");
                }
                there.push(found.status);
                absent.push(not_found.status);
            }
            table.push(&method, pattern, there);
            table.push(&method, &format!("{pattern}{ABSENT}"), absent);
        }
    }
    table.check(RouteClass::Content);
}

fn path_of(gallery: &Gallery, pattern: &str, published: &Published) -> String {
    pattern
        .replace("{subscription}", &gallery.subscription.to_string())
        .replace("{group}", "rg")
        .replace("{gallery}", "g")
        .replace("{image}", "i")
        .replace("{application}", "a")
        .replace("{script}", "s")
        .replace("{version}", "1.0.0")
        .replace("{segment}", &published.segment.to_string())
}
