//! Uploads of chunks that the client cut itself (`galerie publish`), on the same grant as page writes.
//!
//! An upload lives in the memory of the process that serves the region, keyed by its grant, and is pinned while it does.
//! So is every base image that it may refer to, as a root, from the transaction that authorized it until the manifest is
//! committed: what the base holds stays, whatever becomes of the base. After a crash the client starts over; what became
//! durable is not sent or stored twice. Committing writes the manifest into the disk's row; `endGetAccess` makes it the
//! disk's content.
//!
//! A client that reads much that it need not send says now and then that it is still there; an upload that nobody asks
//! for is given up, because its pin holds up the collector. So is one whose grant is over, whatever ended it: its time,
//! or the deletion of its disk or group.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use galerie_arm::{Location, ResourceId, disk::DiskState};
use galerie_region::{ChunkUpload, Imported};
use galerie_store::{ManifestId, StoredBlob};
use tokio::sync::OnceCell;
use uuid::Uuid;

use crate::{
    authz,
    blob::{Blob, BlobError},
    control::Control,
    db::{self, Connection, transact},
    disk,
    pins::{Pinned, TakenPins},
    request::{Caller, RequestContext},
    resource::{Verb, action},
    source,
};

/// Uploads that may be open at once.
const MOST_OPEN: usize = 64;
/// Base images that one request may name.
const MOST_BASES: usize = 16;
/// Disks of base images that one upload may refer to. Each is a pin, which is renewed while the upload lives.
const MOST_BASE_DISKS: usize = 64;
/// How long blobs are taken before the right to the bases is asked for again.
const READERS_CHECK_MS: i64 = 5000;
/// How long an upload may rest before it is given up.
const IDLE_MS: i64 = 15 * 60 * 1000;
/// How often uploads that rest, or whose grant is over, are looked for. Until then they hold memory and pins.
const SWEEP_INTERVAL: Duration = Duration::from_secs(5);

/// The open uploads of this process.
#[derive(Default)]
pub(crate) struct ChunkUploads {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    open: HashMap<Uuid, Arc<OpenUpload>>,
    /// Whether somebody looks for resting uploads. Changes only together with `open`: whoever stops looking has found
    /// none in the same breath.
    is_swept: bool,
}

struct OpenUpload {
    /// The disk's incarnation.
    disk: Uuid,
    upload: Arc<dyn ChunkUpload>,
    pinned: Pinned,
    /// Whether the upload is this process's for certain; asked once it is kept, and before anything is taken.
    is_held: OnceCell<bool>,
    /// The images that may be referred to, with what keeps them.
    bases: Mutex<Vec<(ManifestId, Arc<Pinned>)>>,
    /// Who named which of them: it must still be allowed to when the upload is committed.
    readers: Mutex<Vec<Reader>>,
    readers_checked_ms: AtomicI64,
    last_used_ms: AtomicI64,
}

/// Somebody who refers to an image version.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Reader {
    caller: Caller,
    version: ResourceId,
}

impl Reader {
    async fn authorize(&self, tx: &mut Connection) -> Result<(), BlobError> {
        let read = action(galerie_arm::ResourceType::ImageVersion, Verb::Read);
        Ok(authz::authorize(tx, &self.caller, read, &self.version).await?)
    }
}

impl OpenUpload {
    fn new(disk: Uuid, upload: Arc<dyn ChunkUpload>, pinned: Pinned, now_ms: i64) -> Self {
        let (bases, readers) = (Mutex::default(), Mutex::default());
        let (readers_checked_ms, last_used_ms) = (AtomicI64::new(now_ms), AtomicI64::new(now_ms));
        Self { disk, upload, pinned, is_held: OnceCell::new(), bases, readers, readers_checked_ms, last_used_ms }
    }

    /// Whether the upload is this process's. One that began to stop after the request was let in, and before the upload was kept, has
    /// let it go: then it takes it back, unless another process was faster.
    async fn is_held(&self, control: &Control) -> db::Result<bool> {
        self.is_held.get_or_try_init(|| control.hold_upload(self.disk)).await.copied()
    }

    /// Whether a pin could not be kept: what it protected must not be relied on any more.
    fn is_lost(&self) -> bool {
        let is_lost = |pinned: &Pinned| pinned.lost().is_cancelled();
        is_lost(&self.pinned) || self.bases().iter().any(|(_, pinned)| is_lost(pinned))
    }

