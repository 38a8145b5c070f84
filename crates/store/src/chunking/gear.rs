//! Cuts in a stretch: FastCDC with normalised chunking (Xia et al., "The Design of Fast Content-Defined Chunking for
//! Data Deduplication Based Storage Systems", IEEE TPDS 2020), two bytes a step and two places at a time.
//!
//! The hash of byte `i` is `h = (h << 1) + gear[byte]`, begun at zero at [`CHUNK_MIN_BYTES`]. A chunk ends *after* the
//! first byte at which `h & mask == 0`, where the mask has 18 bits before the average size and 14 after it.

use std::sync::LazyLock;

use super::{CHUNK_AVERAGE_BYTES, CHUNK_MAX_BYTES, CHUNK_MIN_BYTES};

/// The phrase whose BLAKE3 output, extended to 2048 bytes and read as 256 little-endian numbers, is the gear table.
pub const GEAR_PHRASE: &[u8] = b"galerie gear table 1";

/// Bits 62 down to 45. The highest bits depend on the most bytes; bit 63 stays free so that a mask can be shifted by
/// one for the two-byte step.
const MASK_BEFORE_AVERAGE: u64 = ((1 << 18) - 1) << 45;
/// Bits 62 down to 49.
const MASK_AFTER_AVERAGE: u64 = ((1 << 14) - 1) << 49;

/// How many bytes a hash depends on: each is shifted out after as many steps as it has bits.
const HASHED_BYTES: usize = 64;
/// Long against [`HASHED_BYTES`], which are hashed twice; short against a chunk, whose end may make a window's work vain.
const WINDOW_BYTES: usize = 4096;

/// The table that gives each byte its number.
pub fn gear_table() -> [u64; 256] {
    let mut bytes = [0; 256 * 8];
    blake3::Hasher::new().update(GEAR_PHRASE).finalize_xof().fill(&mut bytes);
    let mut table = [0; 256];
    for (number, bytes) in table.iter_mut().zip(bytes.as_chunks::<8>().0) {
        *number = u64::from_le_bytes(*bytes);
    }
    table
}

/// The gear table, and the same shifted left by one.
struct Tables {
    once: [u64; 256],
    shifted: [u64; 256],
}

static TABLES: LazyLock<Tables> = LazyLock::new(|| {
    let once = gear_table();
    Tables { once, shifted: once.map(|number| number << 1) }
});

/// The length of the first chunk of `stretch`.
///
/// When the stretch goes on after the slice, the slice must hold at least [`CHUNK_MAX_BYTES`]; otherwise the slice's end
/// is taken for the stretch's.
pub fn cut(stretch: &[u8]) -> usize {
    if stretch.len() <= CHUNK_MIN_BYTES {
        return stretch.len();
    }
    let end = stretch.len().min(CHUNK_MAX_BYTES);
    let middle = end.min(CHUNK_AVERAGE_BYTES);
    let tables = &*TABLES;
    let (found, hash) = scan(tables, &stretch[CHUNK_MIN_BYTES..middle], 0, MASK_BEFORE_AVERAGE);
    if let Some(length) = found {
        return CHUNK_MIN_BYTES + length;
    }
    match scan(tables, &stretch[middle..end], hash, MASK_AFTER_AVERAGE).0 {
        Some(length) => middle + length,
        None => end,
    }
}

/// The number of bytes up to and with the first at which the hash meets the mask, and the hash after the last byte.
///
/// Each step waits for the one before, so two windows are scanned at a time: a hash depends on the last 64 bytes only,
/// and the second window's is begun that far before it.
fn scan(tables: &Tables, bytes: &[u8], mut hash: u64, mask: u64) -> (Option<usize>, u64) {
    let mut done = 0;
    while let Some(windows) = bytes[done..].first_chunk::<{ 2 * WINDOW_BYTES }>() {
        let (left, right) = windows.split_at(WINDOW_BYTES);
        match scan_two(tables, left, right, hash, mask) {
            Ok(after) => hash = after,
            Err(length) => return (Some(done + length), 0),
        }
        done += windows.len();
    }
    let (found, hash) = scan_one(tables, &bytes[done..], hash, mask);
    (found.map(|length| done + length), hash)
}

