//! Guest bytes: what a disk looks like from inside, whatever file it came from.

use std::ops::Range;

use crate::Result;

/// A disk's content as its guest would read it. Implemented by the readers of disk formats.
///
/// Reads may come from several threads at once.
pub trait GuestBytes: Send + Sync {
    /// The size the guest sees, in bytes. Constant; need not be a multiple of anything.
    fn virtual_size_bytes(&self) -> u64;

    /// Fills `buf` from `offset_bytes`.
    ///
    /// # Errors
    /// `Corrupt` when the source contradicts itself, `Io` when it cannot be read. Reading past the end is `Invalid`.
    fn read_at(&self, offset_bytes: u64, buf: &mut [u8]) -> Result<()>;

    /// The first run at or after `offset_bytes` that may hold something other than zeros; `None` when only zeros
    /// follow. What lies between two runs is zeros and is never read.
    ///
    /// # Errors
    /// As [`GuestBytes::read_at`].
    fn next_data(&self, offset_bytes: u64) -> Result<Option<Range<u64>>>;
}

/// What a range of guest space holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExtentKind {
    /// Stored bytes.
    Data,
    /// Zeros that are stored nowhere.
    Zero,
}

/// A contiguous range of guest space of one kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extent {
    /// The range, in bytes.
    pub range_bytes: Range<u64>,
    /// What it holds.
    pub kind: ExtentKind,
}

/// Guest bytes in memory: seed disks, and tests.
#[derive(Debug, Clone)]
pub struct MemoryGuest(pub bytes::Bytes);

impl GuestBytes for MemoryGuest {
    fn virtual_size_bytes(&self) -> u64 {
        self.0.len() as u64
    }

    fn read_at(&self, offset_bytes: u64, buf: &mut [u8]) -> Result<()> {
        let start = usize::try_from(offset_bytes).ok();
        let range = start.and_then(|start| Some(start..start.checked_add(buf.len())?));
        let bytes = range.and_then(|range| self.0.get(range));
        let bytes = bytes.ok_or_else(|| crate::Error::Invalid(format!("read past the end at {offset_bytes}")))?;
        buf.copy_from_slice(bytes);
        Ok(())
    }

    fn next_data(&self, offset_bytes: u64) -> Result<Option<Range<u64>>> {
        let size = self.virtual_size_bytes();
        Ok((offset_bytes < size).then_some(offset_bytes..size))
    }
}
