//! Packages on their way: from a link to every region, through failures, restarts, damage, collection and backups.

use galerie_arm::{AggregatedState, OperationStatus, ReplicationState, ResourceId};
use galerie_region::Region;
use galerie_store::{ChunkCache, ImageReader};
use serde_json::{Value, json};

use crate::{
    Expand, Limit, OperationRef, QuotaOf,
    backup::tests::{back_up, restore},
    db::{
        disk_image, package_link, pin,
        quota::{self, QuotaScope},
        replica::{self, ReplicaWork},
    },
    reconcile::tests::damage,
    testing::World,
};

const VERSION: &str = "galleries/g/applications/a/versions/1.0.0";

/// A world with an application, at work.
async fn world() -> World {
    let world = World::new().await;
    world.start();
    world.furnish().await;
    world.link("none", ".asked", b"");
    let body = json!({ "location": "eastus", "properties": { "supportedOSType": "Linux" } });
    world.put("galleries/g/applications/a", body).await.unwrap();
    world
}

fn body(link: &str, regions: &[&str]) -> Value {
    let targets: Vec<_> = regions.iter().map(|name| json!({ "name": name })).collect();
    json!({ "location": "eastus", "properties": { "publishingProfile": {
        "source": { "mediaLink": link }, "manageActions": { "install": "i", "remove": "r" },
        "targetRegions": targets } } })
}

async fn put(world: &World, version: &str, link: &str, regions: &[&str]) -> OperationRef {
    let path = format!("galleries/g/applications/a/versions/{version}");
    world.put(&path, body(&format!("https://test/{link}"), regions)).await.unwrap()
}

/// What a region gives out of a version, whole.
async fn read(
    world: &World,
    region: &str,
    id: &ResourceId,
    lun: Option<i32>,
) -> Result<Vec<u8>, galerie_arm::ArmError> {
    let content = world.control.open_package(&world.ctx(), id, Some(region), lun).await?;
    let blobs = world.regions[region].blobs(world.caller.tenant).await.unwrap();
    let reader = ImageReader::open(blobs, content.manifest(), ChunkCache::new(1 << 20)).await.unwrap();
    Ok(reader.read(0, content.virtual_size_bytes()).await.unwrap().to_vec())
}

async fn status(world: &World, version: &str) -> Value {
    let expand = Expand { replication_status: true, ..Expand::default() };
    world.control.get(&world.ctx(), &world.id(version), &expand).await.unwrap().document["properties"].clone()
}

/// Bytes that no chunker finds twice.
fn noise(length: usize, seed: u32) -> Vec<u8> {
    let mut state = seed;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    std::iter::repeat_with(next).take(length).collect()
}

#[tokio::test]
async fn a_package_arrives_whole_in_every_region() {
    let world = world().await;
    // No multiple of anything, over several chunks, with zeros at its end.
    let mut bytes = noise(777_777, 1);
    bytes.resize(800_001, 0);
    world.link("agent", "", &bytes);
    world.link("conf", "", b"x");
    let mut body = body("https://test/agent?sig=secret", &["eastus", "westus"]);
    body["properties"]["publishingProfile"]["source"]["defaultConfigurationLink"] = json!("https://test/conf");
    let made = world.put(VERSION, body).await.unwrap();
    assert_eq!(world.ended(&made).await, (OperationStatus::Succeeded, None));
    let id = world.id(VERSION);
    for region in ["eastus", "westus"] {
        assert!(read(&world, region, &id, None).await.unwrap() == bytes, "{region}");
        assert_eq!(read(&world, region, &id, Some(0)).await.unwrap(), b"x", "{region}");
    }
    assert_eq!(read(&world, "westeurope", &id, None).await.unwrap_err().status, 404);
    assert_eq!(read(&world, "eastus", &id, Some(1)).await.unwrap_err().status, 404);
    // The signature was used, and is nowhere any more.
    assert_eq!(world.asked("agent"), ["https://test/agent?sig=secret"]);
    let shown = status(&world, VERSION).await;
    assert_eq!(shown["publishingProfile"]["source"]["mediaLink"], "https://test/agent");
    assert_eq!(shown["replicationStatus"]["aggregatedState"], AggregatedState::Completed.as_str());
    assert!(package_link::list(&mut world.control.db().read().await.unwrap(), id.key()).await.unwrap().is_empty());
    // Another region, later.
    let more = world.put(VERSION, self::body("https://test/agent", &["eastus", "westeurope"])).await.unwrap();
    assert_eq!(world.ended(&more).await.0, OperationStatus::Succeeded);
    assert!(read(&world, "westeurope", &id, None).await.unwrap() == bytes);
    assert_eq!(read(&world, "westus", &id, None).await.unwrap_err().status, 404);
    assert_eq!(world.asked("agent").len(), 1, "bytes that are there are copied");
    world.control.shutdown().await;
}

