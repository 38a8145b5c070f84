//! Bytes that arrive in order and become an image of exactly their length: the package of a gallery application.
//!
//! How many there will be is not known before, and segments are cut on all cores, so they are gathered in a file first. It has
//! no name: whatever ends the process ends the file. What was gathered is then imported as any disk is, so that two packages
//! with the same bytes are one, and a package shares what it can with disks. Nothing of the store is held meanwhile: whoever
//! sends slowly holds up nobody.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::Path,
    sync::Arc,
};

use bytes::Bytes;
use galerie_store::{GuestBytes, Watermark};
use rustix::{
    fs::{CWD, Mode, OFlags, openat},
    io::Errno,
};
use uuid::Uuid;

use crate::{Error, Result, blocking::blocking};

/// Bytes that are being gathered. Dropping it abandons them.
#[derive(Debug)]
pub struct Gathering {
    file: Arc<File>,
    length_bytes: u64,
    space: Watermark,
}

impl Gathering {
    /// Begins in `directory`, as long as `space` admits more.
    pub(crate) async fn begin(directory: &Path, space: Watermark) -> Result<Self> {
        let directory = directory.to_owned();
        let file = blocking("make room for bytes", move || {
            nameless(&directory)
                .map_err(|source| Error::Io { action: format!("gather bytes in {}", directory.display()), source })
        });
        Ok(Self { file: Arc::new(file.await?), length_bytes: 0, space })
    }

    /// Takes the next bytes. Nothing is durable yet.
    ///
    /// # Errors
    /// `Full`, `LowSpace`, `Io`.
    pub async fn append(&mut self, bytes: Bytes) -> Result<()> {
        let (file, space, at_bytes) = (Arc::clone(&self.file), self.space.clone(), self.length_bytes);
        let length_bytes = bytes.len() as u64;
        blocking("gather bytes", move || {
            space.admit(length_bytes).map_err(Error::LowSpace)?;
            file.write_all_at(&bytes, at_bytes).map_err(|source| match source.kind() {
                io::ErrorKind::StorageFull => Error::Full("gathering bytes".to_owned()),
                _ => Error::Io { action: "gather bytes".to_owned(), source },
            })
        })
        .await?;
        self.length_bytes += length_bytes;
        Ok(())
    }

    /// How many came so far.
    #[must_use]
    pub fn length_bytes(&self) -> u64 {
        self.length_bytes
    }

    /// What came, to be imported.
    pub(crate) fn into_guest(self) -> Arc<dyn GuestBytes> {
        Arc::new(Gathered { file: self.file, length_bytes: self.length_bytes })
    }
}

/// A file in `directory` that never had a name, so that no instant of a kill leaves one. Where the file system has no such
/// files (some network ones), a name is there for an instant; what a kill leaves then is removed as an ownerless upload is.
fn nameless(directory: &Path) -> io::Result<File> {
    match openat(CWD, directory, OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC, Mode::RUSR | Mode::WUSR) {
        // A kernel or a file system without the flag sees a folder that is opened for writing.
        Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL) => named_for_an_instant(directory),
        opened => Ok(File::from(opened?)),
    }
}

fn named_for_an_instant(directory: &Path) -> io::Result<File> {
    let path = directory.join(format!("{}.part", Uuid::new_v4()));
    let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path)?;
    fs::remove_file(&path)?;
    Ok(file)
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use galerie_store::{MinFreeSpace, Space, SpaceSource};

    use super::*;

    /// A volume with so much room.
    #[derive(Debug, Clone)]
    struct Room(Arc<AtomicU64>);

    impl SpaceSource for Room {
        fn space(&self) -> io::Result<Space> {
            Ok(Space { total_bytes: u64::MAX, free_bytes: self.0.load(Ordering::SeqCst) })
        }
    }

    #[test]
    fn a_file_system_without_nameless_files_is_as_good() {
        let folder = tempfile::tempdir().unwrap();
        for make in [nameless, named_for_an_instant] {
            let file = make(folder.path()).unwrap();
            file.write_all_at(b"bytes", 3).unwrap();
            let mut read = [1; 8];
            file.read_exact_at(&mut read, 0).unwrap();
            assert_eq!(&read, b"\0\0\0bytes");
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        }
    }

    #[tokio::test]
    async fn what_came_is_read_back_and_leaves_no_name() {
        let folder = tempfile::tempdir().unwrap();
        let room = Room(Arc::new(u64::MAX.into()));
        let keep = MinFreeSpace { bytes: Some(1000), percent: None };
        let mut gathering = Gathering::begin(folder.path(), Watermark::new(keep, room.clone())).await.unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        for piece in [&b"one"[..], b"", b"and another"] {
            gathering.append(Bytes::copy_from_slice(piece)).await.unwrap();
        }
        // What is refused is not counted, and does not get in the way of what comes when there is room again.
        room.0.store(0, Ordering::SeqCst);
        let refused = gathering.append(Bytes::from(vec![7; 1 << 20])).await;
        assert!(matches!(refused, Err(Error::LowSpace(_))), "{refused:?}");
        assert_eq!(gathering.length_bytes(), 14);
        let guest = gathering.into_guest();
        let mut read = [0; 14];
        guest.read_at(0, &mut read).unwrap();
        assert_eq!((&read, guest.virtual_size_bytes()), (b"oneand another", 14));
        assert!(guest.read_at(1, &mut [0; 14]).is_err(), "beyond its end is nothing");
        assert_eq!((guest.next_data(13).unwrap(), guest.next_data(14).unwrap()), (Some(13..14), None));
    }
}
