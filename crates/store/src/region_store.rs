//! A region's store: a backend that belongs to one catalogue and one region, and the domains in it.
//!
//! The root object `store.json` says whose store it is. Opening checks it before anything else is touched, so that a
//! wrong mount, a copied directory or another installation's bucket is refused rather than written to. It is read by its
//! name and put by creating only, so that it depends on no listing, and of two that create the same store one wins.

use std::{
    collections::HashMap,
    fs::File,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use uuid::Uuid;

use crate::{
    Compression, DamageNotes, Error, Result, TenantId,
    backend::{Backend, Key},
    domain::Domain,
    index,
    pack::PACK_MAX_BYTES,
    space::Watermark,
};

/// The version of everything in a store that this program makes.
pub const STORE_FORMAT_VERSION: u32 = 2;
/// The first version, which this program reads and writes, too. It does not know LZ4.
pub const STORE_FORMAT_VERSION_1: u32 = 1;
/// The root object, which says whose store it is.
pub const STORE_FILE: &str = "store.json";
const STORE_FILE_MAX_BYTES: u64 = 64 * 1024;
/// Where two could both create a store, each waits this long and looks whose it is. Whoever saw no store before has written
/// its own by then, unless it was held up in between for as long.
const CREATION_SETTLES_AFTER: Duration = Duration::from_secs(5);

/// Who opens a store.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The catalogue that owns the store.
    pub catalogue_id: Uuid,
    /// The region, in its normalised name.
    pub region: String,
    /// The store's id, when the catalogue has recorded one: then no other store is accepted, nor a new one made.
    pub expected_store_id: Option<Uuid>,
    /// Grows when a catalogue is restored from a backup; a store of another epoch is refused.
    pub epoch: u64,
}

/// How a store is used. The defaults are for production.
#[derive(Debug, Clone)]
pub struct StoreOptions {
    /// The size at which a pack is written, at most [`PACK_MAX_BYTES`].
    pub pack_size_bytes: usize,
    /// How many packs are written at a time, by each writer, while the next one fills.
    pub packs_in_flight_max: usize,
    /// How many index entries are kept in memory; `None` for the default.
    pub index_recent_entries_max: Option<usize>,
    /// What new work leaves free on the store's volume.
    pub space: Watermark,
    /// What new blobs are compressed with.
    pub compression: Compression,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            pack_size_bytes: PACK_MAX_BYTES,
            packs_in_flight_max: 1,
            index_recent_entries_max: None,
            space: Watermark::none(),
            compression: Compression::default(),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct StoreFile {
    format_version: u32,
    store_id: Uuid,
    catalogue_id: Uuid,
    region: String,
    epoch: u64,
}

/// An open region store.
#[derive(Debug)]
pub struct RegionStore {
    backend: Arc<dyn Backend>,
    store_id: Uuid,
    index_folder: PathBuf,
    options: StoreOptions,
    domains: Mutex<HashMap<TenantId, Arc<Domain>>>,
    damage: Arc<DamageNotes>,
    /// Held locked: the index belongs to one process.
    _index_lock: File,
}

impl RegionStore {
    /// Opens the store, or makes a new one where nothing is. The index goes below `index_dir`, which is this process's
    /// own, may be lost at any time and lies outside the backend.
    ///
    /// # Errors
    /// `Foreign`, naming both sides, when the store is not this catalogue's, region's, epoch's or version's, or of a version
    /// that does not know the compression that is asked for. `Unavailable` when it is not there although it was expected, or
    /// another process uses the index. `Io`.
    pub async fn open_or_create(
        backend: Arc<dyn Backend>,
        identity: Identity,
        index_dir: &Path,
        options: StoreOptions,
    ) -> Result<Arc<Self>> {
        let key: Key = STORE_FILE.parse().expect("a valid key");
        let file = match read_store_file(&*backend, &key).await? {
            Some(file) => file,
            None => create_store_file(&*backend, &key, &identity, Uuid::new_v4()).await?,
        };
        check_identity(&file, &identity)?;
        check_compression(&file, options.compression)?;
        let index_folder = index_dir.join(file.store_id.to_string());
        let lock = lock_index(&index_folder)?;
        Ok(Arc::new(Self {
            backend,
            store_id: file.store_id,
            index_folder,
            options,
            domains: Mutex::default(),
            damage: Arc::default(),
            _index_lock: lock,
        }))
    }