#[tokio::test]
async fn equal_packages_are_stored_once() {
    let world = world().await;
    world.link("one", "", &noise(500_000, 2));
    world.link("two", "", &noise(500_000, 2));
    let stored = async || world.regions["eastus"].stats(world.caller.tenant).await.unwrap().pack_bytes;
    let first = put(&world, "1.0.0", "one", &["eastus"]).await;
    world.ended(&first).await;
    let before = stored().await;
    let second = put(&world, "1.0.1", "two", &["eastus"]).await;
    world.ended(&second).await;
    assert_eq!(stored().await, before);
    // One that is longer by a zero is another.
    world.link("three", "", &[noise(500_000, 2), vec![0]].concat());
    let third = put(&world, "1.0.2", "three", &["eastus"]).await;
    world.ended(&third).await;
    let id = world.id("galleries/g/applications/a/versions/1.0.2");
    assert_eq!(read(&world, "eastus", &id, None).await.unwrap().len(), 500_001);
    world.control.shutdown().await;
}

#[tokio::test]
async fn a_link_that_fails_names_itself_and_can_be_mended() {
    let world = world().await;
    let made = put(&world, "1.0.0", "gone", &["eastus", "westus"]).await;
    let (ended, error) = world.ended(&made).await;
    let (error, target) = (error.unwrap(), "galleryApplicationVersion.properties.publishingProfile.source.mediaLink");
    assert_eq!(
        (ended, error.code.as_ref(), error.target.as_deref()),
        (OperationStatus::Failed, "InvalidParameter", Some(target))
    );
    assert!(error.message.contains("gone answered 404") && error.message.contains("PUT again"), "{}", error.message);
    assert_eq!(world.state(VERSION).await, "Failed");
    let shown = status(&world, VERSION).await["replicationStatus"].clone();
    assert_eq!(
        (&shown["aggregatedState"], &shown["summary"][0]["state"], &shown["summary"][1]["state"]),
        (&json!("Failed"), &json!("Failed"), &json!("Unknown"))
    );
    assert!(shown["summary"][0]["details"].as_str().unwrap().contains(target));
    assert_eq!(read(&world, "eastus", &world.id(VERSION), None).await.unwrap_err().status, 404);
    // It is not asked for by itself, however long one waits.
    world.clock.advance(3_600_000);
    crate::reconcile::retry_replicas(&world.control).await;
    assert_eq!(world.state(VERSION).await, "Failed");
    assert_eq!(world.asked("gone").len(), 1);
    world.link("here", "", b"bytes");
    let again = put(&world, "1.0.0", "here", &["eastus", "westus"]).await;
    assert_eq!(world.ended(&again).await, (OperationStatus::Succeeded, None));
    assert_eq!(read(&world, "westus", &world.id(VERSION), None).await.unwrap(), b"bytes");
    world.control.shutdown().await;
}

#[tokio::test]
async fn an_empty_package_is_refused_and_a_failure_that_passes_is_not() {
    let world = world().await;
    world.link("empty", "", b"");
    let made = put(&world, "1.0.0", "empty", &["eastus"]).await;
    assert!(world.ended(&made).await.1.unwrap().message.contains("is empty"));
    world.link("busy", ".busy", b"");
    world.link("busy", "", b"bytes");
    let made = put(&world, "1.0.1", "busy", &["eastus"]).await;
    world
        .until("it was asked for twice", || async {
            world.clock.advance(1000);
            (world.asked("busy").len() > 1).then_some(())
        })
        .await;
    std::fs::remove_file(world.directory.path().join("links/busy.busy")).unwrap();
    let ended = world.until("it has come", || async {
        world.clock.advance(1000);
        let ctx = world.ctx();
        let view = world.control.operation_status(&ctx, made.subscription, made.id).await.unwrap().document.status;
        view.is_terminal().then_some(view)
    });
    assert_eq!(ended.await, OperationStatus::Succeeded);
    world.control.shutdown().await;
}

