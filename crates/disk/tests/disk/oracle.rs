//! Readers against qemu-img: whatever QEMU writes, we read the same guest bytes from.

use std::{fs::File, path::Path};

use galerie_disk::{Format, inspect, open};
use proptest::prelude::*;

use crate::support::{Random, check_disk, qemu_img, qemu_io};

#[derive(Debug, Clone)]
struct Case {
    cluster_bits: u32,
    compat: &'static str,
    compression: &'static str,
    extended_l2: bool,
    preallocation: &'static str,
    seed: u64,
}

impl Case {
    fn options(&self) -> String {
        let mut options = format!(
            "cluster_size={},compat={},preallocation={}",
            1_u32 << self.cluster_bits,
            self.compat,
            self.preallocation
        );
        if self.compat == "1.1" {
            let extended = if self.extended_l2 { "on" } else { "off" };
            options += &format!(",compression_type={},extended_l2={extended}", self.compression);
        }
        options
    }
}

/// Lets QEMU make an image and do things to it, then compares our bytes with its own conversion.
fn check(case: &Case) {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let (image, data, raw) = (path("image.qcow2"), path("data"), path("raw"));
    let mut random = Random(case.seed);
    let cluster = 1_u64 << case.cluster_bits;
    // A few clusters, or a few hundred small ones, and an end that no cluster ends at.
    let size = (cluster * 3).max(600_000).next_multiple_of(512) + random.below(1000) * 512;
    std::fs::write(&data, random.bytes(100_003)).unwrap();
    qemu_img(["create", "-q", "-f", "qcow2", "-o", &case.options(), &image, &size.to_string()]);
    qemu_io(&image, &commands(&mut random, size, cluster, &data));
    qemu_img(["convert", "-f", "qcow2", "-O", "raw", &image, &raw]);
    assert!(std::fs::read(&raw).unwrap().iter().any(|byte| *byte != 0), "QEMU wrote nothing, seed {}", case.seed);
    compare(&image, &raw, case.seed);

    // The same bytes once more, written by the converter, which compresses.
    let compressed = path("compressed.qcow2");
    let options = case.options().replace(&format!("preallocation={}", case.preallocation), "preallocation=off");
    qemu_img(["convert", "-q", "-c", "-f", "raw", "-O", "qcow2", "-o", &options, &raw, &compressed]);
    compare(&compressed, &raw, case.seed);
}

fn compare(image: &str, raw: &str, seed: u64) {
    let opened = open(File::open(image).unwrap(), None).unwrap();
    assert_eq!(opened.format, Format::Qcow2);
    check_disk(&*opened.guest, &std::fs::read(raw).unwrap(), seed);
}

/// What a guest and an administrator may do to a disk.
fn commands(random: &mut Random, size: u64, cluster: u64, data: &str) -> Vec<String> {
    let mut commands = Vec::new();
    for _ in 0..12 {
        let offset = random.below(size / 512) * 512;
        let length = ((random.below(400) + 1) * 512).min(size - offset);
        let aligned = offset - offset % cluster;
        let whole = cluster.min(size - aligned);
        commands.push(match random.below(7) {
            0 | 1 => format!("write -s {data} {offset} {length}"),
            2 => format!("write -z {offset} {length}"),
            3 => format!("write -z -u {aligned} {whole}"),
            4 => format!("discard {aligned} {whole}"),
            5 => format!("write -c -s {data} {aligned} {whole}"),
            _ => format!("write -P {} {offset} {length}", random.below(256)),
        });
    }
    // Something is there at the end, whatever the dice said.
    commands.push(format!("write -s {data} 1024 51200"));
    commands
}

#[test]
fn every_cluster_size_and_kind_reads_as_qemu_reads_it() {
    for cluster_bits in 9..=21 {
        for (compat, compression, extended_l2) in
            [("0.10", "zlib", false), ("1.1", "zlib", false), ("1.1", "zstd", false), ("1.1", "zstd", true)]
        {
            if extended_l2 && cluster_bits < 14 {
                continue;
            }
            let seed = u64::from(cluster_bits);
            check(&Case { cluster_bits, compat, compression, extended_l2, preallocation: "off", seed });
        }
    }
}

