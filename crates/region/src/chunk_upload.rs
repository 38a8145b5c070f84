//! An upload of blobs that the client cut and hashed itself (`galerie publish`).
//!
//! The client is not trusted. Every blob is decoded and checked against its id, and what a segment or manifest names
//! must have been sent in this upload or be listed by a base image that the caller may read: knowing a hash never buys
//! bytes. Lengths are checked as well, so an image that was accepted can be read to its end.
//!
//! An upload lives in memory. After a crash the client sends what it had sent again; what is durable already is found in
//! the store's index and is not stored twice.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use bytes::Bytes;
use galerie_store::{
    BlobId, BlobKind, BlobSink, BlobSource, ManifestId, StoredBlob, chunking::SEGMENT_SIZE_BYTES, manifest::Manifest,
    segment::Segment,
};

use crate::{Error, Imported, Result, blocking::blocking, error::store_error, region::ChunkUpload};

/// The most blobs that one upload may name: 64 TiB of average chunks would be a billion; this is 4 TiB of them, and
/// bounds an upload's memory to about 2 GiB in the worst case, 50 MiB for 100 GiB of new data.
const KNOWN_BLOBS_MAX: usize = 1 << 26;

/// Half a hash names a blob well enough here: finding another input for a given 128-bit prefix takes 2^128 tries.
type ShortId = [u8; 16];

/// A running upload into one tenant's domain of a region.
pub(crate) struct StoreChunkUpload {
    sink: Arc<dyn BlobSink>,
    bases: Arc<dyn BlobSource>,
    known: Arc<Mutex<Known>>,
}

/// What the upload may refer to. Kinds are kept apart: a chunk may hold the bytes of a segment whose list nobody checked,
/// and must not stand for it.
#[derive(Default)]
struct Known {
    /// Chunks with the guest bytes they stand for.
    chunks: Lengths,
    /// Segments with the guest bytes they stand for.
    segments: Lengths,
    /// Manifests that were sent, with their virtual sizes.
    manifests: HashMap<ManifestId, u64>,
}

type Lengths = HashMap<ShortId, u32>;

impl StoreChunkUpload {
    /// An upload that writes to `sink` and reads base images from `bases`.
    pub(crate) fn new(sink: Arc<dyn BlobSink>, bases: Arc<dyn BlobSource>) -> Self {
        Self { sink, bases, known: Arc::default() }
    }

    async fn allow_base(&self, base: ManifestId) -> Result<()> {
        let manifest = self.fetch_decoded(base.0, None).await?;
        let manifest = Manifest::decode(&manifest).map_err(store_error("read the base's manifest"))?;
        for (_, id) in manifest.segments() {
            let segment = self.fetch_decoded(id.0, Some(base.0)).await?;
            let segment = Segment::decode(&segment).map_err(store_error("read the base's segment"))?;
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            known.add(Described::Segment(segment.length_bytes()), id.0)?;
            for entry in segment.entries() {
                if let Some(chunk) = entry.chunk {
                    known.add(Described::Chunk(entry.length_bytes), chunk.0)?;
                }
            }
        }
        Ok(())
    }

    async fn fetch_decoded(&self, id: BlobId, listed_by: Option<BlobId>) -> Result<Bytes> {
        let failed = store_error("fetch a base's blob");
        let blobs = self.bases.fetch(&[id], listed_by).await.map_err(&failed)?;
        let blob = blobs.first().ok_or_else(|| Error::NotFound(format!("{id} is not in the region")))?;
        blob.decode().map_err(&failed)
    }
}

#[async_trait]
impl ChunkUpload for StoreChunkUpload {
    async fn allow_bases(&self, bases: &[ManifestId]) -> Result<()> {
        for base in bases {
            self.allow_base(*base).await?;
        }
        Ok(())
    }

    async fn put(&self, blobs: Vec<StoredBlob>) -> Result<()> {
        let (sink, known) = (self.sink.clone(), self.known.clone());
        blocking("take blobs", move || blobs.into_iter().try_for_each(|blob| put_blob(&*sink, &known, blob))).await
    }

