//! One segment's bytes in, its pieces out.
//!
//! ```text
//!            zero block            MIN zero blocks in a row
//!   Stretch ------------> Stretch ------------------------> Run      emits the stretch's last chunks
//!      ^    (run may end         <-----------------------    |
//!      |     too short)            a block with data         |       emits the run
//!      +-----------------------------------------------------+
//! ```
//! The cutter owns the buffer the source reads into, so bytes are moved only when what is left of a chunk goes to the
//! buffer's front. Feeding holes by length and feeding their zeros as bytes give the same pieces.

use super::{CHUNK_MAX_BYTES, ZERO_BLOCK_BYTES, ZERO_RUN_MIN_BYTES, gear};
use crate::Result;

/// How much a source is asked for at a time, at most.
const READ_BYTES: usize = 1024 * 1024;
/// A full buffer always holds a chunk that can be cut: the largest one, a zero run that is not yet long enough, and a
/// block of which only a part has come.
const BUFFER_BYTES: usize = READ_BYTES + CHUNK_MAX_BYTES + ZERO_RUN_MEASURED_MAX_BYTES + ZERO_BLOCK_BYTES;
/// The longest least run that can be measured.
const ZERO_RUN_MEASURED_MAX_BYTES: usize = 64 * 1024;

static ZERO_BLOCK: [u8; ZERO_BLOCK_BYTES] = [0; ZERO_BLOCK_BYTES];

/// What a segment is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece<'a> {
    /// A chunk's bytes.
    Data(&'a [u8]),
    /// A run of zeros of this many bytes.
    Zero(u32),
}

/// Cuts one segment after the other into pieces.
///
/// Feed it with [`SegmentCutter::space`] and [`SegmentCutter::filled`], or [`SegmentCutter::zeros`] for holes, in the
/// guest's order; then [`SegmentCutter::finish`], after which it is ready for the next segment.
#[derive(Debug)]
pub struct SegmentCutter {
    buffer: Vec<u8>,
    /// Where the stretch's first byte that was not emitted lies.
    start: usize,
    /// Up to where blocks have been looked at. A block's boundary.
    looked: usize,
    /// Where the bytes end.
    end: usize,
    /// The zero run that ends at `looked`: in a stretch shorter than the least run and still in the buffer; otherwise
    /// no longer in the buffer.
    zero_bytes: usize,
    in_run: bool,
    zero_run_min_bytes: usize,
}

impl Default for SegmentCutter {
    fn default() -> Self {
        Self::new()
    }
}

impl SegmentCutter {
    /// A cutter at the start of a segment.
    pub fn new() -> Self {
        Self::with_zero_run_min_bytes(ZERO_RUN_MIN_BYTES)
    }

    /// A cutter with another least zero run than the format's, to measure what that would give.
    ///
    /// # Panics
    /// When it is not a number of blocks up to 64 KiB.
    pub fn with_zero_run_min_bytes(zero_run_min_bytes: usize) -> Self {
        assert!((1..=ZERO_RUN_MEASURED_MAX_BYTES).contains(&zero_run_min_bytes), "{zero_run_min_bytes} bytes");
        assert!(zero_run_min_bytes.is_multiple_of(ZERO_BLOCK_BYTES), "{zero_run_min_bytes} bytes are no blocks");
        Self {
            buffer: vec![0; BUFFER_BYTES],
            start: 0,
            looked: 0,
            end: 0,
            zero_bytes: 0,
            in_run: false,
            zero_run_min_bytes,
        }
    }

    /// Where to put the next bytes: never empty, at most 1 MiB.
    pub fn space(&mut self) -> &mut [u8] {
        if self.start == self.end {
            (self.start, self.looked, self.end) = (0, 0, 0);
        } else if BUFFER_BYTES - self.end < READ_BYTES {
            self.buffer.copy_within(self.start..self.end, 0);
            self.looked -= self.start;
            self.end -= self.start;
            self.start = 0;
        }
        let until = BUFFER_BYTES.min(self.end + READ_BYTES);
        &mut self.buffer[self.end..until]
    }

