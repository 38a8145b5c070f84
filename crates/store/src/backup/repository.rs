//! A repository: where backups lie.

use std::{
    fs::{DirBuilder, File, OpenOptions},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::Path,
    sync::Arc,
};

use bytes::Bytes;
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::manifest::{BackedUpPack, BackupId, BackupManifest, CatalogueCopy, check_version};
use crate::{
    Error, Result, TenantId,
    backend::{Backend, Key, LocalBackend, list_all},
    pack::read_table,
};

/// The version of everything in a repository that this program makes. Its stores' packs may hold LZ4.
pub const REPOSITORY_FORMAT_VERSION: u32 = 2;
/// The first version, which this program reads, too. What it adds to such a repository has the later one.
pub(super) const REPOSITORY_FORMAT_VERSION_1: u32 = 1;
const REPOSITORY_FILE: &str = "repository.json";
const REPOSITORY_FILE_MAX_BYTES: u64 = 64 * 1024;
/// A manifest takes 130 bytes for each pack; this is room for 100 TiB of them.
const MANIFEST_MAX_BYTES: u64 = 256 * 1024 * 1024;
/// A catalogue as it lies in a repository; it is held in memory.
const CATALOGUE_MAX_BYTES: u64 = 4 * 1024 * 1024 * 1024;
/// In a directory: locked by whoever uses it. No key begins with a dot.
const LOCK_FILE: &str = ".lock";

/// What a repository is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Reading; others may read at the same time. A medium that cannot be written is fine.
    Read,
    /// Changing; nobody else may use it.
    Change,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RepositoryFile {
    format_version: u32,
    catalogue_id: Uuid,
}

/// An open repository.
#[derive(Debug)]
pub struct Repository {
    backend: Arc<dyn Backend>,
    catalogue_id: Uuid,
    /// Of a directory, held locked.
    _lock: Option<File>,
}

impl Repository {
    /// Opens the repository in a directory.
    ///
    /// # Errors
    /// `Invalid` when there is none; `Unavailable` when another process uses it; `Foreign` when a later program made it.
    pub async fn open(folder: &Path, access: Access) -> Result<Self> {
        if !folder.join(REPOSITORY_FILE).exists() {
            return Err(Error::Invalid(format!("there is no repository of backups in {}", folder.display())));
        }
        let lock = lock(folder, access)?;
        Self::open_in(Arc::new(LocalBackend::open(folder).await?), lock, None).await
    }

    /// Opens the catalogue's repository in a directory for changes; makes it when the directory is empty or not there.
    ///
    /// # Errors
    /// As [`Repository::open`]; `Foreign` when it has another catalogue's backups, or the directory something else.
    pub async fn open_or_create(folder: &Path, catalogue_id: Uuid) -> Result<Self> {
        let failed = |source| Error::io(format!("create folder {}", folder.display()), source);
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
        let is_ours = |name: &std::ffi::OsStr| {
            [REPOSITORY_FILE, LOCK_FILE, ".tmp", "lost+found"].iter().any(|ours| name == *ours)
        };
        let is_new = !folder.join(REPOSITORY_FILE).exists();
        if is_new && std::fs::read_dir(folder).map_err(failed)?.flatten().any(|entry| !is_ours(&entry.file_name())) {
            return Err(Error::Foreign(format!("{} is not empty and no repository of backups", folder.display())));
        }
        let lock = lock(folder, Access::Change)?;
        Self::open_in(Arc::new(LocalBackend::open(folder).await?), lock, Some(catalogue_id)).await
    }

    /// `create_for`: make it for this catalogue, or refuse another's.
    async fn open_in(backend: Arc<dyn Backend>, lock: Option<File>, create_for: Option<Uuid>) -> Result<Self> {
        let key: Key = REPOSITORY_FILE.parse().expect("a valid key");
        let bytes = match (backend.get(&key, REPOSITORY_FILE_MAX_BYTES).await, create_for) {
            (Err(Error::NotFound(_)), Some(catalogue_id)) => {
                let file = RepositoryFile { format_version: REPOSITORY_FORMAT_VERSION, catalogue_id };
                let text: Bytes = serde_json::to_vec(&file).expect("ids and numbers can be written as JSON").into();
                backend.put(&key, vec![text.clone()]).await?;
                text
            }
            (found, _) => found?,
        };
        check_version(&bytes, "the repository")?;
        let invalid = |error| Error::Corrupt(format!("{REPOSITORY_FILE} is not a repository's: {error}"));
        let RepositoryFile { catalogue_id, .. } = serde_json::from_slice(&bytes).map_err(invalid)?;
        match create_for {
            Some(expected) if expected != catalogue_id => Err(Error::Foreign(format!(
                "the repository has backups of catalogue {catalogue_id}, not of {expected}; choose another place"
            ))),
            _ => Ok(Self { backend, catalogue_id, _lock: lock }),
        }
    }

