//! Images made to hurt: each is refused or an error that names the place, nothing panics, memory stays bounded.

use galerie_disk::{Format, open};
use galerie_store::GuestBytes;

use crate::support::{
    Random, peak_memory_bytes,
    qcow2_builder::{DATA_CLUSTER, Image, KINDS, Kind, L1_CLUSTER, L2_CLUSTER},
    read_by_runs, temporary_file,
};

/// The most that one hostile image may make us hold, over what the process had.
const MAX_GROWTH_BYTES: u64 = 48 << 20;

/// Opens and reads the first MiB of an image; the outcome as text.
fn outcome(bytes: &[u8], format: Option<Format>) -> String {
    let opened = match open(temporary_file(bytes), format) {
        Ok(opened) => opened,
        Err(error) => return error.to_string(),
    };
    match scan(&*opened.guest) {
        Ok(()) => "fine".to_owned(),
        Err(error) => error.to_string(),
    }
}

/// Reads what an import would read, within a bound.
fn scan(guest: &dyn GuestBytes) -> galerie_store::Result<()> {
    let mut at = 0;
    let mut buffer = vec![0; 1 << 18];
    for _ in 0..8 {
        let Some(run) = guest.next_data(at)? else { break };
        assert!(run.start >= at && run.end > run.start && run.end <= guest.virtual_size_bytes());
        let mut position = run.start;
        while position < run.end.min(run.start + (1 << 21)) {
            let length = (run.end - position).min(buffer.len() as u64) as usize;
            guest.read_at(position, &mut buffer[..length])?;
            position += length as u64;
        }
        at = run.end;
    }
    Ok(())
}

fn check(kind: Kind, expected: &str, change: impl FnOnce(&mut Image)) {
    let mut image = Image::new(kind);
    change(&mut image);
    let found = outcome(&image.bytes, Some(Format::Qcow2));
    assert!(found.contains(expected), "{kind:?}: expected '{expected}' in '{found}'");
}

#[test]
fn the_builders_images_are_good() {
    for kind in KINDS {
        let image = Image::new(kind);
        let opened = open(temporary_file(&image.bytes), None).unwrap();
        assert_eq!(read_by_runs(&*opened.guest).unwrap(), image.guest(), "{kind:?}");
    }
}

#[test]
fn references_to_other_files_are_refused() {
    for kind in KINDS {
        check(kind, "backing file", |image| image.set_u64(8, 0x200));
        check(kind, "backing file", |image| image.set_u32(16, 12));
        check(kind, "encrypted", |image| image.set_u32(32, 1));
    }
    check(Kind::Deflate, "external data file", |image| {
        image.set_u64(72, crate::support::qcow2_builder::EXTERNAL_DATA_BIT)
    });
    for (magic, expected) in [(0x4441_5441, "external data file"), (0x0537_be77, "encrypted")] {
        check(Kind::Deflate, expected, |image| {
            image.set_u32(112, 0xe279_2aca);
            image.set_u32(116, 5);
            image.set_u32(128, magic);
            image.set_u32(132, 8);
        });
        check(Kind::Version2, expected, |image| {
            image.set_u32(72, magic);
            image.set_u32(76, 8);
        });
    }
}

#[test]
fn features_that_change_meaning_are_refused() {
    check(Kind::Deflate, "fine", |image| image.set_u64(72, 1));
    check(Kind::Deflate, "marked corrupt", |image| image.set_u64(72, 2));
    check(Kind::Deflate, "bit 5", |image| image.set_u64(72, 1 << 5));
    check(Kind::Deflate, "bit 63", |image| image.set_u64(72, 1 << 63));
    check(Kind::Deflate, "version is 4", |image| image.set_u32(4, 4));
    check(Kind::Deflate, "version 1", |image| image.set_u32(4, 1));
    check(Kind::Zstd, "compression type 2", |image| image.bytes[104] = 2);
    check(Kind::Zstd, "contradicts", |image| image.bytes[104] = 0);
    check(Kind::Deflate, "contradicts", |image| image.bytes[104] = 1);
}

