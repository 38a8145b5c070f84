//! Serves an image file over NBD, to measure the server: `serve_nbd SOCKET FILE [memory | file | store]`.
//!
//! `memory` holds the file's bytes in memory, `file` reads the image file, `store` imports it into a store beside the
//! socket and serves that with a cache of 384 MiB.

use std::{error::Error, fs::File, path::Path, sync::Arc};

use galerie_disk::{
    BlockDevice, GuestDevice, ImageDevice, MemoryDevice,
    nbd::{Exports, Listener},
    open,
};
use galerie_store::{
    ChunkCache, CondemnedPacks, Identity, ImageReader, ImportOptions, ImportProgress, RegionStore, StoreOptions,
    backend::LocalBackend, import,
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

const CACHE_BYTES: u64 = 384 << 20;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, socket, file, rest @ ..] = arguments.as_slice() else {
        return Err("usage: serve_nbd SOCKET FILE [memory | file | store]".into());
    };
    let device: Arc<dyn BlockDevice> = match rest.first().map(String::as_str) {
        Some("store") => Arc::new(stored(file, &Path::new(socket).with_extension("store")).await?),
        Some("file") => Arc::new(GuestDevice::new(open(File::open(file)?, None)?.guest)),
        _ => Arc::new(MemoryDevice::new(&std::fs::read(file)?)),
    };
    let listener = Listener::bind(Path::new(socket))?;
    listener.serve(Exports::single(device), CancellationToken::new()).await;
    Ok(())
}

async fn stored(file: &str, folder: &Path) -> Result<ImageDevice, Box<dyn Error>> {
    let image = open(File::open(file)?, None)?;
    let backend = Arc::new(LocalBackend::open(folder.join("store")).await?);
    let identity = Identity { catalogue_id: Uuid::nil(), region: "local".into(), expected_store_id: None, epoch: 0 };
    let store = RegionStore::open_or_create(backend, identity, &folder.join("index"), StoreOptions::default()).await?;
    let domain = store.domain(&"tenant".parse()?).await?;
    let writer = domain.writer(CondemnedPacks::default()).await?;
    let progress = Arc::new(ImportProgress::default());
    let imported = import(image.guest, writer, ImportOptions::default(), progress, CancellationToken::new()).await?;
    let reader = ImageReader::open(domain, imported.manifest_id, ChunkCache::new(CACHE_BYTES)).await?;
    Ok(ImageDevice::new(reader))
}
