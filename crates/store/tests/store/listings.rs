//! Listings that lag behind (`docs/design/store.md`, "Where listings lag"): they cost a duplicate or another attempt, never
//! a byte.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use bytes::Bytes;
use galerie_store::{
    Collector, CollectorOptions, Error, ManifestId, Result, VerifyOptions,
    backend::{Backend, Key, MemoryBackend, Object},
    verify,
};
use tokio_util::sync::CancellationToken;

use crate::support::{MIB, MemoryLedger, TestStore, noise};

/// Objects as everybody sees them by name, and as one client sees them listed.
#[derive(Debug)]
struct LaggingBackend {
    inner: Arc<MemoryBackend>,
    /// What listings show; `None`: what there is.
    shown: Mutex<Option<BTreeMap<Key, u64>>>,
}

impl LaggingBackend {
    fn over(inner: &Arc<MemoryBackend>) -> Arc<Self> {
        Arc::new(Self { inner: Arc::clone(inner), shown: Mutex::default() })
    }

    /// From now on listings show what there is now.
    async fn freeze(&self) {
        let objects = self.inner.list("", None, 10_000).await.unwrap();
        *self.shown.lock().unwrap() = Some(objects.into_iter().map(|object| (object.key, object.size_bytes)).collect());
    }

    fn thaw(&self) {
        *self.shown.lock().unwrap() = None;
    }
}

#[async_trait]
impl Backend for LaggingBackend {
    async fn put(&self, key: &Key, parts: Vec<Bytes>) -> Result<()> {
        self.inner.put(key, parts).await
    }

    async fn get(&self, key: &Key, limit_bytes: u64) -> Result<Bytes> {
        self.inner.get(key, limit_bytes).await
    }

    async fn get_range(&self, key: &Key, offset_bytes: u64, length_bytes: u64) -> Result<Bytes> {
        self.inner.get_range(key, offset_bytes, length_bytes).await
    }

    async fn size_bytes(&self, key: &Key) -> Result<u64> {
        self.inner.size_bytes(key).await
    }

    async fn delete(&self, key: &Key) -> Result<()> {
        self.inner.delete(key).await
    }

    async fn list(&self, prefix: &str, after: Option<&Key>, limit: usize) -> Result<Vec<Object>> {
        let Some(shown) = self.shown.lock().unwrap().clone() else {
            return self.inner.list(prefix, after, limit).await;
        };
        let wanted = |key: &Key| key.as_str().starts_with(prefix) && after.is_none_or(|after| key > after);
        let objects = shown.into_iter().filter(|(key, _)| wanted(key)).take(limit);
        Ok(objects.map(|(key, size_bytes)| Object { key, size_bytes }).collect())
    }
}

/// One store and two processes that use it; the second one's listings can be held back.
struct Two {
    up_to_date: TestStore,
    lagging: Arc<LaggingBackend>,
    behind: TestStore,
    ledger: MemoryLedger,
}

impl Two {
    async fn new() -> Self {
        let objects = Arc::new(MemoryBackend::new());
        let lagging = LaggingBackend::over(&objects);
        let up_to_date = TestStore::on(objects).await;
        let behind = TestStore::on(Arc::clone(&lagging) as Arc<dyn Backend>).await;
        Self { up_to_date, lagging, behind, ledger: MemoryLedger::default() }
    }

    async fn collect(&self, test: &TestStore) -> Result<galerie_store::CollectReport> {
        let options = CollectorOptions { readers_grace_ms: 0, ..CollectorOptions::default() };
        let mut collector = Collector::new(Arc::clone(&test.domain), options);
        collector.run(&self.ledger, 0, &CancellationToken::new()).await
    }

