//! Sharing on the wire: `POST share`, what consumers read, and who brings tokens of several tenants.

use axum::{
    body::Body,
    http::{Method, Request},
};
use galerie_testkit::{Answer, Gallery, SecondTenant};
use serde_json::{Value, json};

const GROUP: &str = "{s}/resourceGroups/rg/providers/Microsoft.Compute";
const SHARE: &str = "{s}/resourceGroups/rg/providers/Microsoft.Compute/galleries/g/share?api-version=2023-07-03";
const MIB: usize = 1 << 20;

async fn make_gallery(gallery: &Gallery, permissions: &str) {
    gallery.make_group("rg", "eastus").await;
    let mut profile = json!({ "permissions": permissions });
    if permissions == "Community" {
        profile["communityGalleryInfo"] = json!({ "publicNamePrefix": "prefix", "publisherContact": "a@example.com" });
    }
    let body = json!({ "location": "eastus", "properties": { "sharingProfile": profile } });
    let accepted = gallery.put(&format!("{GROUP}/galleries/g?api-version=2024-03-03"), body).await;
    gallery.succeeded(&accepted).await;
}

/// The version 1.0.0 of `i` in the gallery `g`, in eastus.
async fn make_version(gallery: &Gallery) {
    let definition = json!({ "location": "eastus", "properties": { "osType": "Linux", "osState": "Generalized",
        "hyperVGeneration": "V2", "identifier": { "publisher": "p", "offer": "o", "sku": "s" } } });
    let path = format!("{GROUP}/galleries/g/images/i");
    gallery.succeeded(&gallery.put(&format!("{path}?api-version=2024-03-03"), definition).await).await;
    let disk = format!("{GROUP}/disks/source");
    gallery.upload_disk(&disk, "eastus", &vec![1; 20 * MIB]).await;
    let version = json!({ "location": "eastus", "properties": {
        "storageProfile": { "osDiskImage": { "source": { "id": gallery.path(&disk) } } } } });
    let path = format!("{path}/versions/1.0.0?api-version=2024-03-03");
    gallery.succeeded(&gallery.put(&path, version).await).await;
}

fn add(kind: &str, id: &str) -> Value {
    json!({ "operationType": "Add", "groups": [{ "type": kind, "ids": [id] }] })
}

/// A request of another tenant's administrator; `{t}` stands for its subscription.
async fn theirs(
    gallery: &Gallery,
    other: &SecondTenant,
    method: Method,
    path: &str,
    body: Option<Value>,
    auxiliary: Option<&str>,
) -> Answer {
    let path = path.replace("{t}", &format!("/subscriptions/{}", other.subscription));
    let mut request = Request::builder().method(method).uri(gallery.path(&path));
    request = request.header("authorization", format!("Bearer {}", other.token));
    request = request.header("content-type", "application/json");
    if let Some(auxiliary) = auxiliary {
        request = request.header("x-ms-authorization-auxiliary", auxiliary);
    }
    let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
    gallery.send(request.body(body).expect("a request")).await
}

#[tokio::test]
async fn a_share_is_202_and_ends_in_what_was_asked() {
    let gallery = Gallery::start().await;
    make_gallery(&gallery, "Groups").await;
    let asked = add("Subscriptions", "34a4ab42-0d72-47d9-bd1a-aed207386dac");
    let accepted = gallery.post(SHARE, Some(asked.clone())).await.expect(202);
    assert!(accepted.body.is_empty(), "{accepted}");
    assert_eq!(accepted.header("retry-after"), Some("1"));
    let (status, result) = (accepted.header("azure-asyncoperation").unwrap(), accepted.header("location").unwrap());
    assert!(status.contains("/capsOperations/"), "{status}");
    assert_eq!(result, format!("{status}&monitor=true"));
    gallery.succeeded(&accepted).await;
    assert_eq!(gallery.result_of(&accepted).await.expect(200).json(), asked);
    let shown = gallery.get(&format!("{GROUP}/galleries/g?api-version=2024-03-03&$expand=SharingProfile/Groups")).await;
    assert_eq!(shown.json()["properties"]["sharingProfile"]["groups"], asked["groups"]);
    let private = gallery.get(&format!("{GROUP}/galleries/g?api-version=2024-03-03&$select=Permissions")).await;
    assert_eq!(private.json()["properties"]["sharingProfile"], json!({ "permissions": "Groups" }));
}

