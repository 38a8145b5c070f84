//! The data directory: where things lie in it, and the lock that makes it one process's.

use std::{
    fs::{DirBuilder, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use rustix::fs::{FlockOperation, flock};

use super::Error;
use crate::{admin_file::ADMIN_FILE, durable};

/// Longer than any process id.
const LONGEST_PID_BYTES: u64 = 20;

/// A data directory that is this process's until the value is dropped.
#[derive(Debug)]
pub(crate) struct DataDirectory {
    root: PathBuf,
    /// Held locked. The kernel releases it with the process, however that ends.
    _lock: File,
}

impl DataDirectory {
    /// Locks the directory, which is made when there is none.
    ///
    /// # Errors
    /// `InUse`, with the process that has it; `Io`.
    pub(crate) fn lock(root: &Path) -> Result<Self, Error> {
        let failed =
            |action: &str, source| Error::io(format!("{action} the data directory {}", root.display()), source);
        let is_new = !root.exists();
        DirBuilder::new().recursive(true).mode(0o700).create(root).map_err(|error| failed("create", error))?;
        let root = root.canonicalize().map_err(|error| failed("find", error))?;
        if is_new {
            // What is made durable in a folder is lost with it.
            durable::sync_folder_of(&root).map_err(|error| failed("sync", error))?;
        }
        let path = root.join("lock");
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(|error| failed("write to", error))?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Err(Error::InUse { root, process: holder(&mut lock) }),
            Err(error) => return Err(failed("lock", error.into())),
        }
        write_holder(&mut lock).map_err(|error| failed("write to", error))?;
        Ok(Self { root, _lock: lock })
    }

    pub(crate) fn admin_file(&self) -> PathBuf {
        self.root.join(ADMIN_FILE)
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.root.join("catalogue.db")
    }

    pub(crate) fn master_key_file(&self) -> PathBuf {
        self.root.join("master.key")
    }

    pub(crate) fn tls(&self) -> PathBuf {
        self.root.join("tls")
    }

    /// Where a region keeps its store, unless the configuration says otherwise.
    pub(crate) fn region(&self, name: &str) -> PathBuf {
        self.root.join("regions").join(name)
    }

    /// Indexes of the stores; disposable.
    pub(crate) fn index(&self) -> PathBuf {
        self.root.join("index")
    }
}

/// Who has the lock, as far as the file says.
fn holder(lock: &mut File) -> Option<u32> {
    let mut text = String::new();
    lock.take(LONGEST_PID_BYTES).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

fn write_holder(lock: &mut File) -> io::Result<()> {
    lock.set_len(0)?;
    lock.seek(SeekFrom::Start(0))?;
    writeln!(lock, "{}", std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_has_one_owner_and_the_second_learns_which() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("new/data");
        let first = DataDirectory::lock(&root).unwrap();
        let error = DataDirectory::lock(&root).unwrap_err();
        assert!(error.to_string().contains(&format!("process {}", std::process::id())), "{error}");
        drop(first);
        DataDirectory::lock(&root).unwrap();
    }
}
