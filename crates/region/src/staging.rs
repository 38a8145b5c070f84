//! Staged uploads: what page-blob writes build up before it is imported.
//!
//! An upload is one sparse file, `staging/{upload}.page-blob`, of the size its disk declared, and beside it a map of the
//! pages that were written (`.page-map`) and their checksums (`.page-sums`). Pages that were never written or were cleared are holes and read as zeros.
//! Every write is durable before it is acknowledged, because an upload tool does not send an acknowledged page twice.
//!
//! What rots on the disk before it is imported is noticed by the import, which then fails and names the page. Pages that
//! two requests wrote at the same time are not checked: which of the two is there nobody knows.
//!
//! An upload is made by whichever request comes first, and clients send their first pages side by side. So making,
//! marking and removing one are done under its own lock, and what is made never replaces what is there.
//!
//! It deliberately knows nothing of what the bytes mean: the import decides that, once, when access ends.

use std::{
    collections::{HashMap, HashSet},
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind},
    os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, Weak},
};

use bytes::{Bytes, BytesMut};
use rustix::{
    fs::{CWD, FallocateFlags, FlockOperation, RenameFlags, flock, renameat_with},
    io::Errno,
};
use uuid::Uuid;

use crate::{Error, Result, UploadId, UploadRange, blocking::blocking, page_map::PageMap, page_sums::PageSums};

/// The unit of page-blob writes (Azure Storage, "Put Page").
pub const PAGE_SIZE_BYTES: u64 = 512;

/// The most ranges that one answer lists. A hostile writer can make one hole per page; what lies past the bound is
/// reported as one range, which is true ("may hold something other than zeros") and bounded.
const RANGES_MAX: usize = 65_536;

const EXTENSION: &str = "page-blob";
const MAP_EXTENSION: &str = "page-map";
const SUMS_EXTENSION: &str = "page-sums";
/// A file before it appears: `{upload}.{random}.part`.
const PART_EXTENSION: &str = "part";

/// The staged uploads of one region.
#[derive(Debug, Clone)]
pub struct Staging {
    directory: Arc<PathBuf>,
    locks: Arc<Locks>,
}

/// One lock for each upload that is being changed. Held while it is made or removed, and while its page map or checksums
/// change: neighbouring writes share the map's bytes.
type Locks = Mutex<HashMap<UploadId, Weak<Mutex<UnderWay>>>>;

/// The writes to an upload that are under way.
#[derive(Debug, Default)]
struct UnderWay {
    writes: Vec<(u64, UploadRange)>,
    /// Those that met another one.
    met: HashSet<u64>,
    next: u64,
}

impl UnderWay {
    /// A write begins; its number.
    fn begin(&mut self, range_bytes: &UploadRange) -> u64 {
        let number = self.next;
        self.next += 1;
        for (other, range) in &self.writes {
            if range.start < range_bytes.end && range_bytes.start < range.end {
                self.met.extend([*other, number]);
            }
        }
        self.writes.push((number, range_bytes.clone()));
        number
    }

    /// A write ends; whether it met no other.
    fn end(&mut self, number: u64) -> bool {
        self.writes.retain(|(other, _)| *other != number);
        !self.met.remove(&number)
    }
}

