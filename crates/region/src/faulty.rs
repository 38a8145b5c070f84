//! A region that is in trouble on purpose, for people who test their pipelines (`docs/design/faults.md`).
//!
//! It stands around a region, and not around its store: a copy that finds every byte there already writes nothing to a store, and
//! would not fail.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use galerie_store::{
    BlobSource, CollectReport, CollectSurvey, CollectorLedger, CollectorOptions, CondemnedPacks, CopyProgress,
    DamageNotes, DomainStats, ImageReader, ImportProgress, ManifestId, PackId, ScrubbedPack, Space, VerifyReport,
    backup::{DomainBackup, Repository},
    inspect::ImageAnatomy,
    pack::PackTable,
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{ChunkUpload, Error, Gathering, Imported, Region, Result, UploadId, UploadRange};

/// What is wrong with a region.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RegionTrouble {
    /// Its store cannot be reached: whatever needs its bytes fails, and may be tried again.
    pub is_down: bool,
    /// How much longer imports and copies take, and how much later the first byte of an image comes.
    pub slow: Duration,
    /// How many of the next copies into it fail for good.
    pub failing_copies: u64,
}

/// A region around a region.
pub struct FaultyRegion {
    inner: Arc<dyn Region>,
    trouble: RegionTrouble,
    failing_copies: AtomicU64,
}

impl FaultyRegion {
    /// Puts `inner` into trouble.
    #[must_use]
    pub fn new(inner: Arc<dyn Region>, trouble: RegionTrouble) -> Self {
        Self { inner, trouble, failing_copies: AtomicU64::new(trouble.failing_copies) }
    }

    /// The way to the store.
    fn reach(&self) -> Result<()> {
        if !self.trouble.is_down {
            return Ok(());
        }
        let source = galerie_store::Error::Unavailable("injected fault: the region is down".to_owned());
        Err(Error::Store { action: format!("reach the store of {}", self.inner.name()), source })
    }

    async fn work(&self, cancel: &CancellationToken) -> Result<()> {
        self.reach()?;
        tokio::select! {
            () = tokio::time::sleep(self.trouble.slow) => Ok(()),
            () = cancel.cancelled() => Err(Error::Cancelled),
        }
    }

    /// A failure that nobody tries again by itself, as Azure shows it; the next copy may be spared.
    fn copy(&self) -> Result<()> {
        let one_less = |left: u64| if left == u64::MAX { Some(left) } else { left.checked_sub(1) };
        match self.failing_copies.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less) {
            Ok(_) => Err(Error::Invalid("injected fault: the copy failed".to_owned())),
            Err(_) => Ok(()),
        }
    }
}

#[async_trait]
impl Region for FaultyRegion {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn store_id(&self) -> Uuid {
        self.inner.store_id()
    }

    async fn check_space(&self) -> Result<()> {
        self.inner.check_space().await
    }

    async fn space(&self) -> Option<(Space, u64)> {
        self.inner.space().await
    }

    async fn create_upload(&self, upload: UploadId, size_bytes: u64) -> Result<()> {
        self.reach()?;
        self.inner.create_upload(upload, size_bytes).await
    }

    async fn write_pages(&self, upload: UploadId, offset_bytes: u64, bytes: Bytes) -> Result<()> {
        self.reach()?;
        self.inner.write_pages(upload, offset_bytes, bytes).await
    }

    async fn clear_pages(&self, upload: UploadId, range_bytes: UploadRange) -> Result<()> {
        self.reach()?;
        self.inner.clear_pages(upload, range_bytes).await
    }

    async fn read_pages(&self, upload: UploadId, range_bytes: UploadRange) -> Result<Bytes> {
        self.reach()?;
        self.inner.read_pages(upload, range_bytes).await
    }

    async fn upload_ranges(&self, upload: UploadId) -> Result<Vec<UploadRange>> {
        self.reach()?;
        self.inner.upload_ranges(upload).await
    }

    async fn remove_upload(&self, upload: UploadId) -> Result<()> {
        self.reach()?;
        self.inner.remove_upload(upload).await
    }

    async fn uploads(&self) -> Result<Vec<UploadId>> {
        self.reach()?;
        self.inner.uploads().await
    }

