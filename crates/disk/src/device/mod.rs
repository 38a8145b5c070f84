//! A disk that can be read asynchronously: what exports and NBD serve.
//!
//! [`ImageDevice`] is the one that matters: a manifest in a store. [`GuestDevice`] is an image file that was not
//! imported, [`MemoryDevice`] is for tests and measurements. [`BlockingDevice`] goes the other way, from a device to guest
//! bytes.

mod blocking;
mod guest;
mod image;
mod memory;

use std::ops::Range;

use async_trait::async_trait;
use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};
use galerie_store::{Extent, ExtentKind, Part};

pub use blocking::BlockingDevice;
pub use guest::GuestDevice;
pub use image::ImageDevice;
pub use memory::MemoryDevice;

use crate::{Error, Result};

/// How much of the disk one read of a stream takes.
const STREAM_READ_BYTES: u64 = 1 << 20;
/// Reads of a stream under way at once; with `STREAM_READ_BYTES` it bounds what a stream holds in memory.
const STREAM_READS_AHEAD: usize = 8;

/// A read-only disk whose bytes never change.
#[async_trait]
pub trait BlockDevice: Send + Sync {
    /// The disk's size, in bytes. Constant.
    fn size_bytes(&self) -> u64;

    /// Reads what is at hand, at once: appends the parts of `range_bytes` and answers `true`, or appends nothing.
    /// For a range outside the disk the answer is `false`.
    fn read_cached(&self, range_bytes: Range<u64>, parts: &mut Vec<Part>) -> bool {
        let _ = (range_bytes, parts);
        false
    }

    /// Reads a range. The parts follow each other without gaps and add up to the range; none is empty. Cancel safe.
    ///
    /// # Errors
    /// `Invalid` when the range is not inside the disk; otherwise what the source says.
    async fn read(&self, range_bytes: Range<u64>) -> Result<Vec<Part>>;

    /// What a prefix of `range_bytes` holds: at least one extent unless the range is empty, no more than
    /// `max_extents`, in order, without gaps, starting at the range's start and not reaching past its end.
    /// Neighbours differ in kind.
    ///
    /// # Errors
    /// As [`BlockDevice::read`].
    async fn extents(&self, range_bytes: Range<u64>, max_extents: usize) -> Result<Vec<Extent>>;

    /// Reads a range from front to back, ahead within a bound. Ends after the first error.
    fn stream(&self, range_bytes: Range<u64>) -> BoxStream<'static, Result<Part>>;
}

/// Checks that a range is inside a disk of `size_bytes`.
pub(crate) fn check_range(size_bytes: u64, offset_bytes: u64, length_bytes: u64) -> Result<()> {
    match offset_bytes.checked_add(length_bytes) {
        Some(end) if end <= size_bytes => Ok(()),
        _ => Err(Error::Invalid(format!(
            "range of {length_bytes} bytes at offset {offset_bytes} reaches past the disk's {size_bytes} bytes"
        ))),
    }
}

/// A range's length; a range that ends before it starts is empty.
pub(crate) fn length_bytes(range_bytes: &Range<u64>) -> u64 {
    range_bytes.end.saturating_sub(range_bytes.start)
}

/// Appends an extent; one of its predecessor's kind grows the predecessor.
pub(crate) fn push_extent(extents: &mut Vec<Extent>, range_bytes: Range<u64>, kind: ExtentKind) {
    if range_bytes.is_empty() {
        return;
    }
    match extents.last_mut() {
        Some(last) if last.kind == kind && last.range_bytes.end == range_bytes.start => {
            last.range_bytes.end = range_bytes.end;
        }
        _ => extents.push(Extent { range_bytes, kind }),
    }
}

/// Streams a device that has no better way than to read one part after the other.
fn stream_by_reads<D>(device: D, range_bytes: Range<u64>) -> BoxStream<'static, Result<Part>>
where
    D: BlockDevice + Clone + 'static,
{
    stream::iter(split(range_bytes))
        .map(move |part| {
            let device = device.clone();
            async move { device.read(part).await }
        })
        .buffered(STREAM_READS_AHEAD)
        .map_ok(|parts| stream::iter(parts.into_iter().map(Ok)))
        .try_flatten()
        .boxed()
}

/// Cuts a range at multiples of the read size.
fn split(range: Range<u64>) -> impl Iterator<Item = Range<u64>> + Send {
    let mut at = range.start;
    std::iter::from_fn(move || {
        (at < range.end).then(|| {
            let start = at;
            at = (start - start % STREAM_READ_BYTES + STREAM_READ_BYTES).min(range.end);
            start..at
        })
    })
}