    /// All of an image, as a process sees it that knows nothing.
    async fn assert_whole(&self, manifest: ManifestId, guest: &[u8]) {
        let fresh = self.up_to_date.elsewhere().await;
        assert_eq!(fresh.read(manifest).await.unwrap(), guest);
        let options = VerifyOptions { roots: vec![manifest], ..VerifyOptions::default() };
        let report = verify(&fresh.domain, &options, &CancellationToken::new()).await.unwrap();
        assert!(report.is_sound(), "{report:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_does_not_rely_on_a_pack_that_is_still_listed() {
    let two = Two::new().await;
    let guest = noise(1, 3 * MIB);
    two.up_to_date.import(&guest).await.unwrap();
    two.behind.domain.refresh().await.unwrap();
    two.lagging.freeze().await;
    // Nothing needs it: another process condemns, deletes and forgets all of its packs.
    for _ in 0..2 {
        two.collect(&two.up_to_date).await.unwrap();
    }
    assert!(two.ledger.state.lock().unwrap().condemned.is_empty());
    assert_eq!(two.up_to_date.domain.stats().packs, 0);

    let first = two.behind.import_with(&guest, two.ledger.condemned_packs()).await;
    assert!(matches!(first, Err(Error::Unavailable(_))), "{first:?}");
    let manifest = two.behind.import_with(&guest, two.ledger.condemned_packs()).await.unwrap();
    two.assert_whole(manifest, &guest).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_condemned_pack_that_is_not_listed_is_emptied_before_it_goes() {
    let two = Two::new().await;
    two.lagging.freeze().await;
    let kept_guest = noise(2, 2 * MIB);
    let mut other_guest = noise(3, 4 * MIB);
    other_guest.extend(&kept_guest);
    two.up_to_date.import(&other_guest).await.unwrap();
    let kept = two.up_to_date.import(&kept_guest).await.unwrap();
    two.ledger.root(kept);
    // The catalogue has condemned all packs but those of the manifest and its list; a process that has seen no listing of
    // any pack collects.
    let has_list = |pack: &galerie_store::PackId| {
        let of = |id| two.up_to_date.domain.contains(&id);
        of(kept.0).unwrap() && two.up_to_date.domain.packs().last().is_some_and(|last| last.pack == *pack)
    };
    let packs: Vec<_> = two.up_to_date.domain.packs().into_iter().map(|pack| pack.pack).collect();
    {
        let mut state = two.ledger.state.lock().unwrap();
        for (number, pack) in (1..).zip(packs.iter().filter(|pack| !has_list(pack))) {
            state.condemned.insert(*pack, (number, None));
        }
        state.sequence = 1000;
    }
    // Its manifest is not listed either, so it cannot be walked; that alone stops the run.
    assert!(two.collect(&two.behind).await.is_err());
    two.assert_whole(kept, &kept_guest).await;
    two.lagging.thaw();
    for _ in 0..2 {
        assert_eq!(two.collect(&two.behind).await.unwrap().missing_blobs, 0);
    }
    assert!(two.ledger.state.lock().unwrap().condemned.len() < packs.len() / 2);
    two.assert_whole(kept, &kept_guest).await;
}

/// The listing has the packs with an image's lists, and lacks a condemned one that has its chunks.
#[tokio::test(flavor = "multi_thread")]
async fn chunks_of_a_condemned_pack_that_is_not_listed_are_copied() {
    let two = Two::new().await;
    let guest = noise(4, 3 * MIB);
    let manifest = two.up_to_date.import(&guest).await.unwrap();
    two.ledger.root(manifest);
    let packs = two.up_to_date.domain.packs();
    two.lagging.freeze().await;
    let mut hidden = Vec::new();
    for pack in &packs {
        let table = galerie_store::inspect::inspect_pack(&two.up_to_date.domain, pack.pack).await.unwrap();
        if table.entries.iter().all(|entry| entry.kind == galerie_store::BlobKind::Chunk) {
            hidden.push(pack.pack);
        }
    }
    assert!(!hidden.is_empty());
    for (number, pack) in (1..).zip(&hidden) {
        two.ledger.state.lock().unwrap().condemned.insert(*pack, (number, None));
        let key = pack.key(&crate::support::tenant());
        two.lagging.shown.lock().unwrap().as_mut().unwrap().remove(&key);
    }
    let report = two.collect(&two.behind).await.unwrap();
    assert!(report.copied_bytes > 0 && report.missing_blobs == 0, "{report:?}");
    assert_eq!(report.deleted_packs, hidden.len() as u64);
    two.assert_whole(manifest, &guest).await;
}

/// What a pack shows that was deleted long ago is no reason to delete another one.
#[tokio::test(flavor = "multi_thread")]
async fn a_pack_that_is_still_listed_is_no_reason_to_delete_another() {
    let two = Two::new().await;
    let guest = noise(5, 3 * MIB);
    let manifest = two.up_to_date.import(&guest).await.unwrap();
    two.ledger.root(manifest);
    let first: Vec<_> = two.up_to_date.domain.packs().into_iter().map(|pack| pack.pack).collect();
    two.behind.domain.refresh().await.unwrap();
    two.lagging.freeze().await;
    // Another process empties the packs into others, deletes and forgets them; then those are condemned, too.
    let condemn = |packs: &[galerie_store::PackId]| {
        let mut state = two.ledger.state.lock().unwrap();
        for pack in packs {
            state.sequence += 1;
            let sequence = state.sequence;
            state.condemned.insert(*pack, (sequence, None));
        }
    };
    condemn(&first);
    assert_eq!(two.collect(&two.up_to_date).await.unwrap().deleted_packs, first.len() as u64);
    let second: Vec<_> = two.up_to_date.domain.packs().into_iter().map(|pack| pack.pack).collect();
    condemn(&second);

    let run = two.collect(&two.behind).await;
    assert!(matches!(run, Err(Error::Unavailable(_))), "{run:?}");
    two.assert_whole(manifest, &guest).await;
    // The next runs know better, whatever the listing says.
    let report = two.collect(&two.behind).await.unwrap();
    assert!(report.copied_bytes > 0 && report.deleted_packs == second.len() as u64, "{report:?}");
    two.assert_whole(manifest, &guest).await;
}

/// A pack that does not read goes only when what is alive is elsewhere for certain.
#[tokio::test(flavor = "multi_thread")]
async fn a_listed_copy_is_no_reason_to_delete_what_does_not_read() {
    let two = Two::new().await;
    let guest = noise(8, 3 * MIB);
    let manifest = two.up_to_date.import(&guest).await.unwrap();
    two.ledger.root(manifest);
    let mut first = Vec::new();
    for pack in two.up_to_date.domain.packs() {
        let table = galerie_store::inspect::inspect_pack(&two.up_to_date.domain, pack.pack).await.unwrap();
        let has_lists = table.entries.iter().any(|entry| entry.kind != galerie_store::BlobKind::Chunk);
        first.push((pack.pack, has_lists));
    }
    let (bad, _) = *first.iter().find(|(_, has_lists)| !has_lists).unwrap();
    let avoided = first.iter().map(|(pack, _)| *pack).collect();
    two.up_to_date.import_with(&guest, avoided).await.unwrap();
    let whole = two.lagging.inner.get(&bad.key(&crate::support::tenant()), u64::MAX).await.unwrap();
    two.lagging.inner.overwrite(&bad.key(&crate::support::tenant()), whole.slice(..whole.len() - 1));
    two.behind.domain.refresh().await.unwrap();
    assert_eq!(two.behind.domain.stats().unreadable_packs, 1);
    two.lagging.freeze().await;
    let copies: Vec<_> = two.up_to_date.domain.packs().into_iter().map(|pack| pack.pack).collect();
    for copy in copies.iter().filter(|copy| first.iter().all(|(pack, _)| pack != *copy)) {
        two.lagging.inner.delete(&copy.key(&crate::support::tenant())).await.unwrap();
    }
    two.ledger.state.lock().unwrap().condemned.insert(bad, (0, Some(0)));

    let options = CollectorOptions { readers_grace_ms: 0, lost_after_ms: 0, ..CollectorOptions::default() };
    let mut collector = Collector::new(Arc::clone(&two.behind.domain), options);
    match collector.run(&two.ledger, 1, &CancellationToken::new()).await {
        Err(Error::Unavailable(_)) => {}
        // The walk came by the pack that is gone.
        Ok(report) if report.missing_blobs > 0 => assert_eq!(report.deleted_packs, 0),
        run => panic!("{run:?}"),
    }
    for now_ms in 2..4 {
        let report = collector.run(&two.ledger, now_ms, &CancellationToken::new()).await.unwrap();
        assert!(report.missing_blobs > 0 && report.unreadable_packs == 1, "{report:?}");
    }
    two.lagging.inner.overwrite(&bad.key(&crate::support::tenant()), whole);
    two.assert_whole(manifest, &guest).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_finds_the_copy_of_a_pack_that_is_still_listed() {
    let two = Two::new().await;
    let guest = noise(6, 3 * MIB);
    let manifest = two.up_to_date.import(&guest).await.unwrap();
    two.ledger.root(manifest);
    two.behind.domain.refresh().await.unwrap();
    let packs: Vec<_> = two.up_to_date.domain.packs().into_iter().map(|pack| pack.pack).collect();
    for (number, pack) in (1..).zip(&packs) {
        two.ledger.state.lock().unwrap().condemned.insert(*pack, (number, None));
    }
    two.collect(&two.up_to_date).await.unwrap();
    // The listing shows the new packs beside those that are gone.
    let gone: Vec<_> = packs.iter().map(|pack| (pack.key(&crate::support::tenant()), 1_u64)).collect();
    two.lagging.freeze().await;
    two.lagging.shown.lock().unwrap().as_mut().unwrap().extend(gone);
    assert_eq!(two.behind.read(manifest).await.unwrap(), guest);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pack_that_is_known_is_not_forgotten_because_it_is_not_listed() {
    let two = Two::new().await;
    two.lagging.freeze().await;
    let guest = noise(7, 3 * MIB);
    let manifest = two.behind.import(&guest).await.unwrap();
    two.behind.domain.refresh().await.unwrap();
    assert_eq!(two.behind.read(manifest).await.unwrap(), guest);
    let packs = two.up_to_date.elsewhere().await.domain.stats().packs;
    assert_eq!(two.behind.import(&guest).await.unwrap(), manifest);
    assert_eq!(two.up_to_date.elsewhere().await.domain.stats().packs, packs, "what is known is not written again");
}
