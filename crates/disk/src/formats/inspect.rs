//! Deciding what an image file is, once.
//!
//! A file that carries the marks of two formats is refused rather than guessed at: two programs would read two
//! different disks from it. What we recognise and do not read is refused by name with a way out. Everything else is
//! raw, because a raw disk may begin with anything.

use std::{fs::File, os::unix::fs::FileExt};

use super::{Format, source::regular_length, vhd};
use crate::{Error, Result};

/// How much of the file's start is looked at: up to and including the ISO 9660 volume descriptor's mark.
const HEAD_BYTES: usize = 34 * 1024;

const CONVERT: &str = "convert it with: qemu-img convert -O qcow2 IMAGE NEW.qcow2";
const UNPACK: &str = "unpack it first and give the disk image inside";
const INSTALL: &str =
    "install it on a disk and give that disk; if these bytes are meant to be a disk as they are, say format raw";

/// A mark of a format that is not read.
struct Mark {
    name: &'static str,
    offset: usize,
    magic: &'static [u8],
    advice: &'static str,
}

const fn mark(name: &'static str, offset: usize, magic: &'static [u8], advice: &'static str) -> Mark {
    Mark { name, offset, magic, advice }
}

/// Marks by the documents and sources of each format; offsets count from the file's start.
const FOREIGN: &[Mark] = &[
    mark("dynamic or differencing VHD", 0, vhd::COOKIE, CONVERT),
    mark("VHDX", 0, b"vhdxfile", CONVERT),
    mark("VMDK (sparse)", 0, b"KDMV", CONVERT),
    mark("VMDK (ESX copy-on-write)", 0, b"COWD", CONVERT),
    mark("VMDK (SE sparse)", 0, &[0xbe, 0xba, 0xfe, 0xca, 0, 0, 0, 0], CONVERT),
    mark(
        "VMDK descriptor",
        0,
        b"# Disk DescriptorFile",
        "it only names other files; convert the whole disk with: qemu-img convert -O qcow2 DISK.vmdk NEW.qcow2",
    ),
    mark("VDI", 64, &[0x7f, 0x10, 0xda, 0xbe], CONVERT),
    mark("QED", 0, b"QED\0", CONVERT),
    mark("Parallels", 0, b"WithoutFreeSpace", CONVERT),
    mark("Parallels", 0, b"WithouFreSpacExt", CONVERT),
    mark("Bochs", 0, b"Bochs Virtual HD Image", CONVERT),
    mark("cloop", 0, b"#!/bin/sh\n#V2.0 Format", CONVERT),
    mark("LUKS", 0, b"LUKS\xba\xbe", "decrypt it first; if the guest itself is to unlock this disk, say format raw"),
    mark("ISO 9660", 0x8001, b"CD001", INSTALL),
    mark("UDF", 0x8001, b"BEA01", INSTALL),
    mark("WIM", 0, b"MSWIM\0\0\0", INSTALL),
    mark("gzip", 0, &[0x1f, 0x8b, 0x08], UNPACK),
    mark("xz", 0, &[0xfd, b'7', b'z', b'X', b'Z', 0], UNPACK),
    mark("zstd", 0, &[0x28, 0xb5, 0x2f, 0xfd], UNPACK),
    mark("lz4", 0, &[0x04, 0x22, 0x4d, 0x18], UNPACK),
    mark("bzip2", 4, &[0x31, 0x41, 0x59, 0x26, 0x53, 0x59], UNPACK),
    mark("zip", 0, b"PK\x03\x04", UNPACK),
    mark("7z", 0, &[b'7', b'z', 0xbc, 0xaf, 0x27, 0x1c], UNPACK),
    mark("tar or OVA", 257, b"ustar", UNPACK),
];

/// qcow2's magic; version 1 has the same and is refused by the parser.
const QCOW2_MAGIC: &[u8] = b"QFI\xfb";

/// Apple's disk image: its trailer's mark, 512 bytes before the end.
const DMG_MAGIC: &[u8] = b"koly";

