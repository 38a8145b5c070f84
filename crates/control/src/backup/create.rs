//! Making a backup while the gallery goes on.

use std::path::{Component, Path, PathBuf};

use galerie_arm::{ArmError, timestamp::format_ms};
use galerie_store::{
    ManifestId,
    backup::{BackupId, BackupManifest, CatalogueCopy, RegionBackup, Repository, TenantBackup},
};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::hold::Hold;
use crate::{
    Control, Error, audit,
    db::{self, copy, disk_image, region_store, tenant, transact},
    request::RequestContext,
};

/// How often the snapshot is taken. A second one is needed when a collector that had begun before the first deleted what only
/// the snapshot still needs; from then on none does.
const SNAPSHOTS_MAX: usize = 4;
/// Most missing blobs that a report names; what is beyond is counted.
const MOST_NAMED: usize = 1000;

/// What a backup is to hold beside the gallery.
#[derive(Debug, Clone, Default)]
pub struct BackupRequest {
    /// The master key, encrypted by whoever asks (`seal_master_key`).
    pub sealed_master_key: Option<String>,
    /// Which program makes it.
    pub program_version: String,
}

/// The catalogue and its images, as of one moment.
struct Snapshot {
    copy: copy::Copy,
    taken_ms: i64,
    stores: Vec<region_store::RegionStoreRow>,
    domains: Vec<Domain>,
}

/// A tenant's images in a region.
struct Domain {
    region: String,
    tenant: Uuid,
    roots: Vec<ManifestId>,
}

/// What the regions contributed.
struct Packs {
    regions: Vec<RegionBackup>,
    copied_packs: u64,
    copied_bytes: u64,
}

impl Control {
    /// Backs the gallery up into a folder of this machine, which is made when it is not there.
    ///
    /// # Errors
    /// `AuthorizationFailed` for all but administrators of the first tenant: a backup has every tenant's data. `Conflict`
    /// while another backup runs; what is wrong with the folder.
    pub async fn backup_create(
        &self,
        ctx: &RequestContext,
        destination: &Path,
        request: BackupRequest,
    ) -> Result<Value, ArmError> {
        const ACTION: &str = "Galerie/backups/write";
        transact!(self.db(), |tx| -> Result<(), ArmError> {
            self.require_operator(tx, &ctx.caller, ACTION).await?;
            audit::record(tx, ctx, self.now_ms(), ACTION, "/galerie/backup", None).await
        })?;
        let repository = self.open_repository(destination).await.map_err(failed)?;
        let manifest = self.back_up(&repository, request).await.map_err(failed)?;
        Ok(report(destination, &manifest))
    }

    async fn open_repository(&self, destination: &Path) -> Result<Repository, Error> {
        let invalid =
            |why: &str| Error::Repository(galerie_store::Error::Invalid(format!("{} {why}", destination.display())));
        if !destination.is_absolute() {
            return Err(invalid("is no absolute path"));
        }
        let resolved = existing(destination);
        if resolved.components().any(|part| part == Component::ParentDir) {
            return Err(invalid("leads through a folder that does not exist"));
        }
        if resolved.starts_with(existing(self.data_dir())) {
            return Err(invalid("lies in the data directory, and would be lost with it"));
        }
        Repository::open_or_create(&resolved, self.catalogue_id()).await.map_err(Error::Repository)
    }

    /// Backs the gallery up; what the manifest says.
    ///
    /// # Errors
    /// `BackupUnderWay`, `Repository`, `Region`, the catalogue's.
    pub async fn back_up(&self, repository: &Repository, request: BackupRequest) -> Result<BackupManifest, Error> {
        let hold = self.hold_collection().await?;
        let manifest = self.back_up_held(repository, request, &hold).await;
        let is_lost = hold.lost().is_cancelled();
        if let Err(error) = hold.release(self).await {
            // It runs out by itself.
            tracing::warn!(error = &error as &dyn std::error::Error, "release the hold on collection");
        }
        let manifest = match manifest {
            Err(_) if is_lost => return Err(Error::BackupInterrupted),
            other => other?,
        };
        let (id, packs, bytes) = (&manifest.id, manifest.copied_packs, manifest.copied_bytes);
        let missing = manifest.missing_blobs().count();
        tracing::info!(%id, packs, bytes, missing, "backed up");
        // Seconds are what Prometheus' own functions count in.
        #[expect(clippy::cast_precision_loss, reason = "exact for the next million years")]
        metrics::gauge!("galerie_backup_last_success_timestamp_seconds").set(manifest.created_ms as f64 / 1000.0);
        Ok(manifest)
    }