#[test]
fn preallocated_images_read_as_qemu_reads_them() {
    for preallocation in ["metadata", "falloc", "full"] {
        for (compat, cluster_bits) in [("0.10", 16), ("1.1", 9), ("1.1", 16), ("1.1", 21)] {
            let extended_l2 = preallocation == "metadata" && compat == "1.1" && cluster_bits == 16;
            check(&Case { cluster_bits, compat, compression: "zlib", extended_l2, preallocation, seed: 77 });
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn any_image_reads_as_qemu_reads_it(
        cluster_bits in 9_u32..=21,
        version_3 in any::<bool>(),
        zstd in any::<bool>(),
        extended in any::<bool>(),
        metadata in any::<bool>(),
        seed in any::<u64>(),
    ) {
        check(&Case {
            cluster_bits,
            compat: if version_3 { "1.1" } else { "0.10" },
            compression: if zstd { "zstd" } else { "zlib" },
            extended_l2: extended && version_3 && cluster_bits >= 14,
            preallocation: if metadata { "metadata" } else { "off" },
            seed,
        });
    }
}

#[test]
fn internal_snapshots_are_ignored() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let (image, raw) = (path("image.qcow2"), path("raw"));
    qemu_img(["create", "-q", "-f", "qcow2", &image, "4M"]);
    qemu_io(&image, &["write -P 1 0 1M".to_owned()]);
    qemu_img(["snapshot", "-c", "before", &image]);
    qemu_io(&image, &["write -P 2 512k 1M".to_owned()]);
    qemu_img(["convert", "-f", "qcow2", "-O", "raw", &image, &raw]);
    compare(&image, &raw, 0);
}

#[test]
fn what_qemu_makes_of_other_kinds_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let base = path("base.qcow2");
    qemu_img(["create", "-q", "-f", "qcow2", &base, "4M"]);
    let expect = |file: &str, expected: &str| {
        let error = open(File::open(file).unwrap(), None).unwrap_err().to_string();
        assert!(error.contains(expected), "'{expected}' in '{error}'");
    };
    for (format, options, expected) in [
        ("vpc", "subformat=dynamic", "dynamic"),
        ("vhdx", "subformat=dynamic", "VHDX"),
        ("vmdk", "subformat=monolithicSparse", "VMDK"),
        ("vmdk", "subformat=streamOptimized", "VMDK"),
        ("vmdk", "subformat=twoGbMaxExtentSparse", "VMDK descriptor"),
        ("vdi", "static=off", "VDI"),
        ("qed", "cluster_size=65536", "QED"),
        ("parallels", "cluster_size=1M", "Parallels"),
        ("qcow", "", "version 1"),
    ] {
        let file = path(&format!("other.{format}"));
        let options = if options.is_empty() { vec![] } else { vec!["-o", options] };
        qemu_img([vec!["create", "-q", "-f", format], options, vec![&file, "4M"]].concat());
        expect(&file, expected);
    }
    let overlay = path("overlay.qcow2");
    qemu_img(["create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", &base, &overlay]);
    expect(&overlay, "backing file");
    let external = path("external.qcow2");
    let data_file = format!("data_file={},data_file_raw=on", path("external.raw"));
    qemu_img(["create", "-q", "-f", "qcow2", "-o", &data_file, &external, "4M"]);
    expect(&external, "external data file");
    let encrypted = path("encrypted.qcow2");
    let options = "encrypt.format=luks,encrypt.key-secret=key,encrypt.iter-time=10";
    qemu_img(["create", "-q", "--object", "secret,id=key,data=abc", "-f", "qcow2", "-o", options, &encrypted, "4M"]);
    expect(&encrypted, "encrypted");
    let luks = path("disk.luks");
    let options = "key-secret=key,iter-time=10";
    qemu_img(["create", "-q", "--object", "secret,id=key,data=abc", "-f", "luks", "-o", options, &luks, "4M"]);
    expect(&luks, "LUKS");
}

#[test]
fn fixed_vhds_of_qemu_read_as_qemu_reads_them() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let (source, vhd, raw) = (path("source"), path("disk.vhd"), path("raw"));
    for (size, options) in [(3_000_320, "subformat=fixed"), (5 << 20, "subformat=fixed,force_size=on")] {
        std::fs::write(&source, Random(size).bytes(size as usize)).unwrap();
        qemu_img(["convert", "-f", "raw", "-O", "vpc", "-o", options, &source, &vhd]);
        qemu_img(["convert", "-f", "vpc", "-O", "raw", &vhd, &raw]);
        let opened = open(File::open(&vhd).unwrap(), None).unwrap();
        assert_eq!(opened.format, Format::Vhd);
        check_disk(&*opened.guest, &std::fs::read(&raw).unwrap(), size);
    }
}

#[test]
fn raw_files_are_read_to_the_byte_and_their_holes_skipped() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("disk");
    let mut expected = vec![0; 8 << 20];
    expected[3 << 20..(3 << 20) + 5000].fill(9);
    expected.extend([1, 2, 3]);
    write_sparse(&path, &expected);
    let opened = open(File::open(&path).unwrap(), None).unwrap();
    assert_eq!(opened.format, Format::Raw);
    check_disk(&*opened.guest, &expected, 1);
}

fn write_sparse(path: &Path, content: &[u8]) {
    use std::os::unix::fs::FileExt;
    let file = File::create(path).unwrap();
    file.set_len(content.len() as u64).unwrap();
    for (index, block) in content.chunks(4096).enumerate().filter(|(_, block)| block.iter().any(|byte| *byte != 0)) {
        file.write_all_at(block, index as u64 * 4096).unwrap();
    }
}

#[test]
fn a_declared_format_is_not_inspected() {
    let directory = tempfile::tempdir().unwrap();
    let image = directory.path().join("image.qcow2");
    qemu_img(["create", "-q", "-f", "qcow2", image.to_str().unwrap(), "4M"]);
    assert_eq!(inspect(&File::open(&image).unwrap()).unwrap(), Format::Qcow2);
    let opened = open(File::open(&image).unwrap(), Some(Format::Raw)).unwrap();
    assert_eq!(opened.guest.virtual_size_bytes(), std::fs::metadata(&image).unwrap().len());
    assert!(open(File::open(&image).unwrap(), Some(Format::Vhd)).is_err());
}
