//! Overlays that QEMU wrote over a base it was given as a node: we read the disk that QEMU reads.

use std::{fs::File, process::Command, sync::Arc};

use galerie_disk::{BlockDevice, BlockingDevice, MemoryDevice, Overlay, open};
use galerie_store::GuestBytes;

use crate::support::{Random, check_disk, qemu_img};

struct Disk {
    directory: tempfile::TempDir,
    seed: u64,
}

impl Disk {
    fn path(&self, name: &str) -> String {
        self.directory.path().join(name).to_str().unwrap().to_owned()
    }

    /// The overlay and its base as QEMU is given them.
    fn node(&self) -> String {
        format!(
            "driver=qcow2,discard=unmap,file.driver=file,file.filename={},backing.driver=raw,backing.file.driver=file,\
             backing.file.filename={}",
            self.path("overlay"),
            self.path("base")
        )
    }

    /// A base with data and holes, and an overlay of another size that a guest did things to.
    fn make(options: &str, base_bytes: u64, size_bytes: u64, seed: u64) -> Self {
        let disk = Self { directory: tempfile::tempdir().unwrap(), seed };
        let mut random = Random(seed);
        let mut base = vec![0; base_bytes as usize];
        for _ in 0..6 {
            let start = random.below(base_bytes) as usize;
            let length = (random.below(400_000) as usize).min(base.len() - start);
            base[start..start + length].copy_from_slice(&random.bytes(length));
        }
        std::fs::write(disk.path("base"), base).unwrap();
        qemu_img(["create", "-q", "-f", "qcow2", "-o", options, &disk.path("overlay"), &size_bytes.to_string()]);
        let mut command = Command::new("qemu-io");
        for _ in 0..14 {
            let offset = random.below(size_bytes / 512) * 512;
            let length = ((random.below(500) + 1) * 512).min(size_bytes - offset);
            command.arg("-c").arg(match random.below(4) {
                0 => format!("write -P {} {offset} {length}", random.below(255) + 1),
                1 => format!("write -z {offset} {length}"),
                2 => format!("write -z -u {offset} {length}"),
                _ => format!("discard {offset} {length}"),
            });
        }
        command.args(["-c", "write -P 99 1024 4096", "--image-opts", &disk.node()]);
        let output = command.output().expect("qemu-io runs: apt-get install qemu-utils");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        disk
    }

    /// What QEMU reads.
    fn expected(&self) -> Vec<u8> {
        qemu_img(["convert", "--image-opts", "-O", "raw", &self.node(), &self.path("raw")]);
        std::fs::read(self.path("raw")).unwrap()
    }

    fn overlay(&self, base: Arc<dyn GuestBytes>) -> Overlay {
        Overlay::open(File::open(self.path("overlay")).unwrap(), base).unwrap()
    }
}

#[test]
fn overlays_read_as_qemu_reads_them() {
    for (index, options) in [
        "cluster_size=64k",
        "cluster_size=4k",
        "cluster_size=64k,extended_l2=on",
        "cluster_size=2M",
        "cluster_size=512",
    ]
    .into_iter()
    .enumerate()
    {
        for (base_bytes, size_bytes) in [(3 << 20, 3 << 20), (1 << 20, 5 << 20), (3 << 20, 2 << 20)] {
            let disk = Disk::make(options, base_bytes, size_bytes, index as u64);
            let expected = disk.expected();
            let base = open(File::open(disk.path("base")).unwrap(), None).unwrap();
            let overlay = disk.overlay(base.guest);
            check_disk(&overlay, &expected, disk.seed);
            check_changes(&overlay, &disk, &expected);
        }
    }
}

/// Outside the runs that `next_change` gives, the disk is the base.
fn check_changes(overlay: &Overlay, disk: &Disk, expected: &[u8]) {
    let mut base = std::fs::read(disk.path("base")).unwrap();
    base.resize(expected.len(), 0);
    let mut at = 0;
    let mut changes = 0;
    while let Some(run) = overlay.next_change(at).unwrap() {
        assert!(base[at as usize..run.start as usize] == expected[at as usize..run.start as usize]);
        at = run.end;
        changes += 1;
    }
    assert!(changes > 0);
    assert!(base[at as usize..] == expected[at as usize..]);
}

#[test]
fn a_base_can_be_a_block_device() {
    let disk = Disk::make("cluster_size=64k", 3 << 20, 4 << 20, 77);
    let expected = disk.expected();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let device: Arc<dyn BlockDevice> = Arc::new(MemoryDevice::new(&std::fs::read(disk.path("base")).unwrap()));
    let base = BlockingDevice::new(device, runtime.handle().clone());
    check_disk(&disk.overlay(Arc::new(base)), &expected, disk.seed);
}

#[test]
fn an_overlay_that_names_a_backing_file_is_refused() {
    let disk = Disk::make("cluster_size=64k", 1 << 20, 1 << 20, 5);
    qemu_img(["create", "-q", "-f", "qcow2", "-F", "raw", "-b", &disk.path("base"), &disk.path("overlay")]);
    let base = open(File::open(disk.path("base")).unwrap(), None).unwrap();
    let error = Overlay::open(File::open(disk.path("overlay")).unwrap(), base.guest).unwrap_err().to_string();
    assert!(error.contains("backing file"), "{error}");
}
