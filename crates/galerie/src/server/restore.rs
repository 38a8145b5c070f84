//! Restoring a gallery into an empty data directory: what `galerie restore` does.
//!
//! ```text
//! repository, key -> lock -> marker -> stores -> catalogue -> master key -> look -> marker away
//! ```
//!
//! The marker says what is being restored, as what. While it is there no server starts on the directory, and the same
//! command goes on where it was interrupted: each step looks first.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use galerie_control::{CatalogueRestore, StoreIdentity, UnsealedMasterKey, restore_catalogue};
use galerie_store::{
    Identity,
    backend::{Backend, LocalBackend},
    backup::{Access, BackupId, BackupManifest, RegionBackup, Repository, restore_domain},
    region_store::prepare_restored,
};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    DataDirectory, Error, Gallery,
    config::{Config, RegionConfig},
    gallery::open_bucket,
};
use crate::durable;

/// What may lie in a directory that counts as empty.
const OURS: [&str; 2] = ["lock", "lost+found"];
/// Most damaged things that a report names; what is beyond is counted.
const MOST_NAMED: usize = 1000;

/// What the command line says.
#[derive(Debug)]
pub(crate) struct RestoreOptions {
    pub(crate) repository: PathBuf,
    /// The newest when it is not said.
    pub(crate) backup: Option<BackupId>,
    pub(crate) data_dir: PathBuf,
    pub(crate) master_key: MasterKeySource,
}

/// Where the master key comes from.
#[derive(Debug)]
pub(crate) enum MasterKeySource {
    /// From the backup.
    Passphrase(SecretString),
    /// From a copy that somebody kept.
    File(PathBuf),
    /// It is lost: new keys, and no secret opens anything any more.
    New,
}

/// What a restore is to become; written before anything else is.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Marker {
    backup: String,
    restore_id: Uuid,
    /// By region.
    stores: BTreeMap<String, MarkedStore>,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct MarkedStore {
    store_id: Uuid,
    epoch: u64,
}

/// Restores; answers what came back, and what did not.
///
/// # Errors
/// `Restore` when something cannot be restored as asked; the store's and the catalogue's.
pub(crate) async fn restore(options: RestoreOptions, config: &Config) -> Result<Value, Error> {
    let repository = Repository::open(&options.repository, Access::Read).await?;
    let id = match options.backup {
        Some(id) => id,
        None => repository.backups().await?.pop().ok_or_else(|| Error::Restore("there is no backup".to_owned()))?,
    };
    let manifest = repository.manifest(&id).await?;
    let copy = repository.catalogue(&id, &manifest.catalogue).await?;
    let master_key = master_key(&options.master_key, &manifest)?;
    let directory = DataDirectory::lock(&options.data_dir)?;
    let regions = pair(&manifest, config)?;
    let marker = mark(&directory, &manifest)?;

    let mut report = Report::default();
    for (region, configured) in &regions {
        let root = configured.path.clone().unwrap_or_else(|| directory.region(&region.name));
        let store: Arc<dyn Backend> = match open_bucket(configured)? {
            Some(bucket) => bucket.backend,
            None => Arc::new(LocalBackend::open(&root).await?),
        };
        restore_region(&repository, &manifest, region, &marker, &*store, &mut report).await?;
    }
    let waiting = regions.iter().flat_map(|(region, _)| {
        let tenants = region.tenants.iter().filter_map(|tenant| tenant.tenant.as_str().parse::<Uuid>().ok());
        tenants.map(|tenant| (region.name.clone(), tenant))
    });
    let catalogue = CatalogueRestore {
        backup: id.to_string(),
        restore_id: marker.restore_id,
        copy: &copy,
        stores: marker.identities(&regions),
        waiting: waiting.collect(),
        discard_keys: master_key.is_none(),
        now_ms: now_ms(),
    };
    let database = config.catalogue(&directory)?;
    restore_catalogue(&database, &catalogue).await?;
    if let Some(key) = &master_key {
        key.write(&config.master_key_file(directory.root())).map_err(galerie_control::Error::from)?;
    }
    report.lacking.extend(manifest.missing_blobs().map(|(region, missing)| Lacking {
        region: region.name.clone(),
        what: format!("blob {}", missing.blob),
        reason: "the gallery did not have it when it was backed up".to_owned(),
    }));
    let looked = look(config, &directory, &report).await;
    if looked.is_err() && master_key.is_some() {
        // Perhaps it is another gallery's: the next try may bring the right one.
        let _ = std::fs::remove_file(config.master_key_file(directory.root()));
    }
    let verified = looked?;
    let failed = |source| Error::io("end the restore", source);
    std::fs::remove_file(directory.restore_marker()).map_err(failed)?;
    durable::sync_folder_of(&directory.restore_marker()).map_err(failed)?;
    Ok(document(&id, &manifest, &report, verified))
}

