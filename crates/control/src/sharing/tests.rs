//! Sharing end to end: the state machine, who sees what, and what consumers in other subscriptions and tenants make.

mod answers;
mod model;

use futures::future::join_all;
use galerie_arm::{ArmError, OperationStatus, ResourceType, sharing::GalleryProxy};
use galerie_region::Region;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{ProxyItem, ProxyList, ProxyPlace};
use crate::{
    Caller, ListScope, OperationRef, OperationResult, RequestContext,
    authz::Scope,
    db::{
        directory_object::{DirectoryObjectRow, ObjectKind},
        disk_image, foreign_source,
        service_principal::{self, ServicePrincipalRow},
        transact,
    },
    resource::Expand,
    testing::World,
};

const VERSION: &str = "galleries/g/images/i/versions/1.0.0";

/// A world whose group `rg` has nothing in it yet.
async fn world() -> World {
    let world = World::new().await;
    make_group(&world).await;
    world
}

async fn make_group(world: &World) {
    let group = json!({ "location": "eastus" });
    world.control.resource_group_put(&world.ctx(), &world.id(""), group).await.unwrap();
}

/// A running world with the disk `d` and the definition `i` in the gallery `g`, made to be shared as `permissions` say.
async fn shareable(permissions: &str) -> World {
    let world = world().await;
    world.start();
    make_gallery(&world, "g", permissions).await;
    make_definition(&world, "g").await;
    let import = world.upload(b"guest bytes", true).await;
    assert_eq!(world.ended(&import).await, (OperationStatus::Succeeded, None));
    world
}

async fn make_gallery(world: &World, name: &str, permissions: &str) {
    let mut profile = json!({ "permissions": permissions });
    if permissions == "Community" {
        profile["communityGalleryInfo"] = json!({ "publicNamePrefix": "prefix", "publisherUri": "https://example.com",
            "publisherContact": "a@example.com", "eula": "terms" });
    }
    let body = json!({ "location": "eastus", "properties": { "sharingProfile": profile } });
    world.put(&format!("galleries/{name}"), body).await.unwrap();
}

async fn make_definition(world: &World, gallery: &str) {
    let body = json!({ "location": "eastus", "tags": { "owner": "secret" }, "properties": {
        "osType": "Linux", "osState": "Generalized", "description": "secret",
        "identifier": { "publisher": "p", "offer": "o", "sku": "s" } } });
    world.put(&format!("galleries/{gallery}/images/i"), body).await.unwrap();
}

async fn publish(world: &World, version: &str, regions: &[&str]) {
    let operation = world.publish_as(version, regions).await.unwrap();
    assert_eq!(world.ended(&operation).await, (OperationStatus::Succeeded, None));
}

async fn share(world: &World, body: Value) -> Result<OperationRef, ArmError> {
    Ok(world.control.share(&world.ctx(), &world.id("galleries/g"), body).await?.operation)
}

fn subscriptions(operation: &str, ids: &[Uuid]) -> Value {
    let ids: Vec<String> = ids.iter().map(Uuid::to_string).collect();
    json!({ "operationType": operation, "groups": [{ "type": "Subscriptions", "ids": ids }] })
}

fn tenants(operation: &str, ids: &[Uuid]) -> Value {
    let ids: Vec<String> = ids.iter().map(Uuid::to_string).collect();
    json!({ "operationType": operation, "groups": [{ "type": "AADTenants", "ids": ids }] })
}

fn only(operation: &str) -> Value {
    json!({ "operationType": operation })
}

/// The sharing profile, groups and all.
async fn profile(world: &World) -> Value {
    let expand = Expand { sharing_profile_groups: true, permissions: true, ..Expand::default() };
    let shown = world.control.get(&world.ctx(), &world.id("galleries/g"), &expand).await.unwrap().document;
    shown["properties"]["sharingProfile"].clone()
}

async fn public_name(world: &World) -> String {
    profile(world).await["communityGalleryInfo"]["publicNames"][0].as_str().unwrap().to_owned()
}

fn unique_name(world: &World) -> String {
    format!("{}-G", world.subscription)
}

fn place(world: &World, location: &str) -> ProxyPlace {
    ProxyPlace { subscription: world.subscription, location: location.to_owned() }
}

async fn look(world: &World, location: &str, item: ProxyItem) -> Result<Value, ArmError> {
    world.control.proxy(&world.ctx(), &place(world, location), &item).await
}

/// The names on a list.
async fn names(world: &World, location: &str, list: &ProxyList) -> Result<Vec<String>, ArmError> {
    let page = world.control.proxies(&world.ctx(), &place(world, location), list, None).await?;
    Ok(page.items.iter().map(|item| item["name"].as_str().unwrap().to_owned()).collect())
}

async fn sees(world: &World, proxy: &GalleryProxy, location: &str) -> bool {
    match look(world, location, ProxyItem::Gallery(proxy.clone())).await {
        Ok(document) => document["identifier"]["uniqueId"] == proxy.to_string(),
        Err(error) => {
            assert_eq!((error.status, error.code.as_ref()), (404, "ResourceNotFound"), "{error}");
            false
        }
    }
}

