//! From a range of guest space to the chunks it takes, and from chunks to parts.

use std::ops::Range;

use bytes::Bytes;

use crate::{ChunkId, Error, Result, Segment, SegmentId, chunking::SEGMENT_SIZE_BYTES};

/// How many bytes of chunks are fetched together.
const BATCH_BYTES: u64 = 1024 * 1024;

/// A part of what was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// Stored bytes.
    Data(Bytes),
    /// Zeros that are stored nowhere; how many.
    Zero(u64),
}

impl Part {
    /// How many bytes of guest space it covers.
    pub fn length_bytes(&self) -> u64 {
        match self {
            Self::Data(bytes) => bytes.len() as u64,
            Self::Zero(length_bytes) => *length_bytes,
        }
    }
}

/// The part of a range that lies in one segment.
pub(super) struct Span {
    pub(super) index: u32,
    /// Where the segment begins in guest space.
    pub(super) base_bytes: u64,
    /// From the segment's start.
    pub(super) range: Range<u32>,
}

/// Neighbouring pieces of one segment that are fetched together.
pub(super) struct Batch {
    pub(super) listed_by: Option<SegmentId>,
    pieces: Vec<BatchPiece>,
}

/// What is wanted of a chunk, from the chunk's start; or a number of zeros.
struct BatchPiece {
    within: Range<u32>,
    chunk: Option<ChunkId>,
}

impl Batch {
    /// Zeros that no segment lists.
    pub(super) fn zeros(within: Range<u32>) -> Self {
        Self { listed_by: None, pieces: vec![BatchPiece { within, chunk: None }] }
    }

    pub(super) fn chunk_ids(&self) -> Vec<ChunkId> {
        self.pieces.iter().filter_map(|piece| piece.chunk).collect()
    }

    /// Appends what is wanted of `chunks`, which are those of [`Batch::chunk_ids`].
    pub(super) fn append(self, chunks: Vec<Bytes>, parts: &mut Vec<Part>) -> Result<()> {
        let mut chunks = chunks.into_iter();
        for piece in self.pieces {
            let Some(id) = piece.chunk else {
                push_zero(parts, u64::from(piece.within.end - piece.within.start));
                continue;
            };
            let within = piece.within.start as usize..piece.within.end as usize;
            let bytes = chunks.next().and_then(|bytes| slice(&bytes, within));
            let bytes = bytes.ok_or_else(|| Error::Corrupt(format!("chunk {id} is shorter than its segment says")))?;
            parts.push(Part::Data(bytes));
        }
        Ok(())
    }
}

pub(super) fn batches_of(segment: &Segment, id: SegmentId, range: Range<u32>) -> Vec<Batch> {
    let mut batches: Vec<Batch> = Vec::new();
    let mut batch_bytes = u64::MAX;
    for entry in segment.overlapping(range.clone()) {
        let start = entry.start_bytes.max(range.start) - entry.start_bytes;
        let end = (entry.start_bytes + entry.length_bytes).min(range.end) - entry.start_bytes;
        let fetched = if entry.chunk.is_some() { u64::from(entry.length_bytes) } else { 0 };
        if batch_bytes.saturating_add(fetched) > BATCH_BYTES {
            batches.push(Batch { listed_by: Some(id), pieces: Vec::new() });
            batch_bytes = 0;
        }
        batch_bytes += fetched;
        let batch = batches.last_mut().expect("the first piece begins a batch");
        batch.pieces.push(BatchPiece { within: start..end, chunk: entry.chunk });
    }
    batches
}

pub(super) fn spans(range: Range<u64>) -> impl Iterator<Item = Span> + Send + 'static {
    let first = range.start / SEGMENT_SIZE_BYTES;
    let after = range.end.div_ceil(SEGMENT_SIZE_BYTES);
    let after = if range.is_empty() { first } else { after };
    (first..after).map(move |index| {
        let base_bytes = index * SEGMENT_SIZE_BYTES;
        let within = |at: u64| u32::try_from(at.clamp(base_bytes, base_bytes + SEGMENT_SIZE_BYTES) - base_bytes);
        let start = within(range.start).expect("a segment has 64 MiB");
        let end = within(range.end).expect("a segment has 64 MiB");
        let index = u32::try_from(index).expect("a disk of at most 64 TiB has at most 2^20 segments");
        Span { index, base_bytes, range: start..end }
    })
}

pub(super) fn push_zero(parts: &mut Vec<Part>, length_bytes: u64) {
    match parts.last_mut() {
        Some(Part::Zero(last)) => *last += length_bytes,
        _ => parts.push(Part::Zero(length_bytes)),
    }
}

/// `None` when the bytes are shorter than the segment says.
pub(super) fn slice(bytes: &Bytes, within: Range<usize>) -> Option<Bytes> {
    (within.end <= bytes.len()).then(|| bytes.slice(within))
}
