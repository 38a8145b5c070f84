//! Images whose content is a function of a few numbers, and what sharing is among them.

use std::fmt;

use bytes::Bytes;

use crate::random::Random;

/// The least that an upload may be, without its footer.
pub(crate) const GUEST_BYTES: u64 = 20 << 20;
/// Images are made of a few different blocks, so that they share chunks, and leave packs that are half alive.
const BLOCK_BYTES: usize = 96 << 10;
const BLOCKS: u64 = 16;
const MOST_BLOCKS: u64 = 10;

/// What a disk holds: blocks at its beginning, then zeros.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Image {
    blocks: Vec<u64>,
}

impl Image {
    pub(crate) fn any(random: &mut Random) -> Self {
        let length = 1 + random.below(MOST_BLOCKS);
        Self { blocks: (0..length).map(|_| random.below(BLOCKS)).collect() }
    }

    /// The bytes before the zeros.
    pub(crate) fn head(&self) -> Bytes {
        self.blocks.iter().flat_map(|block| content(*block)).collect()
    }

    /// Whether these are the image's bytes, all of them.
    pub(crate) fn is(&self, bytes: &[u8]) -> bool {
        let head = self.head();
        let is_zero = |bytes: &[u8]| bytes == &[0; 4096][..bytes.len()];
        bytes.len() as u64 == GUEST_BYTES && bytes.starts_with(&head) && bytes[head.len()..].chunks(4096).all(is_zero)
    }
}

impl fmt::Display for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.blocks)
    }
}

/// Half noise, half not, as disks are.
fn content(block: u64) -> Vec<u8> {
    let mut random = Random::new(block, 0xB10C);
    let noise = (0..BLOCK_BYTES / 16).flat_map(|_| random.next().to_le_bytes());
    let pattern = (0..BLOCK_BYTES / 16).flat_map(|at| (block << 32 | at as u64 / 8).to_le_bytes());
    noise.chain(pattern).collect()
}
