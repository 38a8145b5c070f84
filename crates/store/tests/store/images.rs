//! Images in and out of a store: imports, reads, damage, copies.

use std::sync::{Arc, atomic::Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use futures::TryStreamExt;
use galerie_store::{
    BlobSink, BlobSource, CondemnedPacks, CopyProgress, Error, ExtentKind, ImageReader, ManifestId, PackId, Part,
    StoreOptions, VerifyOptions,
    backend::{Backend, FaultPlan, FaultyBackend, LocalBackend, MemoryBackend},
    cache::ChunkCache,
    pull, verify,
};
use proptest::prelude::*;
use tokio_util::sync::CancellationToken;

use crate::support::{MIB, TestStore, identity, import_guest, noise};

/// Two segments and a bit: noise, zeros, repeats, and a size that is no multiple of anything.
fn guest() -> Vec<u8> {
    let mut bytes = noise(1, 3 * MIB);
    bytes.resize(60 * MIB, 0);
    bytes.extend(noise(2, 9 * MIB + 12_345));
    bytes.resize(130 * MIB, 0);
    bytes.extend(noise(1, 3 * MIB));
    bytes.extend([0; 5000]);
    bytes.extend([7; 777]);
    bytes
}

async fn flatten(reader: &Arc<ImageReader>, range: std::ops::Range<u64>) -> Vec<u8> {
    let parts: Vec<Part> = reader.stream(range, 4).try_collect().await.unwrap();
    let mut bytes = Vec::new();
    for part in parts {
        match part {
            Part::Data(data) => bytes.extend_from_slice(&data),
            Part::Zero(length) => bytes.resize(bytes.len() + length as usize, 0),
        }
    }
    bytes
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_comes_out_as_it_went_in() {
    let (test, guest) = (TestStore::memory().await, guest());
    let manifest = test.import(&guest).await.unwrap();
    assert_eq!(test.read(manifest).await.unwrap(), guest);
    let reader = ImageReader::open(test.domain.clone(), manifest, ChunkCache::new(4 << 20)).await.unwrap();
    assert!(flatten(&reader, 0..guest.len() as u64).await == guest, "streamed whole");
    let (from, to) = (60 * MIB - 5, 69 * MIB + 13_000);
    assert!(flatten(&reader, from as u64..to as u64).await == guest[from..to], "streamed in part");
    let extents = reader.extents(0..guest.len() as u64).await.unwrap();
    let kinds: Vec<ExtentKind> = extents.iter().map(|extent| extent.kind).collect();
    assert_eq!(extents.last().unwrap().range_bytes.end, guest.len() as u64);
    assert!(kinds.windows(2).all(|pair| pair[0] != pair[1]), "neighbours of one kind are merged: {extents:?}");
    let past = reader.read(guest.len() as u64 - 1, 2).await;
    assert!(matches!(past, Err(Error::Invalid(_))));
}

/// Two segments that share a chunk. The first one's bytes come only when the second one is cut.
struct LateFirstSegment(Bytes, Arc<galerie_store::ImportProgress>);

impl galerie_store::GuestBytes for LateFirstSegment {
    fn virtual_size_bytes(&self) -> u64 {
        self.0.len() as u64
    }

    fn read_at(&self, offset_bytes: u64, buf: &mut [u8]) -> Result<(), Error> {
        while offset_bytes < 64 * MIB as u64 && self.1.read_bytes.load(Ordering::Relaxed) == 0 {
            std::thread::yield_now();
        }
        let from = offset_bytes as usize;
        buf.copy_from_slice(&self.0[from..from + buf.len()]);
        Ok(())
    }

    fn next_data(&self, offset_bytes: u64) -> Result<Option<std::ops::Range<u64>>, Error> {
        Ok(Some(offset_bytes..self.0.len() as u64).filter(|range| !range.is_empty()))
    }
}

/// What was put, in order.
#[derive(Default)]
struct Recording(std::sync::Mutex<Vec<galerie_store::StoredBlob>>);

#[async_trait]
impl BlobSink for Recording {
    fn contains(&self, id: &galerie_store::BlobId) -> Result<bool, Error> {
        Ok(self.0.lock().unwrap().iter().any(|blob| blob.id == *id))
    }

    fn put(&self, blob: galerie_store::StoredBlob) -> Result<(), Error> {
        self.0.lock().unwrap().push(blob);
        Ok(())
    }

    async fn finish(&self) -> Result<(), Error> {
        Ok(())
    }
}

/// Regression: a chunk that a later segment had come upon first was put with that one, after the segment that it is also
/// in. A server that was sent a long image that way refused the segment: it had not got the chunk.
#[tokio::test(flavor = "multi_thread")]
async fn blobs_come_before_their_segment_whoever_cut_them_first() {
    let mut guest = noise(9, MIB);
    guest.resize(64 * MIB, 0);
    guest.extend(noise(9, MIB));
    let progress = Arc::new(galerie_store::ImportProgress::default());
    let (source, sink) = (Arc::new(LateFirstSegment(guest.into(), progress.clone())), Arc::new(Recording::default()));
    let options = galerie_store::ImportOptions { threads: 2, ..Default::default() };
    galerie_store::import(source, sink.clone(), options, progress, CancellationToken::new()).await.unwrap();
    let mut put = std::collections::HashSet::new();
    for blob in &*sink.0.lock().unwrap() {
        if blob.kind == galerie_store::BlobKind::Segment {
            let segment = galerie_store::Segment::decode(&blob.decode().unwrap()).unwrap();
            assert!(segment.entries().iter().filter_map(|entry| entry.chunk).all(|chunk| put.contains(&chunk.0)));
        }
        assert!(put.insert(blob.id), "put once");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_cached_is_read_without_waiting() {
    let (test, guest) = (TestStore::memory().await, noise(3, 4 * MIB));
    let manifest = test.import(&guest).await.unwrap();
    let reader = ImageReader::open(test.domain.clone(), manifest, ChunkCache::new(64 << 20)).await.unwrap();
    let mut parts = vec![Part::Zero(1)];
    assert!(!reader.read_cached(0..4096, &mut parts));
    assert_eq!(parts, [Part::Zero(1)]);
    reader.read(0, 4 * MIB as u64).await.unwrap();
    assert!(reader.read_cached(1000..(3 * MIB as u64), &mut parts));
    let length: u64 = parts[1..].iter().map(Part::length_bytes).sum();
    assert_eq!(length, 3 * MIB as u64 - 1000);
    assert!(!reader.read_cached(0..u64::MAX, &mut parts));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_bytes_have_the_same_manifest_and_are_stored_once() {
    let (test, guest) = (TestStore::memory().await, guest());
    let first = test.import(&guest).await.unwrap();
    let stored = test.domain.stats();
    assert_eq!(test.import(&guest).await.unwrap(), first);
    assert_eq!(test.domain.stats().pack_bytes, stored.pack_bytes);
    let other = TestStore::memory().await;
    assert_eq!(other.import(&guest).await.unwrap(), first, "another region");
    let elsewhere = test.elsewhere().await;
    assert_eq!(elsewhere.import(&guest).await.unwrap(), first, "another process, with a fresh index");
    assert_eq!(elsewhere.domain.stats().pack_bytes, stored.pack_bytes);
    assert_eq!(elsewhere.read(first).await.unwrap(), guest);
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_sizes_are_images_too() {
    let test = TestStore::memory().await;
    for length in [0, 1, 511, 4096, 4097, 64 * MIB, 64 * MIB + 1] {
        for fill in [0, 9] {
            let guest = vec![fill; length];
            let manifest = test.import(&guest).await.unwrap();
            assert_eq!(test.read(manifest).await.unwrap(), guest, "{length} bytes of {fill}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_process_sees_new_packs_when_it_needs_them() {
    let test = TestStore::memory().await;
    let other = test.elsewhere().await;
    let guest = noise(5, MIB);
    let manifest = test.import(&guest).await.unwrap();
    assert_eq!(other.read(manifest).await.unwrap(), guest);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_into_a_full_store_fails_and_shows_nothing() {
    let inner: Arc<dyn Backend> = Arc::new(MemoryBackend::new());
    let plan = FaultPlan { space_bytes: Some(3 << 20), ..FaultPlan::default() };
    let test = TestStore::on(Arc::new(FaultyBackend::new(Arc::clone(&inner), plan, 1))).await;
    let guest = noise(6, 8 * MIB);
    let full = test.import(&guest).await;
    assert!(matches!(full, Err(Error::Full { .. })), "{full:?}");
    let roomy = TestStore::on(inner).await;
    let kept = roomy.domain.stats().blobs;
    assert!(kept > 0, "packs that were written before are found");
    let manifest = roomy.import(&guest).await.unwrap();
    assert_eq!(roomy.read(manifest).await.unwrap(), guest);
    let options = VerifyOptions { roots: vec![manifest], ..Default::default() };
    assert!(verify(&roomy.domain, &options, &CancellationToken::new()).await.unwrap().is_sound());
}

/// A tebibyte with noise in a few places; everything else is holes that must not be read.
struct SparseGuest(Vec<(u64, Vec<u8>)>);

const TEBIBYTE: u64 = 1 << 40;

impl galerie_store::GuestBytes for SparseGuest {
    fn virtual_size_bytes(&self) -> u64 {
        TEBIBYTE
    }

    fn read_at(&self, offset_bytes: u64, buf: &mut [u8]) -> Result<(), Error> {
        let end = offset_bytes + buf.len() as u64;
        let holding = |(start, bytes): &&(u64, Vec<u8>)| *start <= offset_bytes && end <= *start + bytes.len() as u64;
        let (start, bytes) = self.0.iter().find(holding).expect("only data is read");
        let from = (offset_bytes - start) as usize;
        buf.copy_from_slice(&bytes[from..from + buf.len()]);
        Ok(())
    }

    fn next_data(&self, offset_bytes: u64) -> Result<Option<std::ops::Range<u64>>, Error> {
        let ranges = self.0.iter().map(|(start, bytes)| *start..*start + bytes.len() as u64);
        Ok(ranges.filter(|range| range.end > offset_bytes).map(|range| range.start.max(offset_bytes)..range.end).next())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tebibyte_of_holes_is_a_small_image() {
    let test = TestStore::memory().await;
    let places = [(1000, 5000), (300 << 30, 3 * MIB), ((500 << 30) - 77, 2 * MIB), (TEBIBYTE - 4096, 4096)];
    let data: Vec<_> = places.iter().map(|(start, length)| (*start, noise(*start, *length))).collect();
    let writer: Arc<dyn BlobSink> = test.domain.writer(CondemnedPacks::none()).await.unwrap();
    let progress = Arc::new(galerie_store::ImportProgress::default());
    let source = Arc::new(SparseGuest(data.clone()));
    let imported =
        galerie_store::import(source, writer, Default::default(), progress.clone(), CancellationToken::new()).await;
    let manifest = imported.unwrap().manifest_id;
    assert_eq!(progress.read_bytes.load(Ordering::Relaxed), TEBIBYTE);
    let reader = ImageReader::open(test.domain.clone(), manifest, ChunkCache::new(1 << 20)).await.unwrap();
    assert_eq!(reader.manifest().segments().len(), 5);
    for (start, bytes) in &data {
        assert!(reader.read(*start, bytes.len() as u64).await.unwrap() == bytes);
    }
    let extents = reader.extents(0..TEBIBYTE).await.unwrap();
    let data_bytes: u64 = extents
        .iter()
        .filter(|extent| extent.kind == ExtentKind::Data)
        .map(|extent| extent.range_bytes.end - extent.range_bytes.start)
        .sum();
    assert!(data_bytes < 6 * MIB as u64, "{data_bytes}");
    assert_eq!(extents.last().unwrap().range_bytes.end, TEBIBYTE);
}

/// Counts what is fetched.
struct Counting(Arc<galerie_store::Domain>, std::sync::Mutex<std::collections::HashMap<galerie_store::BlobId, usize>>);

#[async_trait::async_trait]
impl BlobSource for Counting {
    async fn fetch(
        &self,
        ids: &[galerie_store::BlobId],
        listed_by: Option<galerie_store::BlobId>,
    ) -> Result<Vec<galerie_store::StoredBlob>, Error> {
        assert!(!ids.is_empty());
        ids.iter().for_each(|id| *self.1.lock().unwrap().entry(*id).or_default() += 1);
        tokio::task::yield_now().await;
        self.0.fetch(ids, listed_by).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn readers_of_the_same_bytes_fetch_them_once() {
    let (test, guest) = (TestStore::memory().await, Arc::new([noise(20, 5 * MIB), noise(20, 5 * MIB)].concat()));
    let manifest = test.import(&guest).await.unwrap();
    let source = Arc::new(Counting(test.domain.clone(), Default::default()));
    let reader = ImageReader::open(source.clone(), manifest, ChunkCache::new(64 << 20)).await.unwrap();
    let reads = (0..24).map(|number| {
        let (reader, guest) = (Arc::clone(&reader), Arc::clone(&guest));
        tokio::spawn(async move {
            for at in (0..10 * MIB).step_by(300_000 + number * 1000) {
                let end = (at + 700_000).min(guest.len());
                assert!(reader.read(at as u64, (end - at) as u64).await.unwrap() == guest[at..end]);
            }
        })
    });
    futures::future::join_all(reads).await.into_iter().for_each(|read| read.unwrap());
    let counts = source.1.lock().unwrap();
    assert!(counts.len() > 50 && counts.values().all(|count| *count == 1), "{counts:?}");
}

/// Puts a flipped byte in the middle of a stored blob.
async fn damage(backend: &MemoryBackend, test: &TestStore, pack: PackId, offset: usize) {
    let key = pack.key(test.domain.tenant());
    let mut bytes = backend.get(&key, u64::MAX).await.unwrap().to_vec();
    bytes[offset] ^= 0x40;
    backend.overwrite(&key, bytes.into());
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_is_never_served_and_a_new_copy_heals_it() {
    let memory = Arc::new(MemoryBackend::new());
    let test = TestStore::on(memory.clone()).await;
    let guest = noise(7, 3 * MIB);
    let manifest = test.import(&guest).await.unwrap();
    let pack = test.domain.packs()[0].pack;
    damage(&memory, &test, pack, 5000).await;

    let report = verify(&test.domain, &VerifyOptions::default(), &CancellationToken::new()).await.unwrap();
    assert_eq!((report.damaged_blobs.len(), report.damaged_packs.len()), (1, 0));
    assert_eq!(report.damaged_blobs[0].pack, pack);
    let read = test.read(manifest).await;
    assert!(matches!(&read, Err(Error::Corrupt(why)) if why.contains(&report.damaged_blobs[0].id.to_string())));
    assert_eq!(test.domain.stats().quarantined, 1);

    let elsewhere = test.elsewhere().await;
    assert_eq!(elsewhere.domain.stats().quarantined, 1, "the quarantine is durable");
    let roots = VerifyOptions { roots: vec![manifest], ..Default::default() };
    let report = verify(&elsewhere.domain, &roots, &CancellationToken::new()).await.unwrap();
    assert_eq!(report.missing_blobs.len(), 1);
    assert_eq!(elsewhere.import(&guest).await.unwrap(), manifest);
    assert_eq!(elsewhere.read(manifest).await.unwrap(), guest, "importing again brought the blob");
    assert_eq!(test.read(manifest).await.unwrap(), guest);
    // Regression: the pack is alive but for this blob, and verifying a healed store failed until that changed.
    let report = verify(&elsewhere.domain, &roots, &CancellationToken::new()).await.unwrap();
    assert!(report.is_sound() && report.known_damaged == 1, "{report:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bit_that_flips_on_the_way_is_read_again() {
    let memory: Arc<dyn Backend> = Arc::new(MemoryBackend::new());
    let guest = noise(8, 6 * MIB);
    let manifest = TestStore::on(Arc::clone(&memory)).await.import(&guest).await.unwrap();
    let plan = FaultPlan { read_flipped_per_mille: 60, ..FaultPlan::default() };
    for seed in 0..20 {
        let flaky = Arc::new(FaultyBackend::new(Arc::clone(&memory), plan, seed));
        let folder = tempfile::tempdir().unwrap();
        let Ok((_store, domain)) = crate::support::open(&(flaky as _), folder.path()).await else { continue };
        let Ok(reader) = ImageReader::open(domain, manifest, ChunkCache::new(1 << 20)).await else { continue };
        for at in (0..6 * MIB).step_by(MIB) {
            if let Ok(bytes) = reader.read(at as u64, MIB as u64).await {
                assert!(bytes == guest[at..at + MIB], "seed {seed}: wrong bytes at {at}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pack_cut_anywhere_is_never_taken_for_good() {
    let memory = Arc::new(MemoryBackend::new());
    let test = TestStore::on(memory.clone()).await;
    let manifest = test.import(&noise(9, 200_000)).await.unwrap();
    let [pack] = test.domain.packs()[..] else { panic!("one pack") };
    let key = pack.pack.key(test.domain.tenant());
    let whole = memory.get(&key, u64::MAX).await.unwrap();
    let every_end = (0..whole.len()).rev().take(1200).chain((0..whole.len()).step_by(1999));
    for length in every_end {
        assert!(galerie_store::pack::split_pack(&whole.slice(..length), pack.pack).is_err(), "cut at {length}");
    }
    for length in [0, 1, 95, whole.len() / 2, whole.len() - 1] {
        memory.overwrite(&key, whole.slice(..length));
        let torn = test.elsewhere().await;
        assert_eq!((torn.domain.stats().packs, torn.domain.stats().unreadable_packs), (0, 1), "cut at {length}");
        assert!(matches!(torn.read(manifest).await, Err(Error::NotFound(_))));
        let report = verify(&torn.domain, &VerifyOptions::default(), &CancellationToken::new()).await.unwrap();
        assert_eq!(report.damaged_packs.len(), 1);
        assert!(test.read(manifest).await.is_err(), "nor by who knew it whole");
    }
}

async fn pull_into(target: &TestStore, source: &TestStore, manifest: ManifestId) -> Result<CopyProgress, Error> {
    let progress = CopyProgress::default();
    let source: &dyn BlobSource = &*source.domain;
    pull(&target.domain, source, manifest, CondemnedPacks::none(), &progress, &CancellationToken::new()).await?;
    Ok(progress)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_moves_what_is_missing_and_nothing_else() {
    let (source, target) = (TestStore::memory().await, TestStore::memory().await);
    let mut guest = guest();
    let first = source.import(&guest).await.unwrap();
    let progress = pull_into(&target, &source, first).await.unwrap();
    assert_eq!(target.read(first).await.unwrap(), guest);
    assert_eq!(progress.copied_bytes.load(Ordering::Relaxed), progress.total_bytes.load(Ordering::Relaxed));
    let before = source.domain.stats().pack_bytes;

    guest[MIB..MIB + 100_000].copy_from_slice(&noise(10, 100_000));
    let second = source.import(&guest).await.unwrap();
    let new_bytes = source.domain.stats().pack_bytes - before;
    let progress = pull_into(&target, &source, second).await.unwrap();
    let moved = progress.moved_bytes.load(Ordering::Relaxed);
    assert!(moved <= new_bytes, "moved {moved}, new {new_bytes}");
    assert_eq!(target.read(second).await.unwrap(), guest);
    let progress = pull_into(&target, &source, second).await.unwrap();
    assert_eq!(progress.moved_bytes.load(Ordering::Relaxed), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_copy_goes_on_where_it_broke() {
    let source = TestStore::memory().await;
    let guest = noise(11, 24 * MIB);
    let manifest = source.import(&guest).await.unwrap();
    let memory: Arc<dyn Backend> = Arc::new(MemoryBackend::new());
    let plan = FaultPlan { put_lost_per_mille: 80, put_unanswered_per_mille: 80, ..FaultPlan::default() };
    let mut moved = 0;
    for seed in 0.. {
        let faulty: Arc<dyn Backend> = Arc::new(FaultyBackend::new(Arc::clone(&memory), plan, seed));
        let folder = tempfile::tempdir().unwrap();
        let Ok((_store, domain)) = crate::support::open(&faulty, folder.path()).await else { continue };
        let progress = CopyProgress::default();
        let done =
            pull(&domain, &*source.domain, manifest, CondemnedPacks::none(), &progress, &CancellationToken::new())
                .await;
        moved += progress.moved_bytes.load(Ordering::Relaxed);
        let seen = TestStore::on(Arc::clone(&memory)).await;
        match done {
            Ok(()) => break,
            // The manifest may be there, if only the answer was lost; then all it names is, too.
            Err(_) if seen.domain.contains(&manifest.0).unwrap() => {
                let roots = VerifyOptions { roots: vec![manifest], ..Default::default() };
                let report = verify(&seen.domain, &roots, &CancellationToken::new()).await.unwrap();
                assert!(report.is_sound(), "seed {seed}: {report:?}");
            }
            Err(_) => {}
        }
        assert!(seed < 200, "a copy gets further every time");
    }
    let target = TestStore::on(memory).await;
    assert_eq!(target.read(manifest).await.unwrap(), guest);
    assert!(moved < 24 * MIB as u64 * 6, "moved {moved}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_import_ends() {
    let test = TestStore::memory().await;
    let writer: Arc<dyn BlobSink> = test.domain.writer(CondemnedPacks::none()).await.unwrap();
    let cancel = CancellationToken::new();
    cancel.cancel();
    let source = Arc::new(galerie_store::MemoryGuest(Bytes::from(noise(1, 8 * MIB))));
    let ended = galerie_store::import(source, writer, Default::default(), Default::default(), cancel).await;
    assert!(matches!(ended, Err(Error::Cancelled)));
}

#[tokio::test(flavor = "multi_thread")]
async fn foreign_stores_are_refused() {
    let backend: Arc<dyn Backend> = Arc::new(MemoryBackend::new());
    let store_id = TestStore::on(Arc::clone(&backend)).await.store.store_id();
    let open = |identity| {
        let backend = Arc::clone(&backend);
        async move {
            let folder = tempfile::tempdir().unwrap();
            let opened =
                galerie_store::RegionStore::open_or_create(backend, identity, folder.path(), StoreOptions::default());
            opened.await.map(|store| store.store_id())
        }
    };
    let refused = |result: Result<uuid::Uuid, Error>, words: [&str; 2]| match result {
        Err(Error::Foreign(why)) => assert!(words.iter().all(|word| why.contains(word)), "{why}"),
        other => panic!("{other:?}"),
    };
    assert_eq!(open(identity()).await.unwrap(), store_id);
    let mut other = identity();
    other.region = "westus".into();
    refused(open(other).await, ["eastus", "westus"]);
    let mut other = identity();
    other.epoch = 2;
    refused(open(other).await, ["epoch 1", "epoch 2"]);
    let mut other = identity();
    other.expected_store_id = Some(uuid::Uuid::from_u128(9));
    refused(open(other).await, [&store_id.to_string(), "00000009"]);
    let mut other = identity();
    other.catalogue_id = uuid::Uuid::from_u128(2);
    refused(open(other).await, ["00000001", "00000002"]);

    let empty: Arc<dyn Backend> = Arc::new(MemoryBackend::new());
    let mut expects = identity();
    expects.expected_store_id = Some(store_id);
    let folder = tempfile::tempdir().unwrap();
    let opened =
        galerie_store::RegionStore::open_or_create(empty, expects, folder.path(), StoreOptions::default()).await;
    assert!(matches!(opened, Err(Error::Unavailable(_))), "an unmounted directory is not made into a store");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_local_store_survives_its_process() {
    let folder = tempfile::tempdir().unwrap();
    let (root, index, guest) = (folder.path().join("store"), folder.path().join("index"), noise(12, 5 * MIB));
    let mut manifest = None;
    for _ in 0..2 {
        let backend: Arc<dyn Backend> = Arc::new(LocalBackend::open(&root).await.unwrap());
        let (_store, domain) = crate::support::open(&backend, &index).await.unwrap();
        let second = crate::support::open(&backend, &index).await;
        assert!(matches!(second, Err(Error::Unavailable(_))), "the index has one owner");
        let writer: Arc<dyn BlobSink> = domain.writer(CondemnedPacks::none()).await.unwrap();
        let id = import_guest(&guest, writer).await.unwrap();
        assert_eq!(*manifest.get_or_insert(id), id);
        assert!(domain.stats().index.runs > 0);
    }
    // The index is disposable: damaged or gone, it is made anew.
    for entry in walk(&index).into_iter().filter(|path| path.extension().is_some_and(|it| it == "run")) {
        let mut bytes = std::fs::read(&entry).unwrap();
        bytes[100] ^= 1;
        std::fs::write(&entry, bytes).unwrap();
    }
    for _ in 0..2 {
        let backend: Arc<dyn Backend> = Arc::new(LocalBackend::open(&root).await.unwrap());
        let (store, domain) = crate::support::open(&backend, &index).await.unwrap();
        let reader = ImageReader::open(domain, manifest.unwrap(), ChunkCache::new(1 << 20)).await.unwrap();
        assert_eq!(reader.read(0, 5 * MIB as u64).await.unwrap(), guest);
        assert_eq!(store.tenants().await.unwrap(), [crate::support::tenant()]);
        drop((store, reader));
        std::fs::remove_dir_all(&index).unwrap();
    }
}

fn walk(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    /// Any image, read anywhere, against the bytes themselves; imported by any number of threads.
    #[test]
    fn reads_answer_what_was_imported(
        runs in proptest::collection::vec((0_u64..4, 1_usize..3_000_000), 1..6),
        reads in proptest::collection::vec((any::<u32>(), 0_u32..2_000_000), 1..12),
    ) {
        let mut guest = Vec::new();
        for (seed, length) in runs {
            let run = if seed == 0 { vec![0; length * 8] } else { noise(seed, length) };
            guest.extend(run);
        }
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
        runtime.block_on(async {
            let test = TestStore::memory().await;
            let manifest = test.import(&guest).await.unwrap();
            let reader = ImageReader::open(test.domain.clone(), manifest, ChunkCache::new(2 << 20)).await.unwrap();
            for (at, length) in reads {
                let at = at as usize % guest.len();
                let end = (at + length as usize).min(guest.len());
                let bytes = reader.read(at as u64, (end - at) as u64).await.unwrap();
                assert!(bytes == guest[at..end], "{at}..{end}");
            }
        });
    }
}
