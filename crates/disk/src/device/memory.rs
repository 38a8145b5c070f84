//! A disk held in memory.

use std::{ops::Range, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use galerie_store::{Extent, ExtentKind, Part};

use super::{BlockDevice, check_range, length_bytes, push_extent, stream_by_reads};
use crate::Result;

/// A disk held in memory, in blocks of 64 KiB of which zero ones are not kept: for tests, and for measuring servers
/// without a store behind them.
#[derive(Debug, Clone)]
pub struct MemoryDevice {
    size_bytes: u64,
    blocks: Arc<Vec<Option<Bytes>>>,
}

const BLOCK_BYTES: usize = 64 * 1024;

impl MemoryDevice {
    /// A disk of these bytes.
    pub fn new(content: &[u8]) -> Self {
        let keep = |block: &[u8]| block.iter().any(|byte| *byte != 0).then(|| Bytes::copy_from_slice(block));
        let blocks = content.chunks(BLOCK_BYTES).map(keep).collect();
        Self { size_bytes: content.len() as u64, blocks: Arc::new(blocks) }
    }

    /// Appends the parts of a range that was checked.
    fn append(&self, range: Range<u64>, parts: &mut Vec<Part>) {
        let block_bytes = BLOCK_BYTES as u64;
        let mut at = range.start;
        while at < range.end {
            let start = (at % block_bytes) as usize;
            let length = (block_bytes - at % block_bytes).min(range.end - at);
            match (&self.blocks[(at / block_bytes) as usize], parts.last_mut()) {
                (Some(block), _) => parts.push(Part::Data(block.slice(start..start + length as usize))),
                (None, Some(Part::Zero(zeros))) => *zeros += length,
                (None, _) => parts.push(Part::Zero(length)),
            }
            at += length;
        }
    }
}

#[async_trait]
impl BlockDevice for MemoryDevice {
    fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    fn read_cached(&self, range_bytes: Range<u64>, parts: &mut Vec<Part>) -> bool {
        let inside = check_range(self.size_bytes, range_bytes.start, length_bytes(&range_bytes)).is_ok();
        if inside {
            self.append(range_bytes, parts);
        }
        inside
    }

    async fn read(&self, range_bytes: Range<u64>) -> Result<Vec<Part>> {
        check_range(self.size_bytes, range_bytes.start, length_bytes(&range_bytes))?;
        let mut parts = Vec::new();
        self.append(range_bytes, &mut parts);
        Ok(parts)
    }

    async fn extents(&self, range_bytes: Range<u64>, max_extents: usize) -> Result<Vec<Extent>> {
        let mut at = range_bytes.start;
        let mut extents = Vec::new();
        for part in self.read(range_bytes).await? {
            let kind = if matches!(part, Part::Zero(_)) { ExtentKind::Zero } else { ExtentKind::Data };
            push_extent(&mut extents, at..at + part.length_bytes(), kind);
            at += part.length_bytes();
        }
        extents.truncate(max_extents);
        Ok(extents)
    }

    fn stream(&self, range_bytes: Range<u64>) -> BoxStream<'static, Result<Part>> {
        stream_by_reads(self.clone(), range_bytes)
    }
}