    /// The first `length` bytes of [`SegmentCutter::space`] now hold the guest's next bytes.
    ///
    /// # Errors
    /// What `emit` answers.
    pub fn filled(&mut self, length: usize, emit: &mut dyn FnMut(Piece<'_>) -> Result<()>) -> Result<()> {
        self.end += length;
        while self.looked + ZERO_BLOCK_BYTES <= self.end {
            let block = self.looked..self.looked + ZERO_BLOCK_BYTES;
            let zero = self.buffer[block] == ZERO_BLOCK;
            self.look(ZERO_BLOCK_BYTES, zero, emit)?;
        }
        self.cut_confirmed(emit)
    }

    /// The guest's next `length_bytes` are zeros.
    ///
    /// # Errors
    /// What `emit` answers.
    pub fn zeros(&mut self, mut length_bytes: u64, emit: &mut dyn FnMut(Piece<'_>) -> Result<()>) -> Result<()> {
        while length_bytes > 0 {
            let whole_blocks = length_bytes - length_bytes % ZERO_BLOCK_BYTES as u64;
            if self.in_run && self.looked == self.end && whole_blocks > 0 {
                self.zero_bytes += usize::try_from(whole_blocks).expect("a segment's length fits");
                length_bytes -= whole_blocks;
                continue;
            }
            // At most what leads to a run, so that a long hole is not written out.
            let least_run = self.zero_run_min_bytes;
            let space = self.space();
            let step = usize::try_from(length_bytes).unwrap_or(usize::MAX).min(least_run).min(space.len());
            space[..step].fill(0);
            self.filled(step, emit)?;
            length_bytes -= step as u64;
        }
        Ok(())
    }

    /// The segment ends here: emits what is left.
    ///
    /// # Errors
    /// What `emit` answers.
    pub fn finish(&mut self, emit: &mut dyn FnMut(Piece<'_>) -> Result<()>) -> Result<()> {
        let tail = self.end - self.looked;
        if tail > 0 {
            // A disk's last block may be short; it counts as if zeros followed it.
            let zero = self.buffer[self.looked..self.end] == ZERO_BLOCK[..tail];
            self.look(tail, zero, emit)?;
        }
        if self.in_run {
            emit(zero_piece(self.zero_bytes))?;
        } else {
            self.flush_stretch(self.end, emit)?;
        }
        (self.start, self.looked, self.end) = (0, 0, 0);
        (self.zero_bytes, self.in_run) = (0, false);
        Ok(())
    }

    /// Takes the next block, of which `length` bytes exist.
    fn look(&mut self, length: usize, zero: bool, emit: &mut dyn FnMut(Piece<'_>) -> Result<()>) -> Result<()> {
        match (self.in_run, zero) {
            (true, true) => {
                self.zero_bytes += length;
                self.start += length;
            }
            (true, false) => {
                emit(zero_piece(self.zero_bytes))?;
                (self.zero_bytes, self.in_run) = (0, false);
            }
            (false, false) => self.zero_bytes = 0,
            (false, true) => {
                self.zero_bytes += length;
                // The short last block of a disk counts for a whole one.
                if self.zero_bytes.next_multiple_of(ZERO_BLOCK_BYTES) >= self.zero_run_min_bytes {
                    let run_start = self.looked + length - self.zero_bytes;
                    self.flush_stretch(run_start, emit)?;
                    self.start = self.looked + length;
                    self.in_run = true;
                }
            }
        }
        self.looked += length;
        Ok(())
    }

    /// Cuts as long as the largest chunk is there, so that a cut never depends on how much has come yet.
    fn cut_confirmed(&mut self, emit: &mut dyn FnMut(Piece<'_>) -> Result<()>) -> Result<()> {
        if self.in_run {
            return Ok(());
        }
        let confirmed = self.looked - self.zero_bytes;
        while confirmed.saturating_sub(self.start) >= CHUNK_MAX_BYTES {
            self.emit_chunk(confirmed, emit)?;
        }
        Ok(())
    }

    fn flush_stretch(&mut self, end: usize, emit: &mut dyn FnMut(Piece<'_>) -> Result<()>) -> Result<()> {
        while self.start < end {
            self.emit_chunk(end, emit)?;
        }
        Ok(())
    }

    fn emit_chunk(&mut self, end: usize, emit: &mut dyn FnMut(Piece<'_>) -> Result<()>) -> Result<()> {
        let length = gear::cut(&self.buffer[self.start..end]);
        emit(Piece::Data(&self.buffer[self.start..self.start + length]))?;
        self.start += length;
        Ok(())
    }
}

fn zero_piece(length: usize) -> Piece<'static> {
    Piece::Zero(u32::try_from(length).expect("a run is no longer than its segment"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone, PartialEq)]
    enum Owned {
        Data(Vec<u8>),
        Zero(u32),
    }

    fn owned(piece: Piece<'_>) -> Owned {
        match piece {
            Piece::Data(bytes) => Owned::Data(bytes.to_vec()),
            Piece::Zero(length) => Owned::Zero(length),
        }
    }

    /// The rule as the format states it, on the whole segment at once.
    fn by_definition(bytes: &[u8]) -> Vec<Owned> {
        let mut pieces = Vec::new();
        let blocks: Vec<&[u8]> = bytes.chunks(ZERO_BLOCK_BYTES).collect();
        let zero = |block: &[u8]| block.iter().all(|byte| *byte == 0);
        let (mut stretch, mut at) = (Vec::new(), 0);
        let flush = |stretch: &mut Vec<u8>, pieces: &mut Vec<Owned>| {
            let mut rest = stretch.as_slice();
            while !rest.is_empty() {
                let (chunk, after) = rest.split_at(gear::cut(rest));
                pieces.push(Owned::Data(chunk.to_vec()));
                rest = after;
            }
            stretch.clear();
        };
        while at < blocks.len() {
            let run = blocks[at..].iter().take_while(|block| zero(block)).count();
            if run * ZERO_BLOCK_BYTES >= ZERO_RUN_MIN_BYTES {
                flush(&mut stretch, &mut pieces);
                let length: usize = blocks[at..at + run].iter().map(|block| block.len()).sum();
                pieces.push(Owned::Zero(length as u32));
                at += run;
            } else {
                for block in &blocks[at..at + run.max(1)] {
                    stretch.extend_from_slice(block);
                }
                at += run.max(1);
            }
        }
        flush(&mut stretch, &mut pieces);
        pieces
    }

    /// Runs of noise and zeros, with lengths in and out of step with blocks.
    fn guest(runs: &[(bool, usize, u64)]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (zero, length, seed) in runs {
            let mut run = vec![0; *length];
            if !zero {
                blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut run);
            }
            bytes.extend(run);
        }
        bytes
    }

    fn runs() -> impl Strategy<Value = Vec<(bool, usize, u64)>> {
        let length = prop_oneof![
            1_usize..10_000,
            (1_usize..40).prop_map(|blocks| blocks * ZERO_BLOCK_BYTES),
            100_000_usize..1_500_000
        ];
        proptest::collection::vec((any::<bool>(), length, any::<u64>()), 0..8)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(96))]
        #[test]
        fn any_feeding_gives_the_pieces_of_the_definition(
            runs in runs(),
            steps in proptest::collection::vec(1_usize..200_000, 1..8),
            holes_by_length: bool,
        ) {
            let bytes = guest(&runs);
            let mut pieces = Vec::new();
            let mut cutter = SegmentCutter::new();
            let (mut at, mut steps) = (0, steps.iter().cycle());
            let mut emit = |piece: Piece<'_>| { pieces.push(owned(piece)); Ok(()) };
            while at < bytes.len() {
                let step = (*steps.next().unwrap()).min(bytes.len() - at);
                let zeros = bytes[at..at + step].iter().all(|byte| *byte == 0);
                if zeros && holes_by_length {
                    cutter.zeros(step as u64, &mut emit).unwrap();
                    at += step;
                } else {
                    let space = cutter.space();
                    let step = step.min(space.len());
                    space[..step].copy_from_slice(&bytes[at..at + step]);
                    cutter.filled(step, &mut emit).unwrap();
                    at += step;
                }
            }
            cutter.finish(&mut emit).unwrap();
            prop_assert_eq!(pieces, by_definition(&bytes));
        }
    }
}