    async fn finish(&self, manifest: ManifestId) -> Result<Imported> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).manifests.get(&manifest).copied();
        let virtual_size_bytes =
            known.ok_or_else(|| Error::NotFound(format!("the manifest {manifest} was not sent in this upload")))?;
        let sink = self.sink.clone();
        blocking("finish an upload", move || sink.finish().map_err(store_error("make the upload durable"))).await?;
        Ok(Imported { manifest, virtual_size_bytes })
    }
}

/// Checks one blob and puts it. The check of what it names comes before anything is kept.
fn put_blob(sink: &dyn BlobSink, known: &Mutex<Known>, blob: StoredBlob) -> Result<()> {
    let decoded = blob.decode().map_err(|e| Error::Refused(format!("the blob {} was refused: {e}", blob.id)))?;
    let (id, kind, length_bytes) = (blob.id, blob.kind, blob.length_bytes);
    let described = describe(&known.lock().unwrap_or_else(PoisonError::into_inner), kind, &decoded, length_bytes)?;
    if !sink.contains(&id).map_err(store_error("look a blob up"))? {
        sink.put(blob).map_err(store_error("store a blob"))?;
    }
    known.lock().unwrap_or_else(PoisonError::into_inner).add(described, id)
}

/// What a verified blob stands for.
enum Described {
    /// A chunk of so many guest bytes.
    Chunk(u32),
    /// A segment of so many guest bytes.
    Segment(u32),
    /// An image of so many guest bytes.
    Manifest(u64),
}

fn describe(known: &Known, kind: BlobKind, decoded: &[u8], length_bytes: u32) -> Result<Described> {
    match kind {
        BlobKind::Chunk => Ok(Described::Chunk(length_bytes)),
        BlobKind::Segment => {
            let segment = Segment::decode(decoded).map_err(refused("segment"))?;
            for entry in segment.entries() {
                if let Some(chunk) = entry.chunk {
                    check(&known.chunks, "chunk", chunk.0, entry.length_bytes)?;
                }
            }
            Ok(Described::Segment(segment.length_bytes()))
        }
        BlobKind::Manifest => {
            let manifest = Manifest::decode(decoded).map_err(refused("manifest"))?;
            let size_bytes = manifest.virtual_size_bytes();
            if size_bytes == 0 {
                return Err(Error::Refused("the manifest is that of a disk of 0 bytes".to_owned()));
            }
            for (index, id) in manifest.segments() {
                let rest_bytes = size_bytes - u64::from(*index) * SEGMENT_SIZE_BYTES;
                let length_bytes = u32::try_from(rest_bytes.min(SEGMENT_SIZE_BYTES)).expect("a segment's size fits");
                check(&known.segments, "segment", id.0, length_bytes)?;
            }
            Ok(Described::Manifest(size_bytes))
        }
    }
}

impl Known {
    fn add(&mut self, described: Described, id: BlobId) -> Result<()> {
        if self.chunks.len() + self.segments.len() + self.manifests.len() >= KNOWN_BLOBS_MAX {
            return Err(Error::Refused(format!("an upload may name at most {KNOWN_BLOBS_MAX} blobs")));
        }
        match described {
            Described::Chunk(length_bytes) => drop(self.chunks.insert(short(id), length_bytes)),
            Described::Segment(length_bytes) => drop(self.segments.insert(short(id), length_bytes)),
            Described::Manifest(size_bytes) => drop(self.manifests.insert(ManifestId(id), size_bytes)),
        }
        Ok(())
    }
}

fn check(known: &Lengths, what: &str, id: BlobId, length_bytes: u32) -> Result<()> {
    match known.get(&short(id)) {
        Some(found) if *found == length_bytes => Ok(()),
        Some(found) => Err(Error::Refused(format!("the {what} {id} has {found} guest bytes, not {length_bytes}"))),
        None => Err(Error::NotFound(format!(
            "the {what} {id} was not sent in this upload and no base image lists it; send it"
        ))),
    }
}

fn short(id: BlobId) -> ShortId {
    *id.0.first_chunk().expect("a hash has 32 bytes")
}

fn refused(what: &'static str) -> impl Fn(galerie_store::Error) -> Error {
    move |e| Error::Refused(format!("the {what} was refused: {e}"))
}
