//! The whole way: an image file into a store, out again over NBD and as a file.

use std::{fs::File, path::Path, sync::Arc};

use galerie_disk::{
    BlockDevice, ImageDevice,
    export::{ExportFormat, ExportLayout},
    nbd::{Exports, Listener},
    open,
};
use galerie_store::{
    ChunkCache, CondemnedPacks, Domain, Identity, ImageReader, ImportOptions, ImportProgress, ManifestId, RegionStore,
    StoreOptions,
    backend::{Backend, MemoryBackend},
    import,
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::support::{Random, qemu_img, run};

/// Data, holes, and an end that is not a whole number of MiB, over more than one segment.
fn content() -> Vec<u8> {
    let mut content = vec![0; (150 << 20) + 1536];
    let mut random = Random(11);
    for _ in 0..60 {
        let start = random.below(149 << 20) as usize;
        let length = random.below(700_000) as usize;
        content[start..start + length].copy_from_slice(&random.bytes(length));
    }
    *content.last_mut().unwrap() = 1;
    content
}

async fn domain(index: &Path) -> Arc<Domain> {
    let identity = Identity { catalogue_id: Uuid::nil(), region: "here".into(), expected_store_id: None, epoch: 0 };
    let backend: Arc<dyn Backend> = Arc::new(MemoryBackend::new());
    let store = RegionStore::open_or_create(backend, identity, index, StoreOptions::default()).await.unwrap();
    store.domain(&"tenant".parse().unwrap()).await.unwrap()
}

async fn import_file(domain: &Arc<Domain>, path: &str) -> ManifestId {
    let image = open(File::open(path).unwrap(), None).unwrap();
    let writer = domain.writer(CondemnedPacks::default()).await.unwrap();
    let progress = Arc::new(ImportProgress::default());
    let cancel = CancellationToken::new();
    import(image.guest, writer, ImportOptions::default(), progress, cancel).await.unwrap().manifest_id
}

async fn device(domain: &Arc<Domain>, manifest: ManifestId) -> ImageDevice {
    let source = Arc::clone(domain);
    ImageDevice::new(ImageReader::open(source, manifest, ChunkCache::new(32 << 20)).await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_format_gives_the_same_manifest_and_the_same_bytes_back() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let content = content();
    std::fs::write(path("raw"), &content).unwrap();
    qemu_img(["convert", "-f", "raw", "-O", "qcow2", &path("raw"), &path("plain.qcow2")]);
    let options = "compression_type=zstd,cluster_size=128k";
    qemu_img(["convert", "-c", "-f", "raw", "-O", "qcow2", "-o", options, &path("raw"), &path("small.qcow2")]);
    let domain = domain(directory.path()).await;
    let manifest = import_file(&domain, &path("raw")).await;
    assert_eq!(import_file(&domain, &path("plain.qcow2")).await, manifest);
    assert_eq!(import_file(&domain, &path("small.qcow2")).await, manifest);

    let device = device(&domain, manifest).await;
    check_nbd(device.clone(), &path("nbd.sock"), &path("copy"), &content).await;
    check_export(&device, manifest, &path("disk.vhd"), &content).await;
}

async fn check_nbd(device: ImageDevice, socket: &str, copy: &str, content: &[u8]) {
    let listener = Listener::bind(Path::new(socket)).unwrap();
    let cancel = CancellationToken::new();
    let server = tokio::spawn(listener.serve(Exports::single(Arc::new(device)), cancel.clone()));
    let uri = format!("nbd+unix:///?socket={socket}");
    let arguments = [uri.clone(), copy.to_owned()];
    tokio::task::spawn_blocking(move || run("nbdcopy", "libnbd-bin", arguments)).await.unwrap();
    assert!(std::fs::read(copy).unwrap() == content);
    let map = tokio::task::spawn_blocking(move || run("nbdinfo", "libnbd-bin", ["--map", &uri])).await.unwrap();
    assert!(map.contains("hole,zero") && map.contains("data"), "{map}");
    cancel.cancel();
    server.await.unwrap();
}

async fn check_export(device: &ImageDevice, manifest: ManifestId, vhd: &str, content: &[u8]) {
    let layout = ExportLayout::new(ExportFormat::FixedVhd, device.size_bytes(), &manifest).unwrap();
    layout.write_to(device, Arc::new(File::create(vhd).unwrap())).await.unwrap();
    let written = std::fs::read(vhd).unwrap();
    assert_eq!(written.len() as u64, (151 << 20) + 512);
    assert!(written[..content.len()] == *content);
}
