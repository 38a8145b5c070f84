//! Reading an image: any range of guest space, from a manifest and a source of blobs.
//!
//! Everything read was verified when it entered the cache. What the cache holds is answered without waiting, locking
//! more than a cache shard or copying ([`ImageReader::read_cached`]); the rest is fetched in batches of neighbours. Who
//! reads on where they left off is read ahead for. [`ImageReader::stream`] is for whole images: it goes past the cache
//! so that an export does not drive out what guests use.

mod batch;

use std::{
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use futures::{StreamExt, TryStreamExt, future, stream, stream::BoxStream};
use quick_cache::sync::GuardResult;
use tokio::sync::Semaphore;

pub use batch::Part;
use batch::{Batch, Span, batches_of, push_zero, slice, spans};

use crate::{
    BlobId, BlobSource, ChunkId, Error, Extent, ExtentKind, Manifest, ManifestId, Result, Segment, SegmentId,
    cache::{CacheGuard, CacheKey, Cached, ChunkCache},
    domain::{fetch_manifest, fetch_segment},
    segment::push_extent,
};

/// Read-ahead begins with this many bytes, and doubles with every read that goes on where the last one ended.
const READ_AHEAD_MIN_BYTES: u64 = 512 * 1024;
/// A read that begins this near to the end of the last one goes on from it.
const READ_AHEAD_SLACK_BYTES: u64 = 1024 * 1024;
/// Read-ahead ends at this many bytes.
const READ_AHEAD_MAX_BYTES: u64 = 4 * 1024 * 1024;
/// How many read-aheads one image has under way; one more than that is left out.
const READ_AHEADS_MAX: usize = 2;
/// How many segments a stream loads before it needs them.
const SEGMENTS_AHEAD: usize = 2;

/// An image that can be read. Share it: all methods may be called from many tasks.
pub struct ImageReader {
    source: Arc<dyn BlobSource>,
    scope: u64,
    manifest_id: ManifestId,
    manifest: Manifest,
    cache: Arc<ChunkCache>,
    /// Where the last read ended.
    last_end_bytes: AtomicU64,
    /// How far was read ahead, and by how much the next time.
    ahead_until_bytes: AtomicU64,
    ahead_bytes: AtomicU64,
    /// How many fetches there were; a read-ahead that made none found everything cached, and is the last until the next
    /// read that has to wait.
    fetches: AtomicU64,
    is_cold: AtomicBool,
    read_aheads: Arc<Semaphore>,
}

impl std::fmt::Debug for ImageReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ImageReader").field("manifest_id", &self.manifest_id).finish_non_exhaustive()
    }
}

impl ImageReader {
    /// Opens the image that the manifest names.
    ///
    /// # Errors
    /// `NotFound`, `Corrupt`, `Io`, `Unavailable`.
    pub async fn open(source: Arc<dyn BlobSource>, manifest: ManifestId, cache: Arc<ChunkCache>) -> Result<Arc<Self>> {
        let decoded = fetch_manifest(&*source, manifest).await?;
        Ok(Arc::new(Self {
            scope: source.cache_scope(),
            source,
            manifest_id: manifest,
            manifest: decoded,
            cache,
            last_end_bytes: AtomicU64::new(0),
            ahead_until_bytes: AtomicU64::new(0),
            ahead_bytes: AtomicU64::new(READ_AHEAD_MIN_BYTES),
            fetches: AtomicU64::new(0),
            is_cold: AtomicBool::new(true),
            read_aheads: Arc::new(Semaphore::new(READ_AHEADS_MAX)),
        }))
    }

    /// The size the guest sees.
    pub fn virtual_size_bytes(&self) -> u64 {
        self.manifest.virtual_size_bytes()
    }

    /// The manifest's id.
    pub fn manifest_id(&self) -> ManifestId {
        self.manifest_id
    }

