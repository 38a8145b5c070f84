//! Canonical chunking: where guest bytes are cut.
//!
//! The cuts are a pure function of the guest's bytes, and part of the format: every constant below is fixed by format
//! version 1, so that equal disks get equal manifest ids whoever imports them, from whatever container, in whatever
//! pieces. Within a segment, long enough runs of zero blocks are taken out first; what lies between two runs, a
//! *stretch*, is cut by content on its own. Chunking begins anew at each segment and after each zero run.
//!
//! [`SegmentCutter`] does this for one segment, fed in pieces; `gear` decides the cuts in a stretch.

mod cutter;
mod gear;

pub use cutter::{Piece, SegmentCutter};
pub use gear::{GEAR_PHRASE, cut, gear_table};

/// Guest address space is cut into segments of this size; the last one of a disk may be shorter.
pub const SEGMENT_SIZE_BYTES: u64 = 64 * 1024 * 1024;
/// No cut is looked for before this many bytes. Only the last chunk of a stretch may be shorter.
pub const CHUNK_MIN_BYTES: usize = 16 * 1024;
/// What the two masks aim at: before it a cut is made four times less likely, after it four times more.
pub const CHUNK_AVERAGE_BYTES: usize = 64 * 1024;
/// A stretch is cut here if its content offers no cut before.
pub const CHUNK_MAX_BYTES: usize = 256 * 1024;
/// Zeros are looked for in blocks of this size, aligned to the guest's addresses; file systems allocate in these.
pub const ZERO_BLOCK_BYTES: usize = 4096;
/// The least run of zero blocks that is taken out.
pub const ZERO_RUN_MIN_BYTES: usize = 4 * ZERO_BLOCK_BYTES;

/// How many segments a disk of `virtual_size_bytes` has.
pub fn segment_count(virtual_size_bytes: u64) -> u64 {
    virtual_size_bytes.div_ceil(SEGMENT_SIZE_BYTES)
}

/// The length of segment `index` of a disk; zero when it lies past the end.
pub fn segment_length_bytes(virtual_size_bytes: u64, index: u64) -> u64 {
    let start = index.saturating_mul(SEGMENT_SIZE_BYTES);
    virtual_size_bytes.saturating_sub(start).min(SEGMENT_SIZE_BYTES)
}