    /// The store's id, made with it.
    pub fn store_id(&self) -> Uuid {
        self.store_id
    }

    /// The tenants of whose blobs some turned out to be damaged or missing.
    pub fn damage(&self) -> &Arc<DamageNotes> {
        &self.damage
    }

    /// The backend.
    pub fn backend(&self) -> &Arc<dyn Backend> {
        &self.backend
    }

    /// The tenant's deduplication domain. Opened once, then kept.
    ///
    /// # Errors
    /// `Io`, `Unavailable` when its packs cannot be listed or read.
    pub async fn domain(&self, tenant: &TenantId) -> Result<Arc<Domain>> {
        let mut domains = self.domains.lock().await;
        if let Some(domain) = domains.get(tenant) {
            return Ok(Arc::clone(domain));
        }
        let folder = self.index_folder.join(tenant.as_str());
        let (backend, options) = (Arc::clone(&self.backend), self.options.clone());
        let opened = Domain::open(backend, tenant.clone(), &folder, options, Arc::clone(&self.damage)).await?;
        domains.insert(tenant.clone(), Arc::clone(&opened));
        Ok(opened)
    }

    /// The tenants that have something in the store.
    ///
    /// # Errors
    /// As [`Backend::list`].
    pub async fn tenants(&self) -> Result<Vec<TenantId>> {
        const PREFIX: &str = "tenants/";
        let mut tenants: Vec<TenantId> = Vec::new();
        let mut after = None;
        while let Some(object) = self.backend.list(PREFIX, after.as_ref(), 1).await?.pop() {
            let name = object.key.as_str()[PREFIX.len()..].split('/').next().unwrap_or_default();
            let skip = match name.parse::<TenantId>() {
                Ok(tenant) => {
                    let past_its_folder = format!("{PREFIX}{tenant}0");
                    tenants.push(tenant);
                    past_its_folder.parse()?
                }
                Err(_) => object.key,
            };
            after = Some(skip);
        }
        Ok(tenants)
    }
}

/// Makes the root object of a store that is about to be filled from a backup, where nothing is. Again is fine.
///
/// # Errors
/// `Foreign` when the place is not empty and not this store's; `Io`, `Full`, `Unavailable`.
pub async fn prepare_restored(backend: &dyn Backend, identity: &Identity, store_id: Uuid) -> Result<()> {
    let key: Key = STORE_FILE.parse().expect("a valid key");
    let file = match read_store_file(backend, &key).await? {
        Some(file) => file,
        None => {
            let unowned = Identity { expected_store_id: None, ..identity.clone() };
            create_store_file(backend, &key, &unowned, store_id).await?
        }
    };
    check_identity(&file, &Identity { expected_store_id: Some(store_id), ..identity.clone() })
}

async fn read_store_file(backend: &dyn Backend, key: &Key) -> Result<Option<StoreFile>> {
    let bytes = match backend.get(key, STORE_FILE_MAX_BYTES).await {
        Ok(bytes) => bytes,
        Err(Error::NotFound(_)) => return Ok(None),
        Err(error) => return Err(error),
    };
    // The version is read first: a newer file may have fields this program does not know.
    let version =
        serde_json::from_slice::<serde_json::Value>(&bytes).ok().and_then(|file| file["formatVersion"].as_u64());
    let known = u64::from(STORE_FORMAT_VERSION_1)..=u64::from(STORE_FORMAT_VERSION);
    match version {
        Some(version) if known.contains(&version) => serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|error| Error::Foreign(format!("{STORE_FILE} is not a store's: {error}"))),
        Some(version) => Err(Error::Foreign(format!(
            "the store has format version {version}, this program knows {} to {}",
            known.start(),
            known.end()
        ))),
        None => Err(Error::Foreign(format!("{STORE_FILE} is not a store's: it has no formatVersion that is a number"))),
    }
}

