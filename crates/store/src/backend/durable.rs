//! The one way a file becomes durable.
//!
//! A file is written beside its place, `fdatasync`ed, renamed without replacing anything, and the folder is `fsync`ed.
//! An error of either sync is final for that file: the kernel may have dropped the dirty pages and would report success
//! the second time, so nothing is ever synced again after an error; the file is removed and the caller told.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, IoSlice, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use bytes::Bytes;
use rustix::fs::{CWD, FlockOperation, RenameFlags, flock, renameat_with};

use crate::{
    Error, Result,
    direct::{self, DirectWriter},
};

/// The folder, under the root, of files that are still being written.
pub(super) const TEMPORARY_FOLDER: &str = ".tmp";

/// Guests' disks are nobody's business but this program's: a store may lie on a volume that other users reach.
const FOLDER_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;

/// Writes `parts` to `path`, which must not exist, through a temporary file in `temporary`.
pub(super) fn write_new(temporary: &Path, path: &Path, parts: &[Bytes]) -> Result<()> {
    let folder = path.parent().expect("every key lies in the root folder");
    create_folders(folder)?;
    let (staged, mut file) = create_staged(temporary)?;
    let written = write_parts(&mut file, parts)
        .and_then(|()| file.sync_data())
        .map_err(|source| Error::io(format!("write {}", path.display()), source))
        .and_then(|()| rename_new(&staged, path));
    if written.is_err() {
        // Nothing refers to it; were this to fail too, the sweep at the next open removes it.
        let _ = fs::remove_file(&staged);
    }
    written?;
    sync_folder(folder)
}

/// Creates `folder` and what is missing above it, each made durable in its parent.
pub(super) fn create_folders(folder: &Path) -> Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    if let Some(parent) = folder.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        create_folders(parent)?;
    }
    match DirBuilder::new().mode(FOLDER_MODE).create(folder) {
        Ok(()) => {
            sync_folder(folder.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new(".")))
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && folder.is_dir() => Ok(()),
        Err(error) => Err(Error::io(format!("create folder {}", folder.display()), error)),
    }
}

/// Makes the names in `folder` durable.
pub(super) fn sync_folder(folder: &Path) -> Result<()> {
    File::open(folder)
        .and_then(|opened| opened.sync_all())
        .map_err(|source| Error::io(format!("sync folder {}", folder.display()), source))
}

/// Removes files whose writers are dead: a living writer holds a lock on its file.
pub(super) fn sweep(temporary: &Path) -> Result<u64> {
    let action = || format!("sweep {}", temporary.display());
    let mut removed = 0;
    for entry in fs::read_dir(temporary).map_err(|source| Error::io(action(), source))? {
        let path = entry.map_err(|source| Error::io(action(), source))?.path();
        let Ok(file) = File::open(&path) else { continue };
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok() && fs::remove_file(&path).is_ok() {
            removed += 1;
        }
    }
    Ok(removed)
}

/// A new locked file. A sweep may take a file in the instant between its creation and its lock; then another is made.
fn create_staged(temporary: &Path) -> Result<(PathBuf, File)> {
    const ATTEMPTS_MAX: usize = 8;
    for _ in 0..ATTEMPTS_MAX {
        let path = temporary.join(uuid::Uuid::new_v4().simple().to_string());
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(FILE_MODE)
            .open(&path)
            .map_err(|source| Error::io(format!("create {}", path.display()), source))?;
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok() && path.exists() {
            return Ok((path, file));
        }
    }
    Err(Error::Unavailable(format!("files in {} are swept away while being created", temporary.display())))
}

fn write_parts(file: &mut File, parts: &[Bytes]) -> io::Result<()> {
    let size_bytes: usize = parts.iter().map(Bytes::len).sum();
    if size_bytes >= direct::WORTHWHILE_BYTES {
        let (mut writer, mut offset_bytes) = (DirectWriter::new(&*file), 0);
        for part in parts {
            writer.write_at(part, offset_bytes)?;
            offset_bytes += part.len() as u64;
        }
        return writer.finish();
    }
    /// `IOV_MAX` is 1024 on Linux.
    const SLICES_PER_CALL: usize = 1024;
    for batch in parts.chunks(SLICES_PER_CALL) {
        let mut slices: Vec<IoSlice<'_>> = batch.iter().map(|part| IoSlice::new(part)).collect();
        let mut rest = slices.as_mut_slice();
        IoSlice::advance_slices(&mut rest, 0);
        while !rest.is_empty() {
            let written = file.write_vectored(rest)?;
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            IoSlice::advance_slices(&mut rest, written);
        }
    }
    Ok(())
}

fn rename_new(staged: &Path, path: &Path) -> Result<()> {
    let renamed = match renameat_with(CWD, staged, CWD, path, RenameFlags::NOREPLACE) {
        // File systems without that flag (some network ones) have hard links, which never replace either.
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => {
            fs::hard_link(staged, path).and_then(|()| fs::remove_file(staged))
        }
        other => other.map_err(io::Error::from),
    };
    renamed.map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => Error::AlreadyExists(path.display().to_string()),
        _ => Error::io(format!("rename to {}", path.display()), source),
    })
}