    /// Whose backups are in it.
    pub fn catalogue_id(&self) -> Uuid {
        self.catalogue_id
    }

    pub(super) fn backend(&self) -> &dyn Backend {
        &*self.backend
    }

    /// Every backup that was finished, the oldest first.
    ///
    /// # Errors
    /// `Io`, `Unavailable`.
    pub async fn backups(&self) -> Result<Vec<BackupId>> {
        let objects = list_all(&*self.backend, "backups/").await?;
        let finished = objects.iter().filter_map(|object| {
            let id = object.key.as_str().strip_prefix("backups/")?.strip_suffix("/manifest.json")?;
            id.parse::<BackupId>().ok()
        });
        let mut finished: Vec<BackupId> = finished.collect();
        finished.sort();
        Ok(finished)
    }

    /// A backup's manifest, checked.
    ///
    /// # Errors
    /// `NotFound` when there is no such backup, or it was never finished; `Corrupt`; `Foreign` for a later format.
    pub async fn manifest(&self, id: &BackupId) -> Result<BackupManifest> {
        let bytes = match self.backend.get(&id.manifest_key(), MANIFEST_MAX_BYTES).await {
            Err(Error::NotFound(_)) => return Err(Error::NotFound(format!("backup {id}"))),
            other => other?,
        };
        let manifest = BackupManifest::decode(id, &bytes)?;
        if manifest.catalogue.catalogue_id != self.catalogue_id {
            return Err(Error::Corrupt(format!("backup {id} is of another catalogue than its repository")));
        }
        Ok(manifest)
    }

    /// Keeps a catalogue's copy; what a manifest says of it is the caller's.
    ///
    /// # Errors
    /// `Full`, `Io`, `Unavailable`.
    pub async fn put_catalogue(&self, id: &BackupId, copy: Bytes) -> Result<()> {
        self.backend.put(&id.catalogue_key(), vec![copy]).await
    }

    /// A backup's catalogue, checked.
    ///
    /// # Errors
    /// `NotFound`, `Corrupt`, `Io`, `Unavailable`.
    pub async fn catalogue(&self, id: &BackupId, copy: &CatalogueCopy) -> Result<Bytes> {
        let bytes = self.backend.get(&id.catalogue_key(), CATALOGUE_MAX_BYTES).await?;
        if bytes.len() as u64 != copy.size_bytes || blake3::hash(&bytes) != copy.checksum {
            return Err(Error::Corrupt(format!("the catalogue of backup {id} does not match its checksum")));
        }
        Ok(bytes)
    }

    /// Makes it a backup. All that the manifest names is durable already.
    ///
    /// # Errors
    /// `Full`, `Io`, `Unavailable`.
    pub async fn commit(&self, manifest: &BackupManifest) -> Result<()> {
        self.backend.put(&manifest.id.manifest_key(), vec![manifest.encode()]).await
    }

    /// Whether this very pack is kept and was not found damaged, as far as its size and its table tell.
    pub(super) async fn holds(&self, region: &str, tenant: &TenantId, pack: &BackedUpPack) -> Result<bool> {
        match self.backend.size_bytes(&pack.damaged_key(region, tenant)?).await {
            Ok(_) => return Ok(false),
            Err(Error::NotFound(_)) => {}
            Err(error) => return Err(error),
        }
        is_there(&*self.backend, &pack.key(region, tenant)?, pack).await
    }

    /// Keeps a pack. One that is there is another's, or damaged, and is replaced.
    pub(super) async fn put_pack(
        &self,
        region: &str,
        tenant: &TenantId,
        pack: &BackedUpPack,
        bytes: Bytes,
    ) -> Result<()> {
        let (key, damaged) = (pack.key(region, tenant)?, pack.damaged_key(region, tenant)?);
        self.backend.delete(&key).await?;
        self.backend.put(&key, vec![bytes]).await?;
        self.backend.delete(&damaged).await
    }
}

