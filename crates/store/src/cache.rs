//! Decoded chunks and segments in memory, within a bound.
//!
//! Shared by all readers of a process. Entries belong to the source they came from: a reader never gets from the cache
//! what it could not have fetched itself. What is being fetched by one reader is waited for by the others.

use std::{
    hash::{Hash, Hasher},
    sync::Arc,
};

use bytes::Bytes;
use quick_cache::{Weighter, sync::Cache};

use crate::{BlobId, ChunkId, Segment, SegmentId};

/// What an entry takes beside its bytes.
const ENTRY_OVERHEAD_BYTES: u64 = 160;
const TYPICAL_ENTRY_BYTES: u64 = 64 * 1024;

/// A bounded cache of decoded chunks and segments.
#[derive(Debug)]
pub struct ChunkCache {
    entries: Cache<CacheKey, Cached, CachedWeight>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CacheKey {
    scope: u64,
    is_segment: bool,
    id: BlobId,
}

#[derive(Debug, Clone)]
pub(crate) enum Cached {
    Chunk(Bytes),
    Segment(Arc<Segment>),
}

#[derive(Debug, Clone)]
pub(crate) struct CachedWeight;

pub(crate) type CacheGuard<'a> = quick_cache::sync::PlaceholderGuard<
    'a,
    CacheKey,
    Cached,
    CachedWeight,
    quick_cache::DefaultHashBuilder,
    quick_cache::sync::DefaultLifecycle<CacheKey, Cached>,
>;

impl Hash for CacheKey {
    /// Ids are hashes already; eight bytes of one tell entries apart.
    fn hash<H: Hasher>(&self, state: &mut H) {
        let start = *self.id.0.first_chunk::<8>().expect("an id has 32 bytes");
        state.write_u64(u64::from_le_bytes(start) ^ self.scope);
    }
}

impl Weighter<CacheKey, Cached> for CachedWeight {
    fn weight(&self, _: &CacheKey, value: &Cached) -> u64 {
        ENTRY_OVERHEAD_BYTES
            + match value {
                Cached::Chunk(bytes) => bytes.len() as u64,
                Cached::Segment(segment) => size_of_val(segment.entries()) as u64,
            }
    }
}

impl CacheKey {
    pub(crate) fn chunk(scope: u64, id: ChunkId) -> Self {
        Self { scope, is_segment: false, id: id.0 }
    }

    pub(crate) fn segment(scope: u64, id: SegmentId) -> Self {
        Self { scope, is_segment: true, id: id.0 }
    }
}

impl ChunkCache {
    /// A cache of at most `capacity_bytes`.
    pub fn new(capacity_bytes: u64) -> Arc<Self> {
        let items = usize::try_from(capacity_bytes / TYPICAL_ENTRY_BYTES).unwrap_or(usize::MAX).max(16);
        Arc::new(Self { entries: Cache::with_weighter(items, capacity_bytes, CachedWeight) })
    }

    /// What is in it, in bytes.
    pub fn used_bytes(&self) -> u64 {
        self.entries.weight()
    }

    pub(crate) fn entries(&self) -> &Cache<CacheKey, Cached, CachedWeight> {
        &self.entries
    }

    pub(crate) fn chunk(&self, scope: u64, id: ChunkId) -> Option<Bytes> {
        match self.entries.get(&CacheKey::chunk(scope, id))? {
            Cached::Chunk(bytes) => Some(bytes),
            Cached::Segment(_) => None,
        }
    }

    pub(crate) fn segment(&self, scope: u64, id: SegmentId) -> Option<Arc<Segment>> {
        match self.entries.get(&CacheKey::segment(scope, id))? {
            Cached::Segment(segment) => Some(segment),
            Cached::Chunk(_) => None,
        }
    }
}
