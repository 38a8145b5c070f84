//! Operations and replicas end to end: they succeed; run twice; fail at each step; stop; go on after a crash.

use std::{sync::atomic::Ordering, time::Duration};

use galerie_arm::{OperationStatus, ReplicationState};
use galerie_region::{Region, UploadId};
use uuid::Uuid;

use super::{Answer, OperationResult, lease::LEASE_MS};
use crate::{
    db::{
        disk_image, operation, pin,
        replica::{self, ReplicaRow, ReplicaWork},
        resource,
    },
    testing::World,
};

const VERSION: &str = "galleries/g/images/i/versions/1.0.0";

/// A world that runs, with the disk `d` imported.
async fn with_disk() -> World {
    let world = World::new().await;
    world.start();
    world.furnish().await;
    let import = world.upload(b"guest bytes", true).await;
    assert_eq!(world.ended(&import).await, (OperationStatus::Succeeded, None));
    world
}

async fn replicas(world: &World) -> Vec<ReplicaRow> {
    let key = world.id(VERSION).key().to_owned();
    replica::list_for_version(&mut world.control.db().read().await.unwrap(), &key).await.unwrap()
}

async fn state_in(world: &World, region: &str) -> Option<ReplicationState> {
    replicas(world).await.into_iter().find(|replica| replica.region == region).map(|replica| replica.state)
}

/// Waits until no pin is held in any region.
async fn unpinned(world: &World) {
    world
        .until("the pins are released", || async {
            let mut tx = world.control.db().read().await.unwrap();
            let mut held = false;
            for region in crate::testing::REGIONS {
                held |= pin::oldest(&mut tx, region, world.caller.tenant).await.unwrap().is_some();
            }
            (!held).then_some(())
        })
        .await;
}

/// The first bytes of the version's image in a region.
async fn first_bytes(world: &World, region: &str) -> Vec<u8> {
    let key = world.id(VERSION).key().to_owned();
    let images = disk_image::list_for(&mut world.control.db().read().await.unwrap(), &key).await.unwrap();
    let reader = world.regions[region].open_image(world.caller.tenant, images[0].manifest).await.unwrap();
    reader.read(0, 11).await.unwrap().to_vec()
}

#[tokio::test]
async fn an_upload_is_imported_and_replicated() {
    let world = with_disk().await;
    assert_eq!(world.get("disks/d").await.unwrap()["properties"]["diskState"], "Unattached");
    world
        .until("the pages are gone", || async {
            world.regions["eastus"].uploads().await.unwrap().is_empty().then_some(())
        })
        .await;
    let operation = world.publish(&["eastus", "westus", "westeurope"]).await.unwrap();
    assert_eq!(world.ended(&operation).await, (OperationStatus::Succeeded, None));
    assert_eq!(world.state(VERSION).await, "Succeeded");
    for replica in replicas(&world).await {
        assert_eq!((replica.state, replica.percent()), (ReplicationState::Completed, 100));
        assert_eq!(first_bytes(&world, &replica.region).await, b"guest bytes");
    }
    let result = world.control.operation_result(&world.ctx(), operation.subscription, operation.id).await.unwrap();
    assert!(matches!(result, OperationResult::Resource(resource) if resource.document["name"] == "1.0.0"));
    unpinned(&world).await;
    world.control.shutdown().await;
}

#[tokio::test]
async fn a_passing_failure_is_tried_again_after_a_wait() {
    let world = with_disk().await;
    world.regions["westus"].fail("replicate", 2);
    let operation = world.publish(&["eastus", "westus"]).await.unwrap();
    for attempts in 1..=2 {
        let failed = world
            .until("an attempt failed", || async {
                let found = replicas(&world).await.into_iter().find(|replica| replica.region == "westus")?;
                (found.attempts == attempts && found.lease_owner.is_none()).then_some(found)
            })
            .await;
        assert!(failed.details.contains("broken pipe"), "{}", failed.details);
        assert_eq!(failed.state, ReplicationState::Replicating);
        world.clock.advance(super::backoff_ms(attempts));
        world.control.wake();
    }
    assert_eq!(world.ended(&operation).await, (OperationStatus::Succeeded, None));
    assert_eq!(world.regions["westus"].copies.load(Ordering::SeqCst), 3);
    world.control.shutdown().await;
}