/// A process that dies while it fetches leaves a claim; the next one fetches from the beginning.
#[tokio::test]
async fn a_fetch_goes_on_in_another_process() {
    let world = world().await;
    world.link("agent", ".stalls", b"");
    world.link("agent", "", b"all of it");
    let made = put(&world, "1.0.0", "agent", &["eastus", "westus"]).await;
    let fetching = || async {
        let shown = status(&world, VERSION).await["replicationStatus"].clone();
        (!world.asked("agent").is_empty() && shown["summary"][0]["state"] == "Replicating").then_some(shown)
    };
    let shown = world.until("it is being fetched", fetching).await;
    assert_eq!((&shown["aggregatedState"], &shown["summary"][1]["state"]), (&json!("InProgress"), &json!("Unknown")));
    // Target regions may change meanwhile; the link may not.
    let changed = world.put(VERSION, body("https://test/agent", &["eastus", "westeurope"])).await.unwrap();
    assert_eq!(
        world.put(VERSION, body("https://test/other", &["eastus"])).await.unwrap_err().code,
        "PropertyChangeNotAllowed"
    );
    assert_eq!(world.ended(&made).await.0, OperationStatus::Canceled);
    world.control.shutdown().await;
    std::fs::remove_file(world.directory.path().join("links/agent.stalls")).unwrap();
    let world = world.reopen().await;
    world.control.take_over().await.unwrap();
    world.start();
    assert_eq!(world.ended(&changed).await, (OperationStatus::Succeeded, None));
    assert_eq!(read(&world, "westeurope", &world.id(VERSION), None).await.unwrap(), b"all of it");
    assert_eq!(read(&world, "westus", &world.id(VERSION), None).await.unwrap_err().status, 404);
    world.control.shutdown().await;
}

#[tokio::test]
async fn a_version_that_is_deleted_stops_its_fetch() {
    let world = world().await;
    world.link("agent", ".stalls", b"");
    let made = put(&world, "1.0.0", "agent", &["eastus"]).await;
    world.until("it is being fetched", || async { (!world.asked("agent").is_empty()).then_some(()) }).await;
    world.delete(VERSION).await.unwrap();
    assert_eq!(world.ended(&made).await.0, OperationStatus::Canceled);
    let key = world.id(VERSION).key().to_owned();
    assert!(package_link::list(&mut world.control.db().read().await.unwrap(), &key).await.unwrap().is_empty());
    // What was fetched under a name is not another resource's: the application goes, too.
    world.delete("galleries/g/applications/a").await.unwrap();
    world.control.shutdown().await;
}

/// The collector takes what no version holds any more, and nothing else.
#[tokio::test]
async fn the_collector_keeps_what_a_version_holds() {
    let world = world().await;
    world.link("one", "", &noise(300_000, 3));
    world.link("two", "", &noise(300_000, 4));
    for (version, link) in [("1.0.0", "one"), ("1.0.1", "two")] {
        let made = put(&world, version, link, &["eastus", "westus"]).await;
        world.ended(&made).await;
    }
    world.delete("galleries/g/applications/a/versions/1.0.1").await.unwrap();
    for region in ["eastus", "westus"] {
        // A pack goes in three looks: condemned, copied, deleted after its readers' time.
        for _ in 0..6 {
            world.control.store_collect(&world.ctx(), region).await.unwrap();
            world.clock.advance(3_600_000);
        }
        assert!(read(&world, region, &world.id(VERSION), None).await.unwrap() == noise(300_000, 3), "{region}");
        let stored = world.regions[region].stats(world.caller.tenant).await.unwrap().pack_bytes;
        assert!((300_000..400_000).contains(&stored), "{stored} bytes are left in {region}");
    }
    world.control.shutdown().await;
}

