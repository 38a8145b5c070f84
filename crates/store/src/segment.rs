//! Segments: the ordered chunks of 64 MiB of guest space.
//!
//! A segment's bytes are canonical: one list of pieces has one encoding, and decoding accepts no other. A decoded
//! segment therefore always adds up; it promises nothing about whether its chunks are kept anywhere.

use std::ops::Range;

use bytes::Bytes;

use crate::{
    BlobId, ChunkId, Error, Extent, ExtentKind, Result, SegmentId,
    chunking::{CHUNK_MAX_BYTES, SEGMENT_SIZE_BYTES, ZERO_BLOCK_BYTES, ZERO_RUN_MIN_BYTES},
    wire::Fields,
};

/// The first bytes of an encoded segment.
pub const SEGMENT_MAGIC: &[u8; 4] = b"GSEG";
/// The version of the encoding and of the chunking behind it.
pub const SEGMENT_VERSION: u16 = 1;
const HEADER_BYTES: usize = 16;
/// Marks an entry as zeros; the other bits are its length.
const ZERO_FLAG: u32 = 1 << 31;
/// The most entries a segment can have: chunks and zero runs take turns, each pair at least this long.
const ENTRIES_MAX: usize = 2 * (SEGMENT_SIZE_BYTES as usize / (ZERO_RUN_MIN_BYTES + ZERO_BLOCK_BYTES)) + 2;
/// The longest encoded segment.
pub const SEGMENT_ENCODED_MAX_BYTES: usize = HEADER_BYTES + ENTRIES_MAX * 36;

/// One piece of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentEntry {
    /// Where it begins, from the segment's start.
    pub start_bytes: u32,
    /// How long it is.
    pub length_bytes: u32,
    /// Its chunk; `None` for zeros.
    pub chunk: Option<ChunkId>,
}

/// The pieces of a segment, in order and without gaps.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Segment {
    entries: Vec<SegmentEntry>,
    length_bytes: u32,
}

impl Segment {
    /// Adds the next piece.
    ///
    /// # Errors
    /// `Corrupt` when no chunker makes such a piece there.
    pub fn push(&mut self, length_bytes: u32, chunk: Option<ChunkId>) -> Result<()> {
        let complaint = |why: &str| Err(Error::Corrupt(format!("segment entry {} {why}", self.entries.len())));
        let Some(total) = self.length_bytes.checked_add(length_bytes).filter(|n| u64::from(*n) <= SEGMENT_SIZE_BYTES)
        else {
            return complaint("goes past the segment's end");
        };
        match chunk {
            _ if length_bytes == 0 => return complaint("is empty"),
            Some(_) if length_bytes as usize > CHUNK_MAX_BYTES => return complaint("is longer than a chunk"),
            None if self.entries.last().is_some_and(|last| last.chunk.is_none()) => {
                return complaint("splits a zero run");
            }
            None if !(self.length_bytes as usize).is_multiple_of(ZERO_BLOCK_BYTES) => {
                return complaint("is an unaligned zero run");
            }
            // By its number of blocks: the disk's end may cut the last one short.
            None if (length_bytes as usize).div_ceil(ZERO_BLOCK_BYTES) * ZERO_BLOCK_BYTES < ZERO_RUN_MIN_BYTES => {
                return complaint("is a zero run too short to be one");
            }
            Some(_) if self.ends_in_part_of_a_block() => return complaint("follows the end of the disk"),
            _ if self.entries.len() == ENTRIES_MAX => return complaint("is one too many"),
            _ => {}
        }
        self.entries.push(SegmentEntry { start_bytes: self.length_bytes, length_bytes, chunk });
        self.length_bytes = total;
        Ok(())
    }

    /// Whether the last piece is a zero run that ends within a block, as only the disk's end makes one.
    fn ends_in_part_of_a_block(&self) -> bool {
        let last_is_zero = self.entries.last().is_some_and(|last| last.chunk.is_none());
        last_is_zero && !(self.length_bytes as usize).is_multiple_of(ZERO_BLOCK_BYTES)
    }

    /// The pieces.
    pub fn entries(&self) -> &[SegmentEntry] {
        &self.entries
    }