#[tokio::test]
async fn a_region_that_stays_down_fails_the_version_until_it_is_back() {
    let world = with_disk().await;
    world.regions["westus"].fail("replicate", super::MOST_ATTEMPTS);
    let operation = world.publish(&["eastus", "westus", "westeurope"]).await.unwrap();
    let (status, error) = world
        .until("the operation has failed", || async {
            world.clock.advance(1000);
            world.control.wake();
            let view =
                world.control.operation_status(&world.ctx(), operation.subscription, operation.id).await.unwrap();
            view.document.status.is_terminal().then_some((view.document.status, view.document.error))
        })
        .await;
    let error = error.unwrap();
    assert_eq!(status, OperationStatus::Failed);
    let expected = "Gallery replication jobs failed in one or more regions. The failing regions' details are as follows: \
                    '{region:westus, detail:";
    assert!(error.message.starts_with(expected), "{}", error.message);
    assert_eq!(world.state(VERSION).await, "Failed");
    assert_eq!(state_in(&world, "westeurope").await, Some(ReplicationState::Completed));
    let result = world.control.operation_result(&world.ctx(), operation.subscription, operation.id).await.unwrap();
    assert!(matches!(result, OperationResult::Failed(_)));

    // The region is back, and the reconciler's time comes.
    world.clock.advance(world.control.tuning().retry_failed_replicas_after_ms);
    let mut tx = world.control.db().write().await.unwrap();
    assert_eq!(replica::retry_due(&mut tx, "westus", crate::Clock::now_ms(&*world.clock)).await.unwrap(), 1);
    tx.commit().await.unwrap();
    world.control.wake();
    world.until("it succeeded", || async { (world.state(VERSION).await == "Succeeded").then_some(()) }).await;
    world.control.shutdown().await;
}

#[tokio::test]
async fn the_same_put_tries_a_failed_version_again() {
    let world = with_disk().await;
    world.regions["westus"].fail("replicate", super::MOST_ATTEMPTS);
    world.publish(&["eastus", "westus"]).await.unwrap();
    world
        .until("the version has failed", || async {
            world.clock.advance(1000);
            world.control.wake();
            (world.state(VERSION).await == "Failed").then_some(())
        })
        .await;
    let again = world.publish(&["eastus", "westus"]).await.unwrap();
    assert_eq!(world.ended(&again).await, (OperationStatus::Succeeded, None));
    assert_eq!(world.state(VERSION).await, "Succeeded");
    world.control.shutdown().await;
}

#[tokio::test]
async fn deleting_while_copying_wins_and_leaves_nothing() {
    let world = with_disk().await;
    let west = &world.regions["westus"];
    west.set_open(false);
    let create = world.publish(&["eastus", "westus"]).await.unwrap();
    world.until("the copy began", || async { (west.copies.load(Ordering::SeqCst) == 1).then_some(()) }).await;
    let delete = world.delete(VERSION).await.unwrap();
    assert_eq!(world.ended(&delete).await.0, OperationStatus::Succeeded);
    let (status, error) = world.ended(&create).await;
    assert_eq!((status, error.unwrap().code.as_ref()), (OperationStatus::Canceled, "OperationPreempted"));
    world.until("the copy stopped", || async { (west.stopped.load(Ordering::SeqCst) == 1).then_some(()) }).await;
    unpinned(&world).await;
    assert!(replicas(&world).await.is_empty());
    assert_eq!(world.get(VERSION).await.unwrap_err().status, 404);
    // And it can be made anew.
    west.set_open(true);
    let again = world.publish(&["eastus", "westus"]).await.unwrap();
    assert_eq!(world.ended(&again).await, (OperationStatus::Succeeded, None));
    world.control.shutdown().await;
}

