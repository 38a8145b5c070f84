//! Exported files: any range, the same bytes; accepted by the programs that read them.

use std::{fs::File, sync::Arc};

use futures::TryStreamExt;
use galerie_disk::{
    BlockDevice, Format, MemoryDevice,
    export::{ExportFormat, ExportLayout},
    open,
};
use galerie_store::{BlobId, ManifestId};

use crate::support::{Random, check_disk, qemu_img};

const MANIFEST: ManifestId = ManifestId(BlobId([7; 32]));

fn content(length: usize) -> Vec<u8> {
    let mut content = vec![0; length];
    let end = length / 3;
    content[..end].copy_from_slice(&Random(length as u64).bytes(end));
    *content.last_mut().unwrap() = 0xee;
    content
}

async fn collect(layout: &ExportLayout, device: &Arc<dyn BlockDevice>, range: std::ops::Range<u64>) -> Vec<u8> {
    let parts: Vec<_> = layout.stream(&**device, range).unwrap().try_collect().await.unwrap();
    parts.concat()
}

async fn check(format: ExportFormat, length: usize) {
    let content = content(length);
    let device: Arc<dyn BlockDevice> = Arc::new(MemoryDevice::new(&content));
    let layout = ExportLayout::new(format, length as u64, &MANIFEST).unwrap();
    let whole = collect(&layout, &device, 0..layout.length_bytes()).await;
    assert_eq!(whole.len() as u64, layout.length_bytes());
    assert!(whole[..length] == content);
    let mut random = Random(9);
    for _ in 0..40 {
        let start = random.below(layout.length_bytes() + 1);
        let end = start + random.below(layout.length_bytes() - start + 1);
        assert!(collect(&layout, &device, start..end).await == whole[start as usize..end as usize], "{start}..{end}");
    }
    let last = layout.length_bytes() - 1;
    assert_eq!(collect(&layout, &device, last..last + 1).await, whole[last as usize..]);
    assert!(layout.stream(&*device, last..last + 2).is_err());

    let file = tempfile::tempfile().unwrap();
    layout.write_to(&*device, Arc::new(file.try_clone().unwrap())).await.unwrap();
    let mut written = Vec::new();
    std::io::Read::read_to_end(&mut &file, &mut written).unwrap();
    assert!(written == whole);
}

#[tokio::test]
async fn any_range_is_a_part_of_the_whole() {
    for length in [1, 511, 1 << 20, (3 << 20) + 5, 9 << 20] {
        check(ExportFormat::Raw, length).await;
        check(ExportFormat::FixedVhd, length).await;
    }
}

#[tokio::test]
async fn a_device_of_another_size_is_refused() {
    let layout = ExportLayout::new(ExportFormat::Raw, 10, &MANIFEST).unwrap();
    assert!(layout.stream(&MemoryDevice::new(&[1; 11]), 0..5).is_err());
}

#[tokio::test]
async fn qemu_and_our_reader_see_the_whole_disk_in_the_vhd() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    // Whole MiB: the size that comes back is the size that went in.
    let content = content(37 << 20);
    let layout = ExportLayout::new(ExportFormat::FixedVhd, content.len() as u64, &MANIFEST).unwrap();
    let file = Arc::new(File::create(path("disk.vhd")).unwrap());
    layout.write_to(&MemoryDevice::new(&content), file).await.unwrap();
    qemu_img(["convert", "-f", "vpc", "-O", "raw", &path("disk.vhd"), &path("raw")]);
    assert!(std::fs::read(path("raw")).unwrap() == content);
    let opened = open(File::open(path("disk.vhd")).unwrap(), None).unwrap();
    assert_eq!(opened.format, Format::Vhd);
    check_disk(&*opened.guest, &content, 3);
}
