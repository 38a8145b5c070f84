//! The images that are measured: the corpus, or small ones that are generated.
//!
//! The small ones have the corpus' relations, not its content: *v2* is *v1* after a patch day, *v3* has half of *v1*'s
//! files in another order and on other addresses. The same seed gives the same bytes on every machine.

use std::{
    fs::File,
    io::{BufWriter, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use crate::{Result, text::mib};

const BLOCK_BYTES: usize = 4096;
/// How many blocks a small image has: 256 MiB.
const SMALL_BLOCKS: usize = 64 * 1024;
/// As many as about fit.
const SMALL_FILES: u64 = 1250;
/// How many blocks the largest generated file has.
const FILE_MAX_BLOCKS: u64 = 512;
/// How many words there are in generated text; with their lengths it makes text about as compressible as programs are.
const WORDS: u64 = 4096;

/// Three raw images.
pub(crate) struct Images {
    /// A base image.
    pub(crate) v1: PathBuf,
    /// It, after a patch day.
    pub(crate) v2: PathBuf,
    /// Another, built from scratch.
    pub(crate) v3: PathBuf,
    /// Whether they were generated; then budgets in absolute numbers say nothing.
    pub(crate) are_small: bool,
}

impl Images {
    /// What `benches/corpus.sh` made.
    pub(crate) fn open(folder: &Path) -> Result<Self> {
        let image = |name: &str| {
            let path = folder.join(name);
            match path.is_file() {
                true => Ok(path),
                false => Err(format!("{} is missing; benches/corpus.sh {} makes it", path.display(), folder.display())),
            }
        };
        Ok(Self { v1: image("v1.raw")?, v2: image("v2.raw")?, v3: image("v3.raw")?, are_small: false })
    }

    /// Small ones, in `folder`.
    pub(crate) fn generate(folder: &Path) -> Result<Self> {
        let image = |name: &str, files: &[u64]| -> Result<PathBuf> {
            let path = folder.join(name);
            write_image(&path, files)?;
            Ok(path)
        };
        let v1: Vec<u64> = (1..=SMALL_FILES).collect();
        // Every fiftieth file is new; a new one of the same number has the same length.
        let v2: Vec<u64> = v1.iter().map(|file| if file % 50 == 0 { file + NEW_CONTENT } else { *file }).collect();
        let mut v3: Vec<u64> = v1.iter().map(|file| if file % 2 == 0 { file + 10_000 } else { *file }).collect();
        v3.sort_by_key(|file| Random::new(*file).next());
        Ok(Self { v1: image("v1.raw", &v1)?, v2: image("v2.raw", &v2)?, v3: image("v3.raw", &v3)?, are_small: true })
    }

    /// A line for the head of a report.
    pub(crate) fn describe(&self) -> String {
        let used = |path: &Path| {
            use std::os::unix::fs::MetadataExt;
            path.metadata().map_or(0.0, |metadata| mib(metadata.blocks() * 512))
        };
        let kind = if self.are_small { "generated, small" } else { "corpus.sh" };
        let (v1, v2, v3) = (used(&self.v1), used(&self.v2), used(&self.v3));
        format!("{kind}; v1 uses {v1:.0} MiB, v2 {v2:.0}, v3 {v3:.0}")
    }
}

/// A file of this number has the same length as the one without it, and other bytes.
const NEW_CONTENT: u64 = 1 << 32;

/// Writes files one after the other, as many as fit. Free space is a hole.
fn write_image(path: &Path, files: &[u64]) -> Result<()> {
    let file = File::create(path)?;
    file.set_len((SMALL_BLOCKS * BLOCK_BYTES) as u64)?;
    let mut out = BufWriter::with_capacity(1 << 20, file);
    let mut at = 1;
    for number in files {
        let mut shape = Random::new(number % NEW_CONTENT);
        let blocks = (1 + shape.next() % (1 << (shape.next() % 10))).min(FILE_MAX_BLOCKS) as usize;
        let kind = shape.next() % 10;
        if at + blocks > SMALL_BLOCKS {
            break;
        }
        out.seek(SeekFrom::Start((at * BLOCK_BYTES) as u64))?;
        match kind {
            0 => {}
            1..=3 => out.write_all(&noise(*number, blocks * BLOCK_BYTES))?,
            _ => out.write_all(&words(*number, blocks * BLOCK_BYTES))?,
        }
        at += blocks;
    }
    out.flush()?;
    Ok(())
}

/// Bytes that do not compress.
pub(crate) fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

/// Bytes that compress to less than half.
pub(crate) fn words(seed: u64, length: usize) -> Vec<u8> {
    let (mut random, mut bytes) = (Random::new(seed), Vec::with_capacity(length + 16));
    while bytes.len() < length {
        let word = Random::new(random.next() % WORDS).next().to_le_bytes();
        bytes.extend_from_slice(&word[..2 + usize::from(word[7] % 6)]);
    }
    bytes.truncate(length);
    bytes
}

/// A generator whose numbers never change: splitmix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number
/// generators", 2014).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}