#[tokio::test]
async fn an_update_takes_the_place_of_the_copy_that_runs() {
    let world = with_disk().await;
    world.regions["westus"].set_open(false);
    let first = world.publish(&["eastus", "westus"]).await.unwrap();
    let second = world.publish(&["eastus", "westus", "westeurope"]).await.unwrap();
    let (status, error) = world.ended(&first).await;
    assert_eq!((status, error.unwrap().code.as_ref()), (OperationStatus::Canceled, "OperationPreempted"));
    world
        .until("the third region is done", || async {
            (state_in(&world, "westeurope").await == Some(ReplicationState::Completed)).then_some(())
        })
        .await;
    assert_ne!(world.state(VERSION).await, "Succeeded");
    world.regions["westus"].set_open(true);
    assert_eq!(world.ended(&second).await, (OperationStatus::Succeeded, None));
    assert_eq!(world.state(VERSION).await, "Succeeded");
    world.control.shutdown().await;
}

#[tokio::test]
async fn a_region_that_is_no_target_any_more_is_not_copied_to() {
    let world = with_disk().await;
    let west = &world.regions["westus"];
    west.set_open(false);
    world.publish(&["eastus", "westus"]).await.unwrap();
    world.until("the copy began", || async { (west.copies.load(Ordering::SeqCst) == 1).then_some(()) }).await;
    let shrink = world.publish(&["eastus"]).await.unwrap();
    assert_eq!(world.ended(&shrink).await.0, OperationStatus::Succeeded);
    world.until("the copy stopped", || async { (west.stopped.load(Ordering::SeqCst) == 1).then_some(()) }).await;
    assert_eq!(world.state(VERSION).await, "Succeeded");
    assert_eq!(state_in(&world, "westus").await, None);
    world.control.shutdown().await;
}

/// Dies in the middle of a copy, opens the catalogue anew as `revive` says, and expects the copy to be finished.
fn crash_while_copying<F: Future<Output = ()>>(revive: impl Fn(World) -> F) {
    let runtime = || tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let first = runtime();
    let (world, operation) = first.block_on(async {
        let world = with_disk().await;
        world.regions["westus"].set_open(false);
        let operation = world.publish(&["eastus", "westus"]).await.unwrap();
        let west = &world.regions["westus"];
        world.until("the copy began", || async { (west.copies.load(Ordering::SeqCst) == 1).then_some(()) }).await;
        (world, operation)
    });
    // Nothing is put down: the tasks end where they are.
    first.shutdown_timeout(Duration::from_secs(5));
    runtime().block_on(async {
        let after = world.reopen().await;
        revive(after.reopen().await).await;
        assert_eq!(after.ended(&operation).await, (OperationStatus::Succeeded, None));
        assert_eq!(first_bytes(&after, "westus").await, b"guest bytes");
    });
}

#[test]
fn a_crash_while_copying_is_gone_on_from_when_the_lease_runs_out() {
    crash_while_copying(|after| async move {
        after.start();
        after.clock.advance(LEASE_MS + crate::pins::PIN_LEASE_MS);
        after.control.wake();
    });
}

#[test]
fn whoever_is_alone_goes_on_at_once() {
    crash_while_copying(|after| async move {
        after.control.take_over().await.unwrap();
        after.start();
    });
}

#[tokio::test]
async fn shutting_down_puts_work_down_for_the_next_start() {
    let world = with_disk().await;
    let west = &world.regions["westus"];
    west.set_open(false);
    let operation = world.publish(&["eastus", "westus"]).await.unwrap();
    world.until("the copy began", || async { (west.copies.load(Ordering::SeqCst) == 1).then_some(()) }).await;
    world.control.shutdown().await;
    let after = world.reopen().await;
    after.start();
    // The lease was given back: no clock has to move.
    assert_eq!(after.ended(&operation).await, (OperationStatus::Succeeded, None));
    assert_eq!(replicas(&after).await.iter().map(|replica| replica.attempts).max(), Some(1));
    after.control.shutdown().await;
}

