//! Several processes on one schema. On SQLite, which has one process, these tests have nothing to do.

use std::{sync::Arc, time::Duration};

use galerie_arm::OperationStatus;
use serde_json::json;
use uuid::Uuid;

use super::{Place, ProcessOptions};
use crate::{
    Blob, BlobAction, BlobError, Clock, Error, GrantView, OperationResult, SystemClock, WorkerTuning,
    db::{
        Db, operation,
        process::{self, Start},
        replica::{self, ReplicaWork},
        resource,
    },
    reconcile::scrub,
    testing::{World, upload_body},
};

/// Longer than any test: what happens was not the timer's doing.
const NEVER: Duration = Duration::from_secs(24 * 60 * 60);
const SOON: Duration = Duration::from_millis(20);
const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// A machine whose clock is wrong.
#[derive(Debug)]
struct Skewed(i64);

impl Clock for Skewed {
    fn now_ms(&self) -> i64 {
        SystemClock.now_ms() + self.0
    }
    fn is_the_machines(&self) -> bool {
        true
    }
}

fn named(id: Uuid) -> ProcessOptions {
    ProcessOptions { id, url: Some(format!("https://{}", id.simple())), version: "test".to_owned(), hints: true }
}

/// A world whose clock is the machine's; `None` on SQLite.
async fn first() -> Option<World> {
    let world = World::by_clock(Arc::new(Skewed(0)), SOON).await;
    world.control.db().is_shared().then_some(world)
}

async fn joined(world: World) -> World {
    world.control.join(named(Uuid::new_v4())).await.unwrap();
    world
}

/// As if a process had been killed long enough ago.
async fn bury(world: &World, db: &Db) {
    world.control.die().await;
    let id = world.control.owner();
    let mut tx = db.write().await.unwrap();
    let row = process::list(&mut tx).await.unwrap().into_iter().find(|row| row.id == id).unwrap();
    // Just now: who has been dead for a day is forgotten.
    let now_ms = tx.now_ms().await.unwrap();
    assert!(process::prolong(&mut tx, Start { id, incarnation: row.incarnation }, now_ms).await.unwrap());
    tx.commit().await.unwrap();
}

async fn disk(world: &World) -> Uuid {
    let mut tx = world.control.db().read().await.unwrap();
    resource::find(&mut tx, world.id("disks/d").key()).await.unwrap().unwrap().uid
}

fn peer_of(place: &Place) -> Option<&str> {
    match place {
        Place::At(peer) => Some(&peer.id),
        Place::Here | Place::Away(_) => None,
    }
}

#[tokio::test]
async fn an_upload_is_one_processs_until_that_is_dead() {
    let Some(one) = first().await else { return };
    one.furnish().await;
    let one = joined(one).await;
    let two = joined(one.reopen().await).await;
    one.grant_upload().await;
    let upload = disk(&one).await;
    one.stage(b"guest bytes", true).await;
    one.control.mark_pages(upload).await.unwrap();
    let asked = async |world: &World| world.control.place_of_upload(upload, "eastus").await.unwrap();
    assert_eq!(asked(&one).await, Place::Here);
    assert_eq!(peer_of(&asked(&two).await), Some(one.control.owner()));
    assert_eq!(
        two.control.place_of_access_end(&two.id("disks/d")).await.unwrap(),
        asked(&two).await,
        "the end of the access is accepted where the pages are"
    );
    // Dead, and its pages are seen.
    bury(&one, two.control.db()).await;
    assert_eq!(asked(&two).await, Place::Here);
    // Should it only have slept, it learns so with its next heartbeat.
    assert!(super::say_alive(&one.control, one.control.member().unwrap()).await.unwrap());
    assert_eq!(peer_of(&asked(&one).await), Some(two.control.owner()), "what was taken for dead has lost it");
    assert!(one.control.mark_pages(upload).await.is_err(), "and acknowledges nothing more");
    two.control.shutdown().await;
    one.control.shutdown().await;
}

