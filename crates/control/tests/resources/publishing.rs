//! Publishing chunks, and reading versions blob by blob.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use galerie_arm::VersionReference;
use galerie_control::{BlobAction, BlobError};
use galerie_store::{
    BlobId, BlobKind, BlobSink, BlobSource, ChunkCache, ImageReader, ImportOptions, ImportProgress, Manifest,
    ManifestId, MemoryGuest, Result, Segment, StoredBlob, import,
};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::support::{Gallery, disk_bytes, upload_body, version_body, vhd, write};

const ONE: &str = "galleries/g/images/web/versions/1.0.0";

/// What a client would send.
#[derive(Default)]
struct Sent(Mutex<Vec<StoredBlob>>);

#[async_trait]
impl BlobSink for Sent {
    fn contains(&self, id: &BlobId) -> Result<bool> {
        Ok(self.0.lock().unwrap().iter().any(|blob| blob.id == *id))
    }
    fn put(&self, blob: StoredBlob) -> Result<()> {
        self.0.lock().unwrap().push(blob);
        Ok(())
    }
    async fn finish(&self) -> Result<()> {
        Ok(())
    }
}

async fn cut(bytes: Vec<u8>) -> (ManifestId, Vec<StoredBlob>) {
    let sink = Arc::new(Sent::default());
    let guest = Arc::new(MemoryGuest(bytes.into()));
    let options = ImportOptions::default();
    let imported =
        import(guest, sink.clone(), options, Arc::new(ImportProgress::default()), CancellationToken::new()).await;
    let blobs = std::mem::take(&mut *sink.0.lock().unwrap());
    (imported.unwrap().manifest_id, blobs)
}

/// Publishes `blobs` as the disk `name`.
async fn publish(gallery: &Gallery, name: &str, manifest: ManifestId, blobs: Vec<StoredBlob>) {
    let path = format!("disks/{name}");
    gallery.make(&path, upload_body((20 << 20) + 512)).await;
    let grant = gallery.grant(&path, "Write").await.unwrap();
    gallery.open(&grant, BlobAction::Write).await.unwrap().put_blobs(blobs).await.unwrap();
    let imported = gallery.open(&grant, BlobAction::Write).await.unwrap().finish_chunks(manifest).await.unwrap();
    assert_eq!(imported.manifest, manifest);
    // A client that missed the answer asks again.
    let again = gallery.open(&grant, BlobAction::Write).await.unwrap().finish_chunks(manifest).await.unwrap();
    assert_eq!(again, imported);
    gallery.revoke(&path).await.unwrap();
}

#[tokio::test]
async fn published_chunks_become_a_disk_at_once() {
    let gallery = Gallery::start().await;
    let mut bytes = disk_bytes(9);
    bytes.truncate(5 << 20);
    let (manifest, blobs) = cut(bytes.clone()).await;
    publish(&gallery, "d", manifest, blobs).await;
    let disk = gallery.get("disks/d").await;
    assert_eq!(
        (&disk["properties"]["diskSizeBytes"], &disk["properties"]["diskState"]),
        (&json!(5 << 20), &json!("Unattached"))
    );
    assert!(gallery.download("disks/d").await[..5 << 20] == bytes[..]);
}

/// Regression: chunks that an earlier, broken upload had committed won over the pages that were uploaded after them, and
/// the pages were deleted.
#[tokio::test]
async fn pages_that_come_after_committed_chunks_are_the_content() {
    let gallery = Gallery::start().await;
    let (manifest, blobs) = cut(disk_bytes(9)).await;
    let pages = vhd(4).await;
    gallery.make("disks/d", upload_body(pages.len())).await;
    let grant = gallery.grant("disks/d", "Write").await.unwrap();
    let blob = gallery.open(&grant, BlobAction::Write).await.unwrap();
    blob.put_blobs(blobs).await.unwrap();
    blob.finish_chunks(manifest).await.unwrap();
    gallery.clock.advance_ms(3_601_000);

    let grant = gallery.grant("disks/d", "Write").await.unwrap();
    let blob = gallery.open(&grant, BlobAction::Write).await.unwrap();
    write(&blob, &pages).await;
    gallery.revoke("disks/d").await.unwrap();
    assert!(gallery.download("disks/d").await[..20 << 20] == disk_bytes(4)[..]);
}