#[tokio::test]
async fn a_stale_worker_is_refused() {
    let world = World::new().await;
    world.furnish().await;
    let mut tx = world.control.db().write().await.unwrap();
    let (key, now_ms) = (world.id("galleries/g").key().to_owned(), 1000);
    replica::upsert(&mut tx, &ReplicaRow::wanted(&key, "westus", now_ms)).await.unwrap();
    let slow =
        replica::claim_due(&mut tx, "westus", ReplicaWork::Copy, "slow", now_ms, now_ms + 10).await.unwrap().unwrap();
    assert_eq!(
        replica::claim_due(&mut tx, "westus", ReplicaWork::Copy, "other", now_ms, now_ms + 10).await.unwrap(),
        None
    );
    assert_eq!(
        replica::claim_due(&mut tx, "eastus", ReplicaWork::Copy, "other", now_ms + 10, now_ms + 20).await.unwrap(),
        None
    );
    let quick = replica::claim_due(&mut tx, "westus", ReplicaWork::Copy, "quick", now_ms + 10, now_ms + 20)
        .await
        .unwrap()
        .unwrap();
    for (lease, holds) in [(slow.lease(), false), (quick.lease(), true)] {
        assert_eq!(replica::holds(&mut tx, lease).await.unwrap(), holds);
        assert_eq!(replica::renew(&mut tx, lease, now_ms + 30, 10, 5).await.unwrap(), holds);
        assert_eq!(replica::postpone(&mut tx, lease, "", now_ms).await.unwrap(), holds);
        assert_eq!(replica::complete(&mut tx, lease, 10, now_ms).await.unwrap(), holds);
    }
    // What is complete is nobody's any more.
    assert!(!replica::fail(&mut tx, quick.lease(), "", now_ms).await.unwrap());
}

#[tokio::test]
async fn an_upload_that_is_no_vhd_can_be_mended() {
    let world = World::new().await;
    world.start();
    world.furnish().await;
    let import = world.upload(b"x", false).await;
    let (status, error) = world.ended(&import).await;
    assert_eq!((status, error.unwrap().code.as_ref()), (OperationStatus::Failed, "InvalidDiskImage"));
    let disk = world.get("disks/d").await.unwrap();
    assert_eq!(disk["properties"]["diskState"], "ReadyToUpload");
    assert_eq!(disk["properties"]["provisioningState"], "Succeeded");
    assert!(world.publish(&["eastus"]).await.is_err());
    let again = world.upload(b"guest bytes", true).await;
    assert_eq!(world.ended(&again).await, (OperationStatus::Succeeded, None));
    world.publish(&["eastus"]).await.unwrap();
    assert_eq!(first_bytes(&world, "eastus").await, b"guest bytes");
    world.control.shutdown().await;
}

/// Regression: a process that was killed between granting the access and making room for the upload left one whose end was
/// an internal error.
#[tokio::test]
async fn an_upload_without_room_is_told_what_it_lacks() {
    let world = World::new().await;
    world.furnish().await;
    world.grant_upload().await;
    let row = resource::find(&mut world.control.db().read().await.unwrap(), world.id("disks/d").key()).await;
    world.regions["eastus"].remove_upload(UploadId(row.unwrap().unwrap().uid)).await.unwrap();
    let import = world.control.end_get_access(&world.ctx(), &world.id("disks/d")).await.unwrap().operation;
    world.start();
    let (status, error) = world.ended(&import).await;
    assert_eq!((status, error.unwrap().code.as_ref()), (OperationStatus::Failed, "InvalidDiskImage"));
    assert_eq!(world.get("disks/d").await.unwrap()["properties"]["diskState"], "ReadyToUpload");
    world.control.shutdown().await;
}