#[tokio::test]
async fn pages_that_nobody_sees_wait_for_their_process() {
    let Some(one) = first().await else { return };
    one.furnish().await;
    let one = joined(one).await;
    one.grant_upload().await;
    let upload = disk(&one).await;
    let two = joined(one.with_stores_of_its_own().await).await;
    one.stage(b"guest bytes", true).await;
    one.control.mark_pages(upload).await.unwrap();
    bury(&one, two.control.db()).await;
    let place = two.control.place_of_upload(upload, "eastus").await.unwrap();
    assert_eq!(peer_of(&place), Some(one.control.owner()), "its process is asked, and answers when it is back");
    two.control.adopt_uploads().await.unwrap();
    let import = one.control.end_get_access(&one.ctx(), &one.id("disks/d")).await.unwrap().operation;
    let claimed = async |world: &World| {
        let mut tx = world.control.db().write().await.unwrap();
        let now_ms = tx.now_ms().await.unwrap();
        operation::claim_due(&mut tx, Some("eastus"), world.control.owner(), now_ms, now_ms).await.unwrap()
    };
    assert_eq!(claimed(&two).await, None, "an import is its process's");
    assert_eq!(claimed(&one).await.unwrap().id, import.id);
    two.control.shutdown().await;
    one.control.shutdown().await;
}

#[tokio::test]
async fn a_process_that_stops_lets_its_uploads_go() {
    let Some(one) = first().await else { return };
    one.furnish().await;
    let one = joined(one).await;
    let two = joined(one.reopen().await).await;
    one.grant_upload().await;
    one.stage(b"guest bytes", true).await;
    let upload = disk(&one).await;
    one.control.mark_pages(upload).await.unwrap();
    assert_eq!(one.control.readiness().await, Ok(()));
    one.control.begin_draining().await;
    assert_eq!(one.control.readiness().await, Err("draining"));
    assert_eq!(two.control.place_of_upload(upload, "eastus").await.unwrap(), Place::Here);
    one.control.shutdown().await;
    // The other one imports what was staged through the first.
    two.start();
    let import = two.control.end_get_access(&two.ctx(), &two.id("disks/d")).await.unwrap().operation;
    assert_eq!(two.ended(&import).await, (OperationStatus::Succeeded, None));
    let shown = two.control.processes(&two.ctx()).await.unwrap();
    assert_eq!(shown["value"].as_array().unwrap().len(), 1, "who has left is not shown: {shown}");
    two.control.shutdown().await;
}

/// A right to write a disk.
async fn write_grant(world: &World, disk: &str) -> GrantView {
    let body = json!({ "access": "Write", "durationInSeconds": 3600 });
    let begun = world.control.begin_get_access(&world.ctx(), &world.id(disk), body).await.unwrap().operation;
    match world.control.operation_result(&world.ctx(), begun.subscription, begun.id).await.unwrap() {
        OperationResult::Access(grant) => grant,
        other => panic!("{other:?}"),
    }
}

async fn write_through(world: &World, grant: &GrantView) -> Blob {
    world.open_blob(grant, BlobAction::Write).await.unwrap()
}

/// Regression: a process that began to stop when it had let an upload's first request in, and nothing lay in its memory yet, let the
/// upload go. The next chunks went to another process, which did not know the first ones.
#[tokio::test]
async fn an_upload_that_begins_while_its_process_stops_is_one_processs() {
    for is_adopted in [false, true] {
        let Some(one) = first().await else { return };
        one.furnish().await;
        let one = joined(one).await;
        let two = joined(one.reopen().await).await;
        one.put("disks/d", upload_body()).await.unwrap();
        let grant = write_grant(&one, "disks/d").await;
        let upload = disk(&one).await;
        let asked = async |world: &World| world.control.place_of_upload(upload, "eastus").await.unwrap();
        let through_one = write_through(&one, &grant).await;
        one.control.begin_draining().await;
        if is_adopted {
            assert_eq!(asked(&two).await, Place::Here);
            let refused = through_one.put_blobs(Vec::new()).await;
            assert!(matches!(refused, Err(BlobError::Busy(_))), "{refused:?}");
            assert!(!one.control.has_chunk_uploads(), "it is stopping, and waits for none");
            write_through(&two, &grant).await.put_blobs(Vec::new()).await.unwrap();
        } else {
            through_one.put_blobs(Vec::new()).await.unwrap();
            assert_eq!(peer_of(&asked(&two).await), Some(one.control.owner()), "it goes on where it began");
        }
        two.control.shutdown().await;
        one.control.shutdown().await;
    }
}

/// Regression: each of the processes that serve a region read all of it.
#[tokio::test]
async fn one_process_scrubs_a_region() {
    let Some(world) = first().await else { return };
    let tuning = || WorkerTuning { scrub_rate_bytes_s: 1 << 30, scrub_period: Duration::ZERO, ..World::tuning() };
    let one = joined(world.reopen_with(tuning()).await).await;
    let two = joined(world.reopen_with(tuning()).await).await;
    let again = async |world: &World, region| scrub::run(&world.control, region).await.unwrap();
    for _ in 0..2 {
        assert_eq!(again(&one, "eastus").await, Duration::ZERO, "the period is over at once");
        assert_eq!(again(&two, "eastus").await, Duration::from_secs(30), "it is the other's");
        assert_eq!(again(&two, "westus").await, Duration::ZERO);
    }
    one.control.shutdown().await;
    two.control.shutdown().await;
    world.control.shutdown().await;
}

