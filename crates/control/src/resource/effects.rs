//! Does what a plan decided beside the resource's own row, in order, in the plan's transaction.

use galerie_arm::{ArmError, ReplicationState};

use super::plan::{Effect, ReplicaTerms};
use crate::{
    Control,
    db::{
        self, Connection, disk::DiskRow, disk_image::DiskImageRow, image_version::ImageVersionRow,
        package_link::PackageLinkRow, replica::ReplicaRow, resource::ResourceRow,
    },
    directory::managed_identity,
};

/// Applies `effects` to what hangs off `row`, which is written already.
///
/// # Errors
/// Of the catalogue, and of the directory for an identity.
pub(crate) async fn apply(
    control: &Control,
    tx: &mut Connection,
    row: &ResourceRow,
    effects: &[Effect],
    now_ms: i64,
) -> Result<(), ArmError> {
    for effect in effects {
        apply_one(control, tx, row, effect, now_ms).await?;
    }
    Ok(())
}

async fn apply_one(
    control: &Control,
    tx: &mut Connection,
    row: &ResourceRow,
    effect: &Effect,
    now_ms: i64,
) -> Result<(), ArmError> {
    match effect {
        Effect::HoldImages(images) => {
            for image in images {
                let held = DiskImageRow {
                    resource: row.key.clone(),
                    lun: image.lun,
                    tenant: row.tenant,
                    region: row.location.clone(),
                    manifest: image.manifest,
                    virtual_size_bytes: image.virtual_size_bytes,
                };
                db::disk_image::insert(tx, &held).await?;
            }
        }
        Effect::AwaitPackages(links) => {
            for link in links {
                db::package_link::put(tx, &PackageLinkRow::wrap(control, &row.key, link)?).await?;
            }
        }
        Effect::AwaitCopy(source) => db::foreign_source::put(tx, &row.key, source).await?,
        Effect::AddIdentity(principal) => {
            managed_identity::insert(tx, row.tenant, *principal, &row.name, &row.id).await?;
        }
        Effect::RemoveIdentity(principal) => managed_identity::remove(tx, *principal).await?,
        Effect::UseVersion(used) => db::version_use::put(tx, &row.key, &used.key, used.uid).await?,
        Effect::Version { numbers, exclude_from_latest, published_ms } => {
            let version = ImageVersionRow {
                key: row.key.clone(),
                definition: row.parent.clone().unwrap_or_default(),
                numbers: *numbers,
                exclude_from_latest: *exclude_from_latest,
                published_ms: *published_ms,
            };
            db::image_version::upsert(tx, &version).await?;
        }
        Effect::AddReplica { region, terms, completed } => {
            db::replica::upsert(tx, &new_replica(row, region.as_str(), terms, *completed, now_ms)).await?;
        }
        Effect::KeepReplica { region, terms, retry } => {
            let (region, storage_type) = (region.as_str(), terms.storage_account_type.as_str());
            let excluded = terms.exclude_from_latest;
            db::replica::set_terms(tx, &row.key, region, terms.count, storage_type, excluded).await?;
            if *retry {
                db::replica::retry(tx, &row.key, region, now_ms).await?;
            }
        }
        Effect::DropReplica { region } => {
            db::replica::delete(tx, &row.key, region.as_str()).await?;
        }
        Effect::Disk { state, upload_bytes } => {
            let disk =
                DiskRow { key: row.key.clone(), state: *state, upload_bytes: *upload_bytes, staged_manifest: None };
            db::disk::upsert(tx, &disk).await?;
        }
    }
    Ok(())
}

/// A replica of a version that is there, or is to be made.
pub(crate) fn new_replica(
    row: &ResourceRow,
    region: &str,
    terms: &ReplicaTerms,
    completed: bool,
    now_ms: i64,
) -> ReplicaRow {
    let state = if completed { ReplicationState::Completed } else { ReplicationState::Replicating };
    ReplicaRow {
        state,
        replica_count: terms.count,
        storage_account_type: terms.storage_account_type.clone(),
        exclude_from_latest: terms.exclude_from_latest,
        completed_ms: completed.then_some(now_ms),
        ..ReplicaRow::wanted(&row.key, region, now_ms)
    }
}
