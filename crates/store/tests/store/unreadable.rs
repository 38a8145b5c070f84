//! What becomes of packs whose table does not read: kept while anything is lacking, deleted when nothing has been for long.

use std::sync::Arc;

use galerie_store::{
    BlobKind, CollectReport, Collector, CollectorOptions, PackId,
    backend::{Backend, Key, LIST_LIMIT_MAX},
    pack::read_table,
    scrub_next,
};
use proptest::prelude::*;
use tokio_util::sync::CancellationToken;

use crate::support::{MIB, MemoryLedger, TestStore, bad_disk::BadDisk, history::Images, noise, tenant};

/// For how long there is hope, in ms.
const LOST_AFTER_MS: i64 = 1000;

fn collector(test: &TestStore) -> Collector {
    let options = CollectorOptions { readers_grace_ms: 0, lost_after_ms: LOST_AFTER_MS, ..CollectorOptions::default() };
    Collector::new(test.domain.clone(), options)
}

async fn run(collector: &mut Collector, ledger: &MemoryLedger, now_ms: i64) -> CollectReport {
    collector.run(ledger, now_ms, &CancellationToken::new()).await.unwrap()
}

async fn on_bad_disk() -> (Arc<BadDisk>, TestStore) {
    let disk = Arc::new(BadDisk::default());
    let test = TestStore::on(disk.clone()).await;
    (disk, test)
}

/// The packs that lie on the disk, of which it is known whether lists are in them.
async fn packs(disk: &BadDisk) -> Vec<(PackId, bool)> {
    let mut packs = Vec::new();
    for object in disk.inner.list("tenants/", None, LIST_LIMIT_MAX).await.unwrap() {
        let Some(pack) = pack_of(&object.key) else { continue };
        let table = read_table(&disk.inner, &object.key, pack, object.size_bytes).await.unwrap();
        packs.push((pack, table.entries.iter().any(|entry| entry.kind != BlobKind::Chunk)));
    }
    packs
}

fn pack_of(key: &Key) -> Option<PackId> {
    if key.as_str().contains("/packs/") { key.name().parse().ok() } else { None }
}

/// A pack that has chunks only.
async fn some_chunks(disk: &BadDisk) -> PackId {
    packs(disk).await.into_iter().find(|(_, has_lists)| !has_lists).expect("an image of several packs").0
}

/// Regression: a pack whose table does not read was never deleted, even when nothing was left that referred to anything.
#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_read_and_nothing_lacks_goes_after_a_while() {
    let (disk, writer) = on_bad_disk().await;
    writer.import(&noise(20, 3 * MIB)).await.unwrap();
    let bad = some_chunks(&disk).await;
    let kept_guest = noise(21, MIB);
    let kept = writer.import(&kept_guest).await.unwrap();
    disk.spoil_table(bad).await;
    let (test, ledger) = (writer.elsewhere().await, MemoryLedger::default());
    ledger.root(kept);
    let size_bytes = disk.inner.size_bytes(&bad.key(&tenant())).await.unwrap();
    assert_eq!(test.domain.stats().unreadable_pack_bytes, size_bytes);

    let survey = collector(&test).survey(&ledger, 0, &CancellationToken::new()).await.unwrap();
    assert_eq!((survey.unreadable.packs, survey.unreadable_end_ms), (1, Some(LOST_AFTER_MS)));
    assert!(run(&mut collector(&test), &ledger, 0).await.condemned_packs > 1);
    assert!(ledger.condemned_packs().contains(&bad), "with the other garbage");
    // A collector for each run, as `galerie store collect --offline` is: since when is in the ledger.
    for now_ms in [1, 500, LOST_AFTER_MS] {
        run(&mut collector(&test), &ledger, now_ms).await;
        assert_eq!(ledger.state.lock().unwrap().condemned.len(), 1, "only the others went");
    }
    let report = run(&mut collector(&test), &ledger, 1 + LOST_AFTER_MS).await;
    assert_eq!((report.unreadable_packs, report.deleted_packs), (1, 1), "{report:?}");
    assert_eq!(report.given_back_bytes, i64::try_from(size_bytes).unwrap());
    assert!(ledger.state.lock().unwrap().condemned.is_empty());
    assert_eq!(test.domain.stats().unreadable_packs, 0);
    assert!(disk.inner.size_bytes(&bad.key(&tenant())).await.is_err());
    assert_eq!(test.read(kept).await.unwrap(), kept_guest);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_read_is_kept_while_an_image_lacks_something() {
    let guest = noise(22, 3 * MIB);
    for comes_back in [true, false] {
        let (disk, writer) = on_bad_disk().await;
        let image = writer.import(&guest).await.unwrap();
        let bad = some_chunks(&disk).await;
        disk.spoil_table(bad).await;
        let (test, ledger) = (writer.elsewhere().await, MemoryLedger::default());
        ledger.root(image);
        let mut collector = collector(&test);
        for now_ms in 0..4 {
            let report = run(&mut collector, &ledger, now_ms * LOST_AFTER_MS).await;
            assert!(report.missing_blobs > 0 && report.condemned_packs == 0, "{report:?}");
        }
        if comes_back {
            disk.mend();
        } else {
            // Somebody brings the image again.
            test.import_with(&guest, ledger.condemned_packs()).await.unwrap();
        }
        let mut deleted_packs = 0;
        for now_ms in 4..8 {
            deleted_packs += run(&mut collector, &ledger, now_ms * LOST_AFTER_MS).await.deleted_packs;
        }
        assert_eq!(deleted_packs, u64::from(!comes_back));
        assert_eq!(test.elsewhere().await.read(image).await.unwrap(), guest);
    }
}

