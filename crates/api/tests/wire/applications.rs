//! Gallery applications and scripts on the wire: what each api-version shows, what is refused, and who is in whose way.

use axum::{body::Body, http::Request};
use galerie_testkit::Gallery;
use serde_json::{Value, json};

const GROUP: &str = "{s}/resourceGroups/rg/providers/Microsoft.Compute";
const VERSION: &str = "galleries/g/applications/a/versions/1.0.0";
const MIB: usize = 1 << 20;

fn at(below: &str, api_version: &str) -> String {
    format!("{GROUP}/{below}?api-version={api_version}")
}

fn here(properties: Value) -> Value {
    json!({ "location": "eastus", "properties": properties })
}

fn version(link: &str) -> Value {
    here(json!({ "publishingProfile": { "source": { "mediaLink": link },
        "manageActions": { "install": "i", "remove": "r" } } }))
}

/// A gallery with an application and a script.
async fn gallery() -> Gallery {
    let gallery = Gallery::start().await;
    gallery.make_group("rg", "eastus").await;
    for (below, properties) in [
        ("galleries/g", json!({})),
        ("galleries/g/applications/a", json!({ "supportedOSType": "Linux" })),
        ("galleries/g/scripts/s", json!({ "supportedOSType": "Windows" })),
    ] {
        gallery.succeeded(&gallery.put(&at(below, "2025-03-03"), here(properties)).await).await;
    }
    gallery
}

/// A disk, and what names it.
async fn disk(gallery: &Gallery) -> String {
    let path = format!("{GROUP}/disks/d");
    gallery.upload_disk(&path, "eastus", &vec![1; 20 * MIB]).await;
    gallery.path(&path)
}

#[tokio::test]
async fn a_version_is_shown_as_each_api_version_has_it() {
    let gallery = gallery().await;
    let disk = disk(&gallery).await;
    let mut body = version(&disk);
    let profile = &mut body["properties"]["publishingProfile"];
    profile["settings"] = json!({ "packageFileName": "p.zip", "scriptBehaviorAfterReboot": "Rerun" });
    profile["advancedSettings"] = json!({ "timeout": "300" });
    profile["customActions"] =
        json!([{ "name": "c", "script": "s", "parameters": [{ "name": "p", "type": "String" }] }]);
    profile["targetRegions"] = json!([{ "name": "eastus" }, { "name": "West US", "excludeFromLatest": true }]);
    body["properties"]["safetyProfile"] = json!({ "allowDeletionOfReplicatedLocations": false });
    let made = gallery.put(&at(VERSION, "2024-03-03"), body).await.expect(201);
    gallery.succeeded(&made).await;
    for (api_version, has) in [
        ("2019-03-01", [false, false, false]),
        ("2022-01-03", [true, false, false]),
        ("2022-03-03", [true, true, false]),
        ("2024-03-03", [true, true, true]),
        ("2026-03-03", [true, true, true]),
    ] {
        let found = gallery.get(&at(VERSION, api_version)).await.expect(200).json();
        let profile = &found["properties"]["publishingProfile"];
        let shown = [
            profile["settings"]["packageFileName"].is_string(),
            profile["customActions"].is_array(),
            profile["settings"]["scriptBehaviorAfterReboot"].is_string(),
        ];
        assert_eq!(shown, has, "{api_version}: {found}");
        assert_eq!(profile["source"]["mediaLink"], json!(disk));
        assert_eq!(found["properties"]["replicationStatus"], Value::Null);
        assert_eq!(found["type"], "Microsoft.Compute/galleries/applications/versions");
    }
    let status = gallery.get(&format!("{}&$expand=ReplicationStatus", at(VERSION, "2024-03-03"))).await.expect(200);
    let status = &status.json()["properties"]["replicationStatus"];
    assert_eq!(status["aggregatedState"], "Completed");
    assert_eq!(status["summary"].as_array().map(Vec::len), Some(2));
    // What it holds on to.
    let fewer = json!({ "properties": { "publishingProfile": { "targetRegions": [{ "name": "eastus" }] } } });
    let refused = gallery.patch(&at(VERSION, "2024-03-03"), fewer).await.expect(409).json();
    assert_eq!(
        refused["error"]["target"],
        "galleryApplicationVersion.properties.safetyProfile.allowDeletionOfReplicatedLocations"
    );
    let unknown = gallery
        .put(
            &at(VERSION, "2019-03-01"),
            json!({ "location": "eastus", "properties": {
        "publishingProfile": { "settings": {} } } }),
        )
        .await
        .expect(400)
        .json();
    assert!(unknown["error"]["message"].as_str().unwrap().contains("Could not find member 'settings'"), "{unknown}");
}

