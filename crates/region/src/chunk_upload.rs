//! An upload of blobs that the client cut and hashed itself (`galerie publish`).
//!
//! The client is not trusted. Every blob is decoded and checked against its id, and what a segment or manifest names
//! must have been sent in this upload or be listed by a base image that the caller may read: knowing a hash never buys
//! bytes. Lengths are checked as well, so an image that was accepted can be read to its end.
//!
//! That a base lists a blob does not make it one to build upon: its pack may be condemned, or its only copy damaged. What
//! the upload takes over from a base is therefore looked up as everything else is, and put again from the base where it
//! is not kept; what cannot be read there must be sent.
//!
//! Zeros that the format leaves out are refused where that is cheap to see. Whether chunks end where the chunker ends them
//! is not looked at: a client that cuts elsewhere gets another manifest id for the same bytes, and shares less.
//!
//! An upload lives in memory. After a crash the client sends what it had sent again; what is durable already is found in
//! the store's index and is not stored twice.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use galerie_store::{
    BlobId, BlobKind, BlobSink, BlobSource, ManifestId, StoredBlob,
    chunking::{SEGMENT_SIZE_BYTES, ZERO_BLOCK_BYTES, ZERO_RUN_MIN_BYTES},
    manifest::Manifest,
    segment::{Segment, SegmentEntry},
};
use tokio::runtime::Handle;
use uuid::Uuid;

use crate::{
    Error, Imported, Result,
    blocking::blocking,
    error::store_error,
    region::ChunkUpload,
    upload_memory::{HeldMemory, UploadMemory},
};

/// The most blobs that one upload may name: 64 TiB of average chunks would be a billion; this is 4 TiB of them. What
/// all uploads of a region know together is bounded by [`UploadMemory`].
const KNOWN_BLOBS_MAX: usize = 1 << 26;
/// What a known blob takes: half a hash, a length and a hash table's slack.
const KNOWN_BLOB_BYTES: u64 = 48;
/// How many of a base's segments are fetched together; a segment has about 36 KiB.
const SEGMENT_BATCH: usize = 16;
/// How many chunks are put again together: at most 256 KiB each.
const INHERITED_BATCH: usize = 64;

/// Half a hash names a blob well enough here: finding another input for a given 128-bit prefix takes 2^128 tries.
type ShortId = [u8; 16];

/// A running upload into one tenant's domain of a region.
pub(crate) struct StoreChunkUpload {
    intake: Arc<Intake>,
}

/// Takes blobs in, on threads that may block.
struct Intake {
    sink: Arc<dyn BlobSink>,
    bases: Arc<dyn BlobSource>,
    known: Mutex<Known>,
}

/// What the upload may refer to. Kinds are kept apart: a chunk may hold the bytes of a segment whose list nobody checked,
/// and must not stand for it.
struct Known {
    /// Chunks with the guest bytes they stand for.
    chunks: Lengths,
    /// Segments with the guest bytes they stand for.
    segments: Lengths,
    /// Those of them that a base lists and that are not kept whole.
    torn: HashSet<ShortId>,
    /// Manifests that were sent, with their virtual sizes.
    manifests: HashMap<ManifestId, u64>,
    memory: HeldMemory,
}

type Lengths = HashMap<ShortId, u32>;

impl StoreChunkUpload {
    /// An upload of a tenant that writes to `sink` and reads base images from `bases`.
    ///
    /// # Errors
    /// `Busy` when the region's uploads hold as much memory as they may, or the tenant's as they may beside the others'.
    pub(crate) fn new(
        sink: Arc<dyn BlobSink>,
        bases: Arc<dyn BlobSource>,
        memory: &Arc<UploadMemory>,
        tenant: Uuid,
    ) -> Result<Self> {
        let known = Known {
            chunks: Lengths::new(),
            segments: Lengths::new(),
            torn: HashSet::new(),
            manifests: HashMap::new(),
            memory: UploadMemory::hold_writer(memory, tenant)?,
        };
        Ok(Self { intake: Arc::new(Intake { sink, bases, known: Mutex::new(known) }) })
    }