fn disk_from(property: &str, reference: &str) -> Value {
    let creation = json!({ "createOption": "FromImage", "galleryImageReference": { property: reference } });
    json!({ "location": "eastus", "properties": { "creationData": creation } })
}

/// What the guest of a resource's first image reads first, from its own tenant's domain.
async fn first_bytes(world: &World, below: &str, region: &str) -> Vec<u8> {
    let key = world.id(below).key().to_owned();
    let images = disk_image::list_for(&mut world.control.db().read().await.unwrap(), &key).await.unwrap();
    let image = images.first().expect("an image");
    assert_eq!(image.tenant, world.caller.tenant, "a tenant's resources hold images of its own domain");
    let reader = world.regions[region].open_image(world.caller.tenant, image.manifest).await.unwrap();
    reader.read(0, 11).await.unwrap().to_vec()
}

/// Collects a tenant's garbage in a region as often as it takes for everything that can go to be gone.
async fn collect(world: &World, region: &str) {
    for _ in 0..4 {
        world.clock.advance(60_000);
        world.control.store_collect(&world.ctx(), region).await.unwrap();
    }
}

/// The table of docs/design/sharing.md, through the front door: what each operation answers, and the state after it.
#[tokio::test]
async fn the_state_machine_cell_by_cell() {
    let group = Uuid::from_u128(5);
    let add = subscriptions("Add", &[group]);
    let remove = subscriptions("Remove", &[group]);
    // For each operation: 200 for what is accepted, and the state then.
    let table = [
        ("Private", [(409, "P"), (409, "P"), (200, "P"), (409, "P"), (409, "P"), (200, "P"), (200, "")]),
        ("Groups", [(200, "G"), (200, "G"), (200, "P"), (409, "G"), (409, "G"), (200, "G"), (200, "")]),
        ("Unpublished", [(409, "C"), (409, "C"), (200, "P"), (200, "O"), (409, "C"), (200, "C"), (200, "")]),
        ("Published", [(409, "O"), (409, "O"), (200, "P"), (200, "O"), (409, "O"), (200, "O"), (409, "O")]),
    ];
    for (start, cells) in table {
        for (cell, (status, after)) in cells.into_iter().enumerate() {
            let world = world().await;
            let permissions = if matches!(start, "Private" | "Groups") { start } else { "Community" };
            make_gallery(&world, "g", permissions).await;
            if start == "Published" {
                share(&world, only("EnableCommunity")).await.unwrap();
            }
            if (start, cell) == ("Groups", 1) {
                share(&world, add.clone()).await.unwrap();
            }
            let other = if start == "Groups" { "Private" } else { "Groups" };
            let changed = json!({ "location": "eastus", "properties": { "sharingProfile": { "permissions": other } } });
            let same =
                json!({ "properties": { "description": "x", "sharingProfile": { "permissions": permissions } } });
            let id = world.id("galleries/g");
            let answer = match cell {
                0 => share(&world, add.clone()).await.map(drop),
                1 => share(&world, remove.clone()).await.map(drop),
                2 => share(&world, only("Reset")).await.map(drop),
                3 => share(&world, only("EnableCommunity")).await.map(drop),
                4 => world.put("galleries/g", changed).await.map(drop),
                5 => world.control.patch(&world.ctx(), &id, same).await.map(drop),
                _ => world.control.delete(&world.ctx(), &id).await.map(drop),
            };
            let told = answer.map_or_else(|error| error.status, |()| 200);
            assert_eq!(told, status, "{start}, cell {cell}");
            let state = match world.get("galleries/g").await {
                Err(_) => "",
                Ok(_) => {
                    let profile = profile(&world).await;
                    match (profile["permissions"].as_str(), &profile["communityGalleryInfo"]["communityGalleryEnabled"])
                    {
                        (Some("Private"), _) => "P",
                        (Some("Groups"), _) => "G",
                        (Some("Community"), Value::Bool(true)) => "O",
                        _ => "C",
                    }
                }
            };
            assert_eq!(state, after, "{start}, cell {cell}");
        }
    }
}