#[test]
fn lying_headers_are_named() {
    for kind in KINDS {
        check(kind, "cluster bits at offset 20", |image| image.set_u32(20, 8));
        check(kind, "cluster bits at offset 20", |image| image.set_u32(20, 22));
        check(kind, "cluster bits at offset 20", |image| image.set_u32(20, u32::MAX));
        check(kind, "larger than 64 TiB", |image| image.set_u64(24, u64::MAX));
        check(kind, "larger than 64 TiB", |image| image.set_u64(24, (64 << 40) + 1));
        check(kind, "empty", |image| image.set_u64(24, 0));
        check(kind, "L1 size at offset 36", |image| image.set_u32(36, 0));
        check(kind, "L1 size at offset 36", |image| image.set_u64(24, 64 << 40));
        check(kind, "L1 offset at offset 40", |image| image.set_u64(40, 0));
        check(kind, "L1 offset at offset 40", |image| image.set_u64(40, 512));
        check(kind, "L1 table", |image| image.set_u64(40, 1 << 40));
        check(kind, "L1 table", |image| image.set_u64(40, 0xffff_ffff_ffff_0000));
    }
    check(Kind::Extended, "cluster bits at offset 20", |image| image.set_u32(20, 13));
    for length in [0, 96, 105, 8192, u32::MAX] {
        check(Kind::Deflate, "header length at offset 100", |image| image.set_u32(100, length));
    }
    check(Kind::Deflate, "header extension at offset 112", |image| {
        image.set_u32(112, 7);
        image.set_u32(116, u32::MAX);
    });
}

#[test]
fn a_table_larger_than_the_file_is_not_allocated() {
    // 64 TiB of clusters of 64 KiB need 1 MiB of L1 table; the file has none of it.
    check(Kind::Deflate, "L1 table at offset", |image| {
        image.set_u64(24, 64 << 40);
        image.set_u32(36, u32::MAX);
    });
    // Clusters of 512 bytes make that 16 GiB.
    let mut image = Image::with(Kind::Deflate, 9, 1 << 16);
    image.set_u64(24, 64 << 40);
    image.set_u32(36, u32::MAX);
    let found = outcome(&image.bytes, None);
    assert!(found.contains("L1 table needs 17179869184 bytes"), "{found}");
}

#[test]
fn lying_tables_are_named() {
    for kind in KINDS {
        let l1 = |image: &Image| L1_CLUSTER * image.cluster_bytes;
        check(kind, "L1 table at offset", |image| image.set_u32(36, 1 << 31));
        check(kind, "L1 entry at offset 65536", |image| image.set_u64(l1(image), 0x2_0200));
        check(kind, "L2 table at offset", |image| image.set_u64(l1(image), 0x00ff_ffff_ffff_0000));
        check(kind, "lies over the L1 table", |image| image.set_u64(l1(image), l1(image) as u64));
        check(kind, "L2 entry at offset", |image| image.set_l2(0, 0x3_0200));
        check(kind, "data cluster at offset", |image| image.set_l2(0, 0x00ff_ffff_ffff_0000));
        check(kind, "compressed cluster's offset", |image| image.set_l2(0, 1 << 62));
        check(kind, "compressed cluster's offset", |image| image.set_l2(0, 1 << 62 | 0x3f_ffff_ffff));
        check(kind, "compressed cluster at offset", |image| image.set_l2(0, 1 << 62 | 0x3_0000));
    }
    check(Kind::Version2, "zero flag", |image| image.set_l2(2, 1));
    check(Kind::Extended, "both allocated and zero", |image| image.set_bitmap(0, u64::MAX));
    check(Kind::Extended, "allocated nowhere", |image| image.set_bitmap(3, 1));
    check(Kind::Deflate, "share the L2 table", |image| {
        // Two entries, 1 GiB of disk.
        image.set_u64(24, 1 << 30);
        image.set_u32(36, 2);
        image.set_u64(L1_CLUSTER * image.cluster_bytes + 8, (L2_CLUSTER * image.cluster_bytes) as u64);
    });
    // Nothing is followed twice, so tables that point at tables, or at themselves, are only odd data.
    check(Kind::Deflate, "fine", |image| image.set_l2(0, (L2_CLUSTER * image.cluster_bytes) as u64));
    check(Kind::Deflate, "fine", |image| image.set_l2(3, (DATA_CLUSTER * image.cluster_bytes) as u64));
}

#[test]
fn bombs_are_bounded_by_their_cluster() {
    let before = peak_memory_bytes();
    for kind in [Kind::Deflate, Kind::Zstd] {
        // A stream of 60 MiB where a cluster of 64 KiB belongs: cut off at the cluster.
        check(kind, "fine", |image| {
            let stream = image.compress_sevens(60 << 20);
            image.put_compressed(16, &stream[..stream.len().min(128 << 10)]);
        });
        check(kind, "ends after", |image| {
            let stream = image.compress(&[7; 100]);
            image.put_compressed(16, &stream);
        });
        check(kind, "compressed cluster at offset 262144", |image| image.put_compressed(16, &[0xff; 700]));
    }
    // A frame whose window is 2 GiB.
    check(Kind::Zstd, "zstd frame is damaged", |image| {
        image.put_compressed(16, &[0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xa8, 0x03, 0x00, 0x10, 0x00, 0x07]);
    });
    assert!(peak_memory_bytes() - before < MAX_GROWTH_BYTES);
}

