//! The life of a version that is deleted: usable, recoverable, gone. On a clock that is moved.

use galerie_arm::{ApiVersion, ArmError, OperationStatus};
use serde_json::{Value, json};
use uuid::Uuid;

use super::purge;
use crate::{
    RequestContext, Scope, authz,
    db::{disk_image, quota::QuotaScope, replica, transact},
    testing::World,
};

const DAY_MS: i64 = 24 * 60 * 60 * 1000;
const VERSION: &str = "galleries/g/images/i/versions/1.0.0";
const DEFINITION: &str = "galleries/g/images/i";

/// A version in two regions, in a gallery that keeps what is deleted for 10 days, and 5 more.
async fn keeping() -> World {
    let world = World::new().await;
    world.furnish().await;
    let gallery = json!({ "location": "eastus", "properties": { "softDeletePolicy":
        { "isSoftDeleteEnabled": true, "retentionPeriodInDays": 10, "gracePeriodInDays": 5 } } });
    world.control.put(&newest(&world), &world.id("galleries/g"), gallery).await.unwrap();
    world.start();
    let uploaded = world.upload(b"guest bytes", true).await;
    assert_eq!(world.ended(&uploaded).await, (OperationStatus::Succeeded, None));
    let published = world.publish_as("1.0.0", &["eastus", "westus"]).await.unwrap();
    assert_eq!(world.ended(&published).await, (OperationStatus::Succeeded, None));
    world
}

fn newest(world: &World) -> RequestContext {
    RequestContext { api_version: ApiVersion::stable(2026, 3, 3), ..world.ctx() }
}

async fn deleted_names(world: &World) -> Vec<String> {
    let page = world.control.soft_deleted_versions(&newest(world), &world.id(DEFINITION), None).await.unwrap();
    page.items.iter().map(|item| item.to_value()["name"].as_str().unwrap().to_owned()).collect()
}

/// Makes a disk in a region from a reference to a version.
async fn disk_from(world: &World, name: &str, region: &str, version: &str) -> Result<(), ArmError> {
    let id = format!("{}{version}", world.id(DEFINITION).as_str());
    let body = json!({ "location": region, "properties": { "creationData":
        { "createOption": "FromImage", "galleryImageReference": { "id": id } } } });
    world.put(&format!("disks/{name}"), body).await.map(|_| ())
}

async fn purge_all(world: &World) -> usize {
    transact!(world.control.db(), |tx| -> Result<usize, ArmError> { purge(tx, 10).await }).unwrap()
}

async fn holds_anything(world: &World) -> bool {
    let mut tx = world.control.db().read().await.unwrap();
    let key = world.id(VERSION).key().to_owned();
    let replicas = replica::list_for_version(&mut tx, &key).await.unwrap();
    !disk_image::list_for(&mut tx, &key).await.unwrap().is_empty() || !replicas.is_empty()
}

#[tokio::test]
async fn a_deleted_version_is_used_by_its_name_then_kept_then_gone() {
    let world = keeping().await;
    world.delete(VERSION).await.unwrap();
    assert_eq!(world.get(VERSION).await.unwrap_err().status, 404);
    assert!(world.delete(VERSION).await.is_none(), "it is deleted already");
    assert_eq!(deleted_names(&world).await, ["1.0.0"]);
    disk_from(&world, "exact", "westus", "/versions/1.0.0").await.unwrap();
    for latest in ["", "/versions/latest"] {
        assert_eq!(disk_from(&world, "latest", "westus", latest).await.unwrap_err().status, 404, "{latest}");
    }
    let parent = world.control.delete(&world.ctx(), &world.id(DEFINITION)).await.unwrap_err();
    assert_eq!((parent.status, parent.code.as_ref()), (409, "CannotDeleteResource"));
    assert!(parent.message.contains("galleries/g/images/i/versions/1.0.0"), "{}", parent.message);

    world.clock.advance(10 * DAY_MS);
    assert_eq!(disk_from(&world, "late", "westus", "/versions/1.0.0").await.unwrap_err().status, 404);
    assert_eq!((purge_all(&world).await, deleted_names(&world).await.len()), (0, 1));

    world.clock.advance(5 * DAY_MS);
    assert!(deleted_names(&world).await.is_empty(), "before the reconciler comes, too");
    assert!(holds_anything(&world).await);
    assert_eq!((purge_all(&world).await, purge_all(&world).await), (1, 0));
    assert!(!holds_anything(&world).await);
    world.delete(DEFINITION).await.unwrap();
    world.control.shutdown().await;
}