#[tokio::test]
async fn groups_come_and_go_and_the_operation_answers_what_was_asked() {
    let world = world().await;
    make_gallery(&world, "g", "Groups").await;
    let [a, b, c] = [1, 2, 3].map(Uuid::from_u128);
    let asked = json!({ "operationType": "add", "groups": [
        { "type": "subscriptions", "ids": [a.to_string(), b.to_string()] }, { "type": "AADTenants", "ids": [c.to_string()] }] });
    let etag = world.get("galleries/g").await.unwrap()["etag"].clone();
    let operation = share(&world, asked.clone()).await.unwrap();
    let result = world.control.operation_result(&world.ctx(), operation.subscription, operation.id).await.unwrap();
    let OperationResult::Asked(update) = result else { panic!("{result:?}") };
    assert_eq!((&update["operationType"], &update["groups"][1]["ids"][0]), (&json!("Add"), &json!(c.to_string())));
    let expected = json!([{ "type": "Subscriptions", "ids": [a.to_string(), b.to_string()] },
        { "type": "AADTenants", "ids": [c.to_string()] }]);
    assert_eq!(profile(&world).await["groups"], expected);
    let shown = world.get("galleries/g").await.unwrap();
    assert_eq!(shown["properties"]["sharingProfile"], json!({ "permissions": "Groups" }), "groups only when asked for");
    assert_eq!(shown["properties"]["sharingStatus"]["aggregatedState"], "Succeeded");
    assert_ne!(shown["etag"], etag);
    // A repeated request changes nothing.
    share(&world, asked).await.unwrap();
    assert_eq!(world.get("galleries/g").await.unwrap()["etag"], shown["etag"]);
    share(&world, subscriptions("Remove", &[a])).await.unwrap();
    let error = share(&world, subscriptions("Remove", &[b, a])).await.unwrap_err();
    assert_eq!(error.status, 400, "{error}");
    assert_eq!(profile(&world).await["groups"][0]["ids"], json!([b.to_string()]), "and nothing was half done");
    let error = share(&world, subscriptions("Add", &[world.subscription])).await.unwrap_err();
    assert_eq!((error.status, error.target.as_deref()), (400, Some("sharingUpdate.groups[0].ids[0]")));
}

#[tokio::test]
async fn as_many_groups_as_azure_allows() {
    let world = world().await;
    make_gallery(&world, "g", "Groups").await;
    let ids = |count: u128| -> Vec<Uuid> { (1..=count).map(Uuid::from_u128).collect() };
    share(&world, subscriptions("Add", &ids(30))).await.unwrap();
    share(&world, tenants("Add", &ids(5))).await.unwrap();
    for (body, most) in
        [(subscriptions("Add", &[Uuid::from_u128(99)]), "30"), (tenants("Add", &[Uuid::from_u128(99)]), "5")]
    {
        let error = share(&world, body).await.unwrap_err();
        assert_eq!((error.status, error.code.as_ref()), (409, "OperationNotAllowed"));
        assert!(error.message.contains(&format!("at most {most} groups")), "{error}");
    }
    share(&world, subscriptions("Add", &ids(30))).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sixteen_writers_lose_no_group() {
    let world = world().await;
    make_gallery(&world, "g", "Groups").await;
    let other = world.reopen().await;
    let writers = (1..=16).map(|number| {
        let world = if number % 2 == 0 { &world } else { &other };
        share(world, subscriptions("Add", &[Uuid::from_u128(number)]))
    });
    for outcome in join_all(writers).await {
        outcome.unwrap();
    }
    assert_eq!(profile(&world).await["groups"][0]["ids"].as_array().unwrap().len(), 16);
}

/// A race for the last places: as many win as there are places.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn writers_together_stay_within_the_limit() {
    let world = world().await;
    make_gallery(&world, "g", "Groups").await;
    let other = world.reopen().await;
    let writers = (1..=8).map(|number| {
        let world = if number % 2 == 0 { &world } else { &other };
        share(world, tenants("Add", &[Uuid::from_u128(number)]))
    });
    let outcomes = join_all(writers).await;
    let refused: Vec<u16> =
        outcomes.iter().filter_map(|outcome| outcome.as_ref().err()).map(|error| error.status).collect();
    assert_eq!(refused, [409; 3]);
    assert_eq!(profile(&world).await["groups"][0]["ids"].as_array().unwrap().len(), 5);
}

#[tokio::test]
async fn a_reset_gallery_is_shared_again_as_what_it_was() {
    let world = world().await;
    make_gallery(&world, "g", "Groups").await;
    share(&world, subscriptions("Add", &[Uuid::from_u128(1), Uuid::from_u128(2)])).await.unwrap();
    share(&world, only("Reset")).await.unwrap();
    assert_eq!(profile(&world).await, json!({ "permissions": "Private" }));
    let error = share(&world, only("EnableCommunity")).await.unwrap_err();
    assert!(error.message.contains("'Add' shares it again"), "{error}");
    share(&world, subscriptions("Add", &[Uuid::from_u128(3)])).await.unwrap();
    assert_eq!(profile(&world).await["groups"][0]["ids"], json!([Uuid::from_u128(3).to_string()]));
    world.delete("galleries/g").await.unwrap();

    make_gallery(&world, "g", "Community").await;
    let name = public_name(&world).await;
    share(&world, only("EnableCommunity")).await.unwrap();
    share(&world, only("Reset")).await.unwrap();
    assert!(!sees(&world, &GalleryProxy::Community(name.clone()), "eastus").await);
    share(&world, only("EnableCommunity")).await.unwrap();
    assert_eq!(public_name(&world).await, name);
    let shouted = ProxyItem::Gallery(GalleryProxy::Community(name.to_uppercase()));
    assert_eq!(look(&world, "eastus", shouted).await.unwrap()["name"], name, "in any case, told in its own");
}