#[tokio::test]
async fn an_import_survives_passing_failures_and_being_done_twice() {
    let world = World::new().await;
    world.furnish().await;
    let east = &world.regions["eastus"];
    east.fail("import_upload", 1);
    east.fail("remove_upload", 1);
    let import = world.upload(b"guest bytes", true).await;
    let row = resource::find(&mut world.control.db().read().await.unwrap(), world.id("disks/d").key()).await;
    let (tenant, upload) = (world.caller.tenant, UploadId(row.unwrap().unwrap().uid));
    // As if a process had died between the import and its record.
    let (progress, cancel) = (Default::default(), Default::default());
    assert!(east.import_upload(tenant, upload, &Default::default(), progress, cancel).await.is_err());
    let (progress, cancel) = (Default::default(), Default::default());
    east.import_upload(tenant, upload, &Default::default(), progress, cancel).await.unwrap();
    let packs = east.stats(tenant).await.unwrap().packs;
    world.start();
    assert_eq!(world.ended(&import).await, (OperationStatus::Succeeded, None));
    assert_eq!(east.stats(tenant).await.unwrap().packs, packs, "nothing is stored twice");
    assert_eq!(east.uploads().await.unwrap(), [upload], "left for the reconciler");
    world.control.shutdown().await;
}

/// Regression: work that killed its process was claimed again at every start, for ever: attempts were counted and nobody
/// looked at them before the work was done.
#[tokio::test]
async fn an_import_that_kills_its_process_is_given_up() {
    let world = World::new().await;
    world.furnish().await;
    let import = world.upload(b"guest bytes", true).await;
    let mut tx = world.control.db().write().await.unwrap();
    let now_ms = world.control.now_ms();
    for attempt in 1..=super::MOST_ATTEMPTS {
        let claimed = operation::claim_due(&mut tx, Some("eastus"), "dies", now_ms, now_ms + LEASE_MS).await.unwrap();
        assert_eq!(claimed.unwrap().attempts, attempt);
        operation::release_all(&mut tx).await.unwrap();
    }
    tx.commit().await.unwrap();
    world.start();
    let (status, error) = world.ended(&import).await;
    let error = error.unwrap();
    assert_eq!((status, error.status), (OperationStatus::Failed, 500));
    assert!(error.message.contains("begun 8 times"), "{}", error.message);
    assert_eq!(world.get("disks/d").await.unwrap()["properties"]["diskState"], "ReadyToUpload");
    world.control.shutdown().await;
}

/// Regression: as above.
#[tokio::test]
async fn a_copy_that_kills_its_process_fails() {
    let world = with_disk().await;
    world.regions["westus"].set_open(false);
    let publish = world.publish(&["eastus", "westus"]).await.unwrap();
    world.control.shutdown().await;
    let after = world.reopen().await;
    let mut tx = after.control.db().write().await.unwrap();
    let now_ms = after.control.now_ms();
    loop {
        let claimed = replica::claim_due(&mut tx, "westus", ReplicaWork::Copy, "dies", now_ms, now_ms + LEASE_MS)
            .await
            .unwrap()
            .unwrap();
        replica::release_all(&mut tx).await.unwrap();
        if claimed.attempts == super::MOST_ATTEMPTS {
            break;
        }
    }
    tx.commit().await.unwrap();
    after.start();
    assert_eq!(after.ended(&publish).await.0, OperationStatus::Failed);
    assert_eq!(state_in(&after, "westus").await, Some(ReplicationState::Failed));
    assert_eq!(after.regions["westus"].copies.load(Ordering::SeqCst), 0);
    after.control.shutdown().await;
}