    /// The manifest.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Reads from the cache alone, at once: appends the parts of `range`, or nothing and answers `false`.
    ///
    /// The range must lie in the image; for another one the answer is `false`. Must be called within a Tokio runtime: it
    /// may start a read-ahead.
    pub fn read_cached(self: &Arc<Self>, range: Range<u64>, parts: &mut Vec<Part>) -> bool {
        let before = parts.len();
        if self.check(&range).is_err() || !self.append_cached(range.clone(), parts) {
            parts.truncate(before);
            return false;
        }
        if self.goes_on(&range) && self.is_cold.load(Ordering::Relaxed) {
            self.read_ahead(range.end);
        }
        true
    }

    /// Whether a read goes on about where the last one ended; a client with several requests under way may send them
    /// out of order.
    fn goes_on(&self, range: &Range<u64>) -> bool {
        let last_end = self.last_end_bytes.swap(range.end, Ordering::Relaxed);
        range.start > 0 && range.start.abs_diff(last_end) <= READ_AHEAD_SLACK_BYTES
    }

    fn append_cached(&self, range: Range<u64>, parts: &mut Vec<Part>) -> bool {
        for span in spans(range) {
            let Some(id) = self.manifest.segment(span.index) else {
                push_zero(parts, u64::from(span.range.end - span.range.start));
                continue;
            };
            let Some(segment) = self.cache.segment(self.scope, id) else { return false };
            for entry in segment.overlapping(span.range.clone()) {
                let overlap = entry.start_bytes.max(span.range.start)
                    ..(entry.start_bytes + entry.length_bytes).min(span.range.end);
                let Some(chunk) = entry.chunk else {
                    push_zero(parts, u64::from(overlap.end - overlap.start));
                    continue;
                };
                let Some(bytes) = self.cache.chunk(self.scope, chunk) else { return false };
                let within = (overlap.start - entry.start_bytes) as usize..(overlap.end - entry.start_bytes) as usize;
                let Some(bytes) = slice(&bytes, within) else { return false };
                parts.push(Part::Data(bytes));
            }
        }
        true
    }

    /// Reads a range, from the cache where it can.
    ///
    /// # Errors
    /// `Invalid` past the image's end; `NotFound`, `Corrupt`, `Io`, `Unavailable`.
    pub async fn read_parts(self: &Arc<Self>, range: Range<u64>) -> Result<Vec<Part>> {
        self.check(&range)?;
        let mut parts = Vec::new();
        let goes_on = self.goes_on(&range);
        if !self.append_cached(range.clone(), &mut parts) {
            parts.clear();
            self.is_cold.store(true, Ordering::Relaxed);
            for span in spans(range.clone()) {
                self.append_span(&span, &mut parts).await?;
            }
        }
        if goes_on {
            self.read_ahead(range.end);
        } else {
            self.ahead_bytes.store(READ_AHEAD_MIN_BYTES, Ordering::Relaxed);
            self.ahead_until_bytes.store(range.end, Ordering::Relaxed);
        }
        Ok(parts)
    }

    /// Reads `length_bytes` from `offset_bytes`.
    ///
    /// # Errors
    /// As [`ImageReader::read_parts`].
    pub async fn read(self: &Arc<Self>, offset_bytes: u64, length_bytes: u64) -> Result<Bytes> {
        let end = offset_bytes.checked_add(length_bytes).ok_or_else(|| past_end(offset_bytes))?;
        let mut parts = self.read_parts(offset_bytes..end).await?;
        if let [Part::Data(bytes)] = parts.as_mut_slice() {
            return Ok(std::mem::take(bytes));
        }
        let mut whole = BytesMut::with_capacity(usize::try_from(length_bytes).map_err(|_| past_end(offset_bytes))?);
        for part in parts {
            match part {
                Part::Data(bytes) => whole.extend_from_slice(&bytes),
                // The range's length fits, so its part's does.
                Part::Zero(length) => whole.resize(whole.len() + length as usize, 0),
            }
        }
        Ok(whole.freeze())
    }