#[tokio::test]
async fn a_region_that_nobody_serves_is_away() {
    let Some(one) = first().await else { return };
    let one = joined(one).await;
    let two = joined(one.serving(&["westus"]).await).await;
    let place = two.control.place_of_region("eastus").await.unwrap();
    assert_eq!(peer_of(&place), Some(one.control.owner()));
    assert_eq!(two.control.place_of_region("westus").await.unwrap(), Place::Here);
    assert!(two.control.locations().find("East US").is_some(), "resources can be in it all the same");
    one.control.shutdown().await;
    let place = two.control.place_of_region("eastus").await.unwrap();
    assert!(matches!(&place, Place::Away(why) if why.contains("eastus")), "{place:?}");
    two.control.shutdown().await;
}

/// A claim that a process left when it was killed is its next start's at once; nobody's lease has to run out.
#[tokio::test]
async fn a_process_that_is_started_again_takes_its_claims_back() {
    let Some(one) = first().await else { return };
    one.furnish().await;
    let id = Uuid::new_v4();
    one.control.join(named(id)).await.unwrap();
    let import = one.upload(b"guest bytes", true).await;
    let mut tx = one.control.db().write().await.unwrap();
    let until_ms = tx.now_ms().await.unwrap() + DAY_MS;
    let claimed = operation::claim_due(&mut tx, Some("eastus"), one.control.owner(), until_ms - DAY_MS, until_ms).await;
    assert_eq!(claimed.unwrap().unwrap().id, import.id);
    tx.commit().await.unwrap();
    let pinned = one.control.pin("eastus", one.caller.tenant, &[], "test").await.unwrap();
    let again = one.reopen().await;
    again.control.join(named(id)).await.unwrap();
    assert!(!pinned.check(&mut again.control.db().read().await.unwrap()).await.unwrap(), "its pins go, too");
    again.start();
    assert_eq!(again.ended(&import).await, (OperationStatus::Succeeded, None));
    // The first start, had it only slept, learns that it is not the last one.
    tokio::time::timeout(Duration::from_secs(60), one.control.replaced()).await.expect("it is told");
    assert!(one.control.readiness().await.is_err());
    again.control.shutdown().await;
}

#[tokio::test]
async fn what_needs_the_catalogue_alone_waits_until_nobody_serves_it() {
    let Some(one) = first().await else { return };
    let one = joined(one).await;
    let other = one.reopen().await;
    assert!(matches!(other.control.take_over().await, Err(Error::CatalogueInUse)));
    one.control.shutdown().await;
    other.control.take_over().await.unwrap();
    let late = other.reopen().await;
    assert!(matches!(late.control.join(named(Uuid::new_v4())).await, Err(Error::CatalogueInUse)));
    other.control.shutdown().await;
    late.control.join(named(Uuid::new_v4())).await.unwrap();
    late.control.shutdown().await;
}

/// A process that is a day ahead neither takes a lease that is good, nor ends it; one that is behind does not hold one back.
#[tokio::test]
async fn a_wrong_clock_takes_no_lease() {
    let Some(one) = first().await else { return };
    one.start();
    one.furnish().await;
    let import = one.upload(b"guest bytes", true).await;
    assert_eq!(one.ended(&import).await, (OperationStatus::Succeeded, None));
    one.regions["westus"].set_open(false);
    let publish = one.publish(&["eastus", "westus"]).await.unwrap();
    one.until("the copy began", || async {
        (one.regions["westus"].copies.load(std::sync::atomic::Ordering::SeqCst) == 1).then_some(())
    })
    .await;
    for skew_ms in [DAY_MS, -DAY_MS] {
        let wrong = one.reopen_by(Arc::new(Skewed(skew_ms)), SOON).await;
        let mut tx = wrong.control.db().write().await.unwrap();
        let now_ms = tx.now_ms().await.unwrap();
        let stolen =
            replica::claim_due(&mut tx, "westus", ReplicaWork::Copy, "wrong", now_ms, now_ms + 1).await.unwrap();
        assert_eq!(stolen, None, "{skew_ms}");
        drop(tx);
        // Its workers and reconcilers look, too: they have when they have done something else.
        wrong.start();
        let body = serde_json::json!({ "location": "eastus",
            "properties": { "creationData": { "createOption": "Empty" }, "diskSizeGB": 1 } });
        let other = wrong.put(&format!("disks/e{}", skew_ms.signum() + 1), body).await.unwrap();
        assert_eq!(wrong.ended(&other).await, (OperationStatus::Succeeded, None));
        assert_eq!(wrong.regions["westus"].copies.load(std::sync::atomic::Ordering::SeqCst), 0);
        wrong.control.shutdown().await;
    }
    one.regions["westus"].set_open(true);
    assert_eq!(one.ended(&publish).await, (OperationStatus::Succeeded, None));
    one.control.shutdown().await;
}

