//! A manifest in a store as a block device.

use std::{num::NonZero, ops::Range, sync::Arc};

use async_trait::async_trait;
use futures::{
    TryStreamExt,
    stream::{BoxStream, StreamExt},
};
use galerie_store::{Extent, ImageReader, Part, chunking::SEGMENT_SIZE_BYTES};

use super::{BlockDevice, push_extent};
use crate::{Error, Result};

/// An image in a store as a block device. Bytes were verified by the store when they entered its cache.
#[derive(Debug, Clone)]
pub struct ImageDevice {
    reader: Arc<ImageReader>,
}

impl ImageDevice {
    /// A device over the image that `reader` has open.
    pub fn new(reader: Arc<ImageReader>) -> Self {
        Self { reader }
    }
}

#[async_trait]
impl BlockDevice for ImageDevice {
    fn size_bytes(&self) -> u64 {
        self.reader.virtual_size_bytes()
    }

    fn read_cached(&self, range_bytes: Range<u64>, parts: &mut Vec<Part>) -> bool {
        self.reader.read_cached(range_bytes, parts)
    }

    async fn read(&self, range_bytes: Range<u64>) -> Result<Vec<Part>> {
        self.reader.read_parts(range_bytes).await.map_err(from_store)
    }

    async fn extents(&self, range_bytes: Range<u64>, max_extents: usize) -> Result<Vec<Extent>> {
        let mut extents = Vec::new();
        let mut at = range_bytes.start;
        // A segment at a time: a client that wants one extent must not cost the loading of all segments in its range.
        while extents.len() <= max_extents {
            let segment_end = (at / SEGMENT_SIZE_BYTES + 1) * SEGMENT_SIZE_BYTES;
            let window = at..segment_end.min(range_bytes.end);
            at = window.end;
            for extent in self.reader.extents(window).await.map_err(from_store)? {
                push_extent(&mut extents, extent.range_bytes, extent.kind);
            }
            if at >= range_bytes.end {
                break;
            }
        }
        extents.truncate(max_extents);
        Ok(extents)
    }

    fn stream(&self, range_bytes: Range<u64>) -> BoxStream<'static, Result<Part>> {
        let cores = std::thread::available_parallelism().map_or(2, NonZero::get);
        // Two batches for each core and one that is handed on: they end in any order and leave in one, and no core should
        // wait for the slowest.
        self.reader.stream(range_bytes, 2 * cores + 1).map_err(from_store).boxed()
    }
}

/// Keeps a range outside the disk apart from trouble in the store.
fn from_store(error: galerie_store::Error) -> Error {
    match error {
        galerie_store::Error::Invalid(problem) => Error::Invalid(problem),
        other => Error::Store(other),
    }
}