/// The hash after both windows, or the number of bytes up to and with the first that meets the mask.
fn scan_two(tables: &Tables, left: &[u8], right: &[u8], hash: u64, mask: u64) -> Result<u64, usize> {
    let shifted_mask = mask << 1;
    let before = left.last_chunk::<HASHED_BYTES>().expect("a window is longer");
    let warm = before.iter().fold(0_u64, |hash, byte| (hash << 1).wrapping_add(tables.once[usize::from(*byte)]));
    let (mut in_left, mut in_right) = (hash, warm);
    let pairs = left.as_chunks::<2>().0.iter().zip(right.as_chunks::<2>().0);
    for (index, ([first, second], [other_first, other_second])) in pairs.enumerate() {
        let left_shifted = (in_left << 2).wrapping_add(tables.shifted[usize::from(*first)]);
        let right_shifted = (in_right << 2).wrapping_add(tables.shifted[usize::from(*other_first)]);
        in_left = left_shifted.wrapping_add(tables.once[usize::from(*second)]);
        in_right = right_shifted.wrapping_add(tables.once[usize::from(*other_second)]);
        if left_shifted & shifted_mask == 0 {
            return Err(index * 2 + 1);
        }
        if in_left & mask == 0 {
            return Err(index * 2 + 2);
        }
        if right_shifted & shifted_mask == 0 || in_right & mask == 0 {
            // What is left of the left window comes first.
            let after = index * 2 + 2;
            let in_right = after - usize::from(right_shifted & shifted_mask == 0);
            let found = scan_one(tables, &left[after..], in_left, mask).0;
            return Err(found.map_or(left.len() + in_right, |length| after + length));
        }
    }
    Ok(in_right)
}

/// As [`scan`], one place at a time.
///
/// Two bytes a step: after the first, the hash is kept shifted by one and compared with the mask shifted by one.
fn scan_one(tables: &Tables, bytes: &[u8], mut hash: u64, mask: u64) -> (Option<usize>, u64) {
    let shifted_mask = mask << 1;
    let (pairs, last) = bytes.as_chunks::<2>();
    for (index, [first, second]) in pairs.iter().enumerate() {
        let shifted = (hash << 2).wrapping_add(tables.shifted[usize::from(*first)]);
        if shifted & shifted_mask == 0 {
            return (Some(index * 2 + 1), shifted >> 1);
        }
        hash = shifted.wrapping_add(tables.once[usize::from(*second)]);
        if hash & mask == 0 {
            return (Some(index * 2 + 2), hash);
        }
    }
    for byte in last {
        hash = (hash << 1).wrapping_add(tables.once[usize::from(*byte)]);
        if hash & mask == 0 {
            return (Some(bytes.len()), hash);
        }
    }
    (None, hash)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The definition, one byte a step.
    fn cut_by_definition(stretch: &[u8]) -> usize {
        let gear = gear_table();
        let mut hash = 0_u64;
        for (index, byte) in stretch.iter().enumerate().take(CHUNK_MAX_BYTES).skip(CHUNK_MIN_BYTES) {
            hash = (hash << 1).wrapping_add(gear[usize::from(*byte)]);
            let mask = if index < CHUNK_AVERAGE_BYTES { MASK_BEFORE_AVERAGE } else { MASK_AFTER_AVERAGE };
            if hash & mask == 0 {
                return index + 1;
            }
        }
        stretch.len().min(CHUNK_MAX_BYTES)
    }

    /// Pseudo-random bytes; `modulus` makes them more or less varied.
    fn noise(seed: u64, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
        bytes
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn two_windows_are_cut_where_the_definition_does(seed: u64, length in 0_usize..300_000) {
            let bytes = noise(seed, length);
            prop_assert_eq!(cut(&bytes), cut_by_definition(&bytes));
        }
    }

    #[test]
    fn random_bytes_are_cut_near_the_average() {
        let bytes = noise(7, 32 << 20);
        let mut lengths = Vec::new();
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let length = cut(rest);
            lengths.push(length);
            rest = &rest[length..];
        }
        let average = bytes.len() / lengths.len();
        assert!((56 << 10..88 << 10).contains(&average), "average {average}");
    }
}