#[tokio::test]
async fn a_hash_buys_no_bytes() {
    let gallery = Gallery::start().await;
    gallery.define("g", "web").await;
    let (manifest, blobs) = cut(disk_bytes(9)).await;
    publish(&gallery, "d", manifest, blobs.clone()).await;
    gallery.make(ONE, version_body(&gallery.compute("disks/d"), &["eastus"])).await;
    // Only segments and manifest: the chunks are in the store, but not the client's to name.
    let named: Vec<StoredBlob> = blobs.iter().filter(|blob| blob.kind != BlobKind::Chunk).cloned().collect();
    gallery.make("disks/thief", upload_body((20 << 20) + 512)).await;
    let grant = gallery.grant("disks/thief", "Write").await.unwrap();
    let blob = gallery.open(&grant, BlobAction::Write).await.unwrap();
    assert!(matches!(blob.put_blobs(named.clone()).await, Err(BlobError::InvalidInput(_))));
    let absent = gallery.open(&grant, BlobAction::Write).await.unwrap().finish_chunks(manifest).await;
    assert!(matches!(absent, Err(BlobError::InvalidInput(_))), "{absent:?}");
    let stranger = blob.allow_bases(&gallery.stranger(), &[gallery.compute(ONE)]).await;
    assert!(stranger.is_err());
    // Who may read the base may refer to what it lists.
    blob.allow_bases(&gallery.context(), &[gallery.compute(ONE)]).await.unwrap();
    blob.put_blobs(named).await.unwrap();
    blob.finish_chunks(manifest).await.unwrap();
    gallery.revoke("disks/thief").await.unwrap();
    assert!(gallery.download("disks/thief").await == gallery.download("disks/d").await);
}

#[tokio::test]
async fn a_version_is_read_blob_by_blob() {
    let gallery = Gallery::start().await;
    gallery.define("g", "web").await;
    let (manifest, blobs) = cut(disk_bytes(9)).await;
    publish(&gallery, "d", manifest, blobs).await;
    gallery.make(ONE, version_body(&gallery.compute("disks/d"), &["eastus", "westeurope"])).await;
    let reference = VersionReference::parse(gallery.compute(ONE).as_str(), "version").unwrap();
    let content = gallery.control.open_content(&gallery.context(), &reference, Some("westeurope"), None).await.unwrap();
    assert_eq!((content.manifest(), content.virtual_size_bytes()), (manifest, 20 << 20));
    let decoded = Manifest::decode(&content.manifest_blob().await.unwrap().decode().unwrap()).unwrap();
    let segment = decoded.segments()[0].1;
    let listed = Segment::decode(&content.segments(&[segment]).await.unwrap()[0].decode().unwrap()).unwrap();
    let chunk = listed.entries().iter().find_map(|entry| entry.chunk).unwrap();
    content.chunks(segment, &[chunk]).await.unwrap()[0].decode().unwrap();
    let stranger = galerie_store::ChunkId(BlobId::of(b"elsewhere"));
    assert_eq!(content.chunks(segment, &[stranger]).await.unwrap_err().status, 404);
    assert_eq!(content.segments(&[galerie_store::SegmentId(manifest.0)]).await.unwrap_err().status, 404);
    assert!(gallery.control.open_content(&gallery.stranger(), &reference, None, None).await.is_err());

    let reader = ImageReader::open(Arc::new(OverContent(content)), manifest, ChunkCache::new(8 << 20)).await.unwrap();
    assert!(reader.read(0, 20 << 20).await.unwrap()[..] == disk_bytes(9)[..]);
}

/// A client's source, as over the network.
struct OverContent(galerie_control::Content);

#[async_trait::async_trait]
impl BlobSource for OverContent {
    async fn fetch(&self, ids: &[BlobId], listed_by: Option<BlobId>) -> Result<Vec<StoredBlob>> {
        let manifest = self.0.manifest();
        let fetched = match listed_by {
            None => self.0.manifest_blob().await.map(|blob| vec![blob]),
            Some(by) if by == manifest.0 => {
                self.0.segments(&ids.iter().map(|id| galerie_store::SegmentId(*id)).collect::<Vec<_>>()).await
            }
            Some(by) => {
                let chunks: Vec<_> = ids.iter().map(|id| galerie_store::ChunkId(*id)).collect();
                self.0.chunks(galerie_store::SegmentId(by), &chunks).await
            }
        };
        fetched.map_err(|error| galerie_store::Error::Unavailable(error.to_string()))
    }
}
