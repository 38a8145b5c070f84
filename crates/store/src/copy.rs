//! Copying an image from another source: only what is missing moves, still compressed, verified on arrival, and compressed
//! anew where the target does it in another way.
//!
//! First the segments, then the chunks that the target lacks, in guest order, and the manifest last. That a segment is
//! there says nothing about its chunks (an earlier copy may have been cut short), so each is looked up. A copy that
//! broke is begun again and finds what it brought: nothing that reached a durable pack is fetched twice.

use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use futures::{StreamExt, TryStreamExt, stream};
use tokio_util::sync::CancellationToken;

use crate::{
    BlobId, BlobSink, BlobSource, CondemnedPacks, Error, Manifest, ManifestId, Result, Segment, SegmentId, StoredBlob,
    domain::Domain, writer::DomainWriter,
};

/// How many bytes of decoded chunks are asked for at a time.
const BATCH_BYTES: u64 = 2 * 1024 * 1024;
/// How many blobs are asked for at a time.
const BATCH_BLOBS: usize = 512;
/// How many batches are under way at a time.
const BATCHES_MAX: usize = 4;
/// How many segments are asked for at a time; a segment has about 36 KiB.
const SEGMENT_BATCH: usize = 16;

/// How far a copy is. Read it at any time.
#[derive(Debug, Default)]
pub struct CopyProgress {
    /// The bytes of all the image's chunks; 0 until the segments are there.
    pub total_bytes: AtomicU64,
    /// Of these, what the target has. At the end the total.
    pub copied_bytes: AtomicU64,
    /// What was fetched, as stored: segments, chunks and the manifest.
    pub moved_bytes: AtomicU64,
}

/// Brings an image into `target`. When it returns `Ok`, the manifest and all it names are durable there.
///
/// The caller has pinned the image in the source, and pinned what will be found in the target before reading
/// `condemned`.
///
/// # Errors
/// What the source or the target answers; `Corrupt` when the source has no good copy of a blob; `Cancelled`.
pub async fn pull(
    target: &Arc<Domain>,
    source: &dyn BlobSource,
    manifest: ManifestId,
    condemned: CondemnedPacks,
    progress: &CopyProgress,
    cancel: &CancellationToken,
) -> Result<()> {
    let writer = target.writer(condemned).await?;
    let pull = Pull { target, source, writer: &writer, manifest, progress, under_way: Mutex::default() };
    tokio::select! {
        done = pull.run() => done,
        () = cancel.cancelled() => Err(Error::Cancelled),
    }
}

struct Pull<'a> {
    target: &'a Arc<Domain>,
    source: &'a dyn BlobSource,
    writer: &'a DomainWriter,
    manifest: ManifestId,
    progress: &'a CopyProgress,
    /// Chunks that were asked for and not yet put, so that segments that share one fetch it once.
    under_way: Mutex<HashSet<BlobId>>,
}

/// Chunks of one segment that are fetched together, and the bytes to report for them when they are there.
struct ChunkBatch {
    segment: SegmentId,
    ids: Vec<BlobId>,
    fetched_bytes: u64,
    covered_bytes: u64,
}