    async fn allow_base(&self, base: ManifestId) -> Result<()> {
        let failed = store_error("read a base image");
        let bases = &self.intake.bases;
        let manifest = bases.fetch_decoded(&[base.0], None).await.map_err(&failed)?;
        let manifest = manifest.first().ok_or_else(|| Error::NotFound(format!("{base} is not in the region")))?;
        let manifest = Manifest::decode(manifest).map_err(&failed)?;
        for batch in manifest.segments().chunks(SEGMENT_BATCH) {
            let ids: Vec<BlobId> = batch.iter().map(|(_, id)| id.0).collect();
            let lists = bases.fetch_decoded(&ids, Some(base.0)).await.map_err(&failed)?;
            let intake = Arc::clone(&self.intake);
            blocking("look a base image up", move || {
                ids.iter().zip(lists).try_for_each(|(id, list)| intake.allow_segment(*id, &list))
            })
            .await?;
        }
        Ok(())
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
        let intake = Arc::clone(&self.intake);
        blocking("take blobs in", move || blobs.into_iter().try_for_each(|blob| intake.put(blob))).await
    }

    async fn finish(&self, manifest: ManifestId) -> Result<Imported> {
        let known = self.intake.known().manifests.get(&manifest).copied();
        let virtual_size_bytes =
            known.ok_or_else(|| Error::NotFound(format!("the manifest {manifest} was not sent in this upload")))?;
        self.intake.sink.finish().await.map_err(store_error("make the upload durable"))?;
        Ok(Imported { manifest, virtual_size_bytes })
    }
}

impl Intake {
    /// Checks one blob and puts it. The check of what it names comes before anything is kept, and what it names is kept
    /// before it.
    fn put(&self, blob: StoredBlob) -> Result<()> {
        let decoded = blob.decode().map_err(|e| Error::Refused(format!("the blob {} was refused: {e}", blob.id)))?;
        let id = blob.id;
        let description = describe(&self.known(), blob.kind, &decoded, blob.length_bytes)?;
        match description.stands_for {
            StandsFor::Chunk(_) => {}
            StandsFor::Segment(_) => self.keep_chunks(&description.names)?,
            StandsFor::Manifest(_) => self.keep_segments(&description.names)?,
        }
        if !self.keeps(&id)? {
            self.sink.put(blob).map_err(store_error("store a blob"))?;
        }
        let mut known = self.known();
        known.torn.remove(&short(id));
        known.add(description.stands_for, id)
    }

    /// Allows what a base's segment lists, and notes whether all of it is kept.
    fn allow_segment(&self, id: BlobId, list: &[u8]) -> Result<()> {
        let segment = Segment::decode(list).map_err(store_error("read a base's segment"))?;
        let mut is_whole = self.keeps(&id)?;
        for chunk in chunks_of(segment.entries()) {
            is_whole = is_whole && self.keeps(&chunk)?;
        }
        let mut known = self.known();
        for entry in segment.entries() {
            if let Some(chunk) = entry.chunk {
                known.add(StandsFor::Chunk(entry.length_bytes), chunk.0)?;
            }
        }
        if !is_whole {
            known.torn.insert(short(id));
        }
        known.add(StandsFor::Segment(segment.length_bytes()), id)
    }

    /// Whether a blob is there to be built upon: sound, and in a pack that stays.
    fn keeps(&self, id: &BlobId) -> Result<bool> {
        self.sink.contains(id).map_err(store_error("look a blob up"))
    }

    /// Puts those chunks again that are not kept: a base lists them, for what was sent is kept.
    fn keep_chunks(&self, chunks: &[BlobId]) -> Result<()> {
        let mut missing = Vec::new();
        for chunk in chunks {
            if !self.keeps(chunk)? {
                missing.push(*chunk);
            }
        }
        for batch in missing.chunks(INHERITED_BATCH) {
            for blob in self.fetch_inherited("chunk", batch)? {
                self.sink.put(blob).map_err(store_error("store a base's chunk again"))?;
            }
        }
        Ok(())
    }

