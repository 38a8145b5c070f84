//! A directory as a backend.
//!
//! Keys are paths below the root. Files are written by the one durable way of the `durable` module, so that a crash
//! leaves whole files and, in `.tmp`, remains that the next open sweeps away. Several processes may share a root.
//!
//! The root stays the folder that was opened: where another one, or none, lies at its path (its volume was unmounted),
//! nothing is written, listed, deleted or missing, but the store unavailable. An empty mount point would otherwise look
//! like a store that has lost everything, and take packs that the volume hides when it comes back.
//!
//! Reads of what the page cache holds are answered on the calling task; what needs the disk goes to a bounded pool of
//! blocking threads.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{self, IoSliceMut},
    os::unix::fs::{FileExt, MetadataExt},
    path::{Path, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;
use bytes::Bytes;
use quick_cache::sync::Cache;
use rustix::io::{Errno, ReadWriteFlags, preadv2};
use tokio::sync::Semaphore;

use super::{Backend, Key, LIST_LIMIT_MAX, Object, check_prefix, durable};
use crate::{Error, Result};

/// How many blocking calls one backend has under way; more only queue in the disk.
const BLOCKING_CALLS_MAX: usize = 64;
/// How many packs are kept open for reading.
const OPEN_FILES_MAX: usize = 256;
/// The largest read that is tried on the calling task; a larger copy would hold it up for too long.
const INLINE_READ_MAX_BYTES: u64 = 1024 * 1024;

/// Objects as files below a root folder.
#[derive(Debug)]
pub struct LocalBackend {
    root: Arc<Root>,
    open_files: Cache<Key, Arc<File>>,
    blocking: Arc<Semaphore>,
}

impl LocalBackend {
    /// Opens the folder, creating it when it is missing, and sweeps away what dead writers left.
    ///
    /// # Errors
    /// `Io` with the path, when it cannot be created, read or written.
    pub async fn open(root: impl Into<PathBuf>) -> Result<Self> {
        let root = root.into();
        let root = crate::blocking::run(move || Root::open(root)).await.map_err(stopped)??;
        Ok(Self {
            root: Arc::new(root),
            open_files: Cache::new(OPEN_FILES_MAX),
            blocking: Arc::new(Semaphore::new(BLOCKING_CALLS_MAX)),
        })
    }

    /// As [`LocalBackend::open`], of a folder that has the object already. One that has not may be a mount point whose volume
    /// is away: nothing is made there.
    ///
    /// # Errors
    /// `Unavailable` when it has not; as [`LocalBackend::open`].
    pub async fn open_with(root: impl Into<PathBuf>, key: &Key) -> Result<Self> {
        let root = root.into();
        let object = root.join(key.as_str());
        match crate::blocking::run(move || fs::metadata(object)).await.map_err(stopped)? {
            Ok(_) => Self::open(root).await,
            Err(source) if matches!(source.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                Err(Error::Unavailable(format!("{} has no {key}; is its volume mounted?", root.display())))
            }
            Err(source) => Err(Error::io(format!("look for {key} in {}", root.display()), source)),
        }
    }

    /// The root folder.
    pub fn root(&self) -> &Path {
        &self.root.path
    }

    fn path(&self, key: &Key) -> PathBuf {
        self.root.path.join(key.as_str())
    }

    async fn blocking<T: Send + 'static>(&self, work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
        let permit = Arc::clone(&self.blocking).acquire_owned().await.map_err(|_| Error::Cancelled)?;
        let run = move || {
            let _permit = permit;
            work()
        };
        crate::blocking::run(run).await.map_err(stopped)?
    }

    async fn file(&self, key: &Key) -> Result<Arc<File>> {
        if let Some(file) = self.open_files.get(key) {
            return Ok(file);
        }
        let (root, path, name) = (Arc::clone(&self.root), self.path(key), key.clone());
        let file = Arc::new(self.blocking(move || root.read(&name, File::open(path))).await?);
        self.open_files.insert(key.clone(), Arc::clone(&file));
        Ok(file)
    }
}

/// The root folder.
#[derive(Debug)]
struct Root {
    path: PathBuf,
    /// Held open: its numbers stay its own, and its volume is in use.
    opened: File,
}

impl Root {
    fn open(path: PathBuf) -> Result<Self> {
        prepare(&path)?;
        let opened =
            File::open(&path).map_err(|source| Error::io(format!("open folder {}", path.display()), source))?;
        Ok(Self { path, opened })
    }

    /// Refuses to go on when the path leads elsewhere than it did.
    fn check(&self) -> Result<()> {
        let numbers = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
        match (fs::metadata(&self.path).map(numbers), self.opened.metadata().map(numbers)) {
            (Ok(found), Ok(opened)) if found == opened => Ok(()),
            _ => Err(Error::Unavailable(format!(
                "{} is not the folder that was opened; was its volume unmounted?",
                self.path.display()
            ))),
        }
    }

    /// What opening or looking at an object answers. It is missing only if the root is there.
    fn read<T>(&self, key: &Key, read: io::Result<T>) -> Result<T> {
        read.map_err(|source| match read_error(key, source) {
            Error::NotFound(what) => self.check().err().unwrap_or(Error::NotFound(what)),
            error => error,
        })
    }
}

/// Makes the folders and proves that they can be written.
fn prepare(root: &Path) -> Result<()> {
    let temporary = root.join(durable::TEMPORARY_FOLDER);
    durable::create_folders(&temporary)?;
    let swept = durable::sweep(&temporary)?;
    if swept > 0 {
        tracing::info!(folder = %temporary.display(), files = swept, "swept unfinished files of dead writers");
    }
    Ok(())
}