    /// Whether every pin is still there, in the transaction that names what was written.
    async fn check_pins(&self, tx: &mut Connection) -> db::Result<bool> {
        let bases: Vec<Arc<Pinned>> = self.bases().iter().map(|(_, pinned)| Arc::clone(pinned)).collect();
        for pinned in bases {
            if !pinned.check(tx).await? {
                return Ok(false);
            }
        }
        self.pinned.check(tx).await
    }

    /// Refuses an upload that refers to what its client may not read any more.
    async fn check_readers(&self, tx: &mut Connection) -> Result<(), BlobError> {
        let readers = self.readers().clone();
        for reader in readers {
            reader.authorize(tx).await?;
        }
        Ok(())
    }

    fn readers(&self) -> MutexGuard<'_, Vec<Reader>> {
        self.readers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn bases(&self) -> MutexGuard<'_, Vec<(ManifestId, Arc<Pinned>)>> {
        self.bases.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ChunkUploads {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find(&self, grant: Uuid, now_ms: i64) -> Option<Arc<OpenUpload>> {
        let found = self.state().open.get(&grant).filter(|upload| !upload.is_lost()).cloned()?;
        found.last_used_ms.store(now_ms, Ordering::Relaxed);
        Some(found)
    }

    /// Keeps `upload` unless another request was faster; answers the one that is kept, and whether the caller must have
    /// resting uploads looked for from now on.
    fn keep(&self, grant: Uuid, upload: OpenUpload) -> Result<(Arc<OpenUpload>, bool), BlobError> {
        let mut state = self.state();
        if let Some(other) = state.open.get(&grant).filter(|other| !other.is_lost()) {
            return Ok((Arc::clone(other), false));
        }
        if state.open.len() >= MOST_OPEN {
            return Err(BlobError::Busy(format!("{MOST_OPEN} uploads are open. Try again.")));
        }
        let upload = Arc::new(upload);
        state.open.insert(grant, Arc::clone(&upload));
        let was_swept = std::mem::replace(&mut state.is_swept, true);
        Ok((upload, !was_swept))
    }

    /// Whether chunks are being sent to a disk.
    pub(crate) fn has(&self, disk: Uuid) -> bool {
        self.state().open.values().any(|open| open.disk == disk)
    }

    /// Whether chunks are being sent to any.
    pub(crate) fn is_empty(&self) -> bool {
        self.state().open.is_empty()
    }

    /// Forgets an upload; what it stored and nobody names is the collector's.
    pub(crate) fn close(&self, grant: Uuid) {
        self.state().open.remove(&grant);
    }

    /// The grants of what is open.
    fn grants(&self) -> Vec<Uuid> {
        self.state().open.keys().copied().collect()
    }

    /// Forgets what has rested too long or lost its pin; whether something is left. When nothing is, the next upload that
    /// is kept has itself looked for.
    fn sweep(&self, now_ms: i64) -> bool {
        let mut state = self.state();
        let rests = |upload: &OpenUpload| now_ms - upload.last_used_ms.load(Ordering::Relaxed) >= IDLE_MS;
        state.open.retain(|_, upload| !rests(upload) && !upload.is_lost());
        state.is_swept = !state.open.is_empty();
        state.is_swept
    }
}

impl Blob {
    /// Lets the client refer to what these image versions hold, without sending it. Each must be replicated to the disk's
    /// region, and `context`'s caller must have the right to read it, until what was made of it is committed.
    ///
    /// # Errors
    /// `InvalidInput` naming the version that may not be referred to.
    pub async fn allow_bases(&self, context: &RequestContext, versions: &[ResourceId]) -> Result<(), BlobError> {
        if versions.len() > MOST_BASES {
            return Err(BlobError::InvalidInput(format!("An upload has at most {MOST_BASES} base images.")));
        }
        let (manifests, pinned) = self.pin_bases(context, versions).await?;
        let open = self.chunks().await?;
        {
            let mut bases = open.bases();
            let new: Vec<ManifestId> =
                manifests.iter().filter(|new| bases.iter().all(|(held, _)| held != *new)).copied().collect();
            if bases.len() + new.len() > MOST_BASE_DISKS || open.readers().len() + versions.len() > MOST_BASE_DISKS {
                let message = format!("An upload may refer to at most {MOST_BASE_DISKS} disks of base images.");
                return Err(BlobError::InvalidInput(message));
            }
            bases.extend(new.into_iter().map(|manifest| (manifest, Arc::clone(&pinned))));
            let mut readers = open.readers();
            for version in versions {
                let reader = Reader { caller: context.caller.clone(), version: version.clone() };
                if !readers.contains(&reader) {
                    readers.push(reader);
                }
            }
        }
        let allowed = open.upload.allow_bases(&manifests).await;
        allowed.map_err(|error| BlobError::in_region(&self.row.location, error))
    }

