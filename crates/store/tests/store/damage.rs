//! What a failing disk does: bad sectors, reads that fail once, bits that flip on the way.

use std::sync::{Arc, atomic::Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use galerie_store::{
    BlobKind, Collector, CollectorOptions, CopyProgress, Error, ManifestId, Result, VerifyOptions, VerifyReport,
    backend::{Backend, Key, MemoryBackend, Object},
    pull, scrub_next, verify,
};
use tokio_util::sync::CancellationToken;

use crate::support::{MIB, MemoryLedger, TestStore, bad_disk::BadDisk, noise};

async fn on_bad_disk() -> (Arc<BadDisk>, TestStore) {
    let disk = Arc::new(BadDisk::default());
    let test = TestStore::on(disk.clone()).await;
    (disk, test)
}

async fn check(test: &TestStore, root: ManifestId) -> VerifyReport {
    let options = VerifyOptions { quarantine: true, roots: vec![root] };
    verify(&test.domain, &options, &CancellationToken::new()).await.unwrap()
}

/// Regression: a bad sector was an error of the operating system and nothing else. The blob stayed known, so importing or
/// copying its image again brought nothing, and the image was lost for good.
#[tokio::test(flavor = "multi_thread")]
async fn a_bad_sector_is_damage_and_a_new_copy_heals_it() {
    let (disk, test) = on_bad_disk().await;
    let guest = noise(1, 3 * MIB);
    let manifest = test.import(&guest).await.unwrap();
    disk.spoil_start_of(&test, manifest).await;
    let read = test.read(manifest).await;
    assert!(matches!(read, Err(Error::Corrupt(_))), "{read:?}");
    assert_eq!(test.domain.stats().quarantined, 1);
    assert_eq!(test.import(&guest).await.unwrap(), manifest);
    assert_eq!(test.read(manifest).await.unwrap(), guest);
    assert_eq!(test.elsewhere().await.read(manifest).await.unwrap(), guest);
}

/// Regression: verifying ended at the first bad sector, with no report.
#[tokio::test(flavor = "multi_thread")]
async fn verifying_goes_on_after_a_bad_sector() {
    let (disk, test) = on_bad_disk().await;
    let guest = noise(2, 3 * MIB);
    let manifest = test.import(&guest).await.unwrap();
    let packs = test.domain.packs();
    disk.spoil_start_of(&test, manifest).await;
    let report = check(&test, manifest).await;
    assert_eq!((report.packs, report.damaged_packs.len()), (packs.len() as u64, 1), "{report:?}");
    let [damaged] = &report.damaged_blobs[..] else { panic!("{report:?}") };
    assert_eq!(report.missing_blobs, [(manifest, damaged.id)]);
    assert_eq!(test.domain.stats().quarantined, 1);
    test.import(&guest).await.unwrap();
    let report = check(&test, manifest).await;
    assert_eq!((report.missing_blobs.len(), report.damaged_blobs.len(), report.known_damaged), (0, 0, 1), "{report:?}");
}

/// Regression: a bad sector in a pack's table kept the tenant's whole domain from being opened.
#[tokio::test(flavor = "multi_thread")]
async fn a_bad_sector_in_a_table_costs_that_pack_only() {
    let (disk, test) = on_bad_disk().await;
    let guest = noise(3, 3 * MIB);
    let manifest = test.import(&guest).await.unwrap();
    let first = test.domain.packs()[0];
    disk.spoil(first.pack, first.size_bytes - 64..first.size_bytes);
    let elsewhere = test.elsewhere().await;
    assert_eq!(elsewhere.domain.stats().unreadable_packs, 1);
    elsewhere.import(&guest).await.unwrap();
    assert_eq!(elsewhere.read(manifest).await.unwrap(), guest);
    // Who knew it before learns from verifying that the next process will not.
    assert_eq!(check(&test, manifest).await.damaged_packs.len(), 1);
    assert_eq!(test.domain.stats().unreadable_packs, 1);
    assert_eq!(test.read(manifest).await.unwrap(), guest);
}

/// Regression: a read that failed for a bad sector was not tried on the blob's other copies.
#[tokio::test(flavor = "multi_thread")]
async fn the_other_copy_of_a_blob_on_a_bad_sector_is_read() {
    let guest = noise(4, 2 * MIB);
    let mut quarantined = 0;
    for first_is_bad in [false, true] {
        let (disk, test) = on_bad_disk().await;
        let manifest = test.import(&guest).await.unwrap();
        let first = test.domain.packs();
        let condemned = first.iter().map(|pack| pack.pack).collect();
        assert_eq!(test.import_with(&guest, condemned).await.unwrap(), manifest);
        let bad = test.domain.packs().into_iter().filter(|pack| first.contains(pack) == first_is_bad);
        bad.for_each(|pack| disk.spoil(pack.pack, 0..pack.size_bytes / 2));
        assert_eq!(test.read(manifest).await.unwrap(), guest);
        quarantined += test.domain.stats().quarantined;
    }
    assert!(quarantined > 0, "one of them was asked first");
}

/// Regression: verifying quarantined for good what was wrong in a single read, be it the only copy there is.
#[tokio::test(flavor = "multi_thread")]
async fn a_bit_that_flips_while_verifying_is_not_damage() {
    let (disk, test) = on_bad_disk().await;
    let guest = noise(5, 700_000);
    let manifest = test.import(&guest).await.unwrap();
    disk.flips.store(1, Ordering::SeqCst);
    let report = check(&test, manifest).await;
    assert!(report.is_sound(), "{report:?}");
    assert_eq!((disk.flips.load(Ordering::SeqCst), test.domain.stats().quarantined), (0, 0));
    assert_eq!(test.read(manifest).await.unwrap(), guest);
}

/// Regression: a bad sector below something alive in a condemned pack ended every run of the collector.
#[tokio::test(flavor = "multi_thread")]
async fn a_bad_sector_holds_up_its_own_pack_only() {
    let (disk, test) = on_bad_disk().await;
    let ledger = MemoryLedger::default();
    let kept_guest = noise(6, 200_000);
    test.import(&[kept_guest.clone(), noise(7, 6 * MIB)].concat()).await.unwrap();
    let kept = test.import(&kept_guest).await.unwrap();
    ledger.root(kept);
    let options = galerie_store::CollectorOptions { readers_grace_ms: 0, ..Default::default() };
    let mut collector = galerie_store::Collector::new(test.domain.clone(), options);
    let cancel = CancellationToken::new();
    assert!(collector.run(&ledger, 0, &cancel).await.unwrap().condemned_packs > 4);
    disk.spoil_start_of(&test, kept).await;
    let report = collector.run(&ledger, 1, &cancel).await.unwrap();
    assert!(report.deleted_packs > 4 && report.uncopied_packs == 1, "{report:?}");
    assert!(test.read(kept).await.is_err());
    test.import_with(&kept_guest, ledger.condemned_packs()).await.unwrap();
    assert_eq!(collector.run(&ledger, 2, &cancel).await.unwrap().deleted_packs, 1);
    assert_eq!(test.read(kept).await.unwrap(), kept_guest);
}

fn fast() -> CollectorOptions {
    CollectorOptions { readers_grace_ms: 0, ..CollectorOptions::default() }
}

/// Regression: once a read had quarantined what was alive in a condemned pack, nothing seemed alive in it, and the next run
/// deleted the only copy. The medium may recover (a cable, a controller, memory).
#[tokio::test(flavor = "multi_thread")]
async fn a_quarantined_copy_that_nobody_else_has_is_kept_until_it_reads_again() {
    let (disk, test) = on_bad_disk().await;
    let ledger = MemoryLedger::default();
    let kept_guest = noise(6, 200_000);
    test.import(&[kept_guest.clone(), noise(7, 6 * MIB)].concat()).await.unwrap();
    let kept = test.import(&kept_guest).await.unwrap();
    ledger.root(kept);
    let (mut collector, cancel) = (Collector::new(test.domain.clone(), fast()), CancellationToken::new());
    disk.spoil_start_of(&test, kept).await;
    assert!(test.read(kept).await.is_err());
    assert_eq!(test.domain.stats().quarantined, 1);
    for now_ms in 0..4 {
        collector.run(&ledger, now_ms, &cancel).await.unwrap();
    }
    assert_eq!(collector.run(&ledger, 4, &cancel).await.unwrap().uncopied_packs, 1, "it waits");
    disk.mend();
    let mut recovered = 0;
    let mut after = None;
    while let Some(scrubbed) = scrub_next(&test.domain, after).await.unwrap() {
        recovered += scrubbed.recovered;
        after = Some(scrubbed.pack);
    }
    assert_eq!((recovered, test.domain.stats().quarantined), (1, 0));
    assert_eq!(test.read(kept).await.unwrap(), kept_guest);
    assert_eq!(test.elsewhere().await.domain.stats().quarantined, 0, "the record is gone");
    assert_eq!(collector.run(&ledger, 5, &cancel).await.unwrap().deleted_packs, 1);
    assert_eq!(test.read(kept).await.unwrap(), kept_guest);
}

/// Regression: an image whose segment was damaged had nothing alive while it was being brought again. When the region it came
/// from then lacked a chunk that was good here, the image was lost, though between them they had all of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_is_damaged_here_is_read_elsewhere() {
    let guest = noise(9, 4 * MIB);
    let other = TestStore::memory().await;
    let image = other.import(&guest).await.unwrap();
    for kind in [BlobKind::Segment, BlobKind::Manifest] {
        let (disk, test) = on_bad_disk().await;
        assert_eq!(test.import(&guest).await.unwrap(), image);
        let ledger = MemoryLedger::default();
        ledger.root(image);
        disk.spoil_where(&test, |entry| entry.kind == kind).await;
        let (mut collector, cancel) = (Collector::new(test.domain.clone(), fast()), CancellationToken::new());
        assert!(collector.run(&ledger, 0, &cancel).await.is_err(), "nobody says what is alive");
        ledger.state.lock().unwrap().elsewhere.0.push(other.domain.clone());
        for now_ms in 1..4 {
            let report = collector.run(&ledger, now_ms, &cancel).await.unwrap();
            assert_eq!((report.condemned_packs, report.deleted_packs, report.missing_blobs), (0, 0, 1), "{report:?}");
        }
        pull(
            &test.domain,
            &*other.domain,
            image,
            ledger.condemned_packs(),
            &CopyProgress::default(),
            &CancellationToken::new(),
        )
        .await
        .unwrap();
        assert_eq!(test.read(image).await.unwrap(), guest);
    }
}