/// Regression: a request joined whatever was in progress, and its client was then answered with another request's result:
/// a PUT during an import with nothing, the end of an access during a creation with the disk.
#[tokio::test]
async fn only_what_answers_alike_is_joined() {
    let world = World::new().await;
    world.furnish().await;
    let import = world.upload(b"guest bytes", true).await;
    let (ctx, id) = (world.ctx(), world.id("disks/d"));
    assert_eq!(world.control.end_get_access(&ctx, &id).await.unwrap().operation, import);
    assert_eq!(world.put("disks/d", crate::testing::upload_body()).await.unwrap_err().status, 409);

    let body = serde_json::json!({ "location": "eastus",
        "properties": { "creationData": { "createOption": "Empty" }, "diskSizeGB": 1 } });
    let create = world.put("disks/e", body.clone()).await.unwrap();
    assert_eq!(world.put("disks/e", body).await.unwrap(), create);
    assert_eq!(world.control.end_get_access(&ctx, &world.id("disks/e")).await.unwrap_err().status, 409);
}

#[tokio::test]
async fn an_operation_keeps_its_requests_correlation_id() {
    let world = World::new().await;
    world.furnish().await;
    let ctx = world.ctx();
    let body = serde_json::json!({ "location": "eastus" });
    let accepted = world.control.put(&ctx, &world.id("galleries/h"), body).await.unwrap();
    let mut tx = world.control.db().read().await.unwrap();
    let row = operation::find(&mut tx, accepted.operation.id).await.unwrap().unwrap();
    assert_eq!(row.correlation_id, ctx.correlation_id);
}

#[tokio::test]
async fn an_empty_disk_is_made_or_failed() {
    let world = World::new().await;
    world.start();
    world.furnish().await;
    world.regions["eastus"].fail("create_empty", super::MOST_ATTEMPTS);
    let body = serde_json::json!({ "location": "eastus",
        "properties": { "creationData": { "createOption": "Empty" }, "diskSizeGB": 1 } });
    let first = world.put("disks/e", body.clone()).await.unwrap();
    let error = world
        .until("it has failed", || async {
            world.clock.advance(1000);
            world.control.wake();
            let view = world.control.operation_status(&world.ctx(), first.subscription, first.id).await.unwrap();
            view.document.error
        })
        .await;
    assert!(error.message.contains("eastus") && error.message.contains("broken pipe"), "{}", error.message);
    assert_eq!(world.state("disks/e").await, "Failed");
    let again = world.put("disks/e", body).await.unwrap();
    assert_eq!(world.ended(&again).await, (OperationStatus::Succeeded, None));
    assert_eq!(world.state("disks/e").await, "Succeeded");
    world.control.shutdown().await;
}

#[tokio::test]
async fn a_group_goes_with_everything_in_it() {
    let world = with_disk().await;
    world.regions["westus"].set_open(false);
    let create = world.publish(&["eastus", "westus"]).await.unwrap();
    let (ctx, group) = (world.ctx(), world.id(""));
    let first = world.control.resource_group_delete(&ctx, &group).await.unwrap().unwrap();
    let error = world.put("galleries/h", serde_json::json!({ "location": "eastus" })).await.unwrap_err();
    assert!(matches!(error.code.as_ref(), "ResourceGroupBeingDeleted" | "ResourceGroupNotFound"), "{error}");
    assert_eq!(world.ended(&first.operation).await, (OperationStatus::Succeeded, None));
    assert_eq!(world.ended(&create).await.0, OperationStatus::Canceled);
    assert!(!world.control.resource_group_exists(&ctx, &group).await.unwrap());
    let operation = &first.operation;
    let result = world.control.operation_result(&ctx, operation.subscription, operation.id).await.unwrap();
    assert!(matches!(result, OperationResult::Deleted));
    assert!(world.control.resource_group_delete(&ctx, &group).await.unwrap().is_none());
    unpinned(&world).await;
    let roots = disk_image::roots(&mut world.control.db().read().await.unwrap(), "eastus", world.caller.tenant).await;
    assert_eq!(roots.unwrap(), galerie_store::Roots::default());
    world.control.shutdown().await;
}

