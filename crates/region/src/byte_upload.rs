//! Bytes that arrive in order and become an image of exactly their length: the package of a gallery application.
//!
//! How many there will be is not known before, and segments are cut on all cores, so they are gathered in a file first. It has
//! no name: whatever ends the process ends the file. What was gathered is then imported as any disk is, so that two packages
//! with the same bytes are one, and a package shares what it can with disks.

use std::{
    fs::{self, File, OpenOptions},
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::Path,
    sync::Arc,
};

use async_trait::async_trait;
use bytes::Bytes;
use galerie_store::{BlobSink, GuestBytes, ImportOptions, ImportProgress, Watermark};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{Error, Imported, Result, blocking::blocking, error::store_error, region::ByteUpload};

/// Bytes that are being gathered.
pub(crate) struct StoreByteUpload {
    file: Arc<File>,
    length_bytes: u64,
    sink: Arc<dyn BlobSink>,
    space: Watermark,
    /// For messages.
    region: String,
}

impl StoreByteUpload {
    /// Begins in `directory`, for `sink`.
    ///
    /// # Errors
    /// `Io`.
    pub(crate) async fn begin(
        directory: &Path,
        sink: Arc<dyn BlobSink>,
        space: Watermark,
        region: String,
    ) -> Result<Self> {
        let path = directory.join(format!("{}.part", Uuid::new_v4()));
        let file = blocking("make room for bytes", move || {
            let make = || {
                let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path)?;
                fs::remove_file(&path)?;
                Ok(file)
            };
            make().map_err(|source| Error::Io { action: format!("gather bytes in {}", path.display()), source })
        });
        Ok(Self { file: Arc::new(file.await?), length_bytes: 0, sink, space, region })
    }
}

#[async_trait]
impl ByteUpload for StoreByteUpload {
    async fn append(&mut self, bytes: Bytes) -> Result<()> {
        let (file, space, at_bytes) = (Arc::clone(&self.file), self.space.clone(), self.length_bytes);
        let length_bytes = bytes.len() as u64;
        blocking("gather bytes", move || {
            space.admit(length_bytes).map_err(Error::LowSpace)?;
            file.write_all_at(&bytes, at_bytes).map_err(|source| match source.kind() {
                std::io::ErrorKind::StorageFull => Error::Full("gathering bytes".to_owned()),
                _ => Error::Io { action: "gather bytes".to_owned(), source },
            })
        })
        .await?;
        self.length_bytes += length_bytes;
        Ok(())
    }

    async fn finish(self: Box<Self>, progress: Arc<ImportProgress>, cancel: CancellationToken) -> Result<Imported> {
        let failed = store_error(format!("import into {}", self.region));
        let gathered = Arc::new(Gathered { file: self.file, length_bytes: self.length_bytes });
        let imported = galerie_store::import(gathered, self.sink, ImportOptions::default(), progress, cancel).await;
        let imported = imported.map_err(failed)?;
        Ok(Imported { manifest: imported.manifest_id, virtual_size_bytes: imported.virtual_size_bytes })
    }
}

/// A file whose every byte counts.
struct Gathered {
    file: Arc<File>,
    length_bytes: u64,
}

impl GuestBytes for Gathered {
    fn virtual_size_bytes(&self) -> u64 {
        self.length_bytes
    }

    fn read_at(&self, offset_bytes: u64, buf: &mut [u8]) -> galerie_store::Result<()> {
        let failed = |source| galerie_store::Error::Io { action: "read gathered bytes".to_owned(), source };
        self.file.read_exact_at(buf, offset_bytes).map_err(failed)
    }

    fn next_data(&self, offset_bytes: u64) -> galerie_store::Result<Option<std::ops::Range<u64>>> {
        Ok((offset_bytes < self.length_bytes).then_some(offset_bytes..self.length_bytes))
    }
}