#[tokio::test]
async fn bad_shares_are_told_what_is_wrong() {
    let gallery = Gallery::start().await;
    make_gallery(&gallery, "Groups").await;
    let own = gallery.subscription.to_string();
    for (body, status, code) in [
        (json!({}), 400, "InvalidParameter"),
        (json!({ "operationType": "Give" }), 400, "BadRequest"),
        (json!({ "operationType": "Add", "groups": [{ "type": "Users", "ids": ["x"] }] }), 400, "BadRequest"),
        (json!({ "operationType": "Add", "groups": {} }), 400, "BadRequest"),
        (json!({ "operationType": "Add", "groups": [], "more": 1 }), 400, "BadRequest"),
        (add("Subscriptions", "x"), 400, "InvalidParameter"),
        (add("Subscriptions", &own), 400, "InvalidParameter"),
        (json!({ "operationType": "EnableCommunity" }), 409, "OperationNotAllowed"),
    ] {
        let refused = gallery.post(SHARE, Some(body.clone())).await.expect(status);
        assert_eq!(refused.code(), code, "{body}");
    }
    let absent = SHARE.replace("/g/share", "/nothing/share");
    assert_eq!(
        gallery.post(&absent, Some(json!({ "operationType": "Reset" }))).await.expect(404).code(),
        "ResourceNotFound"
    );
    let _ = gallery.get(SHARE).await.expect(405);
    let shown = gallery.get(&format!("{GROUP}/galleries/g?api-version=2024-03-03&$expand=SharingProfile/Groups")).await;
    assert_eq!(
        shown.json()["properties"]["sharingProfile"],
        json!({ "permissions": "Groups", "groups": [] }),
        "nothing was half done"
    );
}

#[tokio::test]
async fn consumers_read_what_is_shared_and_nothing_else() {
    let gallery = Gallery::start().await;
    make_gallery(&gallery, "Groups").await;
    make_version(&gallery).await;
    let other = gallery.second_tenant().await;
    let unique = format!("{}-G", gallery.subscription);
    let shared = "{t}/providers/Microsoft.Compute/locations/eastus/sharedGalleries";
    let below = |path: &str, version: &str| format!("{shared}{path}?api-version={version}");
    let get = async |path: String| theirs(&gallery, &other, Method::GET, &path, None, None).await;
    let item = format!("/{unique}/images/i/versions/1.0.0");
    assert_eq!(get(below(&item, "2022-01-03")).await.expect(404).code(), "ResourceNotFound");
    assert_eq!(get(below("", "2023-07-03")).await.expect(200).json(), json!({ "value": [] }));
    let _ = gallery.post(SHARE, Some(add("AADTenants", &other.tenant.to_string()))).await.expect(202);
    let listed = get(below("", "2023-07-03&sharedTo=tenant")).await.expect(200).json();
    assert_eq!(listed["value"][0]["identifier"]["uniqueId"], format!("/SharedGalleries/{unique}"));
    assert!(listed["value"][0].get("id").is_none() && listed.get("nextLink").is_none(), "{listed}");
    let version =
        get(below(&item.to_uppercase().replace("/VERSIONS", "/versions"), "2022-01-03")).await.expect(200).json();
    assert_eq!(version["properties"]["storageProfile"]["osDiskImage"]["diskSizeGB"], 1);
    let older = get(below(&item, "2020-09-30")).await.expect(200).json();
    assert!(older["properties"].get("storageProfile").is_none() && older["properties"].get("publishedDate").is_some());
    for (path, status, code) in [
        ("?sharedTo=everybody&api-version=2023-07-03", 400, "InvalidParameter"),
        ("/x/images/i/versions/1.0?api-version=2023-07-03", 400, "InvalidParameter"),
        ("/x/y?api-version=2023-07-03", 404, "InvalidResourceType"),
    ] {
        let refused = get(format!("{shared}{path}")).await.expect(status);
        assert_eq!(refused.code(), code, "{path}: {refused}");
    }
    let written = theirs(&gallery, &other, Method::PUT, &below(&item, "2022-01-03"), Some(json!({})), None).await;
    assert_eq!(written.status, 405, "{written}");
    // The list of versions, and a disk from it, whose bytes become the other tenant's own.
    let versions = get(below(&format!("/{unique}/images/i/versions"), "2026-03-03")).await.expect(200).json();
    assert_eq!(versions["value"][0]["name"], "1.0.0");
}