#[tokio::test]
async fn a_group_with_a_published_gallery_is_not_deleted() {
    let world = world().await;
    world.start();
    make_gallery(&world, "g", "Community").await;
    share(&world, only("EnableCommunity")).await.unwrap();
    let error = world.control.resource_group_delete(&world.ctx(), &world.id("")).await.unwrap_err();
    assert_eq!((error.status, error.code.as_ref()), (409, "OperationNotAllowed"));
    share(&world, only("Reset")).await.unwrap();
    let accepted = world.control.resource_group_delete(&world.ctx(), &world.id("")).await.unwrap().unwrap();
    assert_eq!(world.ended(&accepted.operation).await, (OperationStatus::Succeeded, None));
}

#[tokio::test]
async fn a_gallery_is_seen_by_whom_it_is_shared_with() {
    let world = world().await;
    make_gallery(&world, "g", "Groups").await;
    let (sibling, stranger) = (world.in_new_subscription().await, world.in_new_tenant().await);
    let proxy = GalleryProxy::Shared(unique_name(&world));
    let (to_me, to_tenant) = (ProxyList::Galleries { to_tenant: false }, ProxyList::Galleries { to_tenant: true });
    let seen_by = |world: World| {
        let (proxy, lists) = (proxy.clone(), [to_me.clone(), to_tenant.clone()]);
        async move {
            let mut seen = vec![sees(&world, &proxy, "eastus").await];
            for list in &lists {
                seen.push(!names(&world, "eastus", list).await.unwrap().is_empty());
            }
            seen
        }
    };
    assert_eq!(seen_by(world.in_new_subscription().await).await, [false, false, false]);
    share(&world, subscriptions("Add", &[sibling.subscription])).await.unwrap();
    assert_eq!(names(&sibling, "eastus", &to_me).await.unwrap(), [unique_name(&world)]);
    assert!(sees(&sibling, &proxy, "East US").await);
    assert!(!sees(&sibling, &proxy, "westus").await, "it lives elsewhere, and nothing of it is there");
    assert!(names(&sibling, "westus", &to_me).await.unwrap().is_empty());
    assert!(!sees(&stranger, &proxy, "eastus").await);
    share(&world, tenants("Add", &[stranger.caller.tenant])).await.unwrap();
    assert_eq!(names(&stranger, "eastus", &to_tenant).await.unwrap(), [unique_name(&world)]);
    assert!(names(&stranger, "eastus", &to_me).await.unwrap().is_empty());
    assert!(sees(&stranger, &proxy, "eastus").await);
    share(&world, only("Reset")).await.unwrap();
    for viewer in [&sibling, &stranger] {
        assert!(!sees(viewer, &proxy, "eastus").await);
    }
    let nowhere = look(&stranger, "nowhere", ProxyItem::Gallery(proxy.clone())).await.unwrap_err();
    assert_eq!(nowhere.code, "LocationNotAvailableForResourceType");
    let foreign = stranger.control.proxy(&stranger.ctx(), &place(&world, "eastus"), &ProxyItem::Gallery(proxy)).await;
    assert_eq!(foreign.unwrap_err().code, "SubscriptionNotFound", "one looks from one's own subscription");
}

