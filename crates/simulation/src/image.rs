//! Images whose content is a function of a few numbers, and what sharing is among them.

use std::{fmt, ops::Range, sync::OnceLock};

use bytes::Bytes;

use crate::random::Random;

/// The least that an upload may be, without its footer.
pub(crate) const GUEST_BYTES: u64 = 20 << 20;
/// Images are made of a few different blocks, so that they share chunks, and leave packs that are half alive.
const BLOCK_BYTES: usize = 96 << 10;
const BLOCKS: usize = 16;
const MOST_BLOCKS: u64 = 10;

/// What a disk holds: blocks at its beginning, then zeros.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Image {
    blocks: Vec<usize>,
}

impl Image {
    pub(crate) fn any(random: &mut Random) -> Self {
        let length = 1 + random.below(MOST_BLOCKS);
        Self { blocks: (0..length).map(|_| random.index(BLOCKS)).collect() }
    }

    /// The bytes before the zeros.
    pub(crate) fn head(&self) -> Bytes {
        self.blocks.iter().map(|block| content()[*block].as_slice()).collect::<Vec<_>>().concat().into()
    }

    /// Whether this is the image, all of it.
    pub(crate) fn is(&self, disk: &Disk) -> bool {
        let (head, mut at) = (self.head(), 0);
        for (start, bytes) in &disk.data {
            if *start < at || !is_zero(&head, at..*start) || !holds(&head, *start, bytes) {
                return false;
            }
            at = *start + bytes.len();
        }
        disk.size_bytes == GUEST_BYTES && at <= GUEST_BYTES as usize && is_zero(&head, at..GUEST_BYTES as usize)
    }
}

/// Whether an image whose data is `head` has only zeros there.
fn is_zero(head: &[u8], range: Range<usize>) -> bool {
    head.get(range.start..range.end.min(head.len())).is_none_or(|part| part.iter().all(|byte| *byte == 0))
}

/// Whether an image whose data is `head` has these bytes there.
fn holds(head: &[u8], start: usize, bytes: &[u8]) -> bool {
    let (of_head, of_zeros) = bytes.split_at(bytes.len().min(head.len().saturating_sub(start)));
    head[start.min(head.len())..].starts_with(of_head) && of_zeros.iter().all(|byte| *byte == 0)
}

/// A disk as a client read it: what is not data is zeros.
#[derive(Debug)]
pub(crate) struct Disk {
    pub(crate) size_bytes: u64,
    /// Where data begins, and the data, in order.
    pub(crate) data: Vec<(usize, Bytes)>,
}

impl fmt::Display for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.blocks)
    }
}

/// What each block holds: half noise, half not, as disks do.
fn content() -> &'static [Vec<u8>; BLOCKS] {
    static CONTENT: OnceLock<[Vec<u8>; BLOCKS]> = OnceLock::new();
    CONTENT.get_or_init(|| {
        std::array::from_fn(|block| {
            let mut random = Random::new(block as u64, 0xB10C);
            let noise = (0..BLOCK_BYTES / 16).flat_map(|_| random.next().to_le_bytes());
            let pattern = (0..BLOCK_BYTES / 16).flat_map(|at| ((block << 32) | (at / 8)).to_le_bytes());
            noise.chain(pattern).collect()
        })
    })
}