fn stopped(error: tokio::task::JoinError) -> Error {
    Error::Unavailable(format!("blocking call ended: {error}"))
}

fn read_error(key: &Key, source: io::Error) -> Error {
    match source.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Error::NotFound(key.to_string()),
        _ => Error::io(format!("read {key}"), source),
    }
}

fn ends_early(key: &Key, offset_bytes: u64, length_bytes: u64) -> Error {
    Error::Corrupt(format!("{key} ends before the {length_bytes} bytes at {offset_bytes}"))
}

/// Reads what the page cache holds, without waiting for the disk; `None` when that is not all of it.
fn read_cached(file: &File, buf: &mut [u8], offset_bytes: u64) -> bool {
    let length = buf.len();
    match preadv2(file, &mut [IoSliceMut::new(buf)], offset_bytes, ReadWriteFlags::NOWAIT) {
        Ok(read) => read == length,
        Err(Errno::AGAIN | Errno::OPNOTSUPP) | Err(_) => false,
    }
}

#[async_trait]
impl Backend for LocalBackend {
    async fn put(&self, key: &Key, parts: Vec<Bytes>) -> Result<()> {
        let (root, path) = (Arc::clone(&self.root), self.path(key));
        self.blocking(move || {
            root.check()?;
            durable::write_new(&root.path.join(durable::TEMPORARY_FOLDER), &path, &parts)?;
            // Were the volume to go in between, the object would lie where nobody finds it.
            root.check()
        })
        .await
    }

    async fn get(&self, key: &Key, limit_bytes: u64) -> Result<Bytes> {
        let size_bytes = self.size_bytes(key).await?;
        if size_bytes > limit_bytes {
            return Err(Error::Invalid(format!("{key} has {size_bytes} bytes, more than {limit_bytes}")));
        }
        self.get_range(key, 0, size_bytes).await
    }

    async fn get_range(&self, key: &Key, offset_bytes: u64, length_bytes: u64) -> Result<Bytes> {
        let length = usize::try_from(length_bytes).map_err(|_| ends_early(key, offset_bytes, length_bytes))?;
        let file = self.file(key).await?;
        let mut buf = vec![0; length];
        if length_bytes <= INLINE_READ_MAX_BYTES && read_cached(&file, &mut buf, offset_bytes) {
            return Ok(buf.into());
        }
        let name = key.clone();
        self.blocking(move || match file.read_exact_at(&mut buf, offset_bytes) {
            Ok(()) => Ok(buf.into()),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Err(ends_early(&name, offset_bytes, length_bytes))
            }
            Err(error) => Err(read_error(&name, error)),
        })
        .await
    }

    async fn size_bytes(&self, key: &Key) -> Result<u64> {
        let (root, path, name) = (Arc::clone(&self.root), self.path(key), key.clone());
        self.blocking(move || root.read(&name, fs::metadata(path)).map(|metadata| metadata.len())).await
    }

    async fn delete(&self, key: &Key) -> Result<()> {
        self.open_files.remove(key);
        let (root, path) = (Arc::clone(&self.root), self.path(key));
        self.blocking(move || match fs::remove_file(&path) {
            Ok(()) => durable::sync_folder(path.parent().expect("every key lies in the root folder")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => root.check(),
            Err(error) => Err(Error::io(format!("delete {}", path.display()), error)),
        })
        .await
    }

    async fn list(&self, prefix: &str, after: Option<&Key>, limit: usize) -> Result<Vec<Object>> {
        check_prefix(prefix)?;
        let (root, prefix, after) = (Arc::clone(&self.root), prefix.to_owned(), after.cloned());
        self.blocking(move || {
            let mut page = Page { after, limit: limit.min(LIST_LIMIT_MAX), keys: BTreeSet::new() };
            walk(&root.path, prefix.trim_end_matches('/'), &mut page)?;
            let objects = page.keys.into_iter().filter_map(|key| sized(&root.path, key)).collect();
            // Last: what was listed of a volume that goes meanwhile is not all of it.
            root.check()?;
            Ok(objects)
        })
        .await
    }
}

/// The smallest keys after a given one.
struct Page {
    after: Option<Key>,
    limit: usize,
    keys: BTreeSet<Key>,
}

impl Page {
    fn offer(&mut self, key: Key) {
        if self.after.as_ref().is_some_and(|after| key <= *after) {
            return;
        }
        self.keys.insert(key);
        if self.keys.len() > self.limit {
            self.keys.pop_last();
        }
    }
}

fn walk(root: &Path, folder: &str, page: &mut Page) -> Result<()> {
    let path = root.join(folder);
    let entries = match fs::read_dir(&path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(Error::io(format!("list {}", path.display()), error)),
    };
    for entry in entries {
        let entry = entry.map_err(|source| Error::io(format!("list {}", path.display()), source))?;
        let Some(name) = entry.file_name().to_str().map(str::to_owned) else { continue };
        let Ok(key) = (if folder.is_empty() { name } else { format!("{folder}/{name}") }).parse::<Key>() else {
            continue; // Not ours: `.tmp`, `lost+found`, an editor's remains.
        };
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            walk(root, key.as_str(), page)?;
        } else {
            page.offer(key);
        }
    }
    Ok(())
}

/// `None` when the object was deleted meanwhile.
fn sized(root: &Path, key: Key) -> Option<Object> {
    let size_bytes = fs::metadata(root.join(key.as_str())).ok()?.len();
    Some(Object { key, size_bytes })
}