/// The key that is to lie in the data directory; `None`: new keys are made.
fn master_key(source: &MasterKeySource, manifest: &BackupManifest) -> Result<Option<UnsealedMasterKey>, Error> {
    let key = match source {
        MasterKeySource::New => return Ok(None),
        MasterKeySource::File(file) => UnsealedMasterKey::read(file),
        MasterKeySource::Passphrase(passphrase) => {
            let sealed = manifest.sealed_master_key.as_ref().ok_or_else(|| {
                Error::Restore("the master key is not in this backup; name your copy with --master-key".to_owned())
            })?;
            UnsealedMasterKey::unseal(sealed, passphrase.expose_secret())
        }
    };
    Ok(Some(key.map_err(galerie_control::Error::from)?))
}

/// Every region of the backup with its place. One that had nothing may be left out of the configuration.
fn pair<'a>(
    manifest: &'a BackupManifest,
    config: &'a Config,
) -> Result<Vec<(&'a RegionBackup, &'a RegionConfig)>, Error> {
    let mut pairs = Vec::new();
    for region in &manifest.regions {
        let configured = config.regions.iter().find(|configured| configured.name.0.as_str() == region.name);
        let is_empty = region.tenants.iter().all(|tenant| tenant.packs.is_empty() && tenant.missing.is_empty());
        match configured {
            Some(configured) => pairs.push((region, configured)),
            None if is_empty => {}
            None => {
                let name = &region.name;
                return Err(Error::Restore(format!(
                    "the backup has a region {name}, which the configuration does not name"
                )));
            }
        }
    }
    Ok(pairs)
}