#[tokio::test]
async fn a_damaged_package_is_named_and_heals() {
    let world = world().await;
    world.link("agent", "", &noise(300_000, 5));
    let made = put(&world, "1.0.0", "agent", &["eastus", "westus"]).await;
    world.ended(&made).await;
    for region in ["westus", "eastus"] {
        damage(&world, region);
        let report = world.control.store_verify(&world.ctx(), region).await.unwrap();
        let hurt = &report["hurtResources"][0];
        assert_eq!((&hurt["id"], &hurt["healing"]), (&json!(world.id(VERSION).as_str()), &json!(true)), "{report}");
        world
            .until("the region is whole", || async {
                let mut tx = world.control.db().read().await.unwrap();
                let replica = replica::find(&mut tx, world.id(VERSION).key(), region).await.unwrap().unwrap();
                (replica.state == ReplicationState::Completed).then_some(())
            })
            .await;
        assert!(read(&world, region, &world.id(VERSION), None).await.unwrap() == noise(300_000, 5), "{region}");
    }
    assert_eq!(world.asked("agent").len(), 1, "what is damaged is copied, not fetched");
    world.control.shutdown().await;
}

/// How much it is turns out when it is there: then it must be within the quota, in every region.
#[tokio::test]
async fn quotas_count_packages() {
    let world = world().await;
    let of = QuotaOf::Subscription(world.subscription);
    world.control.set_quota(&world.ctx(), of, Limit::Most(1000), Limit::Unlimited, None).await.unwrap();
    world.link("agent", "", &[7; 400]);
    let made = put(&world, "1.0.0", "agent", &["eastus", "westus", "westeurope"]).await;
    let error = world.ended(&made).await.1.unwrap();
    assert!(error.message.contains("quota of bytes") && error.message.contains("1200"), "{}", error.message);
    let held =
        disk_image::list_for(&mut world.control.db().read().await.unwrap(), world.id(VERSION).key()).await.unwrap();
    assert!(held.is_empty(), "what was refused is held by nothing");
    let fewer = put(&world, "1.0.0", "agent", &["eastus", "westus"]).await;
    assert_eq!(world.ended(&fewer).await, (OperationStatus::Succeeded, None));
    let more = world.put(VERSION, body("https://test/agent", &["eastus", "westus", "westeurope"])).await.unwrap_err();
    assert_eq!(more.code, "OperationNotAllowed");
    world.delete(VERSION).await.unwrap();
    let scope = QuotaScope::Subscription(world.subscription);
    let used = quota::used(&mut world.control.db().read().await.unwrap(), scope).await.unwrap();
    assert_eq!(used.bytes, 0);
    world.control.shutdown().await;
}

/// A disk's bytes become a package's where they are.
#[tokio::test]
async fn a_disk_becomes_a_package() {
    let world = world().await;
    let import = world.upload(b"guest bytes", true).await;
    world.ended(&import).await;
    let link = world.id("disks/d").as_str().to_owned();
    let made = world.put(VERSION, body(&link, &["eastus", "westus"])).await.unwrap();
    assert_eq!(world.ended(&made).await, (OperationStatus::Succeeded, None));
    world.delete("disks/d").await.unwrap();
    for region in ["eastus", "westus"] {
        let bytes = read(&world, region, &world.id(VERSION), None).await.unwrap();
        assert!(bytes.starts_with(b"guest bytes") && bytes.len() as u64 == crate::testing::GUEST_BYTES, "{region}");
    }
    let nothing = world.put("galleries/g/applications/a/versions/2.0.0", body(&link, &["eastus"])).await.unwrap_err();
    assert_eq!(
        (nothing.status, nothing.target.as_deref()),
        (404, Some("galleryApplicationVersion.properties.publishingProfile.source.mediaLink"))
    );
    world.control.shutdown().await;
}