    async fn back_up_held(
        &self,
        repository: &Repository,
        request: BackupRequest,
        hold: &Hold,
    ) -> Result<BackupManifest, Error> {
        let (snapshot, packs) = self.copy_snapshot(repository, hold.lost()).await?;
        let id = new_id(snapshot.taken_ms);
        let copy::Copy { bytes, schema, rows } = snapshot.copy;
        let catalogue = CatalogueCopy {
            catalogue_id: self.catalogue_id(),
            schema_version: schema,
            rows,
            size_bytes: bytes.len() as u64,
            checksum: blake3::hash(&bytes),
        };
        repository.put_catalogue(&id, bytes.into()).await.map_err(Error::Repository)?;
        let manifest = BackupManifest {
            id,
            created_ms: snapshot.taken_ms,
            program_version: request.program_version,
            catalogue,
            sealed_master_key: request.sealed_master_key,
            regions: packs.regions,
            copied_packs: packs.copied_packs,
            copied_bytes: packs.copied_bytes,
        };
        if hold.lost().is_cancelled() {
            return Err(Error::BackupInterrupted);
        }
        repository.commit(&manifest).await.map_err(Error::Repository)?;
        Ok(manifest)
    }

    /// A snapshot all of whose packs are in the repository, but for what is really lost.
    async fn copy_snapshot(
        &self,
        repository: &Repository,
        lost: &CancellationToken,
    ) -> Result<(Snapshot, Packs), Error> {
        let (mut copied_packs, mut copied_bytes) = (0, 0);
        for attempt in 1.. {
            let snapshot = self.snapshot().await?;
            let packs = self.copy_packs(repository, &snapshot, lost).await?;
            (copied_packs, copied_bytes) = (copied_packs + packs.copied_packs, copied_bytes + packs.copied_bytes);
            if attempt == SNAPSHOTS_MAX || self.is_current(&packs).await? {
                return Ok((snapshot, Packs { copied_packs, copied_bytes, ..packs }));
            }
            tracing::info!("an image went while it was backed up: the snapshot is taken again");
        }
        unreachable!("the last attempt returns")
    }

    async fn snapshot(&self) -> Result<Snapshot, Error> {
        let taken_ms = self.now_ms();
        let mut tx = self.db().read().await?;
        let copy = copy::write(&mut tx, db::schema_version()).await?;
        let (stores, tenants) = (region_store::list(&mut tx).await?, tenant::list(&mut tx).await?);
        let mut domains = Vec::new();
        for store in &stores {
            for tenant in &tenants {
                let roots = disk_image::roots(&mut tx, &store.region, tenant.id).await?.whole;
                domains.push(Domain { region: store.region.clone(), tenant: tenant.id, roots });
            }
        }
        Ok(Snapshot { copy, taken_ms, stores, domains })
    }

    async fn copy_packs(
        &self,
        repository: &Repository,
        snapshot: &Snapshot,
        lost: &CancellationToken,
    ) -> Result<Packs, Error> {
        let mut packs = Packs { regions: Vec::new(), copied_packs: 0, copied_bytes: 0 };
        for store in &snapshot.stores {
            let mut domains = snapshot.domains.iter().filter(|domain| domain.region == store.region);
            let Some(region) = self.region(&store.region) else {
                // What was taken out of service has no images; what other processes serve may have.
                if domains.any(|domain| !domain.roots.is_empty()) {
                    return Err(Error::NotServed { region: store.region.clone() });
                }
                continue;
            };
            let mut tenants: Vec<TenantBackup> = Vec::new();
            for domain in domains {
                let copied = region.back_up(domain.tenant, &domain.roots, repository, lost).await;
                let copied = copied.map_err(|source| Error::Region { region: store.region.clone(), source })?;
                packs.copied_packs += copied.copied_packs;
                packs.copied_bytes += copied.copied_bytes;
                tenants.push(copied.backup);
            }
            let (name, store_id, epoch) = (store.region.clone(), store.store_id, store.epoch);
            packs.regions.push(RegionBackup { name, store_id, epoch, tenants });
        }
        Ok(packs)
    }

