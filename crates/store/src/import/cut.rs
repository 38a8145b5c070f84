//! One segment's way through an import: read, cut, hash, look up, encode, put.

use std::{ops::Range, sync::atomic::Ordering};

use super::{Import, ordered::Lane};
use crate::{
    BlobId, BlobKind, ChunkId, Error, Result, Segment, SegmentId, StoredBlob,
    chunking::{Piece, SegmentCutter},
};

pub(super) struct SegmentImport<'a, 'b> {
    import: &'a Import<'b>,
    lane: Lane<'a, 'b>,
    segment: Segment,
}

impl<'a, 'b> SegmentImport<'a, 'b> {
    pub(super) fn new(import: &'a Import<'b>, ordinal: u64) -> Self {
        Self { import, lane: import.sink.lane(ordinal), segment: Segment::default() }
    }

    /// The segment's id, or `None` when it is all zeros.
    pub(super) fn run(mut self, cutter: &mut SegmentCutter, range: Range<u64>) -> Result<Option<SegmentId>> {
        let mut at = range.start;
        while at < range.end {
            let data = self.next_data(at, range.end)?;
            cutter.zeros(data.start - at, &mut |piece| self.take(piece))?;
            self.read(cutter, data.clone())?;
            at = data.end;
        }
        cutter.finish(&mut |piece| self.take(piece))?;
        self.import.progress.read_bytes.fetch_add(range.end - range.start, Ordering::Relaxed);
        let id = self.put_segment()?;
        self.lane.finish()?;
        Ok(id)
    }

    /// The source's next run of data, no further than `end`; empty at `end` when there is none.
    fn next_data(&self, at: u64, end: u64) -> Result<Range<u64>> {
        match self.import.source.next_data(at)? {
            None => Ok(end..end),
            // Asked again it would answer the same, for ever.
            Some(data) if data.end <= at || data.is_empty() => {
                Err(Error::Invalid(format!("the source answers an empty run of data at {at}")))
            }
            Some(data) => Ok(data.start.clamp(at, end)..data.end.min(end)),
        }
        .map(|data| if data.is_empty() { end..end } else { data })
    }

    fn read(&mut self, cutter: &mut SegmentCutter, range: Range<u64>) -> Result<()> {
        let mut at = range.start;
        while at < range.end {
            self.import.check_cancel()?;
            let space = cutter.space();
            let length = usize::try_from(range.end - at).unwrap_or(usize::MAX).min(space.len());
            self.import.source.read_at(at, &mut space[..length])?;
            cutter.filled(length, &mut |piece| self.take(piece))?;
            at += length as u64;
        }
        Ok(())
    }

    fn take(&mut self, piece: Piece<'_>) -> Result<()> {
        let progress = self.import.progress;
        match piece {
            Piece::Zero(length_bytes) => {
                progress.zero_bytes.fetch_add(u64::from(length_bytes), Ordering::Relaxed);
                self.segment.push(length_bytes, None)
            }
            Piece::Data(bytes) => {
                let id = BlobId::of(bytes);
                let length_bytes = u32::try_from(bytes.len()).expect("a chunk has at most 256 KiB");
                self.segment.push(length_bytes, Some(ChunkId(id)))?;
                let new = self.put(id, BlobKind::Chunk, bytes)?;
                let counter = if new { &progress.new_bytes } else { &progress.known_bytes };
                counter.fetch_add(u64::from(length_bytes), Ordering::Relaxed);
                Ok(())
            }
        }
    }

    fn put_segment(&mut self) -> Result<Option<SegmentId>> {
        if self.segment.is_zero() {
            return Ok(None);
        }
        let encoded = self.segment.encode();
        let id = BlobId::of(&encoded);
        self.put(id, BlobKind::Segment, &encoded)?;
        Ok(Some(SegmentId(id)))
    }

    /// Whether the blob was new.
    fn put(&mut self, id: BlobId, kind: BlobKind, bytes: &[u8]) -> Result<bool> {
        if self.import.is_kept(&id)? || !self.lane.claim(&id) {
            return Ok(false);
        }
        self.import.check_cancel()?;
        let blob = StoredBlob::encode_as(id, kind, bytes, self.import.compression);
        self.import.progress.stored_bytes.fetch_add(blob.bytes.len() as u64, Ordering::Relaxed);
        self.lane.put(blob)?;
        Ok(true)
    }
}