    /// The images of versions, pinned as roots in the transaction that finds the caller's right to them.
    async fn pin_bases(
        &self,
        context: &RequestContext,
        versions: &[ResourceId],
    ) -> Result<(Vec<ManifestId>, Arc<Pinned>), BlobError> {
        let (region, tenant) = (self.row.location.as_str(), self.row.tenant);
        let location = Location::normalise(region).ok_or(BlobError::NotFound)?;
        let (manifests, taken) =
            transact!(self.control.db(), |tx| -> Result<(Vec<ManifestId>, TakenPins), BlobError> {
                let manifests = self.base_manifests(tx, context, versions, &location).await?;
                let taken = self.control.take_pins(tx, region, tenant, &manifests, "chunk-upload-base").await?;
                Ok((manifests, taken))
            })?;
        Ok((manifests, Arc::new(self.control.hold_pins(taken))))
    }

    async fn base_manifests(
        &self,
        tx: &mut Connection,
        context: &RequestContext,
        versions: &[ResourceId],
        location: &Location,
    ) -> Result<Vec<ManifestId>, BlobError> {
        let mut manifests = Vec::new();
        for version in versions {
            Reader { caller: context.caller.clone(), version: version.clone() }.authorize(tx).await?;
            let found = source::find_version(tx, version.as_str(), "base", location).await?;
            if found.row.tenant != self.row.tenant {
                return Err(BlobError::InvalidInput(format!("{version} belongs to another tenant.")));
            }
            let images = source::held_images(tx, &found.row.key).await?;
            manifests.extend(images.iter().map(|image| image.manifest));
        }
        manifests.sort_unstable();
        manifests.dedup();
        if manifests.len() > MOST_BASE_DISKS {
            let message = format!("An upload may refer to at most {MOST_BASE_DISKS} disks of base images.");
            return Err(BlobError::InvalidInput(message));
        }
        Ok(manifests)
    }

    /// Takes blobs, each checked against its id and against what may be referred to.
    ///
    /// # Errors
    /// `InvalidInput` for a blob that is not what it says or names what is not there; `Full`.
    pub async fn put_blobs(&self, blobs: Vec<StoredBlob>) -> Result<(), BlobError> {
        self.check_quota().await?;
        // Before the upload is asked: one whose pack could not be written takes nothing more.
        self.control.check_region_space(&self.row.location).await?;
        let open = self.chunks().await?;
        self.recheck_readers(&open).await?;
        let put = open.upload.put(blobs).await;
        if matches!(put, Err(galerie_region::Error::LowSpace(_) | galerie_region::Error::Full(_))) {
            self.control.chunk_uploads().close(self.grant.id);
        }
        put.map_err(|error| BlobError::in_region(&self.row.location, error))
    }

    /// Says that the client is still there, though it has nothing to send. Fine when no upload is open.
    pub fn keep_chunks_open(&self) {
        self.control.chunk_uploads().find(self.grant.id, self.control.now_ms());
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
        let imported = open.upload.finish(manifest).await;
        let imported = imported.map_err(|error| BlobError::in_region(&self.row.location, error))?;
        self.check_fits(imported.virtual_size_bytes)?;
        transact!(self.control.db(), |tx| -> Result<(), BlobError> {
            let now_ms = tx.now_ms().await?;
            let grant = db::grant::find(tx, self.grant.id).await?.filter(|grant| grant.expires_ms > now_ms);
            let state = db::disk::find(tx, &self.row.key).await?.map(|disk| disk.state);
            if grant.is_none() || state != Some(DiskState::ActiveUpload) || !open.check_pins(tx).await? {
                return Err(BlobError::Conflict("The access to the disk ended during the upload.".to_owned()));
            }
            open.check_readers(tx).await?;
            db::disk::set_staged_manifest(tx, &self.row.key, Some(imported.manifest)).await?;
            Ok(())
        })?;
        self.control.chunk_uploads().close(self.grant.id);
        Ok(imported)
    }

    /// Asks again whether the client may read what it refers to, when that was some time ago.
    async fn recheck_readers(&self, open: &OpenUpload) -> Result<(), BlobError> {
        let now_ms = self.control.now_ms();
        if now_ms - open.readers_checked_ms.load(Ordering::Relaxed) >= READERS_CHECK_MS {
            open.check_readers(&mut *self.control.db().read().await?).await?;
            open.readers_checked_ms.store(now_ms, Ordering::Relaxed);
        }
        Ok(())
    }