impl Pull<'_> {
    async fn run(&self) -> Result<()> {
        let blob = self.fetch_manifest().await?;
        let manifest = Manifest::decode(&blob.decode()?)?;
        let mut seen = HashSet::new();
        let segments: Vec<SegmentId> =
            manifest.segments().iter().map(|(_, id)| *id).filter(|id| seen.insert(*id)).collect();
        self.pull_segments(&segments).await?;
        self.pull_chunks(&segments).await?;
        if !self.writer.contains(&self.manifest.0)? {
            self.writer.put_async(blob).await?;
        }
        self.writer.finish().await
    }

    async fn fetch_manifest(&self) -> Result<StoredBlob> {
        let here = self.target.contains(&self.manifest.0)?;
        let from: &dyn BlobSource = if here { &**self.target } else { self.source };
        let mut blobs = from.fetch_verified(&[self.manifest.0], None).await?;
        let blob = blobs.pop().ok_or_else(|| Error::NotFound(format!("manifest {}", self.manifest)))?;
        if !here {
            self.count_moved(std::slice::from_ref(&blob));
        }
        Ok(blob)
    }

    /// Brings the missing segments and makes them durable, so that they are read from here from then on. Sums up what
    /// there is to copy.
    async fn pull_segments(&self, segments: &[SegmentId]) -> Result<()> {
        let mut total_bytes = 0;
        // Boxed, here and below: the compiler cannot prove a future that holds the bare stream `Send`.
        let mut batches = stream::iter(segments.chunks(SEGMENT_BATCH))
            .map(|batch| self.segment_batch(batch))
            .buffered(BATCHES_MAX)
            .boxed();
        while let Some(blobs) = batches.try_next().await? {
            for (blob, is_new) in blobs {
                total_bytes += Segment::decode(&blob.decode()?)?.data_bytes();
                if is_new {
                    self.writer.put_async(blob).await?;
                }
            }
        }
        self.writer.finish().await?;
        self.progress.total_bytes.store(total_bytes, Ordering::Relaxed);
        Ok(())
    }

    /// The segments of a batch, and which of them are new here.
    async fn segment_batch(&self, segments: &[SegmentId]) -> Result<Vec<(StoredBlob, bool)>> {
        let (mut kept, mut missing) = (Vec::new(), Vec::new());
        for segment in segments {
            if self.writer.contains(&segment.0)? { kept.push(segment.0) } else { missing.push(segment.0) }
        }
        let kept = self.target.fetch_verified(&kept, Some(self.manifest.0)).await?;
        let missing = match missing.is_empty() {
            true => Vec::new(),
            false => self.source.fetch_verified(&missing, Some(self.manifest.0)).await?,
        };
        self.count_moved(&missing);
        let missing = self.writer.encoded(missing).await?;
        Ok(kept.into_iter().map(|blob| (blob, false)).chain(missing.into_iter().map(|blob| (blob, true))).collect())
    }

    async fn pull_chunks(&self, segments: &[SegmentId]) -> Result<()> {
        let batches = stream::iter(segments.iter().copied())
            .then(|segment| self.chunk_batches(segment))
            .map_ok(|batches| stream::iter(batches.into_iter().map(Ok)))
            .try_flatten();
        let mut fetched = batches.map(|batch| self.fetch_batch(batch)).buffered(BATCHES_MAX).boxed();
        while let Some((blobs, covered_bytes)) = fetched.try_next().await? {
            for blob in blobs {
                let id = blob.id;
                self.writer.put_async(blob).await?;
                self.under_way().remove(&id);
            }
            self.progress.copied_bytes.fetch_add(covered_bytes, Ordering::Relaxed);
        }
        Ok(())
    }

    /// The chunks of a segment that are missing here, in batches. What is here already is counted in the first.
    async fn chunk_batches(&self, id: SegmentId) -> Result<Vec<ChunkBatch>> {
        let segment = self.target.segment(id).await?;
        let empty = || ChunkBatch { segment: id, ids: Vec::new(), fetched_bytes: 0, covered_bytes: 0 };
        let mut batches = vec![empty()];
        for entry in segment.entries() {
            let Some(chunk) = entry.chunk else { continue };
            let length_bytes = u64::from(entry.length_bytes);
            let is_missing = !self.writer.contains(&chunk.0)? && self.under_way().insert(chunk.0);
            let last = batches.last_mut().expect("there is always one");
            let is_full = last.fetched_bytes + length_bytes > BATCH_BYTES || last.ids.len() == BATCH_BLOBS;
            if is_missing && is_full {
                batches.push(empty());
            }
            let last = batches.last_mut().expect("there is always one");
            last.covered_bytes += length_bytes;
            if is_missing {
                last.fetched_bytes += length_bytes;
                last.ids.push(chunk.0);
            }
        }
        Ok(batches)
    }

    async fn fetch_batch(&self, batch: Result<ChunkBatch>) -> Result<(Vec<StoredBlob>, u64)> {
        let batch = batch?;
        if batch.ids.is_empty() {
            return Ok((Vec::new(), batch.covered_bytes));
        }
        let blobs = self.source.fetch_verified(&batch.ids, Some(batch.segment.0)).await?;
        self.count_moved(&blobs);
        Ok((self.writer.encoded(blobs).await?, batch.covered_bytes))
    }

    fn under_way(&self) -> MutexGuard<'_, HashSet<BlobId>> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count_moved(&self, blobs: &[StoredBlob]) {
        let moved: u64 = blobs.iter().map(|blob| blob.bytes.len() as u64).sum();
        self.progress.moved_bytes.fetch_add(moved, Ordering::Relaxed);
    }
}