impl Staging {
    /// Opens (and makes, if need be) the directory of staged uploads.
    ///
    /// # Errors
    /// `Io` when it cannot be made.
    pub fn open(directory: PathBuf) -> Result<Self> {
        // What is uploaded is nobody else's business, whatever the volume's other folders allow. Pages are acknowledged one
        // by one, so the folder that they are in must not be lost either.
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&directory);
        made.and_then(|()| directory.parent().map_or(Ok(()), |parent| File::open(parent)?.sync_all()))
            .map_err(|e| io_error(format!("create {}", directory.display()), e))?;
        Ok(Self { directory: Arc::new(directory), locks: Arc::default() })
    }

    /// Where they are.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Makes room for an upload; does nothing when it exists with that size.
    ///
    /// # Errors
    /// `Invalid` when it exists with another size, `Io`, `Full`.
    pub async fn create(&self, upload: UploadId, size_bytes: u64) -> Result<()> {
        let staging = self.clone();
        blocking("make room for an upload", move || {
            let lock = staging.lock(upload);
            let _alone = lock.lock().unwrap_or_else(PoisonError::into_inner);
            create_sparse(&staging.path(upload), &staging.directory, size_bytes)
        })
        .await
    }

    /// Writes whole pages; durable when it returns.
    ///
    /// # Errors
    /// `NotFound`, `Invalid` for a range outside the upload or off page boundaries, `Io`, `Full`.
    pub async fn write(&self, upload: UploadId, offset_bytes: u64, bytes: Bytes) -> Result<()> {
        let staging = self.clone();
        blocking("write pages", move || {
            let path = staging.path(upload);
            let file = open(&path, upload)?;
            check_pages(&file, &path, offset_bytes, bytes.len() as u64)?;
            let range_bytes = offset_bytes..offset_bytes + bytes.len() as u64;
            staging.change(upload, &range_bytes, Some(&bytes[..]), || {
                file.write_all_at(&bytes, offset_bytes)
                    .and_then(|()| file.sync_data())
                    .map_err(|e| io_error(format!("write pages to {}", path.display()), e))
            })
        })
        .await
    }

    /// Makes whole pages zero; durable when it returns.
    ///
    /// # Errors
    /// As [`Staging::write`].
    pub async fn clear(&self, upload: UploadId, range_bytes: UploadRange) -> Result<()> {
        let staging = self.clone();
        blocking("clear pages", move || {
            let path = staging.path(upload);
            let file = open(&path, upload)?;
            let length_bytes = range_bytes.end.saturating_sub(range_bytes.start);
            check_pages(&file, &path, range_bytes.start, length_bytes)?;
            let punch = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
            staging.change(upload, &range_bytes, None, || {
                rustix::fs::fallocate(&file, punch, range_bytes.start, length_bytes)
                    .map_err(io::Error::from)
                    .and_then(|()| file.sync_data())
                    .map_err(|e| io_error(format!("clear pages of {}", path.display()), e))
            })
        })
        .await
    }

    /// Reads a range, which may start and end anywhere within the upload.
    ///
    /// # Errors
    /// `NotFound`, `Invalid` for a range outside the upload, `Io`.
    pub async fn read(&self, upload: UploadId, range_bytes: UploadRange) -> Result<Bytes> {
        let path = self.path(upload);
        blocking("read pages", move || {
            let file = open(&path, upload)?;
            let size_bytes = size_of(&file, &path)?;
            if range_bytes.start > range_bytes.end || range_bytes.end > size_bytes {
                return Err(Error::Invalid(format!(
                    "the range {}-{} is outside the upload's {size_bytes} bytes",
                    range_bytes.start, range_bytes.end
                )));
            }
            let length = usize::try_from(range_bytes.end - range_bytes.start)
                .map_err(|_| Error::Invalid("the range is too long to read at once".into()))?;
            let mut buf = BytesMut::zeroed(length);
            file.read_exact_at(&mut buf, range_bytes.start)
                .map_err(|e| io_error(format!("read {}", path.display()), e))?;
            Ok(buf.freeze())
        })
        .await
    }

    /// The page ranges that were written and not cleared since, ascending, none touching the next.
    ///
    /// # Errors
    /// `NotFound`, `Io`.
    pub async fn ranges(&self, upload: UploadId) -> Result<Vec<UploadRange>> {
        let staging = self.clone();
        blocking("list page ranges", move || {
            let path = staging.path(upload);
            let size_bytes = size_of(&open(&path, upload)?, &path)?;
            let runs = staging.map(upload)?.runs(size_bytes / PAGE_SIZE_BYTES, RANGES_MAX);
            let runs = runs.map_err(|e| io_error(format!("read the page map of {upload}"), e))?;
            Ok(runs.into_iter().map(|run| run.start * PAGE_SIZE_BYTES..run.end * PAGE_SIZE_BYTES).collect())
        })
        .await
    }

    /// Removes an upload; absent is fine.
    ///
    /// # Errors
    /// `Io`.
    pub async fn remove(&self, upload: UploadId) -> Result<()> {
        let staging = self.clone();
        blocking("remove an upload", move || {
            let lock = staging.lock(upload);
            let _alone = lock.lock().unwrap_or_else(PoisonError::into_inner);
            let path = staging.path(upload);
            let files = files(&staging.directory)?;
            let parts = files.into_iter().filter(|file| file.upload == upload && file.extension == PART_EXTENSION);
            let parts = parts.map(|file| staging.directory.join(file.name));
            let beside = [SUMS_EXTENSION, MAP_EXTENSION].map(|extension| path.with_extension(extension));
            parts.chain(beside).chain([path]).try_for_each(|path| remove(&path))
        })
        .await
    }

    /// The uploads that exist, or of which a crash left a part. Files with other names are left alone.
    ///
    /// # Errors
    /// `Io`.
    pub async fn list(&self) -> Result<Vec<UploadId>> {
        let directory = self.directory.clone();
        blocking("list uploads", move || {
            let mut uploads: Vec<_> = files(&directory)?.into_iter().map(|file| file.upload).collect();
            uploads.sort_unstable();
            uploads.dedup();
            Ok(uploads)
        })
        .await
    }

    /// Opens an upload for importing, read-only, and its checksums.
    ///
    /// # Errors
    /// `NotFound`, `Io`.
    pub(crate) async fn open_for_import(&self, upload: UploadId) -> Result<(File, Option<PageSums>)> {
        let staging = self.clone();
        blocking("open an upload", move || {
            let path = staging.path(upload);
            let file = File::open(&path).map_err(|e| open_error(&path, upload, e))?;
            Ok((file, staging.sums(upload)?))
        })
        .await
    }

    fn path(&self, upload: UploadId) -> PathBuf {
        self.directory.join(format!("{upload}.{EXTENSION}"))
    }

    fn lock(&self, upload: UploadId) -> Arc<Mutex<UnderWay>> {
        let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lock) = locks.get(&upload).and_then(Weak::upgrade) {
            return lock;
        }
        locks.retain(|_, lock| lock.strong_count() > 0);
        let lock = Arc::new(Mutex::default());
        locks.insert(upload, Arc::downgrade(&lock));
        lock
    }

    fn map(&self, upload: UploadId) -> Result<PageMap> {
        Ok(PageMap::new(open(&self.path(upload).with_extension(MAP_EXTENSION), upload)?))
    }

    /// The checksums of an upload; `None` of one that an earlier program made.
    fn sums(&self, upload: UploadId) -> Result<Option<PageSums>> {
        match open(&self.path(upload).with_extension(SUMS_EXTENSION), upload) {
            Ok(file) => Ok(Some(PageSums::new(file))),
            Err(Error::NotFound(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Changes pages by `write`, which makes them durable, and what is known of them: `written` is what they hold then, or
    /// nothing.
    fn change(
        &self,
        upload: UploadId,
        range_bytes: &UploadRange,
        written: Option<&[u8]>,
        write: impl FnOnce() -> Result<()>,
    ) -> Result<()> {
        let failed = |e| io_error(format!("change the page checksums of {upload}"), e);
        let pages = range_bytes.start / PAGE_SIZE_BYTES..range_bytes.end / PAGE_SIZE_BYTES;
        let (lock, sums) = (self.lock(upload), self.sums(upload)?);
        let number = {
            let mut under_way = lock.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(sums) = &sums {
                // Of a range without bytes there is no telling how long it is.
                written.map_or_else(|| sums.clear(&pages), |_| sums.forget(&pages)).map_err(failed)?;
            }
            under_way.begin(range_bytes)
        };
        let wrote = write();
        {
            let mut under_way = lock.lock().unwrap_or_else(PoisonError::into_inner);
            let is_alone = under_way.end(number);
            if let (Ok(()), true, Some(sums), Some(bytes)) = (&wrote, is_alone, &sums, written) {
                sums.set(pages.start, bytes).map_err(failed)?;
            }
        }
        wrote?;
        self.mark(upload, range_bytes, written.is_some())
    }

    fn mark(&self, upload: UploadId, range_bytes: &UploadRange, written: bool) -> Result<()> {
        let failed = |e| io_error(format!("change the page map of {upload}"), e);
        let file = open(&self.path(upload).with_extension(MAP_EXTENSION), upload)?;
        let map = PageMap::new(file.try_clone().map_err(failed)?);
        let pages = range_bytes.start / PAGE_SIZE_BYTES..range_bytes.end / PAGE_SIZE_BYTES;
        {
            let lock = self.lock(upload);
            let _alone = lock.lock().unwrap_or_else(PoisonError::into_inner);
            // Another process, too: one that takes over an upload from one that still ends its last requests.
            lock_file(&file, FlockOperation::LockExclusive).map_err(failed)?;
            map.set(&pages, written).map_err(failed)?;
            lock_file(&file, FlockOperation::Unlock).map_err(failed)?;
        }
        map.sync().map_err(failed)
    }
}

/// File systems that have no locks are left to the one process that has them.
fn lock_file(file: &File, operation: FlockOperation) -> io::Result<()> {
    match flock(file, operation) {
        Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::NOLCK) => Ok(()),
        other => other.map_err(io::Error::from),
    }
}

/// An upload of `size_bytes` that is all hole, and its empty map. The upload appears last and whole, so that a crash
/// leaves either nothing that counts or all of it. What is there already is never replaced: another process may be
/// making the same upload, and pages may be in it by now.
fn create_sparse(path: &Path, directory: &Path, size_bytes: u64) -> Result<()> {
    if exists_with(path, size_bytes)? {
        return Ok(());
    }
    let pages = size_bytes.div_ceil(PAGE_SIZE_BYTES);
    // A map without an upload was left by a crash and is empty; so are checksums.
    appear(&path.with_extension(SUMS_EXTENSION), PageSums::length_bytes(pages))?;
    appear(&path.with_extension(MAP_EXTENSION), PageMap::length_bytes(pages))?;
    appear(path, size_bytes)?;
    File::open(directory)
        .and_then(|directory| directory.sync_all())
        .map_err(|e| io_error(format!("create {}", path.display()), e))?;
    exists_with(path, size_bytes).map(drop)
}

/// Whether the upload is there.
fn exists_with(path: &Path, size_bytes: u64) -> Result<bool> {
    match fs::metadata(path) {
        Ok(found) if found.len() == size_bytes => Ok(true),
        Ok(found) => Err(Error::Invalid(format!("the upload exists with {} bytes, not {size_bytes}", found.len()))),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(false),
        Err(e) => Err(io_error(format!("stat {}", path.display()), e)),
    }
}

/// A file that is all hole, unless there is one already.
fn appear(path: &Path, length_bytes: u64) -> Result<()> {
    let failed = |e| io_error(format!("create {}", path.display()), e);
    let part = path.with_extension(format!("{}.{PART_EXTENSION}", Uuid::new_v4().simple()));
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&part).map_err(failed)?;
    let made = file.set_len(length_bytes).and_then(|()| file.sync_all()).and_then(|()| rename_new(&part, path));
    remove(&part).and(made.map_err(failed))
}

/// Renames without replacing; that something is there already is as good.
fn rename_new(part: &Path, path: &Path) -> io::Result<()> {
    let renamed = match renameat_with(CWD, part, CWD, path, RenameFlags::NOREPLACE) {
        // File systems without that flag (some network ones) have hard links, which never replace either.
        Err(Errno::INVAL | Errno::NOSYS) => fs::hard_link(part, path),
        other => other.map_err(io::Error::from),
    };
    match renamed {
        Err(e) if e.kind() == ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}

/// A file of an upload.
struct StagedFile {
    name: String,
    upload: UploadId,
    extension: String,
}

/// The files of all uploads, also those of which a crash left a part. Files with other names are left out.
fn files(directory: &Path) -> Result<Vec<StagedFile>> {
    let failed = |e| io_error(format!("list {}", directory.display()), e);
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).map_err(failed)? {
        let Ok(name) = entry.map_err(failed)?.file_name().into_string() else { continue };
        let (stem, rest) = name.split_once('.').unwrap_or_default();
        let extension = rest.rsplit('.').next().unwrap_or_default().to_owned();
        let Ok(upload) = stem.parse().map(UploadId) else { continue };
        if [EXTENSION, MAP_EXTENSION, SUMS_EXTENSION, PART_EXTENSION].contains(&extension.as_str()) {
            files.push(StagedFile { name, upload, extension });
        }
    }
    Ok(files)
}

fn open(path: &Path, upload: UploadId) -> Result<File> {
    OpenOptions::new().read(true).write(true).open(path).map_err(|e| open_error(path, upload, e))
}

fn open_error(path: &Path, upload: UploadId, e: io::Error) -> Error {
    match e.kind() {
        ErrorKind::NotFound => Error::NotFound(format!("there is no upload {upload}")),
        _ => io_error(format!("open {}", path.display()), e),
    }
}

fn size_of(file: &File, path: &Path) -> Result<u64> {
    Ok(file.metadata().map_err(|e| io_error(format!("stat {}", path.display()), e))?.len())
}

fn check_pages(file: &File, path: &Path, offset_bytes: u64, length_bytes: u64) -> Result<()> {
    let size_bytes = size_of(file, path)?;
    let aligned = offset_bytes.is_multiple_of(PAGE_SIZE_BYTES) && length_bytes.is_multiple_of(PAGE_SIZE_BYTES);
    let inside = offset_bytes.checked_add(length_bytes).is_some_and(|end| end <= size_bytes);
    if length_bytes == 0 || !aligned || !inside {
        return Err(Error::Invalid(format!(
            "pages at {offset_bytes}, {length_bytes} bytes long: a write takes whole pages of {PAGE_SIZE_BYTES} bytes \
             within the upload's {size_bytes} bytes"
        )));
    }
    Ok(())
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(io_error(format!("remove {}", path.display()), e)),
        _ => Ok(()),
    }
}

