//! What the store's compression is measured against: an image's data in blocks of 64 KiB, `zstd -3` on all cores.
//!
//! Blocks of zeros are left out, as the store leaves them out. Nothing is read, hashed, looked up or written: this is
//! the work that nobody who compresses can avoid.

use std::{
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
};

use zstd::bulk::{Compressor, Decompressor};

use crate::{
    Result,
    cpu::{Stopwatch, Took},
    machine::cores,
    scratch_store::guest,
};

/// The size of a block; the store's average.
pub(crate) const BLOCK_BYTES: usize = 64 * 1024;
/// The store's level.
pub(crate) const LEVEL: i32 = 3;

/// An image's blocks that are not all zeros, in memory.
pub(crate) struct Blocks {
    bytes: Vec<u8>,
}

/// The same blocks, compressed.
pub(crate) struct CompressedBlocks(Vec<Vec<u8>>);

impl Blocks {
    /// Reads the data of a raw image.
    pub(crate) fn read(image: &Path) -> Result<Self> {
        let guest = guest(image)?;
        let (mut bytes, mut block) = (Vec::new(), vec![0; BLOCK_BYTES]);
        let mut at = 0;
        while let Some(data) = guest.next_data(at)? {
            at = data.start - data.start % BLOCK_BYTES as u64;
            while at < data.end {
                let length = (guest.virtual_size_bytes() - at).min(BLOCK_BYTES as u64) as usize;
                guest.read_at(at, &mut block[..length])?;
                if block[..length].iter().any(|byte| *byte != 0) {
                    bytes.extend_from_slice(&block[..length]);
                }
                at += length as u64;
            }
        }
        Ok(Self { bytes })
    }

    /// How many bytes they are.
    pub(crate) fn size_bytes(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// One after the other.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.bytes.chunks(BLOCK_BYTES)
    }

    /// Compresses all of them, on all cores.
    pub(crate) fn compress(&self) -> (Took, CompressedBlocks) {
        let watch = Stopwatch::start();
        let blocks: Vec<&[u8]> = self.iter().collect();
        let new = || Compressor::new(LEVEL).expect("level 3 exists");
        let compressed = on_all_cores(&blocks, new, |zstd, block| zstd.compress(block).expect("memory for a block"));
        (watch.took(), CompressedBlocks(compressed))
    }
}

impl CompressedBlocks {
    /// Decompresses all of them, on all cores; what comes out is thrown away.
    pub(crate) fn decompress(&self) -> Took {
        let watch = Stopwatch::start();
        let blocks: Vec<&[u8]> = self.0.iter().map(Vec::as_slice).collect();
        let new = || (Decompressor::new().expect("memory for zstd"), Vec::with_capacity(BLOCK_BYTES));
        on_all_cores(&blocks, new, |(zstd, out), block| {
            out.clear();
            zstd.decompress_to_buffer(block, out).expect("it was compressed here");
            std::hint::black_box(out);
        });
        watch.took()
    }
}

/// Does `work` for every block, in the blocks' order as far as the answers are concerned.
pub(crate) fn on_all_cores<B: Sync, S, T: Send>(
    blocks: &[B],
    new_state: impl Fn() -> S + Sync,
    work: impl Fn(&mut S, &B) -> T + Sync,
) -> Vec<T> {
    let next = AtomicUsize::new(0);
    let worker = || {
        let (mut state, mut done) = (new_state(), Vec::new());
        while let index = next.fetch_add(1, Ordering::Relaxed)
            && let Some(block) = blocks.get(index)
        {
            done.push((index, work(&mut state, block)));
        }
        done
    };
    let mut all: Vec<(usize, T)> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..cores()).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("workers do not panic")).collect()
    });
    all.sort_unstable_by_key(|(index, _)| *index);
    all.into_iter().map(|(_, answer)| answer).collect()
}