/// Regression: a list that nobody had any more stopped the collector of its tenant for ever.
#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_is_lost_everywhere_stops_the_collector_for_a_while() {
    let (disk, test) = on_bad_disk().await;
    let (garbage, sound) = (noise(10, 4 * MIB), noise(11, MIB));
    test.import(&garbage).await.unwrap();
    let lost = test.import(&noise(12, MIB)).await.unwrap();
    disk.spoil_where(&test, |entry| entry.kind == BlobKind::Segment).await;
    let kept = test.import(&sound).await.unwrap();
    let ledger = MemoryLedger::default();
    ledger.root(lost);
    ledger.root(kept);
    let options = CollectorOptions { lost_after_ms: 1000, ..fast() };
    let (mut collector, cancel) = (Collector::new(test.domain.clone(), options), CancellationToken::new());
    for now_ms in [0, 999] {
        let stopped = collector.run(&ledger, now_ms, &cancel).await.unwrap_err();
        assert!(stopped.to_string().contains(&lost.to_string()), "{stopped}");
    }
    let report = collector.run(&ledger, 1000, &cancel).await.unwrap();
    assert!(report.lost_lists == 1 && report.condemned_packs > 2, "{report:?}");
    assert!(collector.run(&ledger, 1001, &cancel).await.unwrap().deleted_packs > 2);
    assert_eq!(test.read(kept).await.unwrap(), sound);
}