#[tokio::test]
async fn a_community_gallery_is_found_by_the_query_that_az_sends() {
    let gallery = Gallery::start().await;
    make_gallery(&gallery, "Community").await;
    let other = gallery.second_tenant().await;
    let query = json!({ "query": "communitygalleryresources| where type == 'microsoft.compute/locations/communitygalleries' ",
        "options": { "$top": 30 } });
    let path = "/providers/Microsoft.ResourceGraph/resources?api-version=2021-03-01";
    let ask = async |query: &Value| theirs(&gallery, &other, Method::POST, path, Some(query.clone()), None).await;
    assert_eq!(ask(&query).await.expect(200).json()["totalRecords"], 0);
    let _ = gallery.post(SHARE, Some(json!({ "operationType": "EnableCommunity" }))).await.expect(202);
    let found = ask(&query).await.expect(200).json();
    assert_eq!((&found["totalRecords"], &found["count"]), (&json!(1), &json!(1)));
    let name = found["data"][0]["name"].as_str().expect("a name").to_owned();
    assert!(name.starts_with("prefix-"), "{name}");
    let community = "{t}/providers/Microsoft.Compute/locations/eastus/communityGalleries";
    let get = async |path: String| theirs(&gallery, &other, Method::GET, &path, None, None).await;
    let shown = get(format!("{community}/{name}?api-version=2025-03-03")).await.expect(200).json();
    assert_eq!(shown["properties"]["communityMetadata"], found["data"][0]["properties"]["communityMetadata"]);
    let _ = get(format!("{community}?api-version=2025-03-03")).await.expect(404);
    let refused = ask(&json!({ "query": "resources | take 1" })).await.expect(400);
    assert_eq!(refused.code(), "InvalidQuery");
    let deleted = gallery.delete(&format!("{GROUP}/galleries/g?api-version=2024-03-03")).await.expect(409);
    assert_eq!(deleted.code(), "OperationNotAllowed");
}

