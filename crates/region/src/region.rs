//! The trait: what the control plane asks of a region.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use galerie_store::{
    BlobSource, CollectReport, CollectSurvey, CollectorLedger, CollectorOptions, CondemnedPacks, CopyProgress,
    DamageNotes, DomainStats, ImageReader, ImportProgress, ManifestId, PackId, ScrubbedPack, Space, StoredBlob,
    VerifyReport,
    backup::{DomainBackup, Repository},
    inspect::ImageAnatomy,
    pack::PackTable,
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{Gathering, Result, UploadId, UploadRange};

/// An image that is durable in a region's store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Imported {
    /// Names every byte of it.
    pub manifest: ManifestId,
    /// The size the guest sees.
    pub virtual_size_bytes: u64,
}

/// One region's data plane.
///
/// Every method may be called again with the same arguments after a crash: it looks first. `condemned` is the set of
/// packs that the caller loaded *after* its pin was committed; nothing is deduplicated against those packs.
/// `tenant` chooses the deduplication domain; nothing is shared between tenants.
#[async_trait]
pub trait Region: Send + Sync {
    /// The normalised name, such as `eastus`.
    fn name(&self) -> &str;

    /// The id of the region's store, as written in its root.
    fn store_id(&self) -> Uuid;

    /// Whether the region takes new work: `LowSpace` while its volume has less room than is kept free. A store without a
    /// volume of its own always does.
    async fn check_space(&self) -> Result<()> {
        Ok(())
    }
    /// The region's volume, and how much of it is kept free; `None` when it has none, or nobody knows.
    async fn space(&self) -> Option<(Space, u64)> {
        None
    }

    /// Makes room for an upload of `size_bytes`; unwritten pages read as zeros. Does nothing when it exists.
    async fn create_upload(&self, upload: UploadId, size_bytes: u64) -> Result<()>;
    /// Writes pages; durable when it returns. `offset_bytes` and the length are multiples of 512 within the upload.
    async fn write_pages(&self, upload: UploadId, offset_bytes: u64, bytes: Bytes) -> Result<()>;
    /// Makes pages zero again; durable when it returns.
    async fn clear_pages(&self, upload: UploadId, range_bytes: UploadRange) -> Result<()>;
    /// Reads a range of an upload.
    async fn read_pages(&self, upload: UploadId, range_bytes: UploadRange) -> Result<Bytes>;
    /// The ranges of an upload that may hold something other than zeros, ascending, merged.
    async fn upload_ranges(&self, upload: UploadId) -> Result<Vec<UploadRange>>;
    /// Removes an upload; absent is fine.
    async fn remove_upload(&self, upload: UploadId) -> Result<()>;
    /// The uploads that exist.
    async fn uploads(&self) -> Result<Vec<UploadId>>;

    /// Imports a staged fixed VHD: its guest bytes become an image.
    ///
    /// # Errors
    /// `Refused` when the upload is not a fixed VHD of its size: final.
    async fn import_upload(
        &self,
        tenant: Uuid,
        upload: UploadId,
        condemned: &CondemnedPacks,
        progress: Arc<ImportProgress>,
        cancel: CancellationToken,
    ) -> Result<Imported>;

    /// Writes the image of a disk of zeros.
    async fn create_empty(&self, tenant: Uuid, virtual_size_bytes: u64, condemned: &CondemnedPacks)
    -> Result<Imported>;

    /// Opens an upload of blobs cut by the client. Dropping it abandons the upload.
    ///
    /// # Errors
    /// `Busy` when the open uploads hold as much memory as they may, or the tenant's as they may beside the others'.
    async fn begin_chunk_upload(&self, tenant: Uuid, condemned: &CondemnedPacks) -> Result<Arc<dyn ChunkUpload>>;

    /// Begins to gather bytes that are no disk, whose number is not known yet. It takes no pin: nothing of the store is used.
    async fn gather(&self) -> Result<Gathering>;

    /// Imports what was gathered: it becomes an image of exactly its length; durable when it returns.
    async fn import_gathered(
        &self,
        tenant: Uuid,
        gathered: Gathering,
        condemned: &CondemnedPacks,
        progress: Arc<ImportProgress>,
        cancel: CancellationToken,
    ) -> Result<Imported>;

