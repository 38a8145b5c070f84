//! Galleries and definitions: uniqueness, order of deletion, lists, preconditions, authorization.

use galerie_arm::{ETag, ResourceType, etag::Precondition};
use galerie_control::{DocumentText, Expand, ListScope};
use serde_json::json;

use crate::support::{GROUP, Gallery, definition_body, version_body};

#[tokio::test]
async fn created_once_and_then_updated() {
    let gallery = Gallery::start().await;
    let body = json!({ "location": "East US", "tags": { "a": "b" }, "properties": { "description": "" } });
    let first = gallery.put("galleries/myGallery", body.clone()).await.unwrap();
    assert!(first.created);
    let document = first.resource.unwrap().document;
    let keys: Vec<&str> = document.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(&keys[..5], ["name", "id", "type", "location", "tags"]);
    assert_eq!((&document["location"], &document["properties"]["description"]), (&json!("eastus"), &json!("")));
    assert_eq!(document["properties"]["provisioningState"], "Succeeded");
    gallery.finish(&first.operation).await.unwrap();

    let again = gallery.put("galleries/MYGALLERY", body).await.unwrap();
    assert!(!again.created);
    assert_eq!(again.resource.as_ref().unwrap().document, document, "the spelling of creation and the etag are kept");
    let changed = gallery.put("galleries/myGallery", json!({ "location": "eastus", "properties": {} })).await.unwrap();
    let changed = changed.resource.unwrap();
    assert_ne!(changed.document["etag"], document["etag"]);
    assert_eq!(changed.document["tags"], json!({ "a": "b" }));
}

#[tokio::test]
async fn a_name_is_unique_in_the_subscription() {
    let gallery = Gallery::start().await;
    gallery.make("galleries/myGallery", json!({ "location": "eastus" })).await;
    let other = gallery.id("/resourceGroups/other/providers/Microsoft.Compute/galleries/MyGallerY");
    let error = gallery.control.put(&gallery.context(), &other, json!({ "location": "westus" })).await.unwrap_err();
    assert_eq!(error.status, 409);
    assert!(error.message.starts_with("The gallery name 'MyGallerY' is not unique within the subscription"));
    gallery.delete("galleries/myGallery").await.unwrap().unwrap();
    gallery.control.put(&gallery.context(), &other, json!({ "location": "westus" })).await.unwrap();
}

#[tokio::test]
async fn a_triplet_is_unique_in_its_gallery() {
    let gallery = Gallery::start().await;
    gallery.define("one", "web").await;
    let error = gallery.put("galleries/one/images/api", definition_body("WEB")).await.unwrap_err();
    assert_eq!(error.status, 409);
    assert!(error.message.contains("(publisher:p, offer:o, sku:WEB) already exists"), "{}", error.message);
    gallery.define("two", "web").await;
}

#[tokio::test]
async fn places_must_be_there_and_known() {
    let gallery = Gallery::start().await;
    let nowhere = gallery.id("/resourceGroups/nowhere/providers/Microsoft.Compute/galleries/g");
    let put = |path: &'static str, body| {
        let gallery = &gallery;
        async move { gallery.put(path, body).await.unwrap_err() }
    };
    for (error, status, code) in [
        (
            gallery.control.put(&gallery.context(), &nowhere, json!({ "location": "eastus" })).await.unwrap_err(),
            404,
            "ResourceGroupNotFound",
        ),
        (put("galleries/none/images/web", definition_body("web")).await, 404, "ParentResourceNotFound"),
        (put("galleries/g", json!({})).await, 400, "LocationRequired"),
        (put("galleries/g", json!({ "location": "mars" })).await, 400, "LocationNotAvailableForResourceType"),
        (put("galleries/g-g", json!({ "location": "eastus" })).await, 400, "InvalidParameter"),
        (put("galleries/g", json!({ "location": "eastus", "properties": { "colour": 1 } })).await, 400, "BadRequest"),
        (gallery.get_error("galleries/none").await, 404, "ResourceNotFound"),
        (gallery.get_error("galleries/none/images/web").await, 404, "ParentResourceNotFound"),
    ] {
        assert_eq!((error.status, error.code.as_ref()), (status, code), "{error}");
    }
    gallery.make("galleries/g", json!({ "location": "eastus" })).await;
    assert_eq!(put("galleries/g", json!({ "location": "westus" })).await.code, "InvalidResourceLocation");
}