    /// Whether every image of which something is missing is still one that must be whole: then it is damaged. Otherwise it
    /// was deleted, and collected by a run that had begun before the hold.
    async fn is_current(&self, packs: &Packs) -> Result<bool, Error> {
        for region in &packs.regions {
            for backup in region.tenants.iter().filter(|backup| !backup.missing.is_empty()) {
                let tenant = backup
                    .tenant
                    .as_str()
                    .parse()
                    .map_err(|_| db::Error::Corrupt(format!("'{}' is not a tenant's GUID", backup.tenant)))?;
                let roots = disk_image::roots(&mut *self.db().read().await?, &region.name, tenant).await?.whole;
                if backup.missing.iter().any(|missing| !roots.contains(&missing.manifest)) {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }
}

/// `20261124t183000123z-0123abcd`: backups of one catalogue are never made at once, so the time alone orders them.
fn new_id(now_ms: i64) -> BackupId {
    let digits = |text: &str| text.chars().filter(char::is_ascii_digit).collect::<String>();
    let moment = format_ms(now_ms);
    let (date, time) = (digits(&moment[..10]), digits(&moment[10..23]));
    let random = Uuid::new_v4().simple().to_string();
    format!("{date}t{time}z-{}", &random[..8]).parse().expect("digits, letters and dashes are an id")
}

/// A path without links and dots, as far as it is there.
fn existing(path: &Path) -> PathBuf {
    let known = path.ancestors().find_map(|ancestor| Some((ancestor.canonicalize().ok()?, ancestor)));
    match known {
        Some((known, ancestor)) => known.join(path.strip_prefix(ancestor).unwrap_or(Path::new(""))),
        None => path.to_owned(),
    }
}

fn report(destination: &Path, manifest: &BackupManifest) -> Value {
    let missing = manifest.missing_blobs().take(MOST_NAMED).map(|(region, missing)| {
        json!({
            "region": region.name,
            "manifest": missing.manifest.to_string(),
            "blob": missing.blob.to_string(),
        })
    });
    let (packs, bytes) =
        manifest.packs().fold((0, 0), |(packs, bytes), (_, _, pack)| (packs + 1, bytes + pack.size_bytes));
    json!({
        "id": manifest.id.to_string(),
        "repository": destination,
        "rows": manifest.catalogue.rows,
        "catalogueBytes": manifest.catalogue.size_bytes,
        "packs": packs,
        "packBytes": bytes,
        "copiedPacks": manifest.copied_packs,
        "copiedBytes": manifest.copied_bytes,
        "masterKey": manifest.sealed_master_key.is_some(),
        "missingBlobCount": manifest.missing_blobs().count(),
        "missingBlobs": missing.collect::<Vec<_>>(),
    })
}

fn failed(error: Error) -> ArmError {
    use galerie_store::Error as Store;
    match error {
        Error::Catalogue(error) => error.into(),
        Error::BackupUnderWay | Error::BackupInterrupted | Error::NotServed { .. } => {
            ArmError::new(409, "Conflict", error.to_string())
        }
        Error::Repository(Store::Invalid(why) | Store::Foreign(why)) => ArmError::new(400, "InvalidParameter", why),
        Error::Repository(Store::Full { .. }) | Error::Region { source: galerie_region::Error::Full(_), .. } => {
            ArmError::new(507, "InsufficientStorage", "There is no space left for the backup.".to_owned())
        }
        Error::Repository(Store::Unavailable(why)) => ArmError::new(409, "Conflict", why),
        error => {
            let source = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
            tracing::error!(%error, source, "back up");
            ArmError::new(500, "InternalOperationError", format!("{error}: {source}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_sort_by_time() {
        let id = new_id(1_800_000_000_000).to_string();
        assert!(id.starts_with("20270115t080000000z-") && id.len() == 28, "{id}");
        assert!(new_id(1_800_000_000_001).to_string() > id);
    }
}
