//! The collector against a catalogue's ledger in memory.

mod support;

use std::sync::Arc;

use galerie_store::{
    BlobSink, CollectReport, Collector, CollectorOptions, Error, ManifestId, VerifyOptions,
    backend::{Backend, MemoryBackend},
    verify,
};
use proptest::prelude::*;
use support::{MIB, MemoryLedger, TestStore, import_guest, noise};
use tokio_util::sync::CancellationToken;

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
    let mut begun: Vec<(u64, u8, ManifestId)> = Vec::new();
    let mut alive = std::collections::BTreeMap::new();
    for (now_ms, step) in (0..).zip(steps) {
        match step {
            Step::BeginImport(number) => {
                let pin = ledger.pin();
                let writer: Arc<dyn BlobSink> = test.domain.writer(ledger.condemned_packs()).await.unwrap();
                let manifest = import_guest(&shared_guest(number), writer).await.unwrap();
                begun.push((pin, number, manifest));
            }
            Step::EndImport => {
                if let Some((pin, number, manifest)) = begun.pop() {
                    ledger.root(manifest);
                    alive.insert(number, manifest);
                    ledger.unpin(pin);
                }
            }
            Step::DeleteImage(number) => {
                if let Some(manifest) = alive.remove(&number) {
                    ledger.unroot(manifest);
                }
            }
            Step::Collect => drop(run(&mut here, &ledger, now_ms).await),
            Step::CollectElsewhere => drop(run(&mut there, &ledger, now_ms).await),
            Step::OtherProcess => {
                test = test.elsewhere().await;
                here = collector(&test, 2);
            }
        }
        for (number, manifest) in &alive {
            assert!(test.read(*manifest).await.unwrap() == shared_guest(*number), "image {number}");
        }
    }
}