async fn create_store_file(backend: &dyn Backend, key: &Key, identity: &Identity, store_id: Uuid) -> Result<StoreFile> {
    if let Some(expected) = identity.expected_store_id {
        return Err(Error::Unavailable(format!(
            "region {} expects store {expected}, but there is no store; is it mounted?",
            identity.region
        )));
    }
    if !backend.list("", None, 1).await?.is_empty() {
        // Or another process has made the store since it was looked for.
        let made = read_store_file(backend, key).await?;
        return made.ok_or_else(|| {
            Error::Foreign(format!("the place of region {} is not empty and has no {STORE_FILE}", identity.region))
        });
    }
    let file = StoreFile {
        format_version: STORE_FORMAT_VERSION,
        store_id,
        catalogue_id: identity.catalogue_id,
        region: identity.region.clone(),
        epoch: identity.epoch,
    };
    let text = Bytes::from(serde_json::to_vec_pretty(&file).expect("ids and numbers can be written as JSON"));
    match backend.put(key, vec![text.clone()]).await {
        Ok(()) if creates_only(backend, key, text).await? => Ok(file),
        Ok(()) => {
            tokio::time::sleep(CREATION_SETTLES_AFTER).await;
            read_store_file(backend, key)
                .await?
                .ok_or_else(|| Error::Unavailable(format!("{STORE_FILE}, just written, is gone")))
        }
        // Another process was first; what it wrote is checked like any other.
        Err(Error::AlreadyExists(_)) => read_store_file(backend, key)
            .await?
            .ok_or_else(|| Error::Unavailable(format!("{STORE_FILE} comes and goes"))),
        Err(error) => Err(error),
    }
}

/// Whether nobody else can have put the root object meanwhile. An object store that ignores the condition of a put does not
/// say so: putting the same bytes again, which does no harm, shows it.
async fn creates_only(backend: &dyn Backend, key: &Key, text: Bytes) -> Result<bool> {
    match backend.put(key, vec![text]).await {
        Ok(()) => Ok(false),
        Err(Error::AlreadyExists(_)) => Ok(backend.creates_only()),
        Err(error) => Err(error),
    }
}

fn check_identity(file: &StoreFile, identity: &Identity) -> Result<()> {
    let differ = |what: &str, found: &dyn std::fmt::Display, expected: &dyn std::fmt::Display| {
        Err(Error::Foreign(format!("the store belongs to {what} {found}, not to {what} {expected}")))
    };
    if file.catalogue_id != identity.catalogue_id {
        return differ("catalogue", &file.catalogue_id, &identity.catalogue_id);
    }
    if file.region != identity.region {
        return differ("region", &file.region, &identity.region);
    }
    if file.epoch != identity.epoch {
        return differ("epoch", &file.epoch, &identity.epoch);
    }
    match identity.expected_store_id {
        Some(expected) if expected != file.store_id => {
            Err(Error::Foreign(format!("this is store {}, region {} has store {expected}", file.store_id, file.region)))
        }
        _ => Ok(()),
    }
}

/// A program that knows version 1 alone would take every LZ4 blob for a damaged one.
fn check_compression(file: &StoreFile, compression: Compression) -> Result<()> {
    match compression {
        Compression::Lz4 if file.format_version == STORE_FORMAT_VERSION_1 => Err(Error::Foreign(format!(
            "the store of region {} has format version {STORE_FORMAT_VERSION_1}, which knows zstd only; leave its \
             compression at \"zstd\", or copy its images to a region with a new store",
            file.region
        ))),
        Compression::Lz4 | Compression::Zstd => Ok(()),
    }
}

fn lock_index(folder: &Path) -> Result<File> {
    let path = folder.join("lock");
    index::create_folder(folder)?;
    let file = File::create(&path).map_err(|source| Error::io(format!("create {}", path.display()), source))?;
    flock(&file, FlockOperation::NonBlockingLockExclusive)
        .map_err(|_| Error::Unavailable(format!("another process uses the index in {}", folder.display())))?;
    Ok(file)
}
