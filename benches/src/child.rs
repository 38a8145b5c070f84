//! Work in a process of its own, so that its memory and its processor time are its own, too.
//!
//! The benchmark starts itself again with one of these commands. What a command prints is one line of JSON.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering},
};

use clap::Subcommand;
use galerie_disk::{
    ImageDevice,
    nbd::{Exports, Listener},
};
use galerie_store::{ChunkCache, Compression, ImageReader, ImportProgress, ManifestId};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::process::Command;
use tokio_util::sync::CancellationToken;

use crate::{
    Result,
    cpu::{Stopwatch, Took},
    machine::peak_memory_bytes,
    scratch_store::ScratchStore,
};

/// What a child does.
#[derive(Debug, Subcommand)]
pub(crate) enum Child {
    /// Imports raw images, one after the other, into the store in a folder.
    #[command(hide = true)]
    ChildImport {
        /// What the store is compressed with.
        compression: Compression,
        /// The folder.
        store: PathBuf,
        /// The images.
        images: Vec<PathBuf>,
    },
    /// Serves an image of the store in a folder over NBD until it is killed.
    #[command(hide = true)]
    ChildServe {
        /// The folder.
        store: PathBuf,
        /// The image.
        manifest: ManifestId,
        /// Where to listen.
        socket: PathBuf,
        /// The bound of the cache.
        cache_mib: u64,
    },
}

/// What [`Child::ChildImport`] prints.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Imports {
    /// In the order of the images.
    pub(crate) imports: Vec<ImportRun>,
    /// Of the whole process.
    pub(crate) peak_memory_bytes: u64,
    /// How many blobs all packs hold.
    pub(crate) blobs: u64,
    /// What the index of these takes, in memory and on disk.
    pub(crate) index_memory_bytes: u64,
    pub(crate) index_disk_bytes: u64,
}

/// One import.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ImportRun {
    manifest: String,
    /// Opening the writer to the last fsync.
    pub(crate) took: Took,
    /// Bytes of chunks, new and known; zeros are not among them.
    pub(crate) data_bytes: u64,
    /// What all packs take afterwards.
    pub(crate) pack_bytes: u64,
}

impl ImportRun {
    /// The image's name in the store.
    pub(crate) fn manifest(&self) -> Result<ManifestId> {
        Ok(self.manifest.parse()?)
    }
}

impl Child {
    pub(crate) async fn run(self) -> Result<()> {
        match self {
            Self::ChildImport { compression, store, images } => {
                println!("{}", serde_json::to_string(&imports(&store, &images, compression).await?)?);
                Ok(())
            }
            Self::ChildServe { store, manifest, socket, cache_mib } => {
                serve(&store, manifest, &socket, cache_mib << 20).await
            }
        }
    }
}

async fn imports(folder: &Path, images: &[PathBuf], compression: Compression) -> Result<Imports> {
    let store = ScratchStore::open(folder, compression).await?;
    let mut imports = Vec::new();
    for image in images {
        let progress = Arc::new(ImportProgress::default());
        let watch = Stopwatch::start();
        let manifest = store.import(image, &progress).await?;
        let took = watch.took();
        let data_bytes = progress.new_bytes.load(Ordering::Relaxed) + progress.known_bytes.load(Ordering::Relaxed);
        imports.push(ImportRun { manifest: manifest.to_string(), took, data_bytes, pack_bytes: store.pack_bytes() });
    }
    let stats = store.domain.stats();
    Ok(Imports {
        imports,
        peak_memory_bytes: peak_memory_bytes("self"),
        blobs: stats.blobs,
        index_memory_bytes: stats.index.memory_bytes,
        index_disk_bytes: stats.index.disk_bytes,
    })
}

async fn serve(folder: &Path, manifest: ManifestId, socket: &Path, cache_bytes: u64) -> Result<()> {
    let store = ScratchStore::open(folder, Compression::default()).await?;
    let reader = ImageReader::open(store.domain.clone(), manifest, ChunkCache::new(cache_bytes)).await?;
    let listener = Listener::bind(socket)?;
    listener.serve(Exports::single(Arc::new(ImageDevice::new(reader))), CancellationToken::new()).await;
    Ok(())
}

/// Imports in a child.
pub(crate) async fn import(store: &Path, images: &[&Path], compression: Compression) -> Result<Imports> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("child-import").arg(compression.to_string()).arg(store).args(images);
    output(command).await
}

/// The command that serves `manifest`.
pub(crate) fn serve_command(store: &Path, manifest: ManifestId, socket: &Path, cache_mib: u64) -> Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("child-serve").arg(store).arg(manifest.to_string()).arg(socket).arg(cache_mib.to_string());
    Ok(command)
}

async fn output<T: DeserializeOwned>(mut command: Command) -> Result<T> {
    let output = command.stderr(std::process::Stdio::inherit()).output().await?;
    if !output.status.success() {
        return Err(format!("a child ended with {}", output.status).into());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}
