//! Limits hold to the byte, whoever races; what is deleted is given back; drift is found and mended.

use std::sync::Arc;

use galerie_arm::{ArmError, OperationStatus};
use serde_json::json;

use super::*;
use crate::{
    reconcile::quotas as reconciler,
    testing::{GUEST_BYTES, World, upload_body},
};

/// What an upload of the tests is charged: its VHD.
const UPLOAD_BYTES: u64 = GUEST_BYTES + 512;

async fn limit(world: &World, of: QuotaOf, bytes: Limit, resources: Limit) -> Value {
    world.control.set_quota(&world.ctx(), of, bytes, resources, None).await.unwrap()
}

async fn used(world: &World) -> (i64, i64) {
    let mut tx = world.control.db().read().await.unwrap();
    let used = quota::used(&mut tx, QuotaScope::Subscription(world.subscription)).await.unwrap();
    let charged = quota::charged(&mut tx, world.subscription).await.unwrap();
    assert_eq!(used, charged, "the sums are those of the charges");
    (used.bytes, used.resources)
}

/// As a client does: told that the catalogue is busy, it asks again.
async fn put_patiently(world: &World, below: &str) -> Result<(), ArmError> {
    loop {
        match world.put(below, upload_body()).await {
            Err(error) if error.status == 503 => {}
            other => return other.map(drop),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn racing_uploads_never_pass_the_quota_by_a_byte() {
    let world = Arc::new(World::new().await);
    world.furnish().await;
    let before = used(&world).await;
    // Room for ten, and for all of an eleventh but one byte.
    let most = 11 * UPLOAD_BYTES - 1;
    for of in [QuotaOf::Subscription(world.subscription), QuotaOf::Tenant(world.caller.tenant)] {
        limit(&world, of, Limit::Most(most), Limit::Unlimited).await;
        let racing = (0..64).map(|number| {
            let world = world.clone();
            tokio::spawn(async move { put_patiently(&world, &format!("disks/d{number}")).await })
        });
        let mut accepted = 0;
        for outcome in futures::future::join_all(racing).await {
            match outcome.unwrap() {
                Ok(()) => accepted += 1,
                Err(error) => {
                    assert_eq!((error.status, error.code.as_ref()), (409, "OperationNotAllowed"), "{error}");
                    assert_eq!(error.details[0].code, QUOTA_EXCEEDED);
                    assert!(error.message.contains(&format!("Current Limit: {most}")), "{error}");
                }
            }
        }
        assert_eq!(accepted, 10);
        let (bytes, resources) = used(&world).await;
        assert_eq!((bytes as u64, resources), (10 * UPLOAD_BYTES, before.1 + 10));
        for number in 0..64 {
            world.delete(&format!("disks/d{number}")).await;
        }
        assert_eq!(used(&world).await, before);
        limit(&world, of, Limit::Unlimited, Limit::Unlimited).await;
    }
}

#[tokio::test]
async fn what_is_charged_follows_what_is_held() {
    let world = World::new().await;
    world.start();
    world.furnish().await;
    let furnished = used(&world).await;
    assert_eq!(furnished, (0, 2), "a gallery and a definition hold nothing");
    let import = world.upload(b"guest bytes", true).await;
    assert_eq!(world.ended(&import).await.0, OperationStatus::Succeeded);
    assert_eq!(used(&world).await, (GUEST_BYTES as i64, 3), "the footer is not the guest's");
    let copy = world.publish(&["eastus", "westus"]).await.unwrap();
    assert_eq!(used(&world).await, (3 * GUEST_BYTES as i64, 4), "a copy is reserved before it is made");
    world.ended(&copy).await;
    let copy = world.publish(&["eastus"]).await.unwrap();
    world.ended(&copy).await;
    assert_eq!(used(&world).await, (2 * GUEST_BYTES as i64, 4), "a region that is given up is given back");
    let made =
        json!({ "location": "eastus", "properties": { "diskSizeGB": 4, "creationData": { "createOption": "Empty" } } });
    let made = world.put("disks/zeros", made).await.unwrap();
    assert_eq!(used(&world).await, (2 * GUEST_BYTES as i64 + (4 << 30), 5), "zeros count: a guest may write");
    world.ended(&made).await;
    reconciler::mend(&world.control).await.unwrap();
    assert_eq!(used(&world).await, (2 * GUEST_BYTES as i64 + (4 << 30), 5));
    world.control.resource_group_delete(&world.ctx(), &world.id("")).await.unwrap();
    world.until("the group is gone", || async { (used(&world).await == (0, 0)).then_some(()) }).await;
    world.control.shutdown().await;
}

#[tokio::test]
async fn a_refused_copy_to_another_region_changes_nothing() {
    let world = World::new().await;
    world.start();
    world.furnish().await;
    let import = world.upload(b"guest bytes", true).await;
    world.ended(&import).await;
    let of = QuotaOf::Subscription(world.subscription);
    limit(&world, of, Limit::Most(3 * GUEST_BYTES - 1), Limit::Unchanged).await;
    let error = world.publish(&["eastus", "westus"]).await.unwrap_err();
    assert!(error.message.contains(&format!("New Limit Required: {}", 3 * GUEST_BYTES)), "{error}");
    assert_eq!(world.get("galleries/g/images/i/versions/1.0.0").await.unwrap_err().status, 404);
    limit(&world, of, Limit::Most(3 * GUEST_BYTES), Limit::Unchanged).await;
    world.publish(&["eastus", "westus"]).await.unwrap();
    // The resources are limited by themselves.
    let resources = used(&world).await.1 as u64;
    limit(&world, of, Limit::Unlimited, Limit::Most(resources)).await;
    let error = world.put("galleries/h", json!({ "location": "eastus" })).await.unwrap_err();
    assert!(error.message.contains("quota of resources"), "{error}");
    world.put("galleries/g", json!({ "location": "eastus", "tags": { "a": "b" } })).await.expect("no new one");
    world.control.shutdown().await;
}

#[tokio::test]
async fn a_lowered_limit_stops_growth_and_takes_nothing_away() {
    let world = World::new().await;
    world.start();
    world.furnish().await;
    world.grant_upload().await;
    let of = QuotaOf::Tenant(world.caller.tenant);
    let shown = limit(&world, of, Limit::Most(1), Limit::Unchanged).await;
    assert_eq!(shown["bytes"], json!({ "used": UPLOAD_BYTES, "limit": 1 }));
    world.put("disks/e", upload_body()).await.unwrap_err();
    let grant = json!({ "access": "Write", "durationInSeconds": 3600 });
    world.control.end_get_access(&world.ctx(), &world.id("disks/d")).await.unwrap();
    world
        .until("the empty upload has ended", || async {
            let state = world.get("disks/d").await.unwrap()["properties"]["diskState"].clone();
            (state == "ReadyToUpload").then_some(())
        })
        .await;
    let begin = async || world.control.begin_get_access(&world.ctx(), &world.id("disks/d"), grant.clone()).await;
    let error = begin().await.unwrap_err();
    assert_eq!(error.details[0].code, QUOTA_EXCEEDED, "{error}");
    limit(&world, of, Limit::Unlimited, Limit::Unchanged).await;
    begin().await.unwrap();
    world.control.shutdown().await;
}

#[tokio::test]
async fn drift_is_mended() {
    let world = World::new().await;
    world.furnish().await;
    world.put("disks/d", upload_body()).await.unwrap();
    let right = used(&world).await;
    let disk = world.id("disks/d");
    let mut tx = world.control.db().write().await.unwrap();
    quota::set_charge(&mut tx, disk.key(), world.subscription, 5).await.unwrap();
    quota::set_charge(&mut tx, "/gone", world.subscription, 7).await.unwrap();
    let wrong = Usage { bytes: -3, resources: 99 };
    quota::add(&mut tx, world.subscription, world.caller.tenant, 3, wrong).await.unwrap();
    tx.commit().await.unwrap();
    for _ in 0..2 {
        reconciler::mend(&world.control).await.unwrap();
        assert_eq!(used(&world).await, right);
    }
}

#[tokio::test]
async fn only_the_operator_sets_quotas() {
    let world = World::new().await;
    let other = world.control.add_tenant("Other").await.unwrap();
    let mut ctx = world.ctx();
    ctx.caller.tenant = other.tenant;
    let of = QuotaOf::Subscription(other.subscription);
    let refused = world.control.set_quota(&ctx, of, Limit::Unlimited, Limit::Unlimited, None).await.unwrap_err();
    assert_eq!(refused.status, 403);
    limit(&world, of, Limit::Most(9), Limit::Most(0)).await;
    let shown = world.control.quotas(&ctx).await.unwrap();
    assert_eq!(shown["value"].as_array().unwrap().len(), 2, "its own only: {shown}");
    assert_eq!(shown["value"][1]["resources"], json!({ "used": 0, "limit": 0 }));
    assert_eq!(world.control.quotas(&world.ctx()).await.unwrap()["value"].as_array().unwrap().len(), 4);
    let nobody = QuotaOf::Tenant(Uuid::nil());
    let unknown = world.control.set_quota(&world.ctx(), nobody, Limit::Unlimited, Limit::Unlimited, None).await;
    assert_eq!(unknown.unwrap_err().status, 404);
}

/// As a client does: told that the catalogue is busy, it asks again.
async fn make_patiently(world: &World, gallery: &str) -> Result<(), ArmError> {
    loop {
        match world.put(&format!("galleries/{gallery}"), json!({ "location": "eastus" })).await {
            Err(error) if error.status == 503 => {}
            other => return other.map(drop),
        }
    }
}

/// Has the catalogue believe that there are so many galleries more.
async fn pretend_galleries(world: &World, more: i64) {
    let mut tx = world.control.db().write().await.unwrap();
    let gallery = ResourceType::Gallery;
    db::azure_usage::add(&mut tx, world.subscription, "eastus", gallery, 5, more).await.unwrap();
    tx.commit().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn azures_limits_hold_whoever_races() {
    let world = Arc::new(World::new().await);
    world.furnish().await;
    pretend_galleries(&world, 94).await;
    let racing = (0..24).map(|number| {
        let world = world.clone();
        tokio::spawn(async move { make_patiently(&world, &format!("r{number}")).await })
    });
    let mut accepted = 0;
    for outcome in futures::future::join_all(racing).await {
        match outcome.unwrap() {
            Ok(()) => accepted += 1,
            Err(error) => {
                assert_eq!((error.status, error.code.as_ref()), (409, "OperationNotAllowed"), "{error}");
                assert_eq!(error.details[0].code, QUOTA_EXCEEDED);
                assert!(error.message.contains("Current Limit: 100, Current Usage: 100"), "{error}");
            }
        }
    }
    assert_eq!(accepted, 5);
    // What is there may be written again, and another region has its own hundred.
    make_patiently(&world, "g").await.unwrap();
    world.put("galleries/west", json!({ "location": "westus" })).await.unwrap();
    // What is deleted is given back.
    let page =
        crate::ListScope::Subscription { subscription: world.subscription, resource_type: Some(ResourceType::Gallery) };
    let listed = world.control.list(&world.ctx(), &page, None).await.unwrap();
    let names: Vec<Value> = listed.items.iter().map(|item| item.to_value()["name"].clone()).collect();
    let raced = names.iter().filter_map(Value::as_str).find(|name| name.starts_with('r')).unwrap();
    world.delete(&format!("galleries/{raced}")).await.unwrap();
    make_patiently(&world, "again").await.unwrap();
    make_patiently(&world, "over").await.unwrap_err();
    // Who lifts the limits has as many as there is room for, and they are counted all the same.
    let of = QuotaOf::Tenant(world.caller.tenant);
    let lifted =
        world.control.set_quota(&world.ctx(), of, Limit::Unchanged, Limit::Unchanged, Some(false)).await.unwrap();
    assert_eq!(lifted["azureLimits"], false);
    make_patiently(&world, "over").await.unwrap();
    world.control.set_quota(&world.ctx(), of, Limit::Unchanged, Limit::Unchanged, Some(true)).await.unwrap();
    assert!(make_patiently(&world, "more").await.unwrap_err().message.contains("Current Usage: 101"));
    // Drift is found: the pretended ones are not there.
    reconciler::mend(&world.control).await.unwrap();
    let mut tx = world.control.db().read().await.unwrap();
    assert_eq!(db::azure_usage::used(&mut tx, world.subscription, "eastus", ResourceType::Gallery).await.unwrap(), 7);
    assert!(azure::is_right(&mut tx, world.subscription).await.unwrap());
}

#[tokio::test]
async fn versions_count_in_their_region_deleted_softly_or_not() {
    let world = World::new().await;
    world.start();
    world.furnish().await;
    let import = world.upload(b"guest bytes", true).await;
    world.ended(&import).await;
    let count = async |resource_type| {
        let mut tx = world.control.db().read().await.unwrap();
        db::azure_usage::used(&mut tx, world.subscription, "eastus", resource_type).await.unwrap()
    };
    let policy = json!({ "location": "eastus", "properties": { "softDeletePolicy": { "isSoftDeleteEnabled": true } } });
    world.put("galleries/g", policy).await.unwrap();
    for name in ["1.0.0", "2.0.0"] {
        let published = world.publish_as(name, &["eastus", "westus"]).await.unwrap();
        world.ended(&published).await;
    }
    let counts = (count(ResourceType::Gallery).await, count(ResourceType::ImageDefinition).await);
    assert_eq!((counts, count(ResourceType::ImageVersion).await), ((1, 1), 2));
    world.delete("galleries/g/images/i/versions/1.0.0").await.unwrap();
    assert_eq!(count(ResourceType::ImageVersion).await, 2, "it is kept");
    reconciler::mend(&world.control).await.unwrap();
    assert_eq!(count(ResourceType::ImageVersion).await, 2);
    world.control.resource_group_delete(&world.ctx(), &world.id("")).await.unwrap();
    world.until("the group is gone", || async { (used(&world).await == (0, 0)).then_some(()) }).await;
    for resource_type in [ResourceType::Gallery, ResourceType::ImageDefinition, ResourceType::ImageVersion] {
        assert_eq!(count(resource_type).await, 0, "{resource_type:?}");
    }
    world.control.shutdown().await;
}