#[tokio::test]
async fn parents_outlive_their_children() {
    let gallery = Gallery::start().await;
    gallery.define("myGallery", "web").await;
    let error = gallery.delete("galleries/myGallery").await.unwrap_err();
    assert_eq!((error.status, error.code.as_ref()), (409, "CannotDeleteResource"));
    assert!(error.message.contains("'Microsoft.Compute/galleries/myGallery/images/web'"), "{}", error.message);
    gallery.delete("galleries/myGallery/images/web").await.unwrap().unwrap();
    // What answers 404 never keeps its parent alive.
    gallery.delete("galleries/myGallery").await.unwrap().unwrap();
    assert!(gallery.delete("galleries/myGallery").await.unwrap().is_none());
}

#[tokio::test]
async fn strangers_are_told_nothing() {
    let gallery = Gallery::start().await;
    gallery.make("galleries/there", json!({ "location": "eastus" })).await;
    let mut answers = Vec::new();
    for name in ["there", "nowhere"] {
        let id = gallery.compute(&format!("galleries/{name}"));
        let stranger = gallery.stranger();
        let get = gallery.control.get(&stranger, &id, &Expand::default()).await.unwrap_err();
        let put = gallery.control.put(&stranger, &id, json!({ "bad": 1 })).await.unwrap_err();
        let delete = gallery.control.delete(&stranger, &id).await.unwrap_err();
        let texts = [get, put, delete].map(|error| {
            assert_eq!(error.code, "AuthorizationFailed");
            error.message.replace(name, "X")
        });
        answers.push(texts);
    }
    assert_eq!(answers[0], answers[1]);
}

#[tokio::test]
async fn conditions_are_kept() {
    let gallery = Gallery::start().await;
    let id = gallery.compute("galleries/g");
    let body = json!({ "location": "eastus" });
    let with = |if_match: Option<&str>, if_none_match: Option<&str>| {
        let mut context = gallery.context();
        context.preconditions = Precondition::from_headers(if_match, if_none_match).unwrap();
        context
    };
    assert_eq!(gallery.control.put(&with(Some("*"), None), &id, body.clone()).await.unwrap_err().status, 412);
    let made = gallery.control.put(&with(None, Some("*")), &id, body.clone()).await.unwrap().resource.unwrap();
    assert_eq!(gallery.control.put(&with(None, Some("*")), &id, body.clone()).await.unwrap_err().status, 412);
    let tag = ETag::new(&made.etag).to_string();
    let tagged = json!({ "location": "eastus", "tags": { "a": "b" } });
    gallery.control.put(&with(Some(&tag), None), &id, tagged.clone()).await.unwrap();
    assert_eq!(gallery.control.put(&with(Some(&tag), None), &id, body).await.unwrap_err().status, 412);
    assert_eq!(gallery.control.delete(&with(Some(&tag), None), &id).await.unwrap_err().status, 412);
}

#[tokio::test]
async fn patches_change_what_they_name() {
    let gallery = Gallery::start().await;
    gallery.define("g", "web").await;
    let id = gallery.compute("galleries/g/images/web");
    let patch = json!({ "tags": { "x": "y" }, "properties": { "description": "new" } });
    let patched = gallery.control.patch(&gallery.context(), &id, patch).await.unwrap().resource.unwrap().document;
    assert_eq!((&patched["properties"]["description"], &patched["tags"]), (&json!("new"), &json!({ "x": "y" })));
    assert_eq!(patched["properties"]["osType"], "Linux");
    let absent = gallery.compute("galleries/g/images/none");
    assert_eq!(
        gallery.control.patch(&gallery.context(), &absent, json!({})).await.unwrap_err().code,
        "ResourceNotFound"
    );
}