    /// The disk was made, and its owner charged, for so many bytes; an image is not to bring more.
    fn check_fits(&self, virtual_size_bytes: u64) -> Result<(), BlobError> {
        let declared_bytes = self.length_bytes().saturating_sub(disk::VHD_FOOTER_BYTES);
        if virtual_size_bytes <= declared_bytes {
            return Ok(());
        }
        Err(BlobError::InvalidInput(format!(
            "The disk was made for an image of at most {declared_bytes} bytes, and this one has {virtual_size_bytes}."
        )))
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
        let open = match uploads.find(self.grant.id, control.now_ms()) {
            Some(open) => open,
            None => self.open_chunks().await?,
        };
        if open.is_held(control).await? {
            return Ok(open);
        }
        uploads.close(self.grant.id);
        Err(BlobError::Busy("The upload is another process's now. Try again.".to_owned()))
    }

    async fn open_chunks(&self) -> Result<Arc<OpenUpload>, BlobError> {
        let (control, uploads) = (&self.control, self.control.chunk_uploads());
        let (region, tenant) = (self.row.location.as_str(), self.row.tenant);
        // The pin first: what is condemned after it is not deleted while it lives.
        let pinned = control.pin(region, tenant, &[], "chunk-upload").await?;
        let condemned = control.condemned(region, tenant).await?;
        let upload = self.region.begin_chunk_upload(tenant, &condemned).await;
        let upload = upload.map_err(|error| BlobError::in_region(region, error))?;
        let opened = OpenUpload::new(self.row.uid, upload, pinned, control.now_ms());
        let (kept, must_sweep) = uploads.keep(self.grant.id, opened)?;
        if must_sweep {
            spawn_sweeper(control);
        }
        Ok(kept)
    }
}

impl Control {
    /// Whether chunks that clients are sending lie in this process's memory.
    pub fn has_chunk_uploads(&self) -> bool {
        !self.chunk_uploads().is_empty()
    }

    pub(crate) fn has_open_chunks(&self, disk: Uuid) -> bool {
        self.chunk_uploads().has(disk)
    }
}

/// Looks for resting uploads, and for those whose grant is over, until none is open.
fn spawn_sweeper(control: &Control) {
    let (uploads, db) = (Arc::downgrade(control.chunk_uploads()), control.db().clone());
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(SWEEP_INTERVAL).await;
            let Some(uploads) = Weak::upgrade(&uploads) else { break };
            if let Err(error) = close_ended(&uploads, &db, db.time().now_ms()).await {
                tracing::warn!(error = &error as &dyn std::error::Error, "look which uploads' grants are over");
            }
            if !uploads.sweep(db.time().now_ms()) {
                break;
            }
        }
    });
}

