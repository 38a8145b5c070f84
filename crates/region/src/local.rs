//! A region that this machine serves: a store with its packs, and the uploads staged on a local disk.
//!
//! ```text
//! ROOT/store.json            whose store this is
//! ROOT/tenants/{tenant}/...  packs and quarantine records, see docs/design/store-format.md
//! ROOT/staging/              uploads that are not imported yet
//! INDEX/                     this process's index; disposable
//! ```
//! The store may lie elsewhere, in a bucket; then only `staging/` is below the root.

use std::{
    collections::HashMap,
    fmt::Display,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use bytes::Bytes;
use galerie_disk::{formats, formats::Format};
use galerie_store::{
    BlobSource, ChunkCache, CollectReport, CollectSurvey, Collector, CollectorLedger, CollectorOptions, Compression,
    CondemnedPacks, CopyProgress, DamageNotes, Domain, DomainStats, GuestBytes, Identity, ImageReader, ImportOptions,
    ImportProgress, ManifestId, PackId, RegionStore, ScrubbedPack, Space, StoreOptions, TenantId, VerifyOptions,
    VerifyReport, Watermark,
    backend::{Backend, LocalBackend},
    backup::{DomainBackup, Repository, back_up_domain},
    inspect::{ImageAnatomy, inspect_image, inspect_pack},
    pack::PackTable,
    region_store::STORE_FILE,
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    Error, Imported, Result, UploadId, UploadRange,
    blocking::blocking,
    checked_pages::CheckedPages,
    chunk_upload::StoreChunkUpload,
    error::store_error,
    gathering::Gathering,
    open_readers::OpenReaders,
    region::{ChunkUpload, Region},
    staging::Staging,
    upload_memory::UploadMemory,
    watched_blobs::WatchedBlobs,
};

/// Where a region keeps its things, and whose it is.
#[derive(Debug, Clone)]
pub struct LocalRegionOptions {
    /// The normalised name, such as `eastus`.
    pub name: String,
    /// The store root, and of a store elsewhere the folder for staged uploads; made when it does not exist.
    pub root: PathBuf,
    /// The catalogue that owns the store.
    pub catalogue_id: Uuid,
    /// The store's id, when the catalogue has recorded one.
    pub expected_store_id: Option<Uuid>,
    /// The catalogue's epoch.
    pub epoch: u64,
    /// Where this process keeps its index of the store; disposable.
    pub index_dir: PathBuf,
    /// The bound on decoded chunks kept in memory for readers.
    pub cache_bytes: u64,
    /// What new blobs are compressed with.
    pub compression: Compression,
}

/// A region whose uploads are staged in a local directory, where its store may lie, too.
pub struct LocalRegion {
    name: String,
    store: Arc<RegionStore>,
    staging: Staging,
    cache: Arc<ChunkCache>,
    readers: OpenReaders,
    upload_memory: Arc<UploadMemory>,
    space: Watermark,
    /// One collector for each tenant, and one run of it at a time.
    collectors: Mutex<HashMap<Uuid, Arc<tokio::sync::Mutex<Collector>>>>,
}

impl LocalRegion {
    /// Opens the region, making its root when there is none.
    ///
    /// # Errors
    /// `Store(Foreign)` when the root belongs to another catalogue, region or epoch, or is written by a newer program, or does not know the compression;
    /// `Store(Unavailable)` when the store that is expected is not there, and then nothing was made; `Io` and `Store(Io)` when it cannot be read or written.
    pub async fn open(options: LocalRegionOptions) -> Result<Self> {
        Self::open_with_space(options, Watermark::none()).await
    }

    /// As [`LocalRegion::open`]; new work leaves free what `space` says.
    ///
    /// # Errors
    /// As [`LocalRegion::open`].
    pub async fn open_with_space(options: LocalRegionOptions, space: Watermark) -> Result<Self> {
        let place = options.root.display().to_string();
        let failed = store_error(format!("open region {}: root {place}", options.name));
        let backend = match options.expected_store_id {
            Some(_) => LocalBackend::open_with(&options.root, &STORE_FILE.parse().expect("a valid key")).await,
            None => LocalBackend::open(&options.root).await,
        };
        let backend = backend.map_err(failed)?;
        let how = StoreOptions { space: space.clone(), ..StoreOptions::default() };
        Self::open_on(options, Arc::new(backend), place, how, space).await
    }

    /// Opens a region whose store lies elsewhere: in `backend`, which messages call `place`, to be used as `how` says. `space`
    /// is that of the root, where uploads are staged.
    ///
    /// # Errors
    /// As [`LocalRegion::open`]; `Store(Unavailable)` when the store cannot be reached.
    pub async fn open_on(
        options: LocalRegionOptions,
        backend: Arc<dyn Backend>,
        place: impl Display + Send,
        how: StoreOptions,
        space: Watermark,
    ) -> Result<Self> {
        let failed = store_error(format!("open region {}: store {place}", options.name));
        let identity = Identity {
            catalogue_id: options.catalogue_id,
            region: options.name.clone(),
            expected_store_id: options.expected_store_id,
            epoch: options.epoch,
        };
        let how = StoreOptions { compression: options.compression, ..how };
        let store = RegionStore::open_or_create(backend, identity, &options.index_dir, how).await.map_err(failed)?;
        let staging = Staging::open(staging_directory(&options.root))?;
        Ok(Self {
            name: options.name,
            store,
            staging,
            cache: ChunkCache::new(options.cache_bytes),
            readers: OpenReaders::default(),
            upload_memory: Arc::default(),
            space,
            collectors: Mutex::default(),
        })
    }

    async fn domain(&self, tenant: Uuid) -> Result<Arc<Domain>> {
        let tenant: TenantId = tenant.to_string().parse().expect("a UUID is a tenant id");
        self.store.domain(&tenant).await.map_err(store_error(format!("open tenant {tenant} in {}", self.name)))
    }

    /// Refuses new work while the volume has less room than is kept free.
    async fn admit(&self, more_bytes: u64) -> Result<()> {
        let space = self.space.clone();
        blocking("ask for free space", move || space.admit(more_bytes).map_err(Error::LowSpace)).await
    }

    /// The tenant's collector.
    async fn collector(&self, tenant: Uuid) -> Result<Arc<tokio::sync::Mutex<Collector>>> {
        let domain = self.domain(tenant).await?;
        let mut collectors = self.collectors.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || Arc::new(tokio::sync::Mutex::new(Collector::new(domain, CollectorOptions::default())));
        Ok(collectors.entry(tenant).or_insert_with(new).clone())
    }

    async fn import(
        &self,
        tenant: Uuid,
        guest: Arc<dyn GuestBytes>,
        condemned: &CondemnedPacks,
        progress: Arc<ImportProgress>,
        cancel: CancellationToken,
    ) -> Result<Imported> {
        let failed = store_error(format!("import into {}", self.name));
        let sink = self.domain(tenant).await?.writer(condemned.clone()).await.map_err(&failed)?;
        let imported =
            galerie_store::import(guest, sink, ImportOptions::default(), progress, cancel).await.map_err(&failed)?;
        Ok(Imported { manifest: imported.manifest_id, virtual_size_bytes: imported.virtual_size_bytes })
    }
}

#[async_trait]
impl Region for LocalRegion {
    fn name(&self) -> &str {
        &self.name
    }

    fn store_id(&self) -> Uuid {
        self.store.store_id()
    }

    async fn check_space(&self) -> Result<()> {
        self.admit(0).await
    }

    async fn space(&self) -> Option<(Space, u64)> {
        let space = self.space.clone();
        blocking("ask for free space", move || Ok(space.look())).await.ok().flatten()
    }

    async fn create_upload(&self, upload: UploadId, size_bytes: u64) -> Result<()> {
        self.staging.create(upload, size_bytes).await
    }

    async fn write_pages(&self, upload: UploadId, offset_bytes: u64, bytes: Bytes) -> Result<()> {
        self.admit(bytes.len() as u64).await?;
        self.staging.write(upload, offset_bytes, bytes).await
    }

    async fn clear_pages(&self, upload: UploadId, range_bytes: UploadRange) -> Result<()> {
        self.staging.clear(upload, range_bytes).await
    }

    async fn read_pages(&self, upload: UploadId, range_bytes: UploadRange) -> Result<Bytes> {
        self.staging.read(upload, range_bytes).await
    }

    async fn upload_ranges(&self, upload: UploadId) -> Result<Vec<UploadRange>> {
        self.staging.ranges(upload).await
    }

    async fn remove_upload(&self, upload: UploadId) -> Result<()> {
        self.staging.remove(upload).await
    }

    async fn uploads(&self) -> Result<Vec<UploadId>> {
        self.staging.list().await
    }

    async fn import_upload(
        &self,
        tenant: Uuid,
        upload: UploadId,
        condemned: &CondemnedPacks,
        progress: Arc<ImportProgress>,
        cancel: CancellationToken,
    ) -> Result<Imported> {
        let (file, sums) = self.staging.open_for_import(upload).await?;
        let open = move || formats::open(file, Some(Format::Vhd)).map_err(not_opened);
        let guest = blocking("open an upload", open).await?.guest;
        let checked = Arc::new(CheckedPages::new(guest, sums));
        let imported = self.import(tenant, checked.clone(), condemned, progress, cancel).await;
        match checked.damage() {
            // Trying again would not help: nobody else has the pages.
            Some(why) => Err(Error::Refused(why.to_owned())),
            None => imported,
        }
    }

    async fn create_empty(
        &self,
        tenant: Uuid,
        virtual_size_bytes: u64,
        condemned: &CondemnedPacks,
    ) -> Result<Imported> {
        let zeros: Arc<dyn GuestBytes> = Arc::new(Zeros { virtual_size_bytes });
        self.import(tenant, zeros, condemned, Arc::default(), CancellationToken::new()).await
    }

    async fn begin_chunk_upload(&self, tenant: Uuid, condemned: &CondemnedPacks) -> Result<Arc<dyn ChunkUpload>> {
        let domain = self.domain(tenant).await?;
        let sink = domain.writer(condemned.clone()).await.map_err(store_error("begin an upload of chunks"))?;
        Ok(Arc::new(StoreChunkUpload::new(sink, domain, &self.upload_memory, tenant)?))
    }

    async fn gather(&self) -> Result<Gathering> {
        Gathering::begin(self.staging.directory(), self.space.clone()).await
    }

    async fn import_gathered(
        &self,
        tenant: Uuid,
        gathered: Gathering,
        condemned: &CondemnedPacks,
        progress: Arc<ImportProgress>,
        cancel: CancellationToken,
    ) -> Result<Imported> {
        self.import(tenant, gathered.into_guest(), condemned, progress, cancel).await
    }

    async fn replicate(
        &self,
        tenant: Uuid,
        manifest: ManifestId,
        source: Arc<dyn BlobSource>,
        condemned: &CondemnedPacks,
        progress: Arc<CopyProgress>,
        cancel: CancellationToken,
    ) -> Result<Imported> {
        let domain = self.domain(tenant).await?;
        let failed = store_error(format!("copy {manifest} to {}", self.name));
        galerie_store::pull(&domain, &*source, manifest, condemned.clone(), &progress, &cancel)
            .await
            .map_err(&failed)?;
        let copied = domain.manifest(manifest).await.map_err(&failed)?;
        Ok(Imported { manifest, virtual_size_bytes: copied.virtual_size_bytes() })
    }

    fn damage(&self) -> &DamageNotes {
        self.store.damage()
    }

    async fn blobs(&self, tenant: Uuid) -> Result<Arc<dyn BlobSource>> {
        Ok(Arc::new(WatchedBlobs::new(self.domain(tenant).await?, self.store.damage().clone())))
    }

    async fn open_image(&self, tenant: Uuid, manifest: ManifestId) -> Result<Arc<ImageReader>> {
        let open = async {
            let source = self.blobs(tenant).await?;
            ImageReader::open(source, manifest, self.cache.clone())
                .await
                .map_err(store_error(format!("open {manifest} in {}", self.name)))
        };
        self.readers.get_or_open(tenant, manifest, open).await
    }

    async fn collect(
        &self,
        tenant: Uuid,
        ledger: &dyn CollectorLedger,
        options: CollectorOptions,
        now_ms: i64,
        cancel: CancellationToken,
    ) -> Result<CollectReport> {
        let collector = self.collector(tenant).await?;
        let mut collector = collector.lock().await;
        collector.set_options(options);
        collector.run(ledger, now_ms, &cancel).await.map_err(store_error(format!("collect garbage in {}", self.name)))
    }

    async fn survey(
        &self,
        tenant: Uuid,
        ledger: &dyn CollectorLedger,
        now_ms: i64,
        cancel: CancellationToken,
    ) -> Result<CollectSurvey> {
        let collector = self.collector(tenant).await?;
        let collector = collector.lock().await;
        collector.survey(ledger, now_ms, &cancel).await.map_err(store_error(format!("survey {}", self.name)))
    }

    async fn verify(&self, tenant: Uuid, roots: Vec<ManifestId>, cancel: CancellationToken) -> Result<VerifyReport> {
        let domain = self.domain(tenant).await?;
        let options = VerifyOptions { quarantine: true, roots };
        galerie_store::verify(&domain, &options, &cancel).await.map_err(store_error(format!("verify {}", self.name)))
    }

    async fn scrub_next(&self, tenant: Uuid, after: Option<PackId>) -> Result<Option<ScrubbedPack>> {
        let domain = self.domain(tenant).await?;
        galerie_store::scrub_next(&domain, after).await.map_err(store_error(format!("scrub {}", self.name)))
    }

    async fn find_missing(
        &self,
        tenant: Uuid,
        roots: Vec<ManifestId>,
        cancel: CancellationToken,
    ) -> Result<Vec<ManifestId>> {
        let domain = self.domain(tenant).await?;
        galerie_store::verify::find_missing(&domain, &roots, &cancel)
            .await
            .map_err(store_error(format!("walk the images of {}", self.name)))
    }

    async fn back_up(
        &self,
        tenant: Uuid,
        roots: &[ManifestId],
        repository: &Repository,
        cancel: &CancellationToken,
    ) -> Result<DomainBackup> {
        let domain = self.domain(tenant).await?;
        let copied = back_up_domain(&domain, &self.name, roots, repository, cancel).await;
        copied.map_err(store_error(format!("back up {}", self.name)))
    }

    async fn stats(&self, tenant: Uuid) -> Result<DomainStats> {
        Ok(self.domain(tenant).await?.stats())
    }

    async fn inspect_pack(&self, tenant: Uuid, pack: PackId) -> Result<PackTable> {
        let domain = self.domain(tenant).await?;
        inspect_pack(&domain, pack).await.map_err(store_error(format!("inspect pack {pack}")))
    }

    async fn inspect_image(&self, tenant: Uuid, manifest: ManifestId) -> Result<ImageAnatomy> {
        let domain = self.domain(tenant).await?;
        inspect_image(&domain, manifest).await.map_err(store_error(format!("inspect image {manifest}")))
    }
}

/// Only what the file says of itself is final; that it could not be read may pass.
fn not_opened(error: galerie_disk::Error) -> Error {
    match error {
        galerie_disk::Error::Io { action, source } => Error::Io { action, source },
        galerie_disk::Error::Store(source) => store_error("open an upload")(source),
        refusal => Error::Refused(format!("the upload is not a fixed VHD: {refusal}")),
    }
}

fn staging_directory(root: &Path) -> PathBuf {
    root.join("staging")
}

/// A disk of zeros.
struct Zeros {
    virtual_size_bytes: u64,
}

impl GuestBytes for Zeros {
    fn virtual_size_bytes(&self) -> u64 {
        self.virtual_size_bytes
    }

    fn read_at(&self, _offset_bytes: u64, buf: &mut [u8]) -> galerie_store::Result<()> {
        buf.fill(0);
        Ok(())
    }

    fn next_data(&self, _offset_bytes: u64) -> galerie_store::Result<Option<std::ops::Range<u64>>> {
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Regression: a file that could not be read for the moment was refused for good, as no VHD.
    #[test]
    fn only_what_the_file_says_is_final() {
        let busy = || std::io::Error::from_raw_os_error(24);
        for (error, passing) in [
            (galerie_disk::Error::Io { action: "read".to_owned(), source: busy() }, true),
            (galerie_disk::Error::Store(galerie_store::Error::Unavailable("away".to_owned())), true),
            (galerie_disk::Error::Invalid("no footer".to_owned()), false),
        ] {
            assert_eq!(not_opened(error).is_passing(), passing);
        }
    }
}