/// Finds the marker of this restore, or leaves one in a directory that is empty.
fn mark(directory: &DataDirectory, manifest: &BackupManifest) -> Result<Marker, Error> {
    let path = directory.restore_marker();
    let failed = |source| Error::io(format!("begin the restore in {}", path.display()), source);
    match std::fs::read(&path) {
        Ok(bytes) => {
            let marker: Marker = serde_json::from_slice(&bytes)
                .map_err(|error| Error::Restore(format!("{} is no mark of a restore: {error}", path.display())))?;
            return if marker.backup == manifest.id.to_string() {
                Ok(marker)
            } else {
                Err(Error::Restore(format!(
                    "a restore of backup {} was begun in this directory; finish that one, or empty the directory",
                    marker.backup
                )))
            };
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    let folder = path.parent().expect("a file of the directory");
    let is_foreign = |entry: &std::fs::DirEntry| {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        // What a restore that was killed wrote beside its marker holds nothing yet.
        !OURS.contains(&name.as_ref()) && !name.ends_with(".new")
    };
    if let Some(entry) = std::fs::read_dir(folder).map_err(failed)?.flatten().find(is_foreign) {
        let (folder, name) = (folder.display(), entry.file_name());
        return Err(Error::Restore(format!("{folder} is not empty: it has {}", name.to_string_lossy())));
    }
    let store = |region: &RegionBackup| {
        let store = MarkedStore { store_id: Uuid::new_v4(), epoch: region.epoch + 1 };
        (region.name.clone(), store)
    };
    let stores = manifest.regions.iter().map(store).collect();
    let marker = Marker { backup: manifest.id.to_string(), restore_id: Uuid::new_v4(), stores };
    durable::create(&path, &serde_json::to_vec_pretty(&marker).expect("ids are JSON"), 0o600).map_err(failed)?;
    Ok(marker)
}

impl Marker {
    fn identities(&self, regions: &[(&RegionBackup, &RegionConfig)]) -> BTreeMap<String, StoreIdentity> {
        let of = |(region, _): &(&RegionBackup, &RegionConfig)| {
            let MarkedStore { store_id, epoch } = self.stores[&region.name];
            (region.name.clone(), StoreIdentity { store_id, epoch })
        };
        regions.iter().map(of).collect()
    }
}

/// What came back, and what did not.
#[derive(Debug, Default)]
struct Report {
    packs: u64,
    bytes: u64,
    lacking: Vec<Lacking>,
}

#[derive(Debug)]
struct Lacking {
    region: String,
    what: String,
    reason: String,
}

async fn restore_region(
    repository: &Repository,
    manifest: &BackupManifest,
    region: &RegionBackup,
    marker: &Marker,
    store: &dyn Backend,
    report: &mut Report,
) -> Result<(), Error> {
    let marked = marker.stores.get(&region.name);
    let marked =
        *marked.ok_or_else(|| Error::Restore(format!("the mark of the restore has no region {}", region.name)))?;
    let identity = Identity {
        catalogue_id: manifest.catalogue.catalogue_id,
        region: region.name.clone(),
        expected_store_id: None,
        epoch: marked.epoch,
    };
    prepare_restored(store, &identity, marked.store_id).await?;
    for tenant in &region.tenants {
        let restored = restore_domain(repository, &region.name, tenant, store).await?;
        report.packs += restored.packs;
        report.bytes += restored.bytes;
        let packs = restored.lacking_packs.into_iter().map(|(pack, reason)| (format!("pack {pack}"), reason));
        let blobs = restored.damaged_blobs.into_iter();
        let blobs =
            blobs.map(|(pack, blob)| (format!("blob {blob} in pack {pack}"), "it does not match its id".to_owned()));
        let lacking = packs.chain(blobs);
        report.lacking.extend(lacking.map(|(what, reason)| Lacking { region: region.name.clone(), what, reason }));
    }
    Ok(())
}

/// Opens what was restored, which the wrong master key does not. What the backup lacked is looked for at once: the answer
/// is each region's verification, which names what is hurt, and has it healed from other regions.
async fn look(config: &Config, directory: &DataDirectory, report: &Report) -> Result<Vec<Value>, Error> {
    let gallery = Gallery::open_restored(config, directory).await?;
    let mut verified = Vec::new();
    if !report.lacking.is_empty() {
        let context = gallery.owner().await?;
        for region in gallery.region_names() {
            let verification = gallery.control.store_verify(&context, region).await;
            verified.push(verification.map_err(|error| Error::Restore(format!("verify {region}: {}", error.message)))?);
        }
    }
    gallery.control.shutdown().await;
    Ok(verified)
}

fn document(id: &BackupId, manifest: &BackupManifest, report: &Report, verified: Vec<Value>) -> Value {
    let lacking = report
        .lacking
        .iter()
        .take(MOST_NAMED)
        .map(|Lacking { region, what, reason }| json!({ "region": region, "what": what, "reason": reason }));
    json!({
        "backup": id.to_string(),
        "createdMs": manifest.created_ms,
        "rows": manifest.catalogue.rows,
        "packs": report.packs,
        "bytes": report.bytes,
        "lackingCount": report.lacking.len(),
        "lacking": lacking.collect::<Vec<_>>(),
        "verified": verified,
    })
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Refuses a directory in which a restore was begun and not finished.
pub(super) fn refuse_unfinished(directory: &DataDirectory) -> Result<(), Error> {
    let marker = directory.restore_marker();
    match marker.try_exists() {
        Ok(false) => Ok(()),
        _ => Err(Error::Unrestored(marker.parent().unwrap_or(&marker).to_owned())),
    }
}