#[tokio::test]
async fn lists_have_pages() {
    let gallery = Gallery::start().await;
    gallery.make("galleries/g", json!({ "location": "eastus" })).await;
    for number in 0..130 {
        let name = format!("d{number:03}");
        gallery.put(&format!("galleries/g/images/{name}"), definition_body(&name)).await.unwrap();
    }
    let scope =
        ListScope::Children { parent: gallery.compute("galleries/g"), resource_type: ResourceType::ImageDefinition };
    let first = gallery.control.list(&gallery.context(), &scope, None).await.unwrap();
    assert_eq!(first.items.len(), 100);
    let rest = gallery.control.list(&gallery.context(), &scope, first.continuation.as_deref()).await.unwrap();
    assert_eq!((rest.items.len(), &rest.continuation), (30, &None));
    let names: Vec<String> = first
        .items
        .iter()
        .chain(&rest.items)
        .map(|item| item.to_value()["name"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(names, (0..130).map(|number| format!("d{number:03}")).collect::<Vec<_>>());
    assert_eq!(
        gallery.control.list(&gallery.context(), &scope, Some("junk!")).await.unwrap_err().code,
        "InvalidSkipToken"
    );

    let everything = ListScope::Group { group: gallery.id(&format!("/resourceGroups/{GROUP}")), resource_type: None };
    let page = gallery.control.list(&gallery.context(), &everything, None).await.unwrap();
    assert!(page.items.iter().all(|item| item.to_value().get("properties").is_none()));
    let galleries =
        ListScope::Subscription { subscription: gallery.subscription(), resource_type: Some(ResourceType::Gallery) };
    assert_eq!(gallery.control.list(&gallery.context(), &galleries, None).await.unwrap().items.len(), 1);
    let missing =
        ListScope::Children { parent: gallery.compute("galleries/none"), resource_type: ResourceType::ImageDefinition };
    assert_eq!(gallery.control.list(&gallery.context(), &missing, None).await.unwrap_err().status, 404);
}

/// Lists are put together from text, a GET from a tree.
#[tokio::test]
async fn a_list_shows_what_a_get_shows() {
    let gallery = Gallery::start().await;
    let copy_of = |path: &str| {
        json!({ "location": "eastus", "properties": {
            "creationData": { "createOption": "Copy", "sourceResourceId": gallery.compute(path).as_str() } } })
    };
    gallery
        .make(
            "disks/d",
            json!({ "location": "eastus", "tags": { "a \"b\"": "\u{1f}c\n" },
        "properties": { "creationData": { "createOption": "Empty" }, "diskSizeGB": 1 } }),
        )
        .await;
    gallery.make("snapshots/s", copy_of("disks/d")).await;
    gallery.make("images/m", json!({ "location": "eastus", "properties": { "storageProfile": { "osDisk": {
        "osType": "Linux", "osState": "Generalized", "managedDisk": { "id": gallery.compute("disks/d").as_str() } } } } })).await;
    gallery.define("g", "web").await;
    let mut version = version_body(&gallery.compute("disks/d"), &["eastus", "westus"]);
    version["properties"]["securityProfile"] =
        json!({ "uefiSettings": { "signatureTemplateNames": ["NoSignatureTemplate"] } });
    gallery.make("galleries/g/images/web/versions/1.0.0", version).await;
    let children = |parent: &str, resource_type| ListScope::Children { parent: gallery.compute(parent), resource_type };
    let in_group = |resource_type| ListScope::Group {
        group: gallery.id(&format!("/resourceGroups/{GROUP}")),
        resource_type: Some(resource_type),
    };
    for (path, scope) in [
        ("disks/d", in_group(ResourceType::Disk)),
        ("snapshots/s", in_group(ResourceType::Snapshot)),
        ("images/m", in_group(ResourceType::ManagedImage)),
        ("galleries/g", in_group(ResourceType::Gallery)),
        ("galleries/g/images/web", children("galleries/g", ResourceType::ImageDefinition)),
        ("galleries/g/images/web/versions/1.0.0", children("galleries/g/images/web", ResourceType::ImageVersion)),
    ] {
        for api_version in ["2018-06-01", "2019-12-01", "2024-03-03", "2099-01-01"] {
            let context = gallery.context_of(api_version);
            let listed = gallery.control.list(&context, &scope, None).await.unwrap();
            let got = gallery.control.get(&context, &gallery.compute(path), &Expand::default()).await.unwrap();
            let listed: Vec<_> = listed.items.iter().map(DocumentText::to_value).collect();
            assert_eq!(listed, [got.document], "{path} in {api_version}");
        }
    }
}
