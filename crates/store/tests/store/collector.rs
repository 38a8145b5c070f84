//! The collector against a catalogue's ledger in memory.

use std::sync::Arc;

use galerie_store::{
    CollectReport, Collector, CollectorOptions, Error, ManifestId, VerifyOptions,
    backend::{Backend, FaultPlan, FaultyBackend, MemoryBackend},
    verify,
};
use proptest::prelude::*;
use tokio_util::sync::CancellationToken;

use crate::support::{MIB, MemoryLedger, TestStore, history::Images, noise};

fn collector(test: &TestStore, readers_grace_ms: i64) -> Collector {
    Collector::new(test.domain.clone(), CollectorOptions { readers_grace_ms, ..CollectorOptions::default() })
}

async fn run(collector: &mut Collector, ledger: &MemoryLedger, now_ms: i64) -> CollectReport {
    collector.run(ledger, now_ms, &CancellationToken::new()).await.unwrap()
}

async fn assert_sound(test: &TestStore, roots: Vec<ManifestId>) {
    let options = VerifyOptions { roots, ..VerifyOptions::default() };
    let report = verify(&test.domain, &options, &CancellationToken::new()).await.unwrap();
    assert!(report.is_sound(), "{report:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_image_needs_is_given_back_and_the_rest_stays() {
    let (test, ledger) = (TestStore::memory().await, MemoryLedger::default());
    let kept_guest = noise(1, 4 * MIB);
    let mut other_guest = noise(2, 12 * MIB);
    other_guest.extend(&kept_guest);
    let other = test.import(&other_guest).await.unwrap();
    let kept = test.import(&kept_guest).await.unwrap();
    ledger.root(other);
    ledger.root(kept);
    let before = test.domain.stats().pack_bytes;
    let mut collector = collector(&test, 1000);
    let report = run(&mut collector, &ledger, 0).await;
    assert_eq!((report.condemned_packs, report.deleted_packs, report.missing_blobs), (0, 0, 0));

    ledger.unroot(other);
    let report = run(&mut collector, &ledger, 0).await;
    assert!(report.condemned_packs >= 10, "{report:?}");
    let report = run(&mut collector, &ledger, 10).await;
    assert_eq!(report.deleted_packs, 0, "readers have their grace");
    let elsewhere = test.elsewhere().await;
    let report = run(&mut collector, &ledger, 1010).await;
    assert!(report.deleted_packs >= 10 && report.given_back_bytes > 10 * MIB as i64, "{report:?}");
    assert!(test.domain.stats().pack_bytes < before / 2);
    assert_eq!(test.read(kept).await.unwrap(), kept_guest);
    assert_eq!(elsewhere.read(kept).await.unwrap(), kept_guest, "a stale index is resolved again");
    assert!(test.read(other).await.is_err());
    assert_sound(&test, vec![kept]).await;
    assert!(ledger.state.lock().unwrap().condemned.is_empty(), "deleted packs are forgotten");
}

/// Regression: header, trailer and table counted as dead, so a pack that holds nothing but the manifest of a small image
/// was copied out, into another such pack, at every run for ever.
#[tokio::test(flavor = "multi_thread")]
async fn a_pack_of_which_everything_is_alive_is_left_alone_however_small() {
    let (test, ledger) = (TestStore::memory().await, MemoryLedger::default());
    let pin = ledger.pin();
    let image = test.import(&noise(7, 2 * MIB)).await.unwrap();
    ledger.root(image);
    ledger.unpin(pin);
    let mut collector = collector(&test, 0);
    for now_ms in 0..3 {
        let report = run(&mut collector, &ledger, now_ms).await;
        assert_eq!((report.condemned_packs, report.copied_bytes, report.dead_bytes), (0, 0, 0), "{report:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pin_older_than_the_condemnation_keeps_a_pack() {
    let (test, ledger) = (TestStore::memory().await, MemoryLedger::default());
    let guest = noise(3, 3 * MIB);
    let first = test.import(&guest).await.unwrap();
    ledger.root(first);
    let mut collector = collector(&test, 0);
    run(&mut collector, &ledger, 0).await;

    // An import pins and deduplicates against packs that then lose their image and are condemned.
    let pin = ledger.pin();
    let second = test.import_with(&guest, ledger.condemned_packs()).await.unwrap();
    ledger.unroot(first);
    let report = run(&mut collector, &ledger, 1).await;
    assert!(report.condemned_packs > 0);
    let report = run(&mut collector, &ledger, 2).await;
    assert!(report.waiting_packs > 0 && report.deleted_packs == 0, "{report:?}");
    ledger.root(second);
    ledger.unpin(pin);
    let report = run(&mut collector, &ledger, 3).await;
    assert!(report.deleted_packs > 0 && report.copied_bytes > 0, "{report:?}");
    assert_eq!(test.read(second).await.unwrap(), guest);
    assert_sound(&test, vec![second]).await;
}

/// Regression: a pack that was found dead before the clock was put back stayed until that moment came again.
#[tokio::test(flavor = "multi_thread")]
async fn the_grace_begins_anew_when_the_clock_is_put_back() {
    let (test, ledger) = (TestStore::memory().await, MemoryLedger::default());
    test.import(&noise(7, 3 * MIB)).await.unwrap();
    let mut collector = collector(&test, 1000);
    assert!(run(&mut collector, &ledger, 1_000_000).await.condemned_packs > 0);
    assert_eq!(run(&mut collector, &ledger, 1_000_001).await.deleted_packs, 0);
    assert_eq!(run(&mut collector, &ledger, 10).await.deleted_packs, 0, "readers have their grace, by this clock");
    assert_eq!(run(&mut collector, &ledger, 1009).await.deleted_packs, 0);
    assert!(run(&mut collector, &ledger, 1010).await.deleted_packs > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_later_import_does_not_rely_on_condemned_packs() {
    let (test, ledger) = (TestStore::memory().await, MemoryLedger::default());
    let guest = noise(4, 3 * MIB);
    test.import(&guest).await.unwrap();
    let mut collector = collector(&test, 0);
    assert!(run(&mut collector, &ledger, 0).await.condemned_packs > 0);
    let pin = ledger.pin();
    let again = test.import_with(&guest, ledger.condemned_packs()).await.unwrap();
    let report = run(&mut collector, &ledger, 1).await;
    assert!(report.deleted_packs > 0 && report.copied_bytes == 0, "{report:?}");
    ledger.root(again);
    ledger.unpin(pin);
    assert_eq!(test.read(again).await.unwrap(), guest);
    assert_sound(&test, vec![again]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_cannot_be_walked_stops_everything() {
    let (test, ledger) = (TestStore::memory().await, MemoryLedger::default());
    test.import(&noise(5, 2 * MIB)).await.unwrap();
    let stranger = TestStore::memory().await.import(&noise(6, MIB)).await.unwrap();
    ledger.root(stranger);
    let mut collector = collector(&test, 0);
    let stopped = collector.run(&ledger, 0, &CancellationToken::new()).await;
    assert!(matches!(&stopped, Err(Error::NotFound(what)) if what.contains(&stranger.to_string())), "{stopped:?}");
    assert!(ledger.state.lock().unwrap().condemned.is_empty());
}

/// Regression: a replica that had failed, or was being copied, was a root like any other. Its manifest comes last, so the
/// collector did not find it and collected nothing: a region that had failed for want of space stayed full for ever.
#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_failed_does_not_stop_the_collector() {
    let (source, target, ledger) = (TestStore::memory().await, TestStore::memory().await, MemoryLedger::default());
    let kept_guest = noise(20, 2 * MIB);
    let kept = target.import(&kept_guest).await.unwrap();
    ledger.root(kept);
    let wanted = source.import(&noise(21, 4 * MIB)).await.unwrap();
    ledger.state.lock().unwrap().arriving.insert(wanted);
    // What the copy brought before it failed.
    target.import(&noise(21, 3 * MIB)).await.unwrap();
    let before = target.domain.stats().pack_bytes;
    let mut collector = collector(&target, 0);
    assert!(run(&mut collector, &ledger, 0).await.condemned_packs > 0);
    assert!(run(&mut collector, &ledger, 1).await.deleted_packs > 0);
    assert!(target.domain.stats().pack_bytes < before - 2 * MIB as u64);
    assert_eq!(target.read(kept).await.unwrap(), kept_guest);

    // Once its manifest is there, it keeps what it names.
    let progress = galerie_store::CopyProgress::default();
    let (from, cancel) = (&*source.domain, CancellationToken::new());
    galerie_store::pull(&target.domain, from, wanted, ledger.condemned_packs(), &progress, &cancel).await.unwrap();
    for now_ms in 2..5 {
        run(&mut collector, &ledger, now_ms).await;
    }
    assert_sound(&target, vec![kept, wanted]).await;
}

/// Regression: a marked blob counted as walked. Ids ignore kinds, so a guest that holds the bytes of another image's
/// segment marked it, its list was skipped, and that image's chunks were deleted.
#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_holds_another_images_lists_does_not_hide_them() {
    for seed in 100..132 {
        let (test, ledger) = (TestStore::memory().await, MemoryLedger::default());
        let guest = noise(seed, 2 * MIB);
        let victim = test.import(&guest).await.unwrap();
        let manifest = test.domain.manifest(victim).await.unwrap();
        let segment = test.domain.segment(manifest.segments()[0].1).await.unwrap();
        let by_segment = test.import(&segment.encode()).await.unwrap();
        let by_manifest = test.import(&manifest.encode()).await.unwrap();
        for root in [victim, by_segment, by_manifest] {
            ledger.root(root);
        }
        let mut collector = collector(&test, 0);
        for now_ms in 0..4 {
            run(&mut collector, &ledger, now_ms).await;
        }
        assert!(test.read(victim).await.is_ok_and(|bytes| bytes == guest), "seed {seed}");
    }
}

/// An image of which only a little is alive in packs of another that is not, and packs that are dead altogether.
async fn mostly_dead(test: &TestStore, ledger: &MemoryLedger) -> (ManifestId, Vec<u8>) {
    let kept_guest = noise(30, 200_000);
    test.import(&[kept_guest.clone(), noise(31, 6 * MIB)].concat()).await.unwrap();
    let kept = test.import(&kept_guest).await.unwrap();
    ledger.root(kept);
    (kept, kept_guest)
}

/// Regression: what was alive was copied out of all packs before the first dead one was deleted. On a full disk that
/// failed, and nothing was ever given back.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_region_empties_itself() {
    let (test, ledger) = (TestStore::memory().await, MemoryLedger::default());
    let (kept, kept_guest) = mostly_dead(&test, &ledger).await;
    let plan = FaultPlan { space_bytes: Some(0), ..FaultPlan::default() };
    let full = TestStore::on(Arc::new(FaultyBackend::new(Arc::clone(&test.backend), plan, 1))).await;
    let mut on_full = collector(&full, 0);
    assert!(run(&mut on_full, &ledger, 0).await.condemned_packs > 4);
    let report = run(&mut on_full, &ledger, 1).await;
    assert!(report.deleted_packs > 4 && report.given_back_bytes > 4 * MIB as i64, "{report:?}");
    assert_eq!((report.uncopied_packs, report.copied_bytes), (1, 0), "{report:?}");
    assert_eq!(full.read(kept).await.unwrap(), kept_guest);

    let report = run(&mut collector(&test, 0), &ledger, 2).await;
    assert!(report.deleted_packs == 1 && report.copied_bytes > 0, "with space again: {report:?}");
    assert_eq!(test.read(kept).await.unwrap(), kept_guest);
    assert_sound(&test, vec![kept]).await;
}

/// Regression: since when a pack could go was only in memory, so that a process for each run (`galerie store collect
/// --offline`), or a server that is restarted more often than it collects, began the readers' grace again each time.
#[tokio::test(flavor = "multi_thread")]
async fn collectors_that_run_once_delete_too() {
    let (test, ledger) = (TestStore::memory().await, MemoryLedger::default());
    let (kept, kept_guest) = mostly_dead(&test, &ledger).await;
    assert!(run(&mut collector(&test, 1000), &ledger, 0).await.condemned_packs > 4);
    let report = run(&mut collector(&test, 1000), &ledger, 10).await;
    assert!(report.copied_bytes > 0 && report.deleted_packs == 0, "{report:?}");
    assert_eq!(run(&mut collector(&test, 1000), &ledger, 1009).await.deleted_packs, 0);
    let report = run(&mut collector(&test, 1000), &ledger, 1010).await;
    assert!(report.deleted_packs > 4 && report.copied_bytes == 0, "{report:?}");
    assert_eq!(test.read(kept).await.unwrap(), kept_guest);
}

/// What can happen to a domain, in any order.
#[derive(Debug, Clone)]
enum Step {
    BeginImport(u8),
    EndImport,
    DeleteImage(u8),
    Collect,
    CollectElsewhere,
    OtherProcess,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        (0_u8..6).prop_map(Step::BeginImport),
        Just(Step::EndImport),
        (0_u8..6).prop_map(Step::DeleteImage),
        Just(Step::Collect),
        Just(Step::Collect),
        Just(Step::CollectElsewhere),
        Just(Step::OtherProcess),
    ];
    proptest::collection::vec(step, 1..40)
}

/// Images that share parts with each other.
fn shared_guest(number: u8) -> Vec<u8> {
    let number = u64::from(number);
    [noise(number, 400_000), noise(number / 2 + 100, 900_000), noise(200, 300_000)].concat()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    /// Whatever happens in whatever order, every image that the catalogue names can be read.
    #[test]
    fn live_images_survive_any_history(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
        runtime.block_on(history(steps));
    }
}

async fn history(steps: Vec<Step>) {
    let backend: Arc<dyn Backend> = Arc::new(MemoryBackend::new());
    let mut test = TestStore::on(Arc::clone(&backend)).await;
    let other = TestStore::on(backend).await;
    let ledger = MemoryLedger::default();
    let (mut here, mut there) = (collector(&test, 2), collector(&other, 0));
    let mut images = Images::default();
    for (now_ms, step) in (0..).zip(steps) {
        match step {
            Step::BeginImport(number) => images.begin(number, &shared_guest(number), &test, &ledger).await,
            Step::EndImport => images.end(&ledger),
            Step::DeleteImage(number) => images.delete(number, &ledger),
            Step::Collect => drop(run(&mut here, &ledger, now_ms).await),
            Step::CollectElsewhere => drop(run(&mut there, &ledger, now_ms).await),
            Step::OtherProcess => {
                test = test.elsewhere().await;
                here = collector(&test, 2);
            }
        }
        for (number, manifest) in &images.alive {
            assert!(test.read(*manifest).await.unwrap() == shared_guest(*number), "image {number}");
        }
    }
}
