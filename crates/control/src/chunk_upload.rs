//! Uploads of chunks that the client cut itself (`galerie publish`), on the same grant as page writes.
//!
//! An upload lives in the memory of the process that serves the region, keyed by its grant, and is pinned while it does.
//! After a crash the client starts over; what became durable is not sent or stored twice. Committing writes the manifest
//! into the disk's row; `endGetAccess` makes it the disk's content.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use galerie_arm::{ResourceId, disk::DiskState};
use galerie_region::{ChunkUpload, Imported};
use galerie_store::{ManifestId, StoredBlob};
use uuid::Uuid;

use crate::{
    authz,
    blob::{Blob, BlobError},
    control::Control,
    db,
    pins::Pinned,
    request::RequestContext,
    resource::{Verb, action},
    source,
};

/// Uploads that may be open at once.
const MOST_OPEN: usize = 64;
/// Base images that one upload may name.
const MOST_BASES: usize = 16;
/// How long an upload may rest before it is given up.
const IDLE_MS: i64 = 15 * 60 * 1000;
/// How often resting uploads are looked for.
const SWEEP_INTERVAL: Duration = Duration::from_secs(60);

/// The open uploads of this process.
#[derive(Default)]
pub(crate) struct ChunkUploads {
    open: Mutex<HashMap<Uuid, Arc<OpenUpload>>>,
}

struct OpenUpload {
    upload: Arc<dyn ChunkUpload>,
    pinned: Pinned,
    last_used_ms: AtomicI64,
}

impl ChunkUploads {
    fn find(&self, grant: Uuid, now_ms: i64) -> Option<Arc<OpenUpload>> {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let found = open.get(&grant).filter(|upload| !upload.pinned.lost().is_cancelled()).cloned()?;
        found.last_used_ms.store(now_ms, Ordering::Relaxed);
        Some(found)
    }

    /// Keeps `upload` unless another request was faster; answers the one that is kept.
    fn keep(&self, grant: Uuid, upload: OpenUpload) -> Result<Arc<OpenUpload>, BlobError> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(other) = open.get(&grant).filter(|other| !other.pinned.lost().is_cancelled()) {
            return Ok(Arc::clone(other));
        }
        if open.len() >= MOST_OPEN {
            return Err(BlobError::Busy(format!("{MOST_OPEN} uploads are open. Try again.")));
        }
        let upload = Arc::new(upload);
        open.insert(grant, Arc::clone(&upload));
        Ok(upload)
    }

    /// Forgets an upload; what it stored and nobody names is the collector's.
    pub(crate) fn close(&self, grant: Uuid) {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).remove(&grant);
    }

    /// Forgets what has rested too long; whether something is left.
    fn sweep(&self, now_ms: i64) -> bool {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|_, upload| now_ms - upload.last_used_ms.load(Ordering::Relaxed) < IDLE_MS);
        !open.is_empty()
    }

    fn is_empty(&self) -> bool {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }
}

impl Blob {
    /// Lets the client refer to what these image versions hold, without sending it. Each must be replicated to the disk's
    /// region, and `context`'s caller must have the right to its bytes.
    ///
    /// # Errors
    /// `InvalidInput` naming the version that may not be referred to.
    pub async fn allow_bases(&self, context: &RequestContext, versions: &[ResourceId]) -> Result<(), BlobError> {
        if versions.len() > MOST_BASES {
            return Err(BlobError::InvalidInput(format!("An upload has at most {MOST_BASES} base images.")));
        }
        let location = galerie_arm::Location::normalise(&self.row.location).ok_or(BlobError::NotFound)?;
        let mut manifests = Vec::new();
        {
            let mut tx = self.control.db().read().await?;
            for version in versions {
                let bytes = action(galerie_arm::ResourceType::ImageVersion, Verb::BeginGetAccess);
                authz::authorize(&mut tx, &context.caller, bytes, version).await?;
                let found = source::find_version(context, &mut tx, version.as_str(), "base", &location).await?;
                if found.row.tenant != self.row.tenant {
                    return Err(BlobError::InvalidInput(format!("{version} belongs to another tenant.")));
                }
                let images = source::held_images(&mut tx, &found.row.key).await?;
                manifests.extend(images.iter().map(|image| image.manifest));
            }
        }
        Ok(self.chunks().await?.upload.allow_bases(&manifests).await?)
    }

