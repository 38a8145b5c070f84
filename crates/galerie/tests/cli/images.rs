//! Disks to publish, made by rule, and qemu-img as the one that knows formats.

use std::{path::Path, process::Command};

/// Sectors of the disks' smallest pieces.
const PIECE_BYTES: usize = 128 * 1024;

/// A disk of `mib` MiB: of four pieces one is zeros, one repeats, two are unlike any other.
pub(crate) fn disk(mib: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let mut bytes = vec![0; mib << 20];
    for (index, piece) in bytes.chunks_mut(PIECE_BYTES).enumerate() {
        match index % 4 {
            0 => {}
            1 => piece.iter_mut().enumerate().for_each(|(at, byte)| *byte = (at % 251) as u8),
            _ => fill(piece, &mut state),
        }
    }
    bytes
}

/// xorshift64: incompressible, and the same each time.
pub(crate) fn fill(bytes: &mut [u8], state: &mut u64) {
    for word in bytes.chunks_mut(8) {
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        word.copy_from_slice(&state.to_le_bytes()[..word.len()]);
    }
}

/// Converts a raw image with qemu-img.
pub(crate) fn convert(raw: &Path, format: &[&str], to: &Path) {
    qemu_img(&[&["convert", "-f", "raw"], format].concat(), &[raw, to]);
}

/// Whether two images have the same bytes, as qemu-img sees them.
pub(crate) fn assert_same(left_format: &str, left: &Path, right_format: &str, right: &Path) {
    qemu_img(&["compare", "-f", left_format, "-F", right_format], &[left, right]);
}

fn qemu_img(arguments: &[&str], files: &[&Path]) {
    let output =
        Command::new("qemu-img").args(arguments).args(files).output().expect("install qemu-utils for this test");
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "qemu-img {arguments:?} {files:?}: {said}");
}