#[tokio::test]
async fn a_script_comes_as_a_package_does() {
    let world = world().await;
    world.link("script", "", b"#!/bin/sh\n");
    world
        .put("galleries/g/scripts/s", json!({ "location": "eastus", "properties": { "supportedOSType": "Linux" } }))
        .await
        .unwrap();
    let body = |link: &str| json!({ "location": "eastus", "properties": { "publishingProfile": { "source": { "scriptLink": link } } } });
    let version = "galleries/g/scripts/s/versions/1.0.0";
    let made = world.put(version, body("https://test/nothing")).await.unwrap();
    let error = world.ended(&made).await.1.unwrap();
    assert_eq!(error.target.as_deref(), Some("galleryScriptVersion.properties.publishingProfile.source.scriptLink"));
    assert!(error.message.starts_with("The script could not be fetched"), "{}", error.message);
    let made = world.put(version, body("https://test/script")).await.unwrap();
    assert_eq!(world.ended(&made).await, (OperationStatus::Succeeded, None));
    assert_eq!(read(&world, "eastus", &world.id(version), None).await.unwrap(), b"#!/bin/sh\n");
    world.control.shutdown().await;
}

/// What was there is there again; what was being fetched is fetched, by its whole link.
#[tokio::test]
async fn a_backup_has_packages_and_links() {
    let (world, folder) = (world().await, tempfile::tempdir().unwrap());
    world.link("agent", "", &noise(300_000, 6));
    let made = put(&world, "1.0.0", "agent", &["eastus", "westus"]).await;
    world.ended(&made).await;
    world.link("later", ".stalls", b"");
    let later = put(&world, "2.0.0", "later?sig=secret", &["eastus"]).await;
    world.until("it is being fetched", || async { (!world.asked("later").is_empty()).then_some(()) }).await;
    let manifest = back_up(&world, folder.path()).await;
    assert_eq!(manifest.missing_blobs().count(), 0);
    world.control.shutdown().await;
    let after = restore(&world, folder.path(), &manifest).await;
    after.link("later", "", b"it came later");
    after.start();
    for region in ["eastus", "westus"] {
        assert!(read(&after, region, &after.id(VERSION), None).await.unwrap() == noise(300_000, 6), "{region}");
    }
    assert_eq!(after.ended(&later).await, (OperationStatus::Succeeded, None));
    assert_eq!(after.asked("later"), ["https://test/later?sig=secret"]);
    let id = after.id("galleries/g/applications/a/versions/2.0.0");
    assert_eq!(read(&after, "eastus", &id, None).await.unwrap(), b"it came later");
    after.control.shutdown().await;
}

/// Whoever sends drop by drop holds up nobody: no collection, and no copy.
#[tokio::test]
async fn a_link_that_stalls_holds_up_nothing() {
    let world = world().await;
    for link in ["slow", "slower"] {
        world.link(link, ".stalls", b"");
    }
    let slow = [put(&world, "1.0.0", "slow", &["eastus"]).await, put(&world, "1.0.1", "slower", &["eastus"]).await];
    for link in ["slow", "slower"] {
        world.until("it is being fetched", || async { (!world.asked(link).is_empty()).then_some(()) }).await;
    }
    let mut tx = world.control.db().read().await.unwrap();
    assert_eq!(pin::list(&mut tx, "eastus", world.caller.tenant, 10).await.unwrap(), []);
    drop(tx);
    let import = world.upload(b"guest bytes", true).await;
    world.ended(&import).await;
    // All the places for fetches are taken; those for copies are not. At home an image is at once: it is copied there again.
    let made = world.publish(&["eastus", "westus"]).await.unwrap();
    assert_eq!(world.ended(&made).await.0, OperationStatus::Succeeded);
    damage(&world, "eastus");
    let report = world.control.store_verify(&world.ctx(), "eastus").await.unwrap();
    assert_eq!(report["hurtResources"][0]["healing"], true, "{report}");
    let key = world.id("galleries/g/images/i/versions/1.0.0").key().to_owned();
    world
        .until("it is copied", || async {
            let mut tx = world.control.db().read().await.unwrap();
            let replica = replica::find(&mut tx, &key, "eastus").await.unwrap().unwrap();
            (replica.state == ReplicationState::Completed).then_some(())
        })
        .await;
    for operation in slow {
        let ctx = world.ctx();
        let view = world.control.operation_status(&ctx, operation.subscription, operation.id).await.unwrap();
        assert!(!view.document.status.is_terminal());
    }
    world.control.shutdown().await;
}