#[tokio::test]
async fn roots_are_what_rows_and_pins_hold() {
    let world = with_disk().await;
    let operation = world.publish(&["eastus", "westus"]).await.unwrap();
    world.ended(&operation).await;
    unpinned(&world).await;
    let count = async |region: &str| {
        let mut tx = world.control.db().read().await.unwrap();
        disk_image::roots(&mut tx, region, world.caller.tenant).await.unwrap().whole.len()
    };
    assert_eq!((count("eastus").await, count("westus").await, count("westeurope").await), (1, 1, 0));
    world.delete(VERSION).await;
    assert_eq!((count("eastus").await, count("westus").await), (1, 0));
    let images = disk_image::list_for(&mut world.control.db().read().await.unwrap(), world.id("disks/d").key()).await;
    let manifest = images.unwrap()[0].manifest;
    world.delete("disks/d").await;
    assert_eq!(count("eastus").await, 0);
    let pinned = world.control.pin("eastus", world.caller.tenant, &[manifest], "test").await.unwrap();
    assert_eq!(count("eastus").await, 1);
    assert!(pinned.check(&mut world.control.db().read().await.unwrap()).await.unwrap());
    world.clock.advance(crate::pins::PIN_LEASE_MS);
    let mut tx = world.control.db().write().await.unwrap();
    assert_eq!(pin::expire(&mut tx, crate::Clock::now_ms(&*world.clock)).await.unwrap(), 1);
    tx.commit().await.unwrap();
    assert!(!pinned.check(&mut world.control.db().read().await.unwrap()).await.unwrap());
    world.control.shutdown().await;
}

#[tokio::test]
async fn operations_are_shown_to_those_who_may_see_them() {
    let world = World::new().await;
    world.furnish().await;
    let operation = world.put("galleries/g", serde_json::json!({ "location": "eastus" })).await.unwrap();
    let see = async |ctx: crate::RequestContext, subscription, id| {
        world.control.operation_status(&ctx, subscription, id).await.map(|view| view.document.status)
    };
    let (subscription, id) = (operation.subscription, operation.id);
    assert_eq!(see(world.ctx(), subscription, id).await.unwrap(), OperationStatus::Succeeded);
    assert_eq!(see(world.ctx(), subscription, Uuid::new_v4()).await.unwrap_err().status, 404);
    assert_eq!(see(world.ctx(), Uuid::new_v4(), id).await.unwrap_err().code, "SubscriptionNotFound");
    let mut nobody = world.ctx();
    nobody.caller.principal = Uuid::new_v4();
    let refused = see(nobody.clone(), subscription, id).await.unwrap_err();
    let absent = see(nobody.clone(), subscription, Uuid::new_v4()).await.unwrap_err();
    assert_eq!(refused.code, "AuthorizationFailed");
    assert_eq!(refused, absent, "whether it exists is not told");
    let mut foreign = world.ctx();
    foreign.caller.tenant = Uuid::new_v4();
    assert_eq!(see(foreign, subscription, id).await.unwrap_err().code, "SubscriptionNotFound");
    let mut tx = world.control.db().read().await.unwrap();
    assert_eq!(operation::find(&mut tx, id).await.unwrap().unwrap().answer, Answer::Resource);
}

#[test]
fn backoff_doubles_up_to_a_minute() {
    let waits: Vec<_> = (1..=super::MOST_ATTEMPTS).map(super::backoff_ms).collect();
    assert_eq!(waits, [1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000]);
    assert_eq!((super::backoff_ms(0), super::backoff_ms(u64::MAX)), (1000, 60_000));
}

#[test]
fn kinds_and_answers_round_trip() {
    for kind in super::OperationKind::ALL {
        assert_eq!(kind.as_str().parse(), Ok(kind));
    }
    let grant = Answer::Grant(Uuid::nil());
    let text = serde_json::to_string(&grant).unwrap();
    assert_eq!(text, r#"{"grant":"00000000-0000-0000-0000-000000000000"}"#);
    assert_eq!(serde_json::from_str::<Answer>(&text).unwrap(), grant);
    assert_eq!(serde_json::to_string(&Answer::Resource).unwrap(), r#""resource""#);
}
