//! What a store is compressed with: what it then holds, what becomes of blobs that come from elsewhere, and who is refused.

use std::{collections::HashSet, sync::Arc};

use bytes::Bytes;
use galerie_store::{
    BlobId, BlobKind, BlobSink, BlobSource, Codec, Collector, CollectorOptions, Compression, CondemnedPacks,
    CopyProgress, Error, ManifestId, StoredBlob,
    backend::{Backend, MemoryBackend},
    inspect::inspect_pack,
    pull,
};
use proptest::prelude::*;
use tokio_util::sync::CancellationToken;

use crate::support::{MIB, MemoryLedger, TestStore, identity, noise, open_compressed, words};

async fn store(compression: Compression) -> TestStore {
    TestStore::compressed_on(Arc::new(MemoryBackend::new()), compression).await
}

/// What a store was in which LZ4 was not known.
async fn store_of_the_first_format() -> Arc<dyn Backend> {
    let backend: Arc<dyn Backend> = Arc::new(MemoryBackend::new());
    let file = serde_json::json!({
        "formatVersion": 1,
        "storeId": "6e0e1a52-5d5e-4f6b-8f6e-0a1b2c3d4e5f",
        "catalogueId": identity().catalogue_id,
        "region": identity().region,
        "epoch": identity().epoch,
    });
    backend.put(&"store.json".parse().unwrap(), vec![file.to_string().into()]).await.unwrap();
    backend
}

async fn copy(from: &TestStore, to: &TestStore, manifest: ManifestId) {
    let source: &dyn BlobSource = &*from.domain;
    let progress = CopyProgress::default();
    pull(&to.domain, source, manifest, CondemnedPacks::none(), &progress, &CancellationToken::new()).await.unwrap();
}

async fn codecs(store: &TestStore) -> HashSet<Codec> {
    let mut codecs = HashSet::new();
    for pack in store.domain.packs() {
        let table = inspect_pack(&store.domain, pack.pack).await.unwrap();
        codecs.extend(table.entries.iter().map(|entry| entry.codec));
    }
    codecs
}