    /// The same for segments, and for what they list.
    fn keep_segments(&self, segments: &[BlobId]) -> Result<()> {
        for id in segments {
            if !self.known().torn.contains(&short(*id)) {
                continue;
            }
            for blob in self.fetch_inherited("segment", &[*id])? {
                let list = blob.decode().map_err(store_error("read a base's segment"))?;
                let segment = Segment::decode(&list).map_err(store_error("read a base's segment"))?;
                self.keep_chunks(&chunks_of(segment.entries()).collect::<Vec<_>>())?;
                if !self.keeps(id)? {
                    self.sink.put(blob).map_err(store_error("store a base's segment again"))?;
                }
            }
            self.known().torn.remove(&short(*id));
        }
        Ok(())
    }

    fn fetch_inherited(&self, what: &str, ids: &[BlobId]) -> Result<Vec<StoredBlob>> {
        let fetched = Handle::current().block_on(self.bases.fetch_verified(ids, None));
        fetched.map_err(|error| match error {
            galerie_store::Error::NotFound(_) | galerie_store::Error::Corrupt(_) => {
                Error::NotFound(format!("a {what} that a base image lists is damaged; send it ({error})"))
            }
            other => store_error("read a base's blobs")(other),
        })
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn chunks_of(entries: &[SegmentEntry]) -> impl Iterator<Item = BlobId> {
    entries.iter().filter_map(|entry| entry.chunk).map(|chunk| chunk.0)
}

/// What a verified blob stands for.
enum StandsFor {
    /// A chunk of so many guest bytes.
    Chunk(u32),
    /// A segment of so many guest bytes.
    Segment(u32),
    /// An image of so many guest bytes.
    Manifest(u64),
}

/// A blob, understood: what it stands for and what it names.
struct Description {
    stands_for: StandsFor,
    /// A segment's chunks, a manifest's segments.
    names: Vec<BlobId>,
}

fn describe(known: &Known, kind: BlobKind, decoded: &[u8], length_bytes: u32) -> Result<Description> {
    match kind {
        BlobKind::Chunk if is_a_zero_run(decoded) => {
            Err(Error::Refused("the chunk is all zeros; a run of zeros is not stored".to_owned()))
        }
        BlobKind::Chunk => Ok(Description { stands_for: StandsFor::Chunk(length_bytes), names: Vec::new() }),
        BlobKind::Segment => {
            let segment = Segment::decode(decoded).map_err(refused("segment"))?;
            if segment.is_zero() {
                return Err(Error::Refused("the segment is all zeros; a manifest leaves it out".to_owned()));
            }
            for entry in segment.entries() {
                if let Some(chunk) = entry.chunk {
                    check(&known.chunks, "chunk", chunk.0, entry.length_bytes)?;
                }
            }
            let names = chunks_of(segment.entries()).collect();
            Ok(Description { stands_for: StandsFor::Segment(segment.length_bytes()), names })
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
            let names = manifest.segments().iter().map(|(_, id)| id.0).collect();
            Ok(Description { stands_for: StandsFor::Manifest(size_bytes), names })
        }
    }
}

/// Whether a chunk is all zeros and so long that, wherever it begins, it has a run of zero blocks within, which the
/// chunker would have taken out.
fn is_a_zero_run(chunk: &[u8]) -> bool {
    chunk.len() >= ZERO_RUN_MIN_BYTES + ZERO_BLOCK_BYTES - 1 && chunk.iter().all(|byte| *byte == 0)
}

impl Known {
    fn add(&mut self, stands_for: StandsFor, id: BlobId) -> Result<()> {
        if self.chunks.len() + self.segments.len() + self.manifests.len() >= KNOWN_BLOBS_MAX {
            return Err(Error::Refused(format!("an upload may name at most {KNOWN_BLOBS_MAX} blobs")));
        }
        let is_known = match stands_for {
            StandsFor::Chunk(_) => self.chunks.contains_key(&short(id)),
            StandsFor::Segment(_) => self.segments.contains_key(&short(id)),
            StandsFor::Manifest(_) => self.manifests.contains_key(&ManifestId(id)),
        };
        if !is_known {
            self.memory.grow(KNOWN_BLOB_BYTES)?;
        }
        match stands_for {
            StandsFor::Chunk(length_bytes) => drop(self.chunks.insert(short(id), length_bytes)),
            StandsFor::Segment(length_bytes) => drop(self.segments.insert(short(id), length_bytes)),
            StandsFor::Manifest(size_bytes) => drop(self.manifests.insert(ManifestId(id), size_bytes)),
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