/// Who reads a pack may be about to delete the other copy of what is in it; who does not read it must not count on that copy.
#[tokio::test(flavor = "multi_thread")]
async fn what_lies_in_a_condemned_pack_does_not_count_as_safe() {
    let (disk, writer) = on_bad_disk().await;
    let guest = noise(23, 3 * MIB);
    let image = writer.import(&guest).await.unwrap();
    let bad = some_chunks(&disk).await;
    let first = packs(&disk).await.into_iter().map(|(pack, _)| pack).collect::<Vec<_>>();
    writer.import_with(&guest, first.iter().copied().collect()).await.unwrap();
    disk.spoil_table(bad).await;
    let (test, ledger) = (writer.elsewhere().await, MemoryLedger::default());
    ledger.root(image);
    let pin = ledger.pin();
    let copies = packs(&disk).await.into_iter().map(|(pack, _)| pack).filter(|pack| !first.contains(pack));
    let sequence = pin + 1;
    ledger.state.lock().unwrap().condemned = copies.chain([bad]).map(|pack| (pack, (sequence, Some(0)))).collect();
    ledger.state.lock().unwrap().sequence = sequence;
    let mut collector = collector(&test);
    // The pin keeps the copies from being emptied; that the unreadable one would be due changes nothing.
    ledger.state.lock().unwrap().condemned.get_mut(&bad).unwrap().0 = 0;
    for now_ms in [2, 3].map(|times| times * LOST_AFTER_MS) {
        assert_eq!(run(&mut collector, &ledger, now_ms).await.deleted_packs, 0);
    }
    ledger.unpin(pin);
    for now_ms in [4, 5, 6].map(|times| times * LOST_AFTER_MS) {
        run(&mut collector, &ledger, now_ms).await;
    }
    assert!(ledger.state.lock().unwrap().condemned.is_empty(), "all went when what is alive lay elsewhere");
    assert_eq!(test.elsewhere().await.read(image).await.unwrap(), guest);
}

/// What can happen to a domain on a bad disk, in any order.
#[derive(Debug, Clone)]
enum Step {
    BeginImport(u8),
    EndImport,
    DeleteImage(u8),
    Collect,
    CollectElsewhere,
    OtherProcess,
    /// The table of some pack ceases to read.
    Spoil(u8),
    /// All tables read again.
    Mend,
    /// Everything is read, so that what was known and reads no more is found.
    Scrub,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        2 => (0_u8..4).prop_map(Step::BeginImport),
        2 => Just(Step::EndImport),
        1 => (0_u8..4).prop_map(Step::DeleteImage),
        3 => Just(Step::Collect),
        3 => Just(Step::CollectElsewhere),
        2 => Just(Step::OtherProcess),
        2 => any::<u8>().prop_map(Step::Spoil),
        1 => Just(Step::Mend),
        1 => Just(Step::Scrub),
    ];
    proptest::collection::vec(step, 1..40)
}

/// Images that share parts with each other, of several packs each.
fn shared_guest(number: u8) -> Vec<u8> {
    let number = u64::from(number);
    [noise(number, 500_000), noise(number / 2 + 100, 1_200_000), noise(200, 300_000)].concat()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    /// Whatever happens in whatever order, and whoever reads what: once everything reads again, every image that the
    /// catalogue names does; and when it names none, nothing stays, though something may not read.
    #[test]
    fn nothing_is_lost_that_may_read_again(steps in steps(), at_the_end in any::<u8>()) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap();
        runtime.block_on(history(steps, at_the_end));
    }
}

/// Lists are spared: that what only a list names is garbage once the list is lost is another rule.
async fn spoil_some(disk: &BadDisk, which: u8) {
    let packs: Vec<PackId> =
        packs(disk).await.into_iter().filter(|(_, has_lists)| !has_lists).map(|(pack, _)| pack).collect();
    if !packs.is_empty() {
        disk.spoil_table(packs[usize::from(which) % packs.len()]).await;
    }
}

async fn history(steps: Vec<Step>, at_the_end: u8) {
    let (disk, mut test) = on_bad_disk().await;
    let other = test.elsewhere().await;
    let ledger = MemoryLedger::default();
    let (mut here, mut there) = (collector(&test), collector(&other));
    let mut images = Images::default();
    let mut now_ms = 0;
    for step in steps {
        // Two or three steps, and what does not read is lost.
        now_ms += LOST_AFTER_MS / 2;
        match step {
            Step::BeginImport(number) => images.begin(number, &shared_guest(number), &test, &ledger).await,
            Step::EndImport => images.end(&ledger),
            Step::DeleteImage(number) => images.delete(number, &ledger),
            Step::Collect => drop(run(&mut here, &ledger, now_ms).await),
            Step::CollectElsewhere => drop(run(&mut there, &ledger, now_ms).await),
            Step::OtherProcess => {
                test = test.elsewhere().await;
                here = collector(&test);
            }
            Step::Spoil(which) => spoil_some(&disk, which).await,
            Step::Mend => disk.mend(),
            Step::Scrub => {
                let mut after = None;
                while let Some(scrubbed) = scrub_next(&test.domain, after).await.unwrap() {
                    after = Some(scrubbed.pack);
                }
            }
        }
    }
    disk.mend();
    let fresh = test.elsewhere().await;
    for (number, manifest) in &images.alive {
        assert!(fresh.read(*manifest).await.unwrap() == shared_guest(*number), "image {number}");
    }
    spoil_some(&disk, at_the_end).await;
    images.delete_all(&ledger);
    let last = test.elsewhere().await;
    let mut collector = collector(&last);
    for _ in 0..4 {
        now_ms += LOST_AFTER_MS;
        run(&mut collector, &ledger, now_ms).await;
    }
    assert!(disk.inner.list("tenants/", None, LIST_LIMIT_MAX).await.unwrap().is_empty());
}