/// Words, zeros, and what no codec makes less of.
fn guest() -> Vec<u8> {
    [words(1, 3 * MIB), vec![0; MIB], noise(2, MIB)].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_holds_what_it_is_compressed_with_and_an_image_is_the_same_in_each() {
    let (zstd, lz4) = (store(Compression::Zstd).await, store(Compression::Lz4).await);
    let image = zstd.import(&guest()).await.unwrap();
    assert_eq!(lz4.import(&guest()).await.unwrap(), image, "an image's id names its bytes, however they are stored");
    assert_eq!(codecs(&zstd).await, HashSet::from([Codec::Zstd, Codec::Raw]));
    assert_eq!(codecs(&lz4).await, HashSet::from([Codec::Lz4, Codec::Raw]));
    assert_eq!(lz4.elsewhere().await.read(image).await.unwrap(), guest());
    let [smaller, larger] = [&zstd, &lz4].map(|store| store.domain.stats().pack_bytes);
    assert!(smaller < larger && larger < 4 * MIB as u64, "{smaller} and {larger} of 5 MiB");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_from_elsewhere_is_kept_as_the_store_is_compressed() {
    let (first, second) = (store(Compression::Zstd).await, store(Compression::Lz4).await);
    let old = TestStore::on(store_of_the_first_format().await).await;
    let image = first.import(&guest()).await.unwrap();
    copy(&first, &second, image).await;
    assert_eq!(codecs(&second).await, HashSet::from([Codec::Lz4, Codec::Raw]));
    copy(&second, &old, image).await;
    assert_eq!(codecs(&old).await, HashSet::from([Codec::Zstd, Codec::Raw]), "the first format knows no other");
    for store in [&second, &old] {
        assert_eq!(store.read(image).await.unwrap(), guest());
    }
}

/// Clients put what they like: a copy and an upload come to one door.
#[tokio::test(flavor = "multi_thread")]
async fn a_store_of_the_first_format_keeps_no_lz4_that_is_put() {
    let old = TestStore::on(store_of_the_first_format().await).await;
    let writer = old.domain.writer(CondemnedPacks::none()).await.unwrap();
    let [first, second] = [words(1, 50_000), words(2, 50_000)].map(|bytes| {
        let blob = StoredBlob::encode_as(BlobId::of(&bytes), BlobKind::Chunk, &bytes, Compression::Lz4);
        assert_eq!(blob.codec, Codec::Lz4);
        blob
    });
    let (ids, lies) = ([first.id, second.id], StoredBlob { id: BlobId::of(b"another"), ..first.clone() });
    writer.put_async(first).await.unwrap();
    let sink: Arc<dyn BlobSink> = writer.clone();
    let on_a_thread = tokio::task::spawn_blocking(move || (sink.put(second), sink.put(lies)));
    let (put, lied) = on_a_thread.await.unwrap();
    put.unwrap();
    assert!(matches!(lied, Err(Error::Corrupt(_))), "{lied:?}");
    writer.finish().await.unwrap();
    assert_eq!(codecs(&old).await, HashSet::from([Codec::Zstd]));
    let kept = old.domain.fetch_decoded(&ids, None).await.unwrap();
    assert_eq!(kept, [words(1, 50_000), words(2, 50_000)]);
}

/// A full region must be able to empty itself: what the collector copies must not grow on the way.
#[tokio::test(flavor = "multi_thread")]
async fn the_collector_keeps_what_it_copies_as_it_came() {
    let backend: Arc<dyn Backend> = Arc::new(MemoryBackend::new());
    let (before, ledger, kept) =
        (TestStore::on(Arc::clone(&backend)).await, MemoryLedger::default(), words(1, 300_000));
    // One pack, of which a quarter is alive.
    before.import(&[kept.clone(), words(2, 900_000)].concat()).await.unwrap();
    let image = before.import(&kept).await.unwrap();
    ledger.root(image);
    drop(before);
    let after = TestStore::compressed_on(backend, Compression::Lz4).await;
    let mut collector = Collector::new(after.domain.clone(), CollectorOptions::default());
    let mut copied_bytes = 0;
    for now_ms in [0, 3_600_000, 7_200_000] {
        copied_bytes += collector.run(&ledger, now_ms, &CancellationToken::new()).await.unwrap().copied_bytes;
    }
    assert!(copied_bytes > 10_000, "{copied_bytes}");
    let codecs = codecs(&after).await;
    assert!(codecs.contains(&Codec::Zstd) && !codecs.contains(&Codec::Lz4), "{codecs:?}");
    assert_eq!(after.read(image).await.unwrap(), kept);
}

/// The setting may change: what is there is read and deduplicated against, what comes is compressed as it says now.
#[tokio::test(flavor = "multi_thread")]
async fn another_setting_is_for_new_blobs() {
    let backend: Arc<dyn Backend> = Arc::new(MemoryBackend::new());
    let before = TestStore::compressed_on(Arc::clone(&backend), Compression::Lz4).await;
    let first = before.import(&guest()).await.unwrap();
    drop(before);
    let after = TestStore::compressed_on(backend, Compression::Zstd).await;
    let stored = after.domain.stats().pack_bytes;
    assert_eq!(after.import(&guest()).await.unwrap(), first);
    assert_eq!(after.domain.stats().pack_bytes, stored, "all of it was there");
    let second = after.import(&words(3, MIB)).await.unwrap();
    assert_eq!(codecs(&after).await, HashSet::from([Codec::Lz4, Codec::Zstd, Codec::Raw]));
    assert_eq!(after.read(first).await.unwrap(), guest());
    assert_eq!(after.read(second).await.unwrap(), words(3, MIB));
}

/// A program of the first format would take LZ4 for damage and quarantine it.
#[tokio::test]
async fn a_store_of_the_first_format_is_not_opened_for_lz4() {
    let (backend, folder) = (store_of_the_first_format().await, tempfile::tempdir().unwrap());
    let refused = open_compressed(&backend, folder.path(), Compression::Lz4).await.map(|_| ()).unwrap_err();
    assert!(matches!(refused, Error::Foreign(_)) && refused.to_string().contains("zstd only"), "{refused}");
    open_compressed(&backend, folder.path(), Compression::Zstd).await.unwrap();
}

fn lz4(id: BlobId, length: usize, bytes: &[u8]) -> StoredBlob {
    let length_bytes = u32::try_from(length).unwrap();
    StoredBlob { id, kind: BlobKind::Chunk, codec: Codec::Lz4, length_bytes, bytes: Bytes::copy_from_slice(bytes) }
}

/// By hand, from the description of the block format: a literal `a`, a match of 19 at a distance of 1, five literals.
#[test]
fn lz4_is_the_block_format() {
    let block = [&[0x1F, b'a', 1, 0, 0, 0x50][..], b"aaaaa"].concat();
    let decoded = [b'a'; 25];
    let id = BlobId::of(&decoded);
    assert_eq!(lz4(id, 25, &block).decode().unwrap(), decoded.as_slice());
    for length in [1, 24, 26, 256 << 10] {
        assert!(lz4(id, length, &block).decode().is_err(), "{length}");
    }
}

#[test]
fn a_compressions_name_is_what_it_is_called_by() {
    for compression in [Compression::Zstd, Compression::Lz4] {
        assert_eq!(compression.to_string().parse::<Compression>().unwrap(), compression);
    }
    let refused = "gzip".parse::<Compression>().unwrap_err().to_string();
    assert!(refused.contains("'gzip'") && refused.contains("zstd or lz4"), "{refused}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_bytes_come_back_from_lz4(seed in any::<u64>(), length in 1_usize..(256 << 10), is_text in any::<bool>()) {
        let bytes = if is_text { words(seed, length) } else { noise(seed, length.min(4096)) };
        let blob = StoredBlob::encode_as(BlobId::of(&bytes), BlobKind::Chunk, &bytes, Compression::Lz4);
        prop_assert!(blob.bytes.len() <= bytes.len());
        prop_assert_eq!(blob.decode().unwrap(), bytes);
    }

    #[test]
    fn an_lz4_block_that_lies_panics_nobody_and_gives_nothing_else(changes in proptest::collection::vec((any::<u16>(), any::<u8>()), 1..5), cut in 0_usize..40) {
        let bytes = words(5, 3000);
        let blob = StoredBlob::encode_as(BlobId::of(&bytes), BlobKind::Chunk, &bytes, Compression::Lz4);
        let mut changed = blob.bytes.to_vec();
        for (at, value) in changes {
            let at = usize::from(at) % changed.len();
            changed[at] = value;
        }
        changed.truncate(changed.len() - cut);
        // Nothing but the bytes themselves ever comes out.
        if let Ok(decoded) = lz4(blob.id, bytes.len(), &changed).decode() {
            prop_assert_eq!(decoded, bytes);
        }
    }
}