#[tokio::test]
async fn a_version_comes_back_as_it_was() {
    let world = keeping().await;
    let tags = json!({ "tags": { "team": "web" } });
    world.control.patch(&world.ctx(), &world.id(VERSION), tags).await.unwrap();
    let before = world.get(VERSION).await.unwrap();
    let patch = json!({ "properties": { "restore": true, "storageProfile": {} } });
    let put = json!({ "location": "eastus", "tags": {}, "properties": {} });
    for days in [0, 9, 14] {
        for is_put in [false, true] {
            world.delete(VERSION).await.unwrap();
            world.clock.advance(days * DAY_MS);
            let (ctx, id) = (world.ctx(), world.id(VERSION));
            let accepted = match is_put {
                true => world.control.put(&ctx, &id, put.clone()).await,
                false => world.control.patch(&ctx, &id, patch.clone()).await,
            };
            assert!(!accepted.unwrap().created);
            assert_eq!(world.get(VERSION).await.unwrap(), before, "{days} {is_put}");
            assert!(deleted_names(&world).await.is_empty());
            disk_from(&world, &format!("d{days}{is_put}"), "westus", "").await.unwrap();
        }
    }
    world.control.shutdown().await;
}

#[tokio::test]
async fn its_name_is_taken_until_it_is_gone() {
    let world = keeping().await;
    world.delete(VERSION).await.unwrap();
    let error = world.publish_as("1.0.0", &["eastus"]).await.unwrap_err();
    assert_eq!((error.status, error.code.as_ref()), (409, "Conflict"));
    let tags = json!({ "tags": { "a": "b" } });
    let patched = world.control.patch(&world.ctx(), &world.id(VERSION), tags).await;
    assert_eq!(patched.unwrap_err().status, 404, "only who asks for it gets it back");
    assert_eq!(deleted_names(&world).await, ["1.0.0"]);
    world.clock.advance(15 * DAY_MS);
    let published = world.publish_as("1.0.0", &["eastus"]).await.unwrap();
    assert_eq!(world.ended(&published).await, (OperationStatus::Succeeded, None));
    assert_eq!(world.get(VERSION).await.unwrap()["properties"]["publishingProfile"]["targetRegions"][1], Value::Null);
    assert_eq!(purge_all(&world).await, 0);
    world.control.shutdown().await;
}

#[tokio::test]
async fn deleting_for_good_leaves_nothing() {
    let world = keeping().await;
    for is_deleted_already in [false, true] {
        if is_deleted_already {
            let published = world.publish_as("1.0.0", &["eastus"]).await.unwrap();
            assert_eq!(world.ended(&published).await, (OperationStatus::Succeeded, None));
            world.delete(VERSION).await.unwrap();
        }
        world.control.delete_for_good(&newest(&world), &world.id(VERSION)).await.unwrap().unwrap();
        assert!(deleted_names(&world).await.is_empty() && !holds_anything(&world).await);
    }
    assert!(world.control.delete_for_good(&newest(&world), &world.id(VERSION)).await.unwrap().is_none());
    world.control.shutdown().await;
}

/// Somebody with a role that deletes versions, and no more, cannot destroy one.
#[tokio::test]
async fn who_may_only_delete_does_not_destroy() {
    let world = keeping().await;
    let (role, scope) = (Uuid::new_v4(), Scope::At(Box::new(world.id(""))));
    let actions = ["Microsoft.Compute/galleries/images/versions/delete"];
    let body = authz::tests::custom("Deletes", &actions, &[world.id("").as_str()]);
    world.control.role_definition_put(&world.ctx(), &scope, &role.to_string(), &body).await.unwrap();
    let ctx = authz::tests::newcomer(&world).await;
    authz::tests::give(&world, &ctx, role, &scope).await;
    let ctx = RequestContext { caller: ctx.caller, ..newest(&world) };
    let id = world.id(VERSION);
    for is_deleted_already in [false, true] {
        let error = world.control.delete_for_good(&ctx, &id).await.unwrap_err();
        assert_eq!(error.code, "AuthorizationFailed", "{is_deleted_already}");
        if !is_deleted_already {
            world.control.delete(&ctx, &id).await.unwrap().unwrap();
        }
    }
    assert_eq!(deleted_names(&world).await, ["1.0.0"]);
    world.control.shutdown().await;
}