/// Each step may fail and is done again, from the link on; what was stored then is not stored twice.
#[tokio::test]
async fn every_step_is_done_again() {
    for step in ["gather", "import_gathered"] {
        let world = world().await;
        world.link("agent", "", &noise(300_000, 7));
        world.regions["eastus"].fail(step, 2);
        let made = put(&world, "1.0.0", "agent", &["eastus", "westus"]).await;
        let ended = world.until("it has come", || async {
            world.clock.advance(1000);
            let ctx = world.ctx();
            let view = world.control.operation_status(&ctx, made.subscription, made.id).await.unwrap().document.status;
            view.is_terminal().then_some(view)
        });
        assert_eq!(ended.await, OperationStatus::Succeeded, "{step}");
        assert_eq!(world.asked("agent").len(), 3, "{step}");
        assert!(read(&world, "westus", &world.id(VERSION), None).await.unwrap() == noise(300_000, 7), "{step}");
        world.control.shutdown().await;
    }
}

/// A worker that was taken for dead finds its claim gone when it comes to record.
#[tokio::test]
async fn who_lost_the_claim_records_nothing() {
    let world = world().await;
    world.link("agent", "", b"bytes");
    world.regions["eastus"].set_open(false);
    let made = put(&world, "1.0.0", "agent", &["eastus"]).await;
    let key = world.id(VERSION).key().to_owned();
    let claimed = world.until("it is claimed", || async {
        let row = replica::find(&mut world.control.db().read().await.unwrap(), &key, "eastus").await.unwrap().unwrap();
        let mut tx = world.control.db().read().await.unwrap();
        let is_importing = !pin::list(&mut tx, "eastus", world.caller.tenant, 10).await.unwrap().is_empty();
        (is_importing && row.lease_owner.is_some()).then_some(row)
    });
    let lease = claimed.await.lease();
    // Its import waits. Somebody else claims it, and fails for good.
    let error = galerie_arm::ArmError::internal("gone");
    let mut tx = world.control.db().write().await.unwrap();
    assert!(replica::fail(&mut tx, lease, "by another", i64::MAX).await.unwrap());
    super::settle_version(&mut tx, &key, Some(&error), 0).await.unwrap();
    tx.commit().await.unwrap();
    world.regions["eastus"].set_open(true);
    assert_eq!(world.ended(&made).await.0, OperationStatus::Failed);
    world
        .until("its worker is done", || async {
            let mut tx = world.control.db().read().await.unwrap();
            pin::list(&mut tx, "eastus", world.caller.tenant, 10).await.unwrap().is_empty().then_some(())
        })
        .await;
    let mut tx = world.control.db().read().await.unwrap();
    assert_eq!(disk_image::list_for(&mut tx, &key).await.unwrap(), []);
    assert_eq!(package_link::list(&mut tx, &key).await.unwrap().len(), 1, "what it is made from is still known");
    drop(tx);
    world.control.shutdown().await;
}

/// What cannot be had within the quota is not even begun, when the other side says how much it is.
#[tokio::test]
async fn what_has_no_room_is_not_stored() {
    let world = world().await;
    let of = QuotaOf::Subscription(world.subscription);
    world.control.set_quota(&world.ctx(), of, Limit::Most(1000), Limit::Unlimited, None).await.unwrap();
    world.link("agent", ".stalls", b"");
    let made = put(&world, "1.0.0", "agent", &["eastus", "westus"]).await;
    let error = world.ended(&made).await.1.unwrap();
    assert!(error.code == "OperationNotAllowed" && error.message.contains("2000"), "{error}");
    world.control.shutdown().await;
}

/// A failed fetch waits for its owner. Regression: the reconciler, which looks for what to try again, took a write lock each time.
#[tokio::test]
async fn what_waits_for_its_owner_is_not_due() {
    let world = world().await;
    let made = put(&world, "1.0.0", "gone", &["eastus"]).await;
    assert_eq!(world.ended(&made).await.0, OperationStatus::Failed);
    let mut tx = world.control.db().read().await.unwrap();
    let later_ms = i64::MAX;
    let due = replica::is_due(&mut tx, "eastus", ReplicaWork::Copy, ReplicationState::Failed, later_ms).await.unwrap();
    assert!(!due);
    let fetch =
        replica::is_due(&mut tx, "eastus", ReplicaWork::Fetch, ReplicationState::Failed, later_ms).await.unwrap();
    assert!(fetch, "it is there");
    drop(tx);
    world.control.shutdown().await;
}