    /// Takes blobs, each checked against its id and against what may be referred to.
    ///
    /// # Errors
    /// `InvalidInput` for a blob that is not what it says or names what is not there; `Full`.
    pub async fn put_blobs(&self, blobs: Vec<StoredBlob>) -> Result<(), BlobError> {
        Ok(self.chunks().await?.upload.put(blobs).await?)
    }

    /// Commits the upload: the image is durable, and becomes the disk's content when the access is ended.
    ///
    /// # Errors
    /// `InvalidInput` when the manifest was not sent in this upload; `Conflict` when the access has ended meanwhile.
    pub async fn finish_chunks(&self, manifest: ManifestId) -> Result<Imported, BlobError> {
        if let Some(imported) = self.committed(manifest).await? {
            return Ok(imported);
        }
        let open = self.chunks().await?;
        let imported = open.upload.finish(manifest).await?;
        let mut tx = self.control.db().write().await?;
        let now_ms = self.control.now_ms();
        let grant = db::grant::find(&mut tx, self.grant.id).await?.filter(|grant| grant.expires_ms > now_ms);
        let state = db::disk::find(&mut tx, &self.row.key).await?.map(|disk| disk.state);
        if grant.is_none() || state != Some(DiskState::ActiveUpload) || !open.pinned.check(&mut tx).await? {
            return Err(BlobError::Conflict("The access to the disk ended during the upload.".to_owned()));
        }
        db::disk::set_staged_manifest(&mut tx, &self.row.key, Some(imported.manifest)).await?;
        tx.commit().await?;
        self.control.chunk_uploads().close(self.grant.id);
        Ok(imported)
    }

    /// What an earlier request committed, when the client asks for the same again because it missed the answer.
    async fn committed(&self, manifest: ManifestId) -> Result<Option<Imported>, BlobError> {
        let disk = db::disk::find(&mut *self.control.db().read().await?, &self.row.key).await?;
        if disk.and_then(|disk| disk.staged_manifest) != Some(manifest) {
            return Ok(None);
        }
        let image = self.region.open_image(self.row.tenant, manifest).await?;
        Ok(Some(Imported { manifest, virtual_size_bytes: image.virtual_size_bytes() }))
    }

    /// The open upload of this grant; begun when there is none.
    async fn chunks(&self) -> Result<Arc<OpenUpload>, BlobError> {
        if self.grant.permission != crate::access::Permission::Write {
            return Err(BlobError::PermissionMismatch);
        }
        let (control, uploads) = (&self.control, self.control.chunk_uploads());
        if let Some(open) = uploads.find(self.grant.id, control.now_ms()) {
            return Ok(open);
        }
        let (region, tenant) = (self.row.location.as_str(), self.row.tenant);
        // The pin first: what is condemned after it is not deleted while it lives.
        let pinned = control.pin(region, tenant, &[], "chunk-upload").await?;
        let condemned = control.condemned(region, tenant).await?;
        let upload = self.region.begin_chunk_upload(tenant, &condemned).await?;
        let was_empty = uploads.is_empty();
        let last_used_ms = AtomicI64::new(control.now_ms());
        let kept = uploads.keep(self.grant.id, OpenUpload { upload, pinned, last_used_ms })?;
        if was_empty {
            spawn_sweeper(control);
        }
        Ok(kept)
    }
}

/// Looks for resting uploads until none is open.
fn spawn_sweeper(control: &Control) {
    let (uploads, clock) = (Arc::downgrade(control.chunk_uploads()), control.clock());
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(SWEEP_INTERVAL).await;
            let has_more = Weak::upgrade(&uploads).is_some_and(|uploads| uploads.sweep(clock.now_ms()));
            if !has_more {
                break;
            }
        }
    });
}