#[tokio::test]
async fn what_is_wrong_is_named() {
    let gallery = gallery().await;
    let of_version = "galleryApplicationVersion.properties.publishingProfile";
    let mut long = version("https://h/p");
    long["properties"]["publishingProfile"]["manageActions"]["remove"] = json!("x".repeat(4097));
    for (below, body, status, code, target) in [
        ("galleries/g/applications/b", here(json!({})), 400, "InvalidParameter", Some("supportedOSType".to_owned())),
        (
            "galleries/g/applications/b",
            here(json!({ "supportedOSType": "BeOS" })),
            400,
            "BadRequest",
            Some("galleryApplication.properties.supportedOSType".to_owned()),
        ),
        (
            "galleries/g/applications/a",
            here(json!({ "supportedOSType": "Windows" })),
            409,
            "PropertyChangeNotAllowed",
            Some("galleryApplication.properties.supportedOSType".to_owned()),
        ),
        (
            "galleries/g/scripts/s",
            here(json!({ "supportedOSType": "Linux" })),
            409,
            "PropertyChangeNotAllowed",
            Some("galleryScript.properties.supportedOSType".to_owned()),
        ),
        (
            VERSION,
            here(json!({ "publishingProfile": { "source": {} } })),
            400,
            "InvalidParameter",
            Some("mediaLink".to_owned()),
        ),
        (VERSION, version("package.zip"), 400, "InvalidParameter", Some(format!("{of_version}.source.mediaLink"))),
        (VERSION, long, 400, "InvalidParameter", Some(format!("{of_version}.manageActions.remove"))),
        (
            VERSION,
            version(
                "/subscriptions/11111111-2222-3333-4444-555555555555/resourceGroups/r/providers/Microsoft.Compute/images/m",
            ),
            400,
            "InvalidParameter",
            Some(format!("{of_version}.source.mediaLink")),
        ),
        ("galleries/g/applications/none/versions/1.0.0", version("https://h/p"), 404, "ParentResourceNotFound", None),
        (
            "galleries/g/applications/a/versions/1",
            version("https://h/p"),
            400,
            "InvalidParameter",
            Some("galleryApplicationVersionName".to_owned()),
        ),
        (
            "galleries/g/scripts/s/versions/x",
            here(json!({ "publishingProfile": { "source": { "scriptLink": "https://h/p" } } })),
            400,
            "InvalidParameter",
            Some("galleryScriptVersionName".to_owned()),
        ),
    ] {
        let refused = gallery.put(&at(below, "2025-03-03"), body.clone()).await.expect(status).json();
        let error = &refused["error"];
        assert_eq!(
            (error["code"].as_str(), error["target"].as_str()),
            (Some(code), target.as_deref()),
            "{below} {body}: {error}"
        );
    }
}

/// A link that cannot be fetched fails the version, by an operation that says which property.
#[tokio::test]
async fn a_link_that_cannot_be_fetched_fails_the_version() {
    let gallery = gallery().await;
    let made = gallery.put(&at(VERSION, "2022-01-03"), version("https://h/p.zip?sig=secret")).await.expect(201);
    assert_eq!(made.json()["properties"]["provisioningState"], "Creating");
    assert_eq!(made.json()["properties"]["publishingProfile"]["source"]["mediaLink"], "https://h/p.zip");
    let ended = gallery.status_of(&made).await;
    assert_eq!((&ended["status"], &ended["error"]["code"]), (&json!("Failed"), &json!("InvalidParameter")), "{ended}");
    let target = "galleryApplicationVersion.properties.publishingProfile.source.mediaLink";
    assert_eq!(ended["error"]["target"], target);
    assert!(!ended.to_string().contains("secret"), "{ended}");
    let found = gallery.get(&at(VERSION, "2022-01-03")).await.expect(200).json();
    assert_eq!(found["properties"]["provisioningState"], "Failed");
    gallery.succeeded(&gallery.delete(&at(VERSION, "2022-01-03")).await.expect(202)).await;
}

#[tokio::test]
async fn they_are_listed_and_deleted_from_the_leaves_up() {
    let gallery = gallery().await;
    let disk = disk(&gallery).await;
    let script =
        here(json!({ "publishingProfile": { "source": { "scriptLink": disk, "parameters": [{ "name": "p" }] } } }));
    for (below, body) in [(VERSION, version(&disk)), ("galleries/g/scripts/s/versions/1.0.0", script)] {
        gallery.succeeded(&gallery.put(&at(below, "2025-03-03"), body).await.expect(201)).await;
    }
    for (below, name) in [
        ("galleries/g/applications", "a"),
        ("galleries/g/applications/a/versions", "1.0.0"),
        ("galleries/g/scripts", "s"),
        ("galleries/g/scripts/s/versions", "1.0.0"),
    ] {
        let found = gallery.get(&at(below, "2025-03-03")).await.expect(200).json();
        let [item] = &found["value"].as_array().expect("a list")[..] else { panic!("{found}") };
        assert_eq!(item["name"], name);
    }
    let all = gallery.get("{s}/resources?api-version=2024-11-01").await.expect(200).json().to_string();
    for part in ["/applications/a\"", "/applications/a/versions/1.0.0\"", "/scripts/s\"", "/scripts/s/versions/1.0.0\""]
    {
        assert!(all.contains(part), "{part} is not in {all}");
    }
    for (below, nested) in [
        ("galleries/g/applications/a", "galleries/g/applications/a/versions/1.0.0"),
        ("galleries/g/scripts/s", "galleries/g/scripts/s/versions/1.0.0"),
        ("galleries/g", "galleries/g/applications/a"),
    ] {
        let refused = gallery.delete(&at(below, "2025-03-03")).await.expect(409).json();
        assert_eq!(refused["error"]["code"], "CannotDeleteResource");
        let message = refused["error"]["message"].as_str().expect("a message");
        assert!(message.contains(&format!("Microsoft.Compute/{nested}")), "{message}");
    }
    // An old state is not overwritten.
    let request = Request::patch(gallery.path(&at("galleries/g/applications/a", "2025-03-03")))
        .header("authorization", format!("Bearer {}", gallery.token().await))
        .header("content-type", "application/json")
        .header("if-match", "\"stale\"");
    let stale = gallery.send(request.body(Body::from("{}")).expect("a request")).await;
    assert_eq!(stale.status, 412, "{stale}");
    gallery.result_of(&gallery.delete("{s}/resourceGroups/rg?api-version=2025-03-01").await.expect(202)).await;
    assert_eq!(gallery.get(&at("galleries/g/applications/a", "2025-03-03")).await.status, 404);
}
