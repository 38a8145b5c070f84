//! What must stay true becomes true again; and a second run finds nothing to do.

use std::{sync::atomic::Ordering, time::Duration};

use galerie_arm::{OperationStatus, ReplicationState};
use galerie_region::{Region, UploadId};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Reconciler, collect as collector, grants, keep_true, operations, pins, replicas, staging, waits};
use crate::{
    OperationRef,
    db::{condemned_pack, disk_image, operation, pin, replica},
    testing::World,
};

/// Begins access to a disk for an hour.
async fn grant(world: &World, below: &str, access: &str) -> OperationRef {
    let body = json!({ "access": access, "durationInSeconds": 3600 });
    world.control.begin_get_access(&world.ctx(), &world.id(below), body).await.unwrap().operation
}

async fn disk_state(world: &World, below: &str) -> String {
    world.get(below).await.unwrap()["properties"]["diskState"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn expired_grants_end() {
    let world = World::new().await;
    world.furnish().await;
    let upload = json!({ "location": "eastus",
        "properties": { "creationData": { "createOption": "Upload", "uploadSizeBytes": 20_972_032 } } });
    world.put("disks/u", upload).await.unwrap();
    let operation = grant(&world, "disks/u", "Write").await;
    assert_eq!(disk_state(&world, "disks/u").await, "ActiveUpload");
    grants::run(&world.control).await.unwrap();
    assert_eq!(disk_state(&world, "disks/u").await, "ActiveUpload");
    world.clock.advance(3_600_000);
    for _ in 0..2 {
        grants::run(&world.control).await.unwrap();
        assert_eq!(disk_state(&world, "disks/u").await, "ReadyToUpload");
    }
    // The operation that granted it has nothing to show any more.
    let view = world.control.operation_status(&world.ctx(), operation.subscription, operation.id).await.unwrap();
    assert!(view.grant.is_none());
    let result = world.control.operation_result(&world.ctx(), operation.subscription, operation.id).await;
    assert_eq!(result.unwrap_err().status, 404);
    grant(&world, "disks/u", "Write").await;
}

/// Regression: ending the access to an upload whose SAS had expired imported it, or answered that it had and did nothing,
/// as the reconciler had not found it yet or had.
#[tokio::test]
async fn an_expired_upload_is_imported_when_access_is_ended() {
    for is_reconciled in [false, true] {
        for has_pages in [false, true] {
            let world = World::new().await;
            world.furnish().await;
            world.grant_upload().await;
            if has_pages {
                world.stage(b"guest bytes", true).await;
            }
            world.clock.advance(3_600_000);
            if is_reconciled {
                grants::run(&world.control).await.unwrap();
                assert_eq!(disk_state(&world, "disks/d").await, "ReadyToUpload");
            }
            let ended = world.control.end_get_access(&world.ctx(), &world.id("disks/d")).await.unwrap().operation;
            world.start();
            assert_eq!(world.ended(&ended).await, (OperationStatus::Succeeded, None));
            let expected = if has_pages { "Unattached" } else { "ReadyToUpload" };
            assert_eq!(disk_state(&world, "disks/d").await, expected, "{is_reconciled} {has_pages}");
            world.control.shutdown().await;
        }
    }
}

/// Regression: one panic ended a reconciler until the next start, and nothing counted it.
#[tokio::test]
async fn a_reconciler_outlives_a_panic() {
    let world = World::new().await;
    let west = world.regions["westus"].clone();
    west.panic_collecting(2);
    let reconciler = Reconciler {
        name: "collect",
        every: Duration::from_millis(10),
        patient: false,
        run: |control| Box::pin(collector::run(control)),
    };
    world.control.track(keep_true(world.control.clone(), reconciler));
    let runs = || west.collections.load(Ordering::SeqCst);
    world.until("it goes on", || async { (runs() > 3).then_some(()) }).await;
    world.control.shutdown().await;
}

#[tokio::test]
async fn only_the_initiator_is_shown_a_grant() {
    let world = World::new().await;
    world.furnish().await;
    let upload = json!({ "location": "eastus",
        "properties": { "creationData": { "createOption": "Upload", "uploadSizeBytes": 20_972_032 } } });
    world.put("disks/u", upload).await.unwrap();
    let OperationRef { id, subscription, .. } = grant(&world, "disks/u", "Write").await;
    let other = crate::authz::tests::holder(&world, "Owner", &crate::authz::Scope::Root).await;
    for (ctx, shown) in [(world.ctx(), true), (other, false)] {
        let view = world.control.operation_status(&ctx, subscription, id).await.unwrap();
        let result = world.control.operation_result(&ctx, subscription, id).await;
        assert_eq!((view.grant.is_some(), result.is_ok()), (shown, shown));
    }
}

#[tokio::test]
async fn uploads_without_an_owner_go_at_the_second_look() {
    let world = World::new().await;
    world.furnish().await;
    let upload = json!({ "location": "eastus",
        "properties": { "creationData": { "createOption": "Upload", "uploadSizeBytes": 20_972_032 } } });
    world.put("disks/u", upload).await.unwrap();
    let row = world.control.db().read().await.unwrap();
    let mut tx = row;
    let owner = crate::db::resource::find(&mut tx, world.id("disks/u").key()).await.unwrap().unwrap().uid;
    drop(tx);
    let (east, lost) = (&world.regions["eastus"], UploadId(Uuid::new_v4()));
    for upload in [UploadId(owner), lost] {
        east.create_upload(upload, 20_972_032).await.unwrap();
    }
    let suspects = staging::run(&world.control, &Default::default()).await.unwrap();
    assert_eq!(suspects, [lost].into());
    assert_eq!(east.uploads().await.unwrap().len(), 2);
    assert!(staging::run(&world.control, &suspects).await.unwrap().is_empty());
    assert_eq!(east.uploads().await.unwrap(), [UploadId(owner)]);
    world.delete("disks/u").await;
    let suspects = staging::run(&world.control, &Default::default()).await.unwrap();
    staging::run(&world.control, &suspects).await.unwrap();
    assert!(east.uploads().await.unwrap().is_empty());
}

#[tokio::test]
async fn pins_and_operations_age_out() {
    let world = World::new().await;
    world.furnish().await;
    let operation = world.put("galleries/g", json!({ "location": "eastus" })).await.unwrap();
    let mut tx = world.control.db().write().await.unwrap();
    let expires_ms = world.control.now_ms() + 10;
    pin::take(&mut tx, "eastus", world.caller.tenant, None, "dead", expires_ms).await.unwrap();
    tx.commit().await.unwrap();
    let oldest = async || {
        pin::oldest(&mut world.control.db().read().await.unwrap(), "eastus", world.caller.tenant).await.unwrap()
    };
    let kept =
        async || operation::find(&mut world.control.db().read().await.unwrap(), operation.id).await.unwrap().is_some();
    pins::run(&world.control).await.unwrap();
    operations::run(&world.control).await.unwrap();
    assert_eq!((oldest().await, kept().await), (Some(1), true));
    world.clock.advance(7 * 24 * 3600 * 1000);
    for _ in 0..2 {
        pins::run(&world.control).await.unwrap();
        operations::run(&world.control).await.unwrap();
        replicas::run(&world.control).await.unwrap();
        assert_eq!((oldest().await, kept().await), (None, false));
    }
}

#[tokio::test]
async fn deleted_images_are_collected_and_kept_ones_are_not() {
    let world = World::new().await;
    world.start();
    world.furnish().await;
    let tenant = world.caller.tenant;
    let import = world.upload(b"guest bytes", true).await;
    world.ended(&import).await;
    let copy = world.publish(&["eastus", "westus"]).await.unwrap();
    world.ended(&copy).await;
    world.delete("disks/d").await;
    let west = &world.regions["westus"];
    let packs = async || west.stats(tenant).await.unwrap().packs;
    let before = packs().await;
    collector::run(&world.control).await.unwrap();
    assert!(before > 0 && packs().await == before);
    let checked = world.control.store_verify(&world.ctx(), "West US").await.unwrap();
    assert_eq!((&checked["sound"], &checked["packs"]), (&json!(true), &json!(before)));
    world.delete("galleries/g/images/i/versions/1.0.0").await;
    // The copy's own pins may be released this moment; an old pin keeps what is condemned.
    world
        .until("the packs are gone", || async {
            world.clock.advance(60_000);
            world.control.store_collect(&world.ctx(), "westus").await.unwrap();
            (packs().await == 0).then_some(())
        })
        .await;
    let condemned = condemned_pack::list(&mut world.control.db().read().await.unwrap(), "westus", tenant).await;
    assert_eq!(condemned.unwrap(), []);
    world.control.shutdown().await;
}

/// Regression: the image of a replica that had failed was a root like any other, but not there; nothing of the tenant's
/// was collected in that region any more.
#[tokio::test]
async fn a_failed_replica_does_not_stop_the_collector() {
    let world = World::new().await;
    world.start();
    world.furnish().await;
    let import = world.upload(b"guest bytes", true).await;
    world.ended(&import).await;
    world.regions["westus"].set_open(false);
    world.publish(&["eastus", "westus"]).await.unwrap();
    world
        .until("the copy has begun", || async {
            (world.regions["westus"].copies.load(Ordering::SeqCst) > 0).then_some(())
        })
        .await;
    collect(&world, "westus").await;
    let roots = disk_image::roots(&mut world.control.db().read().await.unwrap(), "westus", world.caller.tenant).await;
    assert_eq!((roots.as_ref().unwrap().whole.len(), roots.as_ref().unwrap().arriving.len()), (0, 1));
    world.control.shutdown().await;
}

/// Flips a bit in the first blob of each of a region's packs: the chunk, as the packs here are written.
pub(crate) fn damage(world: &World, region: &str) {
    let packs = format!("regions/{region}/tenants/{}/packs", world.caller.tenant);
    for pack in std::fs::read_dir(world.directory.path().join(packs)).unwrap() {
        let path = pack.unwrap().path();
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[40] ^= 1;
        std::fs::write(&path, bytes).unwrap();
    }
}

/// A replica that is being healed is damaged until it has healed, however often that is asked.
#[tokio::test]
async fn verifying_a_store_again_while_it_heals_does_not_pass() {
    let world = World::new().await;
    world.start();
    world.furnish().await;
    let import = world.upload(b"guest bytes", true).await;
    world.ended(&import).await;
    let copy = world.publish(&["eastus", "westus"]).await.unwrap();
    world.ended(&copy).await;
    damage(&world, "westus");
    world.regions["westus"].set_open(false);
    for damaged in [2, 0, 0] {
        let report = world.control.store_verify(&world.ctx(), "westus").await.unwrap();
        let counts = ["damagedBlobCount", "missingBlobCount", "hurtResourceCount"].map(|name| report[name].clone());
        assert_eq!((&report["sound"], counts), (&json!(false), [damaged, 1, 1].map(Value::from)), "{report}");
    }
    world.regions["westus"].set_open(true);
    world
        .until("the store is sound", || async {
            world.clock.advance(1000);
            let report = world.control.store_verify(&world.ctx(), "westus").await.unwrap();
            (report["sound"] == true && report["knownDamagedBlobCount"] == 2).then_some(())
        })
        .await;
    world.control.shutdown().await;
}

/// Regression: a complete replica was never copied again, so what was damaged stayed so for ever.
#[tokio::test]
async fn a_damaged_replica_heals_from_another_region_be_it_at_home() {
    let world = World::new().await;
    world.start();
    world.furnish().await;
    let import = world.upload(b"guest bytes", true).await;
    world.ended(&import).await;
    let copy = world.publish(&["eastus", "westus"]).await.unwrap();
    world.ended(&copy).await;
    let (control, ctx) = (&world.control, world.ctx());
    // In the home region the disk holds the same image.
    for (region, holders) in [("westus", 1), ("eastus", 2)] {
        damage(&world, region);
        let report = control.store_verify(&ctx, region).await.unwrap();
        assert_eq!((&report["sound"], &report["hurtResourceCount"]), (&json!(false), &json!(holders)));
        for hurt in report["hurtResources"].as_array().unwrap() {
            assert_eq!(hurt["healing"], true, "{report}");
        }
        world
            .until("the region is whole", || async {
                let version = world.id("galleries/g/images/i/versions/1.0.0");
                let mut tx = control.db().read().await.unwrap();
                let replica = replica::find(&mut tx, version.key(), region).await.unwrap().unwrap();
                (replica.state == ReplicationState::Completed).then_some(())
            })
            .await;
        let report = control.store_verify(&ctx, region).await.unwrap();
        assert_eq!((&report["missingBlobCount"], &report["hurtResourceCount"]), (&json!(0), &json!(0)), "{report}");
    }
    world.control.shutdown().await;
}

#[tokio::test]
async fn a_copy_that_finds_its_source_damaged_has_it_healed() {
    let world = World::new().await;
    world.start();
    world.furnish().await;
    let import = world.upload(b"guest bytes", true).await;
    world.ended(&import).await;
    let copy = world.publish(&["eastus", "westus"]).await.unwrap();
    world.ended(&copy).await;
    damage(&world, "eastus");
    let copy = world.publish(&["eastus", "westus", "westeurope"]).await.unwrap();
    world
        .until("the home region was copied to", || async {
            world.clock.advance(1000);
            (world.regions["eastus"].copies.load(Ordering::SeqCst) > 0).then_some(())
        })
        .await;
    world
        .until("the copy has found another source", || async {
            world.clock.advance(1000);
            let ctx = world.ctx();
            let view = world.control.operation_status(&ctx, copy.subscription, copy.id).await.unwrap();
            view.document.status.is_terminal().then_some(())
        })
        .await;
    let version = world.id("galleries/g/images/i/versions/1.0.0");
    world
        .until("the home region has what it lacked", || async {
            world.clock.advance(1000);
            let mut tx = world.control.db().read().await.unwrap();
            let replicas = replica::list_for_version(&mut tx, version.key()).await.unwrap();
            replicas.iter().all(|replica| replica.state == ReplicationState::Completed).then_some(())
        })
        .await;
    for region in ["eastus", "westeurope"] {
        let report = world.control.store_verify(&world.ctx(), region).await.unwrap();
        assert_eq!(report["missingBlobCount"], 0, "{report}");
    }
    assert_eq!(world.state("galleries/g/images/i/versions/1.0.0").await, "Succeeded");
    world.control.shutdown().await;
}

#[tokio::test]
async fn what_no_other_region_has_is_named() {
    let world = World::new().await;
    world.start();
    world.furnish().await;
    let import = world.upload(b"guest bytes", true).await;
    world.ended(&import).await;
    let create = world.publish(&["eastus"]).await.unwrap();
    world.ended(&create).await;
    damage(&world, "eastus");
    let report = world.control.store_verify(&world.ctx(), "eastus").await.unwrap();
    let hurt: Vec<_> =
        report["hurtResources"].as_array().unwrap().iter().map(|hurt| (&hurt["id"], &hurt["healing"])).collect();
    let version = world.id("galleries/g/images/i/versions/1.0.0");
    assert_eq!(
        hurt,
        [(&json!(world.id("disks/d").as_str()), &json!(false)), (&json!(version.as_str()), &json!(false))]
    );
    assert_eq!(world.state("galleries/g/images/i/versions/1.0.0").await, "Succeeded");
    world.control.shutdown().await;
}

async fn collect(world: &World, region: &str) -> serde_json::Value {
    world.control.store_collect(&world.ctx(), region).await.unwrap()
}

/// Regression: without a server nothing was ever deleted, since each process began the readers' grace anew.
#[tokio::test]
async fn alone_what_can_go_goes_at_once() {
    let world = World::new().await;
    world.start();
    world.furnish().await;
    let import = world.upload(b"guest bytes", true).await;
    world.ended(&import).await;
    world.delete("disks/d").await;
    world.control.take_over().await.unwrap();
    let report = world.control.store_collect_alone(&world.ctx(), "eastus").await.unwrap();
    assert!(
        report["condemnedPacks"].as_u64() > Some(0) && report["condemnedPacks"] == report["deletedPacks"],
        "{report}"
    );
    assert_eq!(world.regions["eastus"].stats(world.caller.tenant).await.unwrap().packs, 0);
    world.control.shutdown().await;
}

#[tokio::test]
async fn stores_are_for_administrators_and_real_names() {
    let world = World::new().await;
    let (ctx, mut nobody) = (world.ctx(), world.ctx());
    nobody.caller.administrator = false;
    let control = &world.control;
    assert_eq!(control.store_stats(&ctx, "eastus").await.unwrap()["packs"], 0);
    assert_eq!(control.store_stats(&nobody, "eastus").await.unwrap_err().code, "AuthorizationFailed");
    assert_eq!(control.store_stats(&ctx, "mars").await.unwrap_err().status, 400);
    for (name, status) in [("x", 400), (&*"0".repeat(32), 404), (&*"0".repeat(64), 404)] {
        assert_eq!(control.store_inspect(&ctx, "eastus", name).await.unwrap_err().status, status, "{name}");
    }
}

/// Regression: what was accepted before the clock was put back began only when that moment came again.
#[tokio::test]
async fn what_was_accepted_before_the_clock_was_put_back_begins() {
    const HOURS_MS: i64 = 5 * 3_600_000;
    let world = World::new().await;
    world.furnish().await;
    let import = world.upload(b"guest bytes", true).await;
    world.clock.advance(-HOURS_MS);
    let next_attempt_ms = async || {
        let mut tx = world.control.db().read().await.unwrap();
        operation::find(&mut tx, import.id).await.unwrap().unwrap().next_attempt_ms
    };
    assert!(next_attempt_ms().await > world.control.now_ms());
    waits::run(&world.control).await.unwrap();
    assert_eq!(next_attempt_ms().await, world.control.now_ms());
    world.clock.advance(1);
    waits::run(&world.control).await.unwrap();
    assert_eq!(next_attempt_ms().await, world.control.now_ms() - 1, "an ordinary wait stays");
    world.start();
    assert_eq!(world.ended(&import).await, (OperationStatus::Succeeded, None));

    let published = world.publish(&["eastus", "westus"]).await.unwrap();
    world.clock.advance(-HOURS_MS);
    waits::run(&world.control).await.unwrap();
    assert_eq!(world.ended(&published).await, (OperationStatus::Succeeded, None));
}
