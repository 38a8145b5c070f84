//! What the store's tests share: guests of noise and zeros, stores in memory, a catalogue's ledger in memory.

pub(crate) mod bad_disk;
pub(crate) mod history;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use galerie_store::{
    BlobSink, BlobSource, CollectorLedger, Compression, Condemned, CondemnedPacks, Domain, Identity, ImageReader,
    ImportOptions, ImportProgress, ManifestId, MemoryGuest, PackId, RegionStore, Result, Roots, StoreOptions, TenantId,
    backend::{Backend, MemoryBackend, S3Backend, S3Credentials, S3Options, S3Retries},
    cache::ChunkCache,
    import,
};
use galerie_testbucket::S3Server;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub(crate) const MIB: usize = 1 << 20;

pub(crate) fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    let mut hasher = blake3_hasher(seed);
    hasher.fill(&mut bytes);
    bytes
}

/// Text of a few words, which every codec makes less of.
pub(crate) fn words(seed: u64, length: usize) -> Vec<u8> {
    const WORDS: [&[u8]; 8] = [b"gallery ", b"image ", b"version ", b"of ", b"a ", b"machine ", b"boots ", b"disk "];
    let choices = noise(seed, length);
    choices.iter().flat_map(|choice| WORDS[usize::from(choice % 8)]).copied().take(length).collect()
}

fn blake3_hasher(seed: u64) -> blake3::OutputReader {
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof()
}

pub(crate) fn tenant() -> TenantId {
    "0b6b0a4e-6b0e-4a53-9c8e-0a1b2c3d4e5f".parse().unwrap()
}

pub(crate) fn identity() -> Identity {
    Identity { catalogue_id: Uuid::from_u128(1), region: "eastus".into(), expected_store_id: None, epoch: 1 }
}

/// A store with small packs, so that tests have many.
pub(crate) struct TestStore {
    pub(crate) backend: Arc<dyn Backend>,
    /// Removed with the store.
    pub(crate) _folder: tempfile::TempDir,
    pub(crate) store: Arc<RegionStore>,
    pub(crate) domain: Arc<Domain>,
}

impl TestStore {
    pub(crate) async fn memory() -> Self {
        Self::on(Arc::new(MemoryBackend::new())).await
    }

    pub(crate) async fn on(backend: Arc<dyn Backend>) -> Self {
        Self::compressed_on(backend, Compression::Zstd).await
    }

    pub(crate) async fn compressed_on(backend: Arc<dyn Backend>, compression: Compression) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (store, domain) = open_compressed(&backend, folder.path(), compression).await.unwrap();
        Self { backend, _folder: folder, store, domain }
    }

    /// The same store, opened by another process with an empty index.
    pub(crate) async fn elsewhere(&self) -> Self {
        Self::on(Arc::clone(&self.backend)).await
    }

    pub(crate) async fn import(&self, guest: &[u8]) -> Result<ManifestId> {
        self.import_with(guest, CondemnedPacks::none()).await
    }

    pub(crate) async fn import_with(&self, guest: &[u8], condemned: CondemnedPacks) -> Result<ManifestId> {
        let writer: Arc<dyn BlobSink> = self.domain.writer(condemned).await?;
        import_guest(guest, writer).await
    }

    pub(crate) async fn read(&self, manifest: ManifestId) -> Result<Bytes> {
        let reader = ImageReader::open(Arc::clone(&self.domain) as _, manifest, ChunkCache::new(8 << 20)).await?;
        reader.read(0, reader.virtual_size_bytes()).await
    }
}

pub(crate) async fn open(
    backend: &Arc<dyn Backend>,
    folder: &std::path::Path,
) -> Result<(Arc<RegionStore>, Arc<Domain>)> {
    open_compressed(backend, folder, Compression::Zstd).await
}

pub(crate) async fn open_compressed(
    backend: &Arc<dyn Backend>,
    folder: &std::path::Path,
    compression: Compression,
) -> Result<(Arc<RegionStore>, Arc<Domain>)> {
    let options = StoreOptions {
        pack_size_bytes: MIB,
        packs_in_flight_max: 2,
        index_recent_entries_max: Some(64),
        compression,
        ..StoreOptions::default()
    };
    let store = RegionStore::open_or_create(Arc::clone(backend), identity(), folder, options).await?;
    let domain = store.domain(&tenant()).await?;
    Ok((store, domain))
}

pub(crate) async fn import_guest(guest: &[u8], sink: Arc<dyn BlobSink>) -> Result<ManifestId> {
    let source = Arc::new(MemoryGuest(Bytes::copy_from_slice(guest)));
    let progress = Arc::new(ImportProgress::default());
    let imported = import(source, sink, ImportOptions::default(), progress, CancellationToken::new()).await?;
    Ok(imported.manifest_id)
}

