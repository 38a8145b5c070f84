//! The data directory: where things lie in it, and the lock that makes it one process's.

use std::{
    fs::{DirBuilder, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use rustix::fs::{FlockOperation, flock};
use uuid::Uuid;

use super::{Config, Error};
use crate::{admin_file::ADMIN_FILE, durable};

/// The catalogue's file, where it is no PostgreSQL database.
const CATALOGUE: &str = "catalogue.db";
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

    /// Locks the directory of a server that there was: where the configuration names no database, its catalogue must be here.
    ///
    /// # Errors
    /// As [`DataDirectory::lock`]; `Config`, and then nothing was made, when there is no catalogue.
    pub(crate) fn lock_existing(root: &Path, config: &Config) -> Result<Self, Error> {
        let look = |error| Error::io(format!("find the catalogue in {}", root.display()), error);
        if config.database.is_none() && !root.join(CATALOGUE).try_exists().map_err(look)? {
            let why = format!(
                "{} is not the data directory of a server; one whose catalogue is in PostgreSQL wants its configuration (--config)",
                root.display()
            );
            return Err(Error::Config(why));
        }
        Self::lock(root)
    }

    pub(crate) fn admin_file(&self) -> PathBuf {
        self.root.join(ADMIN_FILE)
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.root.join(CATALOGUE)
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The id under which the process of this directory is known to the others of its catalogue; made with the first start.
    ///
    /// # Errors
    /// `Io`; `Config` for a file that holds something else.
    pub(crate) fn process_id(&self) -> Result<Uuid, Error> {
        let path = self.root.join("process-id");
        let failed = |source| Error::io(format!("use {}", path.display()), source);
        match std::fs::read_to_string(&path) {
            Ok(text) => text.trim().parse().map_err(|_| {
                Error::Config(format!("{} holds no process id; remove it to have one made", path.display()))
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let id = Uuid::new_v4();
                durable::replace(&path, format!("{id}\n").as_bytes(), 0o600).map_err(failed)?;
                Ok(id)
            }
            Err(error) => Err(failed(error)),
        }
    }

    /// There while a restore is not finished.
    pub(crate) fn restore_marker(&self) -> PathBuf {
        self.root.join("restore.json")
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
        let id = first.process_id().unwrap();
        drop(first);
        let second = DataDirectory::lock(&root).unwrap();
        assert_eq!(second.process_id().unwrap(), id, "the next start is the same process");
    }
}