#[tokio::test]
async fn a_policy_that_is_switched_off_keeps_what_was_promised() {
    let world = keeping().await;
    world.delete(VERSION).await.unwrap();
    let off = json!({ "location": "eastus", "properties": { "softDeletePolicy": { "isSoftDeleteEnabled": false } } });
    world.control.put(&newest(&world), &world.id("galleries/g"), off).await.unwrap();
    assert_eq!(deleted_names(&world).await, ["1.0.0"]);
    let restore = json!({ "properties": { "restore": true } });
    world.control.patch(&world.ctx(), &world.id(VERSION), restore).await.unwrap();
    world.delete(VERSION).await.unwrap();
    assert!(deleted_names(&world).await.is_empty(), "now it is deleted for good");
    world.control.shutdown().await;
}

#[tokio::test]
async fn what_is_kept_is_charged() {
    let world = keeping().await;
    let used = async || {
        let mut tx = world.control.db().read().await.unwrap();
        crate::db::quota::used(&mut tx, QuotaScope::Subscription(world.subscription)).await.unwrap()
    };
    let before = used().await;
    world.delete(VERSION).await.unwrap();
    crate::reconcile::quotas::mend(&world.control).await.unwrap();
    assert_eq!(used().await, before);
    world.clock.advance(15 * DAY_MS);
    purge_all(&world).await;
    let after = used().await;
    assert_eq!(after.resources, before.resources - 1);
    assert!(after.bytes < before.bytes);
    world.control.shutdown().await;
}

/// What was being copied when it was deleted is copied all the same, and the version is whole when it comes back.
#[tokio::test]
async fn a_version_that_was_still_being_copied_comes_back() {
    let world = keeping().await;
    let west = world.regions["westeurope"].clone();
    west.set_open(false);
    let published = world.publish_as("2.0.0", &["eastus", "westeurope"]).await.unwrap();
    let second = "galleries/g/images/i/versions/2.0.0";
    world.delete(second).await.unwrap();
    assert_eq!(world.ended(&published).await.0, OperationStatus::Canceled);
    let restore = json!({ "properties": { "restore": true } });
    let restored = world.control.patch(&world.ctx(), &world.id(second), restore).await.unwrap();
    west.set_open(true);
    assert_eq!(world.ended(&restored.operation).await, (OperationStatus::Succeeded, None));
    assert_eq!(world.state(second).await, "Succeeded");
    disk_from(&world, "d2", "westeurope", "/versions/2.0.0").await.unwrap();
    world.control.shutdown().await;
}

/// Regression: what was put away in a group that was being deleted outlived the group, and was found by whoever reused its names.
#[tokio::test]
async fn nothing_is_put_away_in_a_group_that_goes() {
    let world = keeping().await;
    world.control.shutdown().await;
    let world = world.reopen().await;
    let deleted = world.control.resource_group_delete(&world.ctx(), &world.id("")).await.unwrap().unwrap();
    world.delete(VERSION).await.unwrap();
    assert!(!holds_anything(&world).await, "it is gone at once");
    world.start();
    assert_eq!(world.ended(&deleted.operation).await, (OperationStatus::Succeeded, None));
    world.furnish().await;
    assert!(deleted_names(&world).await.is_empty());
    world.control.shutdown().await;
}

#[tokio::test]
async fn only_false_switches_a_policy_off_and_false_restores_nothing() {
    let world = keeping().await;
    let silent = json!({ "location": "eastus", "properties": { "description": "d" } });
    world.control.put(&newest(&world), &world.id("galleries/g"), silent).await.unwrap();
    world.delete(VERSION).await.unwrap();
    assert_eq!(deleted_names(&world).await, ["1.0.0"]);
    let declined = json!({ "location": "eastus", "properties": { "restore": false } });
    let error = world.control.put(&world.ctx(), &world.id(VERSION), declined).await.unwrap_err();
    assert_eq!((error.status, deleted_names(&world).await.len()), (409, 1));
    world.control.shutdown().await;
}

/// A group goes with everything in it.
#[tokio::test]
async fn a_group_is_deleted_with_what_is_kept_in_it() {
    let world = keeping().await;
    world.delete(VERSION).await.unwrap();
    let deleted = world.control.resource_group_delete(&world.ctx(), &world.id("")).await.unwrap().unwrap();
    assert_eq!(world.ended(&deleted.operation).await, (OperationStatus::Succeeded, None));
    assert!(!holds_anything(&world).await);
    world.control.shutdown().await;
}