fn io_error(action: String, source: io::Error) -> Error {
    match source.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Error::Full(action),
        _ => Error::Io { action, source },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    async fn staged(size_bytes: u64) -> (tempfile::TempDir, Staging, UploadId) {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let staging = Staging::open(directory.path().join("staging")).expect("open");
        let upload = UploadId(uuid::Uuid::new_v4());
        staging.create(upload, size_bytes).await.expect("create");
        (directory, staging, upload)
    }

    #[tokio::test]
    async fn pages_read_back_and_unwritten_ones_are_zeros() {
        let (_directory, staging, upload) = staged(4 * MIB).await;
        staging.write(upload, MIB, Bytes::from(vec![7; 1024])).await.expect("write");
        assert_eq!(staging.read(upload, MIB - 1..MIB + 2).await.expect("read"), &[0, 7, 7][..]);
        assert_eq!(staging.ranges(upload).await.expect("ranges"), vec![MIB..MIB + 1024]);
    }

    #[tokio::test]
    async fn cleared_pages_are_zeros_and_no_longer_listed() {
        let (_directory, staging, upload) = staged(4 * MIB).await;
        staging.write(upload, 0, Bytes::from(vec![7; 2048])).await.expect("write");
        staging.clear(upload, 512..1536).await.expect("clear");
        assert_eq!(staging.ranges(upload).await.expect("ranges"), vec![0..512, 1536..2048]);
        assert_eq!(staging.read(upload, 511..514).await.expect("read"), &[7, 0, 0][..]);
    }

    #[tokio::test]
    async fn written_zeros_are_listed() {
        let (_directory, staging, upload) = staged(4 * MIB).await;
        staging.write(upload, MIB, Bytes::from(vec![0; 512])).await.expect("write");
        assert_eq!(staging.ranges(upload).await.expect("ranges"), vec![MIB..MIB + 512]);
    }

    #[tokio::test]
    async fn writes_off_a_page_or_outside_are_refused() {
        let (_directory, staging, upload) = staged(MIB).await;
        for (offset_bytes, length) in [(1, 512), (0, 100), (MIB, 512), (MIB - 512, 1024), (u64::MAX - 511, 512), (0, 0)]
        {
            let written = staging.write(upload, offset_bytes, Bytes::from(vec![1; length])).await;
            assert!(matches!(written, Err(Error::Invalid(_))), "{offset_bytes} {length}: {written:?}");
        }
        assert_eq!(staging.ranges(upload).await.expect("ranges"), vec![]);
    }

    #[tokio::test]
    async fn creating_again_keeps_the_pages_and_removing_twice_is_fine() {
        let (_directory, staging, upload) = staged(MIB).await;
        staging.write(upload, 0, Bytes::from(vec![9; 512])).await.expect("write");
        staging.create(upload, MIB).await.expect("create again");
        assert_eq!(staging.read(upload, 0..1).await.expect("read"), &[9][..]);
        assert!(matches!(staging.create(upload, 2 * MIB).await, Err(Error::Invalid(_))));
        assert_eq!(staging.list().await.expect("list"), vec![upload]);
        fs::remove_file(staging.path(upload)).expect("as a crash while removing does");
        assert_eq!(staging.list().await.expect("list"), vec![upload]);
        staging.remove(upload).await.expect("remove");
        assert_eq!(staging.list().await.expect("list"), vec![]);
        staging.remove(upload).await.expect("remove again");
        assert!(matches!(staging.read(upload, 0..1).await, Err(Error::NotFound(_))));
    }

    /// Regression: the requests that found no upload each made one. The last to be made replaced the others, with the
    /// pages that had been acknowledged meanwhile.
    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn first_writes_side_by_side_all_stay() {
        const WRITERS: u64 = 32;
        for _ in 0..20 {
            let directory = tempfile::tempdir().expect("a temporary directory");
            let staging = Staging::open(directory.path().to_owned()).expect("open");
            let upload = UploadId(Uuid::new_v4());
            let writes = (0..WRITERS).map(|writer| {
                // Every other one as another process would do it: by the file system alone.
                let staging = if writer % 2 == 0 { staging.clone() } else { other_process(&staging) };
                tokio::spawn(async move {
                    staging.create(upload, MIB).await?;
                    let page = Bytes::from(vec![writer as u8 + 1; 512]);
                    // Eight pages share a byte of the map.
                    staging.write(upload, writer * 1024, page).await
                })
            });
            for written in futures::future::join_all(writes).await {
                written.expect("no panic").expect("create and write");
            }
            let expected: Vec<_> = (0..WRITERS).map(|writer| writer * 1024..writer * 1024 + 512).collect();
            assert_eq!(staging.ranges(upload).await.expect("ranges"), expected);
            for writer in 0..WRITERS {
                let page = staging.read(upload, writer * 1024..writer * 1024 + 512).await.expect("read");
                assert!(page.iter().all(|byte| *byte == writer as u8 + 1), "the pages of {writer}");
            }
            assert_eq!(fs::read_dir(directory.path()).expect("list").count(), 3, "nothing is left over");
            let (_, sums) = staging.open_for_import(upload).await.expect("open");
            let all = staging.read(upload, 0..MIB).await.expect("read");
            assert_eq!(sums.expect("checksums").first_wrong(0, &all).expect("read"), None);
        }
    }

    /// Regression: a page that rotted before it was imported was imported as truth.
    #[tokio::test]
    async fn a_page_that_rots_is_known_and_one_that_was_written_again_is_right() {
        let (_directory, staging, upload) = staged(MIB).await;
        let wrong = async || {
            let (_, sums) = staging.open_for_import(upload).await.expect("open");
            let all = staging.read(upload, 0..MIB).await.expect("read");
            sums.expect("checksums").first_wrong(0, &all).expect("read")
        };
        staging.write(upload, 4096, Bytes::from(vec![7; 4096])).await.expect("write");
        assert_eq!(wrong().await, None);
        let file = open(&staging.path(upload), upload).expect("open");
        file.write_all_at(&[8], 5000).expect("as a disk that rots");
        assert_eq!(wrong().await, Some(5000 / 512));
        staging.write(upload, 4608, Bytes::from(vec![9; 512])).await.expect("write");
        assert_eq!(wrong().await, None, "it was sent again");
        file.write_all_at(&[8], 5632).expect("as a disk that rots");
        assert_eq!(wrong().await, Some(11));
        staging.clear(upload, 0..MIB).await.expect("clear");
        assert_eq!(wrong().await, None);
        // Of two at once nobody knows which is there.
        let writes = (0..16).map(|writer| staging.write(upload, 0, Bytes::from(vec![writer; 64 * 1024])));
        futures::future::try_join_all(writes).await.expect("write");
        assert_eq!(wrong().await, None);
    }

    fn other_process(staging: &Staging) -> Staging {
        Staging { directory: staging.directory.clone(), locks: Arc::default() }
    }

    #[tokio::test]
    async fn what_a_crash_left_is_listed_and_removed() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let staging = Staging::open(directory.path().to_owned()).expect("open");
        let upload = UploadId(Uuid::new_v4());
        let part = staging.path(upload).with_extension("0123.part");
        fs::write(&part, b"half").expect("write");
        fs::write(directory.path().join("notes.part"), b"somebody's").expect("write");
        assert_eq!(staging.list().await.expect("list"), vec![upload]);
        staging.remove(upload).await.expect("remove");
        assert!(!part.exists());
        assert_eq!(fs::read_dir(directory.path()).expect("list").count(), 1);
    }
}