/// Roots, pins and condemnations as a catalogue keeps them.
#[derive(Debug, Default)]
pub(crate) struct MemoryLedger {
    pub(crate) state: Mutex<LedgerState>,
}

#[derive(Debug, Default)]
pub(crate) struct LedgerState {
    pub(crate) sequence: u64,
    pub(crate) roots: BTreeSet<ManifestId>,
    pub(crate) arriving: BTreeSet<ManifestId>,
    pub(crate) pins: BTreeSet<u64>,
    /// When each was condemned, and since when it can go.
    pub(crate) condemned: BTreeMap<PackId, (u64, Option<i64>)>,
    /// Where other regions' blobs are.
    pub(crate) elsewhere: Elsewhere,
}

#[derive(Default)]
pub(crate) struct Elsewhere(pub Vec<Arc<dyn BlobSource>>);

impl std::fmt::Debug for Elsewhere {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} regions", self.0.len())
    }
}

impl MemoryLedger {
    pub(crate) fn root(&self, manifest: ManifestId) {
        self.state.lock().unwrap().roots.insert(manifest);
    }

    pub(crate) fn unroot(&self, manifest: ManifestId) {
        self.state.lock().unwrap().roots.remove(&manifest);
    }

    pub(crate) fn pin(&self) -> u64 {
        let mut state = self.state.lock().unwrap();
        state.sequence += 1;
        let pin = state.sequence;
        state.pins.insert(pin);
        pin
    }

    pub(crate) fn unpin(&self, pin: u64) {
        self.state.lock().unwrap().pins.remove(&pin);
    }

    pub(crate) fn condemned_packs(&self) -> CondemnedPacks {
        self.state.lock().unwrap().condemned.keys().copied().collect()
    }
}

#[async_trait]
impl CollectorLedger for MemoryLedger {
    async fn roots(&self, _: &TenantId) -> Result<Roots> {
        let state = self.state.lock().unwrap();
        Ok(Roots { whole: state.roots.iter().copied().collect(), arriving: state.arriving.iter().copied().collect() })
    }

    async fn condemned(&self, _: &TenantId) -> Result<Vec<Condemned>> {
        let state = self.state.lock().unwrap();
        let condemned = state.condemned.iter();
        Ok(condemned.map(|(&pack, &(sequence, copied_ms))| Condemned { pack, sequence, copied_ms }).collect())
    }

    async fn condemn(&self, _: &TenantId, packs: &[PackId]) -> Result<u64> {
        let mut state = self.state.lock().unwrap();
        state.sequence += 1;
        let sequence = state.sequence;
        for pack in packs {
            state.condemned.entry(*pack).or_insert((sequence, None));
        }
        Ok(sequence)
    }

    async fn record_copied(&self, _: &TenantId, packs: &[PackId], copied_ms: i64) -> Result<()> {
        let mut state = self.state.lock().unwrap();
        for pack in packs {
            state.condemned.entry(*pack).and_modify(|(_, copied)| *copied = Some(copied_ms));
        }
        Ok(())
    }

    async fn oldest_pin(&self, _: &TenantId) -> Result<Option<u64>> {
        Ok(self.state.lock().unwrap().pins.first().copied())
    }

    async fn elsewhere(&self, _: &TenantId, _: ManifestId) -> Result<Vec<Arc<dyn BlobSource>>> {
        Ok(self.state.lock().unwrap().elsewhere.0.clone())
    }

    async fn forget(&self, _: &TenantId, packs: &[PackId]) -> Result<()> {
        let mut state = self.state.lock().unwrap();
        state.condemned.retain(|pack, _| !packs.contains(pack));
        Ok(())
    }
}

/// A bucket's prefix as a backend whose pauses are short.
pub(crate) fn s3(server: &S3Server, prefix: &str) -> Arc<dyn Backend> {
    Arc::new(S3Backend::new(s3_options(server, prefix)).unwrap())
}

pub(crate) fn s3_options(server: &S3Server, prefix: &str) -> S3Options {
    let (key_id, secret_key) = (galerie_testbucket::KEY_ID.to_owned(), galerie_testbucket::SECRET_KEY.to_owned());
    let pause = Duration::from_millis(1);
    S3Options {
        place: format!("s3://{}/{prefix}", galerie_testbucket::BUCKET).parse().unwrap(),
        endpoint: Some(server.endpoint()),
        region: None,
        path_style: None,
        ca_file: server.ca_file().map(std::path::Path::to_owned),
        credentials: S3Credentials::Static { key_id, secret_key, session_token: None },
        retries: S3Retries { first_pause: pause, longest_pause: pause * 20, ..S3Retries::default() },
    }
}