/// A disk whose driver gives up on packs.
#[derive(Debug)]
struct PanickingDisk(MemoryBackend);

#[async_trait]
impl Backend for PanickingDisk {
    async fn put(&self, key: &Key, parts: Vec<Bytes>) -> Result<()> {
        assert!(!key.as_str().contains("/packs/"), "as it was told");
        self.0.put(key, parts).await
    }

    async fn get(&self, key: &Key, limit_bytes: u64) -> Result<Bytes> {
        self.0.get(key, limit_bytes).await
    }

    async fn get_range(&self, key: &Key, offset_bytes: u64, length_bytes: u64) -> Result<Bytes> {
        self.0.get_range(key, offset_bytes, length_bytes).await
    }

    async fn size_bytes(&self, key: &Key) -> Result<u64> {
        self.0.size_bytes(key).await
    }

    async fn delete(&self, key: &Key) -> Result<()> {
        self.0.delete(key).await
    }

    async fn list(&self, prefix: &str, after: Option<&Key>, limit: usize) -> Result<Vec<Object>> {
        self.0.list(prefix, after, limit).await
    }
}

/// Regression: a pack whose write panicked was missed by nobody, and the import said that its image is durable.
#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_panics_fails_the_import() {
    let test = TestStore::on(Arc::new(PanickingDisk(MemoryBackend::new()))).await;
    for length in [1000, 5 * MIB] {
        let imported = test.import(&noise(8, length)).await;
        assert!(matches!(imported, Err(Error::Unavailable(_))), "{imported:?}");
    }
}