#[tokio::test]
async fn what_is_shown_is_regional_and_tells_nothing_of_the_owner() {
    let world = shareable("Groups").await;
    publish(&world, "1.0.0", &["eastus", "westus"]).await;
    publish(&world, "2.0.0", &["eastus"]).await;
    let reader = world.in_new_subscription().await;
    share(&world, subscriptions("Add", &[reader.subscription])).await.unwrap();
    let proxy = GalleryProxy::Shared(unique_name(&world));
    let (i, versions) = ("i".parse().unwrap(), ProxyList::Versions(proxy.clone(), "I".parse().unwrap()));
    assert_eq!(names(&reader, "eastus", &versions).await.unwrap(), ["1.0.0", "2.0.0"]);
    assert_eq!(names(&reader, "westus", &versions).await.unwrap(), ["1.0.0"]);
    assert_eq!(names(&reader, "westeurope", &versions).await.unwrap_err().status, 404);
    let definitions = ProxyList::Definitions(proxy.clone());
    assert_eq!(names(&reader, "westus", &definitions).await.unwrap(), ["i"]);
    let item = |number: &str| ProxyItem::Version(proxy.clone(), "i".parse().unwrap(), number.parse().unwrap());
    assert_eq!(look(&reader, "westus", item("2.0.0")).await.unwrap_err().status, 404);
    let version = look(&reader, "westus", item("1.0.0")).await.unwrap();
    let unique_id = format!("/SharedGalleries/{}/Images/i/Versions/1.0.0", unique_name(&world));
    assert_eq!((&version["identifier"]["uniqueId"], &version["location"]), (&json!(unique_id), &json!("westus")));
    assert_eq!(
        version["properties"]["storageProfile"],
        json!({ "osDiskImage": { "diskSizeGB": 1, "hostCaching": "None" } })
    );
    assert_eq!(version["properties"]["excludeFromLatest"], false);
    let definition = look(&reader, "eastus", ProxyItem::Definition(proxy.clone(), i)).await.unwrap();
    assert_eq!(definition["properties"]["identifier"]["sku"], "s");
    let gallery = look(&reader, "eastus", ProxyItem::Gallery(proxy)).await.unwrap();
    for document in [&version, &definition, &gallery] {
        let text = document.to_string().to_lowercase();
        for secret in ["resourcegroups", "secret", "/disks/", "\"id\"", "etag"] {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
    }
}

#[tokio::test]
async fn lists_are_paged_by_names_that_may_be_known() {
    let world = shareable("Groups").await;
    for number in 0..101 {
        let body = json!({ "location": "eastus", "properties": { "osType": "Linux", "osState": "Generalized",
            "identifier": { "publisher": "p", "offer": "o", "sku": format!("s{number}") } } });
        world.put(&format!("galleries/g/images/n{number:03}"), body).await.unwrap();
    }
    let reader = world.in_new_subscription().await;
    share(&world, subscriptions("Add", &[reader.subscription])).await.unwrap();
    let list = ProxyList::Definitions(GalleryProxy::Shared(unique_name(&world)));
    let place = place(&reader, "eastus");
    let first = reader.control.proxies(&reader.ctx(), &place, &list, None).await.unwrap();
    let token = first.continuation.expect("a second page");
    let read = galerie_arm::paging::SkipToken::decode(&token).unwrap().last_key;
    assert_eq!(read, "n098", "no id of the owner's");
    let second = reader.control.proxies(&reader.ctx(), &place, &list, Some(&token)).await.unwrap();
    assert_eq!((first.items.len(), second.items.len(), second.continuation), (100, 2, None));
    assert_eq!(second.items[0]["name"], "n099");
}

#[tokio::test]
async fn a_community_list_shows_the_latest_of_the_region() {
    let world = shareable("Community").await;
    publish(&world, "1.0.0", &["eastus", "westus"]).await;
    publish(&world, "2.0.0", &["eastus"]).await;
    let reader = world.in_new_tenant().await;
    let proxy = GalleryProxy::Community(public_name(&world).await);
    let versions = ProxyList::Versions(proxy.clone(), "i".parse().unwrap());
    assert_eq!(names(&reader, "eastus", &versions).await.unwrap_err().status, 404, "not published yet");
    share(&world, only("EnableCommunity")).await.unwrap();
    assert_eq!(names(&reader, "eastus", &versions).await.unwrap(), ["2.0.0"]);
    assert_eq!(names(&reader, "westus", &versions).await.unwrap(), ["1.0.0"]);
    let old = ProxyItem::Version(proxy.clone(), "i".parse().unwrap(), "1.0.0".parse().unwrap());
    assert_eq!(
        look(&reader, "eastus", old).await.unwrap()["type"],
        "Microsoft.Compute/locations/communityGalleryImageVersion"
    );
    let gallery = look(&reader, "eastus", ProxyItem::Gallery(proxy.clone())).await.unwrap();
    let metadata = &gallery["properties"]["communityMetadata"];
    assert_eq!(
        (&metadata["publisherContact"], &metadata["publicNames"][0]),
        (&json!("a@example.com"), &json!(proxy.name()))
    );
    let query = |location: Option<&str>| galerie_arm::resource_graph::CommunityGalleryQuery {
        location: location.map(str::to_owned),
        top: 30,
        skip_token: None,
    };
    for (location, count) in [(None, 1), (Some("East US"), 1), (Some("westus"), 0), (Some("?"), 0)] {
        let page = reader.control.community_galleries(&query(location)).await.unwrap();
        assert_eq!((page.rows.len(), page.total, page.skip_token), (count, count as u64, None), "{location:?}");
    }
}

#[tokio::test]
async fn in_the_same_tenant_a_disk_from_a_shared_version_is_there_at_once() {
    let world = shareable("Groups").await;
    publish(&world, "1.0.0", &["eastus"]).await;
    publish(&world, "1.1.0", &["eastus"]).await;
    let reader = world.in_new_subscription().await;
    make_group(&reader).await;
    let reference = format!("/SharedGalleries/{}/Images/i", unique_name(&world));
    let body = disk_from("sharedGalleryImageId", &reference);
    let error = reader.put("disks/c", body.clone()).await.unwrap_err();
    assert_eq!((error.status, error.code.as_ref()), (404, "GalleryImageNotFound"));
    share(&world, subscriptions("Add", &[reader.subscription])).await.unwrap();
    let accepted = reader.control.put(&reader.ctx(), &reader.id("disks/c"), body).await.unwrap();
    let shown = accepted.resource.unwrap().document;
    assert_eq!(shown["properties"]["provisioningState"], "Succeeded", "no byte moves within a tenant");
    assert_eq!(first_bytes(&reader, "disks/c", "eastus").await, b"guest bytes");
    for (property, reference) in [
        ("id", reference.as_str()),
        ("communityGalleryImageId", &reference),
        ("sharedGalleryImageId", world.id(VERSION).as_str()),
    ] {
        let error = reader.put("disks/x", disk_from(property, reference)).await.unwrap_err();
        assert_eq!((error.status, error.code.as_ref()), (400, "InvalidParameter"), "{error}");
    }
    let missing = format!("{reference}/Versions/9.9.9");
    let error = reader.put("disks/x", disk_from("sharedGalleryImageId", &missing)).await.unwrap_err();
    assert_eq!(error.code, "GalleryImageNotFound");
}

#[tokio::test]
async fn another_tenants_disk_has_bytes_of_its_own() {
    let world = shareable("Community").await;
    publish(&world, "1.0.0", &["eastus"]).await;
    share(&world, only("EnableCommunity")).await.unwrap();
    let reader = world.in_new_tenant().await;
    make_group(&reader).await;
    let reference = format!("/CommunityGalleries/{}/Images/i/Versions/latest", public_name(&world).await);
    world.regions["eastus"].set_open(false);
    let body = disk_from("communityGalleryImageId", &reference);
    let operation = reader.put("disks/c", body.clone()).await.unwrap();
    assert_eq!(reader.state("disks/c").await, "Creating");
    let again = reader.put("disks/c", body).await.unwrap();
    assert_eq!(again.id, operation.id, "a repeated request joins the first one's operation");
    world.regions["eastus"].set_open(true);
    assert_eq!(reader.ended(&operation).await, (OperationStatus::Succeeded, None));
    assert_eq!(reader.state("disks/c").await, "Succeeded");
    assert_eq!(first_bytes(&reader, "disks/c", "eastus").await, b"guest bytes");
    // The owner takes everything away; its domain is collected. Nothing of it is kept by the stranger, nor lost to it.
    share(&world, only("Reset")).await.unwrap();
    for below in [VERSION, "galleries/g/images/i", "galleries/g", "disks/d"] {
        world.delete(below).await.unwrap();
    }
    collect(&reader, "eastus").await;
    world
        .until("the owner's packs are gone", || async {
            collect(&world, "eastus").await;
            (world.regions["eastus"].stats(world.caller.tenant).await.unwrap().packs == 0).then_some(())
        })
        .await;
    assert_eq!(first_bytes(&reader, "disks/c", "eastus").await, b"guest bytes");
    let mut tx = world.control.db().read().await.unwrap();
    assert_eq!(foreign_source::find(&mut tx, reader.id("disks/c").key()).await.unwrap(), None);
}

#[tokio::test]
async fn a_share_that_is_taken_away_ends_the_copy() {
    let world = shareable("Groups").await;
    publish(&world, "1.0.0", &["eastus"]).await;
    let reader = world.in_new_tenant().await;
    make_group(&reader).await;
    share(&world, tenants("Add", &[reader.caller.tenant])).await.unwrap();
    let reference = format!("/SharedGalleries/{}/Images/i/Versions/1.0.0", unique_name(&world));
    let body = disk_from("sharedGalleryImageId", &reference);
    world.regions["eastus"].set_open(false);
    let operation = reader.put("disks/c", body.clone()).await.unwrap();
    let copies = &world.regions["eastus"].copies;
    reader
        .until("the copy has begun", || async { (copies.load(std::sync::atomic::Ordering::SeqCst) > 0).then_some(()) })
        .await;
    share(&world, tenants("Remove", &[reader.caller.tenant])).await.unwrap();
    world.regions["eastus"].set_open(true);
    let (status, error) = reader.ended(&operation).await;
    assert_eq!((status, error.unwrap().code.as_ref()), (OperationStatus::Failed, "GalleryImageNotFound"));
    assert_eq!(reader.state("disks/c").await, "Failed");
    let key = reader.id("disks/c").key().to_owned();
    let images = disk_image::list_for(&mut reader.control.db().read().await.unwrap(), &key).await.unwrap();
    assert!(images.is_empty());
    // The same PUT is refused as long as it is not shared, and makes the disk when it is.
    assert_eq!(reader.put("disks/c", body.clone()).await.unwrap_err().code, "GalleryImageNotFound");
    share(&world, tenants("Add", &[reader.caller.tenant])).await.unwrap();
    let operation = reader.put("disks/c", body).await.unwrap();
    assert_eq!(reader.ended(&operation).await, (OperationStatus::Succeeded, None));
    assert_eq!(first_bytes(&reader, "disks/c", "eastus").await, b"guest bytes");
}

#[tokio::test]
async fn another_tenants_version_is_copied_home_and_from_there() {
    let world = shareable("Groups").await;
    publish(&world, "1.0.0", &["eastus"]).await;
    let reader = world.in_new_tenant().await;
    make_group(&reader).await;
    make_gallery(&reader, "mine", "Private").await;
    make_definition(&reader, "mine").await;
    share(&world, tenants("Add", &[reader.caller.tenant])).await.unwrap();
    let shared = format!("/SharedGalleries/{}/Images/i/Versions/1.0.0", unique_name(&world));
    for (number, source) in
        [("1.0.0", json!({ "id": shared })), ("1.0.1", json!({ "communityGalleryImageId": shared }))]
    {
        let body = json!({ "location": "eastus", "properties": { "storageProfile": { "source": source },
            "publishingProfile": { "targetRegions": [{ "name": "eastus" }, { "name": "westus" }] } } });
        let below = format!("galleries/mine/images/i/versions/{number}");
        let operation = reader.put(&below, body).await.unwrap();
        assert_eq!(reader.ended(&operation).await, (OperationStatus::Succeeded, None));
        for region in ["eastus", "westus"] {
            assert_eq!(first_bytes(&reader, &below, region).await, b"guest bytes");
        }
    }
    share(&world, only("Reset")).await.unwrap();
    for below in [VERSION, "disks/d"] {
        world.delete(below).await.unwrap();
    }
    for region in ["eastus", "westus"] {
        collect(&world, region).await;
        collect(&reader, region).await;
    }
    let mine = "galleries/mine/images/i/versions/1.0.0";
    assert_eq!(first_bytes(&reader, mine, "westus").await, b"guest bytes");
    assert_eq!(first_bytes(&reader, mine, "eastus").await, b"guest bytes");
}

/// Someone else's gallery with the same publisher, offer and sku and a higher version changes nothing for anyone.
#[tokio::test]
async fn a_name_fools_nobody() {
    let world = shareable("Groups").await;
    publish(&world, "1.0.0", &["eastus"]).await;
    let (reader, impostor) = (world.in_new_subscription().await, world.in_new_tenant().await);
    make_group(&reader).await;
    share(&world, subscriptions("Add", &[reader.subscription])).await.unwrap();
    // The same gallery name, definition and identifier; a higher version; shared with the same reader.
    make_group(&impostor).await;
    make_gallery(&impostor, "g", "Groups").await;
    make_definition(&impostor, "g").await;
    let import = impostor.upload(b"evil bytes!", true).await;
    assert_eq!(impostor.ended(&import).await, (OperationStatus::Succeeded, None));
    publish(&impostor, "99.0.0", &["eastus"]).await;
    share(&impostor, subscriptions("Add", &[reader.subscription])).await.unwrap();

    let list = ProxyList::Galleries { to_tenant: false };
    let mut listed = names(&reader, "eastus", &list).await.unwrap();
    listed.sort();
    let mut both = [unique_name(&world), unique_name(&impostor)];
    both.sort();
    assert_eq!(listed, both, "two galleries, told apart by their owner's subscription");
    let proxy = GalleryProxy::Shared(unique_name(&world));
    let versions = ProxyList::Versions(proxy, "i".parse().unwrap());
    assert_eq!(names(&reader, "eastus", &versions).await.unwrap(), ["1.0.0"]);
    let shared = format!("/SharedGalleries/{}/Images/i/Versions/latest", unique_name(&world));
    reader.put("disks/shared", disk_from("sharedGalleryImageId", &shared)).await.unwrap();
    let own = world.id("galleries/g/images/i");
    world.put("disks/own", disk_from("id", own.as_str())).await.unwrap();
    assert_eq!(first_bytes(&reader, "disks/shared", "eastus").await, b"guest bytes");
    assert_eq!(first_bytes(&world, "disks/own", "eastus").await, b"guest bytes");
    let own = ListScope::Subscription { subscription: world.subscription, resource_type: Some(ResourceType::Gallery) };
    assert_eq!(world.control.list(&world.ctx(), &own, None).await.unwrap().items.len(), 1);
}

#[tokio::test]
async fn a_token_of_another_tenant_reads_there_and_does_nothing_else() {
    let world = shareable("Private").await;
    publish(&world, "1.0.0", &["eastus"]).await;
    let reader = world.in_new_tenant().await;
    make_group(&reader).await;
    make_gallery(&reader, "mine", "Private").await;
    make_definition(&reader, "mine").await;
    let disk = disk_from("id", world.id(VERSION).as_str());
    let error = reader.put("disks/c", disk.clone()).await.unwrap_err();
    assert_eq!((error.status, error.code.as_ref()), (403, "LinkedAuthorizationFailed"));
    assert!(error.message.contains("is not authorized to access linked subscription"), "{error}");
    // What does not exist is told in the same words.
    let nothing = world.id(VERSION).as_str().replace(&world.subscription.to_string(), &Uuid::from_u128(1).to_string());
    assert_eq!(reader.put("disks/c", disk_from("id", &nothing)).await.unwrap_err().code, error.code);

    let mut both = reader.ctx();
    both.auxiliary = vec![world.caller.clone()];
    let accepted = reader.control.put(&both, &reader.id("disks/c"), disk).await.unwrap();
    assert_eq!(reader.ended(&accepted.operation).await, (OperationStatus::Succeeded, None));
    assert_eq!(first_bytes(&reader, "disks/c", "eastus").await, b"guest bytes");
    let body = json!({ "location": "eastus", "properties": {
        "storageProfile": { "source": { "id": world.id(VERSION).as_str() } } } });
    let mine = "galleries/mine/images/i/versions/1.0.0";
    let accepted = reader.control.put(&both, &reader.id(mine), body).await.unwrap();
    assert_eq!(reader.ended(&accepted.operation).await, (OperationStatus::Succeeded, None));
    // Never the action itself, and no other source than a version.
    let error = reader.control.put(&both, &world.id("disks/x"), disk_from("id", world.id(VERSION).as_str())).await;
    assert_eq!(error.unwrap_err().code, "SubscriptionNotFound");
    let copy = json!({ "location": "eastus", "properties": {
        "creationData": { "createOption": "Copy", "sourceResourceId": world.id("disks/d").as_str() } } });
    let error = reader.control.put(&both, &reader.id("disks/y"), copy).await.unwrap_err();
    assert_eq!(error.code, "LinkedAuthorizationFailed");
}

/// A role in another tenant is asked for again before what it allowed is there.
#[tokio::test]
async fn a_role_that_is_taken_away_ends_the_copy() {
    let world = shareable("Private").await;
    publish(&world, "1.0.0", &["eastus"]).await;
    let reader = world.in_new_tenant().await;
    make_group(&reader).await;
    let (scope, name) = (Scope::At(Box::new(world.id("galleries/g"))), Uuid::new_v4().to_string());
    let known_as = newcomer(&world).await;
    let role = "/providers/Microsoft.Authorization/roleDefinitions/cf7c76d2-98a3-4358-a134-615aa78bf44d";
    let body = json!({ "properties": { "roleDefinitionId": role, "principalId": known_as.principal } });
    world.control.role_assignment_put(&world.ctx(), &scope, &name, &body).await.unwrap();
    let mut both = reader.ctx();
    both.auxiliary = vec![known_as];
    world.regions["eastus"].set_open(false);
    let disk = disk_from("id", world.id("galleries/g/images/i").as_str());
    let accepted = reader.control.put(&both, &reader.id("disks/c"), disk).await.unwrap();
    world.control.role_assignment_delete(&world.ctx(), &scope, &name).await.unwrap();
    world.regions["eastus"].set_open(true);
    let (status, error) = reader.ended(&accepted.operation).await;
    assert_eq!((status, error.unwrap().code.as_ref()), (OperationStatus::Failed, "GalleryImageNotFound"));
    assert_eq!(reader.state("disks/c").await, "Failed");
}

/// A service principal of the world's tenant that has no role.
async fn newcomer(world: &World) -> Caller {
    let (id, tenant, app_id) = (Uuid::new_v4(), world.caller.tenant, Uuid::new_v4());
    let (kind, display_name) = (ObjectKind::ServicePrincipal, "Newcomer".to_owned());
    let object = DirectoryObjectRow { id, tenant, kind, display_name, created_ms: 0 };
    let row = ServicePrincipalRow { object, app_id, administrator: false, enabled: true, document: json!({}) };
    transact!(world.control.db(), |tx| -> crate::db::Result<()> { service_principal::insert(tx, &row).await }).unwrap();
    Caller::application(tenant, id, app_id, false)
}

/// Only who may share may share, and without a role in the subscription nobody looks around in its name.
#[tokio::test]
async fn sharing_and_looking_need_a_role() {
    let world = world().await;
    make_gallery(&world, "g", "Community").await;
    share(&world, only("EnableCommunity")).await.unwrap();
    let nobody = RequestContext { caller: newcomer(&world).await, ..world.ctx() };
    let error = world.control.share(&nobody, &world.id("galleries/g"), only("Reset")).await.unwrap_err();
    assert_eq!((error.status, error.code.as_ref()), (403, "AuthorizationFailed"));
    assert!(error.message.contains("Microsoft.Compute/galleries/share/action"), "{error}");
    // Bad bodies and absent galleries are told only to those who may share.
    for (gallery, body) in [("galleries/g", json!({})), ("galleries/none", only("Reset"))] {
        assert_eq!(
            world.control.share(&nobody, &world.id(gallery), body).await.unwrap_err().code,
            "AuthorizationFailed"
        );
    }
    let item = ProxyItem::Gallery(GalleryProxy::Community(public_name(&world).await));
    let error = world.control.proxy(&nobody, &place(&world, "eastus"), &item).await.unwrap_err();
    assert_eq!(error.code, "AuthorizationFailed");
}