/// Whether a backend has this very pack under a key, by its size and its table.
pub(super) async fn is_there(backend: &dyn Backend, key: &Key, pack: &BackedUpPack) -> Result<bool> {
    let size_bytes = match backend.size_bytes(key).await {
        Ok(size_bytes) => size_bytes,
        Err(Error::NotFound(_)) => return Ok(false),
        Err(error) => return Err(error),
    };
    if size_bytes != pack.size_bytes {
        return Ok(false);
    }
    match read_table(backend, key, pack.pack, size_bytes).await {
        Ok(table) => Ok(table.checksum() == pack.table),
        Err(Error::NotFound(_)) => Ok(false),
        Err(error) if error.is_damage() => Ok(false),
        Err(error) => Err(error),
    }
}

/// Locks a directory, for as long as the file is open. For reading, a lock that cannot be taken for want of the file, or
/// of the right to make one, is done without: such a medium is nobody's to change.
fn lock(folder: &Path, access: Access) -> Result<Option<File>> {
    let path = folder.join(LOCK_FILE);
    let in_use = || Error::Unavailable(format!("another process uses the backups in {}", folder.display()));
    match access {
        Access::Read => {
            let Ok(file) = File::open(&path) else { return Ok(None) };
            flock(&file, FlockOperation::NonBlockingLockShared).map_err(|_| in_use())?;
            Ok(Some(file))
        }
        Access::Change => {
            let opened = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
            let file = opened.map_err(|source| Error::io(format!("create {}", path.display()), source))?;
            flock(&file, FlockOperation::NonBlockingLockExclusive).map_err(|_| in_use())?;
            Ok(Some(file))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::manifest::tests::manifest, *};

    #[tokio::test]
    async fn a_repository_belongs_to_one_catalogue_and_one_writer() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("deep/repository");
        assert!(matches!(Repository::open(&place, Access::Read).await, Err(Error::Invalid(_))));
        assert!(!place.exists(), "looking made a folder");
        let first = Repository::open_or_create(&place, Uuid::nil()).await.unwrap();
        assert!(matches!(Repository::open_or_create(&place, Uuid::nil()).await, Err(Error::Unavailable(_))));
        assert!(matches!(Repository::open(&place, Access::Read).await, Err(Error::Unavailable(_))));
        drop(first);
        let other = Repository::open_or_create(&place, Uuid::max()).await.unwrap_err();
        assert!(matches!(other, Error::Foreign(_)), "{other}");
        let reader = Repository::open(&place, Access::Read).await.unwrap();
        let _second = Repository::open(&place, Access::Read).await.unwrap();
        assert_eq!(reader.catalogue_id(), Uuid::nil());
    }

    #[tokio::test]
    async fn what_is_something_else_is_refused_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("diary.txt"), "mine").unwrap();
        let error = Repository::open_or_create(folder.path(), Uuid::nil()).await.unwrap_err();
        assert!(matches!(error, Error::Foreign(_)), "{error}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[tokio::test]
    async fn a_later_repository_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(REPOSITORY_FILE), r#"{"formatVersion":3,"more":1}"#).unwrap();
        for error in [
            Repository::open(folder.path(), Access::Read).await.unwrap_err(),
            Repository::open_or_create(folder.path(), Uuid::nil()).await.unwrap_err(),
        ] {
            assert!(error.to_string().contains("version 3, this program knows 1 to 2"), "{error}");
        }
    }

    #[tokio::test]
    async fn only_a_manifest_makes_a_backup() {
        let folder = tempfile::tempdir().unwrap();
        let repository = Repository::open_or_create(folder.path(), Uuid::nil()).await.unwrap();
        let backup = manifest("20260101t000000z-00000001");
        repository.put_catalogue(&backup.id, Bytes::from_static(b"abc")).await.unwrap();
        assert!(repository.backups().await.unwrap().is_empty());
        assert!(matches!(repository.manifest(&backup.id).await, Err(Error::NotFound(_))));
        repository.commit(&backup).await.unwrap();
        assert_eq!(repository.backups().await.unwrap(), std::slice::from_ref(&backup.id));
        assert_eq!(repository.manifest(&backup.id).await.unwrap(), backup);
        assert_eq!(repository.catalogue(&backup.id, &backup.catalogue).await.unwrap(), "abc");
        std::fs::write(folder.path().join(backup.id.catalogue_key().as_str()), "abd").unwrap();
        drop(repository);
        let repository = Repository::open(folder.path(), Access::Read).await.unwrap();
        assert!(matches!(repository.catalogue(&backup.id, &backup.catalogue).await, Err(Error::Corrupt(_))));
    }
}