    /// Copies what this region lacks of an image from `source`; verified on arrival, the manifest last. Resumes.
    async fn replicate(
        &self,
        tenant: Uuid,
        manifest: ManifestId,
        source: Arc<dyn BlobSource>,
        condemned: &CondemnedPacks,
        progress: Arc<CopyProgress>,
        cancel: CancellationToken,
    ) -> Result<Imported>;

    /// The tenants some of whose blobs turned out to be damaged or missing when they were read, until somebody looks into it.
    fn damage(&self) -> &DamageNotes;

    /// The region's stored blobs, for another region's `replicate` and for lazy readers.
    async fn blobs(&self, tenant: Uuid) -> Result<Arc<dyn BlobSource>>;

    /// Opens an image for reading. What keeps its bytes is the caller's: a resource's row, or a pin that names the
    /// manifest. When they go meanwhile, reading on fails; it never answers other bytes.
    async fn open_image(&self, tenant: Uuid, manifest: ManifestId) -> Result<Arc<ImageReader>>;

    /// One run of the tenant's garbage collector; `ledger` is the catalogue's part, `now_ms` its clock. A pack whose live
    /// blobs cannot be copied out, for want of space or because they are damaged, is in the report.
    async fn collect(
        &self,
        tenant: Uuid,
        ledger: &dyn CollectorLedger,
        options: CollectorOptions,
        now_ms: i64,
        cancel: CancellationToken,
    ) -> Result<CollectReport>;
    /// What a collection would find now, without doing anything.
    async fn survey(
        &self,
        tenant: Uuid,
        ledger: &dyn CollectorLedger,
        now_ms: i64,
        cancel: CancellationToken,
    ) -> Result<CollectSurvey>;
    /// Re-reads and checks everything stored for a tenant, and that `roots` are complete. Damage is in the report, and
    /// no longer served.
    async fn verify(&self, tenant: Uuid, roots: Vec<ManifestId>, cancel: CancellationToken) -> Result<VerifyReport>;
    /// Re-reads and checks the first pack after `after`, in an order that stays; `None` when there is none. Damage is in the
    /// answer, and no longer served.
    async fn scrub_next(&self, tenant: Uuid, after: Option<PackId>) -> Result<Option<ScrubbedPack>>;
    /// Which of these images lack something here.
    async fn find_missing(
        &self,
        tenant: Uuid,
        roots: Vec<ManifestId>,
        cancel: CancellationToken,
    ) -> Result<Vec<ManifestId>>;
    /// Copies to a repository of backups what these images need and it lacks. What is damaged is in the report.
    async fn back_up(
        &self,
        tenant: Uuid,
        roots: &[ManifestId],
        repository: &Repository,
        cancel: &CancellationToken,
    ) -> Result<DomainBackup>;
    /// Sizes and counts.
    async fn stats(&self, tenant: Uuid) -> Result<DomainStats>;
    /// A pack's table.
    async fn inspect_pack(&self, tenant: Uuid, pack: PackId) -> Result<PackTable>;
    /// An image's segments and what it takes.
    async fn inspect_image(&self, tenant: Uuid, manifest: ManifestId) -> Result<ImageAnatomy>;
}

/// An upload of blobs that the client cut, hashed and encoded (`galerie publish`).
///
/// Every blob is decoded and checked against its id on arrival. A blob that is named but was not sent is only accepted
/// when it is listed by one of the base images: a hash alone never buys bytes.
#[async_trait]
pub trait ChunkUpload: Send + Sync {
    /// Lets the client refer to what these images list, without sending it. The caller has checked that the client may
    /// read them, and holds pins that name them until the image that is finished is named by a row. What the upload takes
    /// over and is not kept (in a condemned pack, or damaged) is put again.
    async fn allow_bases(&self, bases: &[ManifestId]) -> Result<()>;
    /// Takes verified blobs. A segment or manifest is refused when it names a blob that was neither sent nor allowed.
    ///
    /// # Errors
    /// `NotFound` for what must be sent, `Refused`, `Busy`, `Full`.
    async fn put(&self, blobs: Vec<StoredBlob>) -> Result<()>;
    /// Makes everything durable and returns the image that `manifest` names.
    ///
    /// # Errors
    /// `NotFound` when the manifest was not sent in this upload.
    async fn finish(&self, manifest: ManifestId) -> Result<Imported>;
}