    /// What a range holds, neighbours of one kind merged. Reads segments, never chunks.
    ///
    /// # Errors
    /// As [`ImageReader::read_parts`].
    pub async fn extents(&self, range: Range<u64>) -> Result<Vec<Extent>> {
        self.check(&range)?;
        let mut extents = Vec::new();
        for span in spans(range) {
            match self.manifest.segment(span.index) {
                Some(id) => self.segment(id).await?.extents(span.base_bytes, span.range, &mut extents),
                None => {
                    let start = span.base_bytes + u64::from(span.range.start);
                    let end = span.base_bytes + u64::from(span.range.end);
                    push_extent(&mut extents, Extent { range_bytes: start..end, kind: ExtentKind::Zero });
                }
            }
        }
        Ok(extents)
    }

    /// Reads a range from front to back, `parallelism` batches at a time, past the cache.
    pub fn stream(self: &Arc<Self>, range: Range<u64>, parallelism: usize) -> BoxStream<'static, Result<Part>> {
        if let Err(error) = self.check(&range) {
            return stream::once(future::ready(Err(error))).boxed();
        }
        let (for_segments, for_chunks) = (Arc::clone(self), Arc::clone(self));
        stream::iter(spans(range))
            .map(move |span| {
                let reader = Arc::clone(&for_segments);
                async move { reader.batches(span).await }
            })
            .buffered(SEGMENTS_AHEAD)
            .map_ok(|batches| stream::iter(batches.into_iter().map(Ok)))
            .try_flatten()
            .map(move |batch| {
                let reader = Arc::clone(&for_chunks);
                async move { reader.fetch_batch(batch?).await }
            })
            .buffered(parallelism.max(1))
            .map_ok(|parts| stream::iter(parts.into_iter().map(Ok)))
            .try_flatten()
            .boxed()
    }

    fn check(&self, range: &Range<u64>) -> Result<()> {
        if range.start > range.end || range.end > self.virtual_size_bytes() {
            return Err(past_end(range.end));
        }
        Ok(())
    }

    async fn segment(&self, id: SegmentId) -> Result<Arc<Segment>> {
        let fetch = async {
            let segment = fetch_segment(&*self.source, id, self.manifest_id).await?;
            Ok::<_, Error>(Cached::Segment(Arc::new(segment)))
        };
        match self.cache.entries().get_or_insert_async(&CacheKey::segment(self.scope, id), fetch).await? {
            Cached::Segment(segment) => Ok(segment),
            Cached::Chunk(_) => Err(Error::Corrupt(format!("segment {id} is cached as a chunk"))),
        }
    }

    async fn append_span(&self, span: &Span, parts: &mut Vec<Part>) -> Result<()> {
        let Some(id) = self.manifest.segment(span.index) else {
            push_zero(parts, u64::from(span.range.end - span.range.start));
            return Ok(());
        };
        let segment = self.segment(id).await?;
        for batch in batches_of(&segment, id, span.range.clone()) {
            let chunks = self.cached_chunks(&batch.chunk_ids(), id).await?;
            batch.append(chunks, parts)?;
        }
        Ok(())
    }

    /// Chunks through the cache, in order. Those that others are fetching are waited for after the rest was fetched, when
    /// nothing is held that anybody could be waiting for.
    async fn cached_chunks(&self, ids: &[ChunkId], listed_by: SegmentId) -> Result<Vec<Bytes>> {
        let mut found: Vec<Option<Bytes>> = vec![None; ids.len()];
        let mut guards: Vec<(usize, CacheGuard<'_>)> = Vec::new();
        for (at, id) in ids.iter().enumerate() {
            let key = CacheKey::chunk(self.scope, *id);
            match self.cache.entries().get_value_or_guard(&key, Some(Duration::ZERO)) {
                GuardResult::Value(Cached::Chunk(bytes)) => found[at] = Some(bytes),
                GuardResult::Guard(guard) => guards.push((at, guard)),
                GuardResult::Value(Cached::Segment(_)) | GuardResult::Timeout => {}
            }
        }
        let wanted: Vec<BlobId> = guards.iter().map(|(at, _)| ids[*at].0).collect();
        if !wanted.is_empty() {
            self.fetches.fetch_add(1, Ordering::Relaxed);
            let fetched = self.source.fetch_decoded(&wanted, Some(listed_by.0)).await?;
            for ((at, guard), bytes) in guards.into_iter().zip(fetched) {
                found[at] = Some(bytes.clone());
                // Were it refused, it would only be fetched again.
                let _ = guard.insert(Cached::Chunk(bytes));
            }
        }
        let mut chunks = Vec::with_capacity(ids.len());
        for (id, bytes) in ids.iter().zip(found) {
            chunks.push(match bytes {
                Some(bytes) => bytes,
                None => self.chunk(*id, listed_by).await?,
            });
        }
        Ok(chunks)
    }

    async fn chunk(&self, id: ChunkId, listed_by: SegmentId) -> Result<Bytes> {
        let fetch = async {
            let mut fetched = self.source.fetch_decoded(&[id.0], Some(listed_by.0)).await?;
            fetched.pop().map(Cached::Chunk).ok_or_else(|| Error::NotFound(format!("chunk {id}")))
        };
        match self.cache.entries().get_or_insert_async(&CacheKey::chunk(self.scope, id), fetch).await? {
            Cached::Chunk(bytes) => Ok(bytes),
            Cached::Segment(_) => Err(Error::Corrupt(format!("chunk {id} is cached as a segment"))),
        }
    }

    /// Fetches what follows, in the background. An error shows when somebody reads it.
    fn read_ahead(self: &Arc<Self>, end_bytes: u64) {
        let ahead = self.ahead_bytes.load(Ordering::Relaxed);
        let from = self.ahead_until_bytes.load(Ordering::Relaxed).max(end_bytes);
        if from > end_bytes + ahead / 2 {
            return;
        }
        let until = (from + ahead).min(self.virtual_size_bytes());
        let Ok(permit) = Arc::clone(&self.read_aheads).try_acquire_owned() else { return };
        if from >= until {
            return;
        }
        self.ahead_until_bytes.store(until, Ordering::Relaxed);
        self.ahead_bytes.store((ahead * 2).min(READ_AHEAD_MAX_BYTES), Ordering::Relaxed);
        let reader = Arc::clone(self);
        tokio::spawn(async move {
            let _permit = permit;
            let fetches = reader.fetches.load(Ordering::Relaxed);
            let mut unused = Vec::new();
            for span in spans(from..until) {
                if reader.append_span(&span, &mut unused).await.is_err() {
                    break;
                }
                unused.clear();
            }
            if reader.fetches.load(Ordering::Relaxed) == fetches {
                reader.is_cold.store(false, Ordering::Relaxed);
            }
        });
    }

    async fn batches(&self, span: Span) -> Result<Vec<Batch>> {
        match self.manifest.segment(span.index) {
            Some(id) => {
                let segment = self.segment(id).await?;
                Ok(batches_of(&segment, id, span.range))
            }
            None => Ok(vec![Batch::zeros(span.range)]),
        }
    }

    async fn fetch_batch(&self, batch: Batch) -> Result<Vec<Part>> {
        let ids: Vec<BlobId> = batch.chunk_ids().into_iter().map(|id| id.0).collect();
        let chunks = match ids.is_empty() {
            true => Vec::new(),
            false => self.source.fetch_decoded(&ids, batch.listed_by.map(|id| id.0)).await?,
        };
        let mut parts = Vec::new();
        batch.append(chunks, &mut parts)?;
        Ok(parts)
    }
}

fn past_end(offset_bytes: u64) -> Error {
    Error::Invalid(format!("offset {offset_bytes} lies past the image's end"))
}