#[test]
fn every_truncation_is_an_error_or_harmless() {
    for kind in KINDS {
        let image = Image::new(kind);
        let whole = image.bytes.len();
        let cluster = image.cluster_bytes;
        let near = |at: usize| at.saturating_sub(3)..at + 4;
        let cuts = (0..160).chain((1..5).flat_map(|index| near(index * cluster))).chain(near(whole - 512));
        for cut in cuts.filter(|cut| *cut < whole - 512) {
            let found = outcome(&image.bytes[..cut], Some(Format::Qcow2));
            assert!(found.contains("qcow2"), "{kind:?} cut at {cut}: {found}");
        }
    }
}

#[test]
fn a_vhd_footer_must_fit_its_file() {
    let footer_at = 1 << 20;
    let mut vhd = vec![3; footer_at];
    vhd.extend(footer(footer_at as u64, 2));
    assert_eq!(outcome(&vhd, None), "fine");
    let check = |change: &dyn Fn(&mut Vec<u8>), expected: &str| {
        let mut changed = vhd.clone();
        change(&mut changed);
        for format in [None, Some(Format::Vhd)] {
            let found = outcome(&changed, format);
            assert!(found.contains(expected), "expected '{expected}' in '{found}'");
        }
    };
    check(&|bytes| bytes[footer_at + 100] ^= 1, "checksum");
    check(&|bytes| drop(bytes.splice(footer_at.., footer(footer_at as u64 - 512, 2))), "promises a disk of 1048064");
    check(&|bytes| drop(bytes.splice(footer_at.., footer(u64::MAX, 2))), "larger than 64 TiB");
    check(&|bytes| drop(bytes.splice(footer_at.., footer(0, 2))), "empty");
    check(&|bytes| drop(bytes.splice(footer_at.., footer(footer_at as u64, 3))), "dynamic VHD");
    check(&|bytes| drop(bytes.splice(footer_at.., footer(footer_at as u64, 4))), "differencing VHD");
    check(&|bytes| drop(bytes.splice(footer_at.., footer(footer_at as u64, 9))), "disk type is 9");
    assert!(outcome(&vhd[..300], Some(Format::Vhd)).contains("footer"));
    assert!(outcome(&[], Some(Format::Vhd)).contains("footer"));
}

fn footer(current_size: u64, disk_type: u32) -> Vec<u8> {
    let mut bytes = vec![0; 512];
    bytes[..8].copy_from_slice(b"conectix");
    bytes[12..16].copy_from_slice(&0x1_0000_u32.to_be_bytes());
    bytes[48..56].copy_from_slice(&current_size.to_be_bytes());
    bytes[60..64].copy_from_slice(&disk_type.to_be_bytes());
    let sum: u32 = bytes.iter().map(|byte| u32::from(*byte)).sum();
    bytes[64..68].copy_from_slice(&(!sum).to_be_bytes());
    bytes
}

/// A fuzzer that needs no tools: known-good images with a few bytes replaced by what parsers get wrong.
#[test]
fn damaged_images_neither_panic_nor_take_memory() {
    let before = peak_memory_bytes();
    let mut random = Random(20_240_711);
    let images: Vec<Image> = KINDS.into_iter().map(Image::new).collect();
    for round in 0..6000 {
        let image = &images[round % images.len()];
        let mut bytes = image.bytes.clone();
        for _ in 0..=random.below(4) {
            damage(&mut bytes, image, &mut random);
        }
        let format = if random.below(4) == 0 { None } else { Some(Format::Qcow2) };
        outcome(&bytes, format);
    }
    let grown = peak_memory_bytes() - before;
    assert!(grown < MAX_GROWTH_BYTES, "memory grew by {grown} bytes");
}

fn damage(bytes: &mut Vec<u8>, image: &Image, random: &mut Random) {
    // Headers and tables much more often than data.
    let (start, length) = match random.below(8) {
        0..3 => (0, 136),
        3 => (L1_CLUSTER * image.cluster_bytes, 16),
        4..6 => (L2_CLUSTER * image.cluster_bytes, 80),
        6 => (4 * image.cluster_bytes, 64),
        _ => (0, bytes.len()),
    };
    let at = start + random.below(length.max(1) as u64) as usize;
    let at = if random.below(2) == 0 { at & !7 } else { at };
    let value = interesting(random);
    let width = [1, 4, 8][random.below(3) as usize];
    if random.below(40) == 0 {
        bytes.truncate(at);
    } else if at + width <= bytes.len() {
        bytes[at..at + width].copy_from_slice(&value.to_be_bytes()[8 - width..]);
    }
}

fn interesting(random: &mut Random) -> u64 {
    let base = match random.below(6) {
        0 => 0,
        1 => u64::MAX,
        2 => 1 << random.below(64),
        3 => (1 << random.below(64)) - 1,
        4 => random.below(8) << 16,
        _ => random.next(),
    };
    if random.below(4) == 0 { base | 1 << 62 } else { base }
}