    /// The guest space covered, in bytes.
    pub fn length_bytes(&self) -> u32 {
        self.length_bytes
    }

    /// Whether nothing of it is stored.
    pub fn is_zero(&self) -> bool {
        self.entries.iter().all(|entry| entry.chunk.is_none())
    }

    /// The bytes its chunks hold, repeated ones counted each time.
    pub fn data_bytes(&self) -> u64 {
        self.entries.iter().filter(|entry| entry.chunk.is_some()).map(|entry| u64::from(entry.length_bytes)).sum()
    }

    /// The pieces that overlap `range`, in bytes from the segment's start.
    pub fn overlapping(&self, range: Range<u32>) -> &[SegmentEntry] {
        let first = self.entries.partition_point(|entry| entry.start_bytes + entry.length_bytes <= range.start);
        let after = self.entries.partition_point(|entry| entry.start_bytes < range.end);
        &self.entries[first..after.max(first)]
    }

    /// What `range` holds, merged; offsets of the answer count from the segment's start plus `base_bytes`.
    pub fn extents(&self, base_bytes: u64, range: Range<u32>, into: &mut Vec<Extent>) {
        for entry in self.overlapping(range.clone()) {
            let start = base_bytes + u64::from(entry.start_bytes.max(range.start));
            let end = base_bytes + u64::from((entry.start_bytes + entry.length_bytes).min(range.end));
            let kind = if entry.chunk.is_some() { ExtentKind::Data } else { ExtentKind::Zero };
            push_extent(into, Extent { range_bytes: start..end, kind });
        }
    }

    /// The canonical encoding.
    pub fn encode(&self) -> Bytes {
        let mut bytes = Vec::with_capacity(HEADER_BYTES + self.entries.len() * 36);
        bytes.extend_from_slice(SEGMENT_MAGIC);
        bytes.extend_from_slice(&SEGMENT_VERSION.to_le_bytes());
        bytes.extend_from_slice(&[0; 2]);
        bytes.extend_from_slice(&self.length_bytes.to_le_bytes());
        bytes.extend_from_slice(&u32::try_from(self.entries.len()).expect("bounded by push").to_le_bytes());
        for entry in &self.entries {
            match entry.chunk {
                Some(chunk) => {
                    bytes.extend_from_slice(&entry.length_bytes.to_le_bytes());
                    bytes.extend_from_slice(&chunk.0.0);
                }
                None => bytes.extend_from_slice(&(entry.length_bytes | ZERO_FLAG).to_le_bytes()),
            }
        }
        bytes.into()
    }

    /// The id of the encoding.
    pub fn id(&self) -> SegmentId {
        SegmentId(BlobId::of(&self.encode()))
    }

    /// Reads an encoding.
    ///
    /// # Errors
    /// `Corrupt`, saying what is wrong.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let mut fields = Fields::new(bytes, "segment");
        fields.expect(SEGMENT_MAGIC, "magic")?;
        fields.version(SEGMENT_VERSION)?;
        fields.expect(&[0; 2], "reserved field")?;
        let length_bytes = fields.u32()?;
        let count = fields.u32()? as usize;
        // The shortest entry has 4 bytes, so the input itself bounds what is allocated.
        if count > ENTRIES_MAX || count > fields.left() / 4 {
            return Err(fields.corrupt("counts more entries than it can hold"));
        }
        let mut segment = Self { entries: Vec::with_capacity(count), length_bytes: 0 };
        for _ in 0..count {
            let word = fields.u32()?;
            let chunk = if word & ZERO_FLAG == 0 { Some(ChunkId(BlobId(fields.take()?))) } else { None };
            segment.push(word & !ZERO_FLAG, chunk)?;
        }
        fields.end()?;
        if segment.length_bytes != length_bytes {
            return Err(fields.corrupt("does not add up to its length"));
        }
        Ok(segment)
    }
}

/// Appends an extent, joined to the last when they are of one kind and adjoin.
pub(crate) fn push_extent(into: &mut Vec<Extent>, next: Extent) {
    match into.last_mut() {
        Some(last) if last.kind == next.kind && last.range_bytes.end == next.range_bytes.start => {
            last.range_bytes.end = next.range_bytes.end;
        }
        _ => into.push(next),
    }
}