    async fn import_upload(
        &self,
        tenant: Uuid,
        upload: UploadId,
        condemned: &CondemnedPacks,
        progress: Arc<ImportProgress>,
        cancel: CancellationToken,
    ) -> Result<Imported> {
        self.work(&cancel).await?;
        self.inner.import_upload(tenant, upload, condemned, progress, cancel).await
    }

    async fn create_empty(
        &self,
        tenant: Uuid,
        virtual_size_bytes: u64,
        condemned: &CondemnedPacks,
    ) -> Result<Imported> {
        self.work(&CancellationToken::new()).await?;
        self.inner.create_empty(tenant, virtual_size_bytes, condemned).await
    }

    async fn begin_chunk_upload(&self, tenant: Uuid, condemned: &CondemnedPacks) -> Result<Arc<dyn ChunkUpload>> {
        self.reach()?;
        self.inner.begin_chunk_upload(tenant, condemned).await
    }

    async fn gather(&self) -> Result<Gathering> {
        self.reach()?;
        self.inner.gather().await
    }

    async fn import_gathered(
        &self,
        tenant: Uuid,
        gathered: Gathering,
        condemned: &CondemnedPacks,
        progress: Arc<ImportProgress>,
        cancel: CancellationToken,
    ) -> Result<Imported> {
        self.work(&cancel).await?;
        self.inner.import_gathered(tenant, gathered, condemned, progress, cancel).await
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
        self.work(&cancel).await?;
        self.copy()?;
        self.inner.replicate(tenant, manifest, source, condemned, progress, cancel).await
    }

    fn damage(&self) -> &DamageNotes {
        self.inner.damage()
    }

    async fn blobs(&self, tenant: Uuid) -> Result<Arc<dyn BlobSource>> {
        self.reach()?;
        self.inner.blobs(tenant).await
    }

    async fn open_image(&self, tenant: Uuid, manifest: ManifestId) -> Result<Arc<ImageReader>> {
        self.work(&CancellationToken::new()).await?;
        self.inner.open_image(tenant, manifest).await
    }

    async fn collect(
        &self,
        tenant: Uuid,
        ledger: &dyn CollectorLedger,
        options: CollectorOptions,
        now_ms: i64,
        cancel: CancellationToken,
    ) -> Result<CollectReport> {
        self.reach()?;
        self.inner.collect(tenant, ledger, options, now_ms, cancel).await
    }

    async fn survey(
        &self,
        tenant: Uuid,
        ledger: &dyn CollectorLedger,
        now_ms: i64,
        cancel: CancellationToken,
    ) -> Result<CollectSurvey> {
        self.reach()?;
        self.inner.survey(tenant, ledger, now_ms, cancel).await
    }

    async fn verify(&self, tenant: Uuid, roots: Vec<ManifestId>, cancel: CancellationToken) -> Result<VerifyReport> {
        self.reach()?;
        self.inner.verify(tenant, roots, cancel).await
    }

    async fn scrub_next(&self, tenant: Uuid, after: Option<PackId>) -> Result<Option<ScrubbedPack>> {
        self.reach()?;
        self.inner.scrub_next(tenant, after).await
    }

    async fn find_missing(
        &self,
        tenant: Uuid,
        roots: Vec<ManifestId>,
        cancel: CancellationToken,
    ) -> Result<Vec<ManifestId>> {
        self.reach()?;
        self.inner.find_missing(tenant, roots, cancel).await
    }

    async fn back_up(
        &self,
        tenant: Uuid,
        roots: &[ManifestId],
        repository: &Repository,
        cancel: &CancellationToken,
    ) -> Result<DomainBackup> {
        self.reach()?;
        self.inner.back_up(tenant, roots, repository, cancel).await
    }

    async fn stats(&self, tenant: Uuid) -> Result<DomainStats> {
        self.reach()?;
        self.inner.stats(tenant).await
    }

    async fn inspect_pack(&self, tenant: Uuid, pack: PackId) -> Result<PackTable> {
        self.reach()?;
        self.inner.inspect_pack(tenant, pack).await
    }

    async fn inspect_image(&self, tenant: Uuid, manifest: ManifestId) -> Result<ImageAnatomy> {
        self.reach()?;
        self.inner.inspect_image(tenant, manifest).await
    }
}