/// Forgets uploads that can never be committed, because their grant is gone or expired.
async fn close_ended(uploads: &ChunkUploads, db: &db::Db, now_ms: i64) -> db::Result<()> {
    let mut tx = db.read().await?;
    for id in uploads.grants() {
        let grant = db::grant::find(&mut tx, id).await?;
        if grant.is_none_or(|grant| grant.expires_ms <= now_ms) {
            uploads.close(id);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use galerie_region::Region;
    use serde_json::json;

    use super::*;
    use crate::{
        BlobAction, OperationResult,
        testing::{World, upload_body},
    };

    struct Nothing;

    #[async_trait]
    impl ChunkUpload for Nothing {
        async fn allow_bases(&self, _: &[ManifestId]) -> galerie_region::Result<()> {
            Ok(())
        }
        async fn put(&self, _: Vec<StoredBlob>) -> galerie_region::Result<()> {
            Ok(())
        }
        async fn finish(&self, _: ManifestId) -> galerie_region::Result<Imported> {
            Err(galerie_region::Error::Cancelled)
        }
    }

    async fn opened(world: &World) -> OpenUpload {
        let pinned = world.control.pin("eastus", world.caller.tenant, &[], "test").await.unwrap();
        OpenUpload::new(Uuid::new_v4(), Arc::new(Nothing), pinned, world.control.now_ms())
    }

    /// Regression: whether somebody looks for resting uploads was asked before the upload was kept. When the last other
    /// one went in between, nobody looked any more, and the new one's pin was renewed for ever.
    #[tokio::test]
    async fn every_upload_is_looked_for() {
        let world = World::new().await;
        let (uploads, now_ms) = (ChunkUploads::default(), world.control.now_ms());
        let (one, two) = (Uuid::new_v4(), Uuid::new_v4());
        assert!(uploads.keep(one, opened(&world).await).unwrap().1, "the first has itself looked for");
        assert!(!uploads.keep(two, opened(&world).await).unwrap().1);
        uploads.close(one);
        uploads.close(two);
        assert!(!uploads.keep(one, opened(&world).await).unwrap().1, "who looked has not stopped yet");
        assert!(uploads.sweep(now_ms + IDLE_MS - 1));
        // Whoever says that he is there need send nothing else.
        uploads.find(one, now_ms + 1).unwrap();
        assert!(uploads.sweep(now_ms + IDLE_MS));
        assert!(!uploads.sweep(now_ms + IDLE_MS + 1), "it has rested too long, and now he stops");
        assert!(uploads.keep(two, opened(&world).await).unwrap().1);
        world.control.shutdown().await;
    }

    /// Begins to write the disk `u`.
    async fn write(world: &World) -> Blob {
        let id = world.id("disks/u");
        world.put("disks/u", upload_body()).await.unwrap();
        let body = json!({ "access": "Write", "durationInSeconds": 3600 });
        let granted = world.control.begin_get_access(&world.ctx(), &id, body).await.unwrap().operation;
        let result = world.control.operation_result(&world.ctx(), granted.subscription, granted.id).await.unwrap();
        let OperationResult::Access(grant) = result else { panic!("{result:?}") };
        world.open_blob(&grant, BlobAction::Write).await.unwrap()
    }

    /// Regression: an upload whose disk was deleted (as `galerie publish` does when it fails) stayed open for a quarter of
    /// an hour. It held its share of the memory for uploads, and its pins held up the collector.
    #[tokio::test]
    async fn an_upload_goes_with_its_grant() {
        let world = World::new().await;
        world.start().furnish().await;
        let blob = write(&world).await;
        blob.put_blobs(Vec::new()).await.unwrap();
        let (control, uploads) = (&world.control, world.control.chunk_uploads());
        close_ended(uploads, control.db(), control.now_ms()).await.unwrap();
        assert_eq!(uploads.grants(), [blob.grant.id]);
        close_ended(uploads, control.db(), blob.grant.expires_ms).await.unwrap();
        assert!(uploads.grants().is_empty(), "expired");
        blob.put_blobs(Vec::new()).await.unwrap();
        world.delete("disks/u").await;
        close_ended(uploads, control.db(), control.now_ms()).await.unwrap();
        assert!(uploads.grants().is_empty(), "the disk is gone");
        world.control.shutdown().await;
    }

    async fn roots(world: &World) -> Vec<ManifestId> {
        let mut tx = world.control.db().read().await.unwrap();
        db::disk_image::roots(&mut tx, "eastus", world.caller.tenant).await.unwrap().whole
    }

    /// Regression: a base image was read once and then forgotten. When it was deleted during the upload, what the upload
    /// had taken over from it was collected.
    #[tokio::test]
    async fn a_base_stays_until_the_upload_is_committed() {
        let world = World::new().await;
        world.start().furnish().await;
        let (version, tenant) = (world.id("galleries/g/images/i/versions/1.0.0"), world.caller.tenant);
        for is_lost in [true, false] {
            world.ended(&world.upload(b"guest bytes", true).await).await;
            world.ended(&world.publish(&["eastus"]).await.unwrap()).await;
            let [base] = roots(&world).await[..] else { panic!("one image") };
            let blob = write(&world).await;
            blob.allow_bases(&world.ctx(), std::slice::from_ref(&version)).await.unwrap();
            world.delete("galleries/g/images/i/versions/1.0.0").await;
            world.delete("disks/d").await;
            assert_eq!(roots(&world).await, [base], "the pin's");
            let source = world.regions["eastus"].blobs(tenant).await.unwrap();
            blob.put_blobs(source.fetch_verified(&[base.0], None).await.unwrap()).await.unwrap();
            if is_lost {
                let mut tx = world.control.db().write().await.unwrap();
                db::pin::release_roots(&mut tx).await.unwrap();
                tx.commit().await.unwrap();
                assert!(matches!(blob.finish_chunks(base).await, Err(BlobError::Conflict(_))));
            } else {
                blob.finish_chunks(base).await.unwrap();
                assert_eq!(roots(&world).await, [base], "the disk's");
            }
            world.delete("disks/u").await;
        }
        world.control.shutdown().await;
    }
}