/// Decides what a file is. Reads its start and its last 512 bytes; blocks while doing so.
///
/// # Errors
/// `Refused` for known formats that are not read and for files with the marks of two, `Corrupt` for a VHD footer that
/// is damaged or does not fit the file, `Invalid` for something that is not a regular file, `Io`.
pub fn inspect(file: &File) -> Result<Format> {
    let length_bytes = regular_length(file)?;
    let head = read_up_to(file, 0, HEAD_BYTES)?;
    let tail = read_up_to(file, length_bytes.saturating_sub(vhd::FOOTER_BYTES as u64), vhd::FOOTER_BYTES)?;

    let qcow2 = head.starts_with(QCOW2_MAGIC);
    let vhd_footer = length_bytes >= vhd::FOOTER_BYTES as u64 && tail.starts_with(vhd::COOKIE);
    let foreign = FOREIGN.iter().find(|mark| has(&head, mark));

    let mut names: Vec<&str> = Vec::new();
    names.extend(qcow2.then_some("qcow2"));
    names.extend(foreign.map(|mark| mark.name));
    // A dynamic VHD begins with a copy of its footer, so the two marks are one format.
    let dynamic = foreign.is_some_and(|mark| mark.magic == vhd::COOKIE);
    names.extend((vhd_footer && !dynamic).then_some("VHD"));
    if names.len() > 1 {
        let reason = format!("it has the marks of {}", names.join(" and of "));
        return Err(Error::refused("ambiguous", reason, "say which format it is"));
    }
    if let Some(mark) = foreign {
        return Err(Error::refused(mark.name, "this format is not read", mark.advice));
    }
    if qcow2 {
        return Ok(Format::Qcow2);
    }
    if vhd_footer {
        vhd::parse_footer(&tail, length_bytes)?;
        return Ok(Format::Vhd);
    }
    if tail.starts_with(DMG_MAGIC) {
        return Err(Error::refused("DMG", "this format is not read", CONVERT));
    }
    Ok(Format::Raw)
}

fn has(head: &[u8], mark: &Mark) -> bool {
    head.get(mark.offset..).is_some_and(|rest| rest.starts_with(mark.magic))
}

/// Up to `length` bytes; fewer at the file's end.
fn read_up_to(file: &File, offset_bytes: u64, length: usize) -> Result<Vec<u8>> {
    let mut buffer = vec![0; length];
    let mut filled = 0;
    while filled < length {
        match file.read_at(&mut buffer[filled..], offset_bytes + filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Error::io("inspect the image file", error)),
        }
    }
    buffer.truncate(filled);
    Ok(buffer)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn check(content: &[u8], expected: &str) {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(content).unwrap();
        let found = match inspect(&file) {
            Ok(format) => format.name().to_owned(),
            Err(error) => error.to_string(),
        };
        assert!(found.contains(expected), "expected '{expected}' in '{found}'");
    }

    fn padded(offset: usize, magic: &[u8]) -> Vec<u8> {
        let mut content = vec![0; 64 * 1024];
        content[offset..offset + magic.len()].copy_from_slice(magic);
        content
    }

    #[test]
    fn nothing_in_particular_is_raw() {
        check(&[], "raw");
        check(b"x", "raw");
        check(&vec![7; 100_000], "raw");
    }

    #[test]
    fn every_foreign_mark_is_refused_by_name_with_advice() {
        for mark in FOREIGN {
            let content = padded(mark.offset, mark.magic);
            check(&content, mark.name);
            check(&content, mark.advice);
        }
        check(&padded(64 * 1024 - 512, DMG_MAGIC), "DMG");
    }

    #[test]
    fn two_marks_are_refused() {
        let mut content = padded(0x8001, b"CD001");
        content[..4].copy_from_slice(QCOW2_MAGIC);
        check(&content, "marks of qcow2 and of ISO 9660");
        let mut content = padded(64 * 1024 - 512, vhd::COOKIE);
        content[..4].copy_from_slice(QCOW2_MAGIC);
        check(&content, "marks of qcow2 and of VHD");
    }

    #[test]
    fn a_damaged_vhd_footer_is_not_called_raw() {
        check(&padded(64 * 1024 - 512, vhd::COOKIE), "vhd footer");
    }
}