#[tokio::test]
async fn an_auxiliary_token_must_be_as_good_as_the_main_one() {
    let gallery = Gallery::start().await;
    make_gallery(&gallery, "Private").await;
    make_version(&gallery).await;
    let other = gallery.second_tenant().await;
    let group = "{t}/resourceGroups/rg?api-version=2024-11-01";
    let made = theirs(&gallery, &other, Method::PUT, group, Some(json!({ "location": "eastus" })), None).await;
    let _ = made.expect(201);
    let (ours, its) = (gallery.token().await.to_owned(), other.token.clone());
    let source = gallery.path(&format!("{GROUP}/galleries/g/images/i/versions/1.0.0"));
    let disk = json!({ "location": "eastus", "properties": { "creationData": {
        "createOption": "FromImage", "galleryImageReference": { "id": source } } } });
    let path = "{t}/resourceGroups/rg/providers/Microsoft.Compute/disks/d?api-version=2025-01-02";
    let put = async |auxiliary: Option<&str>| {
        theirs(&gallery, &other, Method::PUT, path, Some(disk.clone()), auxiliary).await
    };
    assert_eq!(put(None).await.expect(403).code(), "LinkedAuthorizationFailed");
    let mut forged = ours.clone();
    forged.truncate(forged.len() - 8);
    forged.push_str("AAAAAAAA");
    for wrong in [
        "nonsense".to_owned(),
        "Bearer x.y.z".to_owned(),
        format!("Bearer {forged}"),
        // One's own tenant again, the same tenant twice, and too many.
        format!("Bearer {its}"),
        format!("Bearer {ours}, Bearer {ours}"),
        format!("Bearer {ours}, Bearer x, Bearer x, Bearer x"),
    ] {
        let refused = put(Some(&wrong)).await.expect(401);
        assert_eq!(refused.code(), "InvalidAuxiliaryTokens", "{refused}");
        assert!(refused.header("www-authenticate").is_some());
    }
    // It does not speak for the action: to their token our subscription is not there, whatever comes with it.
    let ours_path = format!("{GROUP}/galleries/g?api-version=2024-03-03");
    let refused = theirs(&gallery, &other, Method::GET, &ours_path, None, Some(&format!("Bearer {ours}"))).await;
    assert_eq!(refused.expect(404).code(), "SubscriptionNotFound");
    let accepted = put(Some(&format!("Bearer {ours}"))).await.expect(202);
    for _ in 0..6000 {
        let url = accepted.header("azure-asyncoperation").expect("a URL").to_owned();
        let status = theirs(&gallery, &other, Method::GET, &url, None, None).await.expect(200).json();
        if status["status"] != "InProgress" {
            assert_eq!(status["status"], "Succeeded", "{status}");
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("the copy does not end");
}

/// Answers to a share, in a subscription and over a tenant; with the gallery's name and its unique name.
#[tokio::test]
async fn a_share_is_rejected_and_accepted() {
    let gallery = Gallery::start().await;
    make_gallery(&gallery, "Groups").await;
    let other = gallery.second_tenant().await;
    let _ = gallery.post(SHARE, Some(add("Subscriptions", &other.subscription.to_string()))).await.expect(202);
    let _ = gallery.post(SHARE, Some(add("AADTenants", &other.tenant.to_string()))).await.expect(202);
    let version = "api-version=2025-12-03";
    let list = format!("{{t}}/providers/Microsoft.Compute/locations/eastus/sharedGalleries?{version}");
    let listed = async || {
        let found = theirs(&gallery, &other, Method::GET, &list, None, None).await.expect(200).json();
        found["value"].as_array().expect("a list").len()
    };
    let own = format!(
        "{{t}}/providers/Microsoft.Compute/locations/eastus/sharedGallerySubscriptions/{}/sharedGalleries",
        gallery.subscription
    );
    let whole = own.replace("{t}", "").replace("/sharedGallerySubscriptions", "/tenantLevelSharedGallerySubscriptions");
    let unique = format!("{}-G", gallery.subscription);
    assert_eq!(listed().await, 1);
    for (name, answer, expected) in [("g", "reject", 0), ("G", "accept", 1), (&unique, "Reject", 0), ("g", "accept", 1)]
    {
        let path = format!("{own}/{name}/{answer}?{version}");
        let answered = theirs(&gallery, &other, Method::POST, &path, None, None).await.expect(204);
        assert!(answered.body.is_empty());
        assert_eq!(listed().await, expected, "{name} {answer}");
    }
    for answer in ["reject", "accept"] {
        let path = format!("{whole}/g/{answer}?{version}");
        let _ = theirs(&gallery, &other, Method::POST, &path, None, None).await.expect(204);
        assert_eq!(listed().await, 1, "its own share is its own");
    }
    for (path, status, code) in [
        (format!("{own}/nothing/accept?{version}"), 404, "ResourceNotFound"),
        (format!("{own}/no-name/accept?{version}"), 400, "InvalidParameter"),
        (format!("{own}/g/perhaps?{version}"), 404, ""),
        (format!("{own}/g/accept"), 400, "MissingApiVersionParameter"),
        (
            format!("{}/g/accept?{version}", own.replace("eastus", "nowhere")),
            400,
            "LocationNotAvailableForResourceType",
        ),
    ] {
        let refused = theirs(&gallery, &other, Method::POST, &path, None, None).await.expect(status).json();
        let found = refused["error"]["code"].as_str().expect("a code");
        assert!(code.is_empty() || found == code, "{path}: {refused}");
    }
    let _ = theirs(&gallery, &other, Method::GET, &format!("{own}/g/accept?{version}"), None, None).await.expect(405);
}