/// A grant is as long as it was granted for, whatever the clock of the process that made it or of the one that is asked.
#[tokio::test]
async fn a_wrong_clock_neither_ends_nor_lengthens_an_access() {
    let Some(right) = first().await else { return };
    right.furnish().await;
    for (disk, skew_ms) in [("disks/a", DAY_MS), ("disks/b", -DAY_MS)] {
        let wrong = right.reopen_by(Arc::new(Skewed(skew_ms)), SOON).await;
        for (name, granting, asked) in [("1", &wrong, &right), ("2", &right, &wrong)] {
            let disk = format!("{disk}{name}");
            right.put(&disk, upload_body()).await.unwrap();
            let grant = write_grant(granting, &disk).await;
            write_through(asked, &grant).await;
        }
        wrong.control.shutdown().await;
    }
    right.control.shutdown().await;
}

/// What one process accepts another one does at once, though it would not look for a day; and when the connection on which it
/// listens breaks, it looks when it has another.
#[tokio::test]
async fn processes_wake_each_other() {
    let Some(one) = first().await else { return };
    one.furnish().await;
    let one = joined(one).await;
    let two = joined(one.reopen_by(Arc::new(Skewed(0)), NEVER).await).await;
    two.start();
    let empty = |name: &str| {
        let body = serde_json::json!({ "location": "eastus",
            "properties": { "creationData": { "createOption": "Empty" }, "diskSizeGB": 1 } });
        let path = format!("disks/{name}");
        let one = &one;
        async move { one.put(&path, body).await.unwrap() }
    };
    let woken = empty("e1").await;
    assert_eq!(one.ended(&woken).await, (OperationStatus::Succeeded, None));
    let listeners = "SELECT COUNT(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE query = $1";
    let query = format!("LISTEN \"galerie_{}\"", one.control.catalogue_id().simple());
    let pool = one.control.db().postgres().unwrap();
    let ended: i64 = sqlx::query_scalar(listeners).bind(query).fetch_one(pool).await.unwrap();
    assert!(ended > 0, "nobody listened");
    let missed = empty("e2").await;
    assert_eq!(one.ended(&missed).await, (OperationStatus::Succeeded, None));
    two.control.shutdown().await;
    one.control.shutdown().await;
}

/// Losing every hint costs the timer's delay.
#[tokio::test]
async fn without_hints_work_is_found_by_the_timer() {
    let Some(one) = first().await else { return };
    one.furnish().await;
    let deaf = ProcessOptions { hints: false, ..named(Uuid::new_v4()) };
    one.control.join(deaf.clone()).await.unwrap();
    let two = one.reopen().await;
    two.control.join(ProcessOptions { id: Uuid::new_v4(), ..deaf }).await.unwrap();
    two.start();
    let body = serde_json::json!({ "location": "eastus",
        "properties": { "creationData": { "createOption": "Empty" }, "diskSizeGB": 1 } });
    let operation = one.put("disks/e", body).await.unwrap();
    assert_eq!(one.ended(&operation).await, (OperationStatus::Succeeded, None));
    two.control.shutdown().await;
    one.control.shutdown().await;
}

#[tokio::test]
async fn one_process_does_a_chore_for_all() {
    let Some(one) = first().await else { return };
    let one = joined(one).await;
    let two = joined(one.reopen().await).await;
    assert!(one.control.takes_chore("collect/eastus", NEVER).await.unwrap());
    assert!(!two.control.takes_chore("collect/eastus", NEVER).await.unwrap());
    assert!(one.control.takes_chore("collect/eastus", Duration::ZERO).await.unwrap());
    assert!(two.control.takes_chore("collect/eastus", NEVER).await.unwrap(), "its time was over");
    two.control.shutdown().await;
    one.control.shutdown().await;
}
