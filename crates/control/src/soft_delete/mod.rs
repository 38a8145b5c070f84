//! Soft deletion: image versions that come back. `docs/design/soft-delete.md` says what each phase allows.
//!
//! A version that is deleted in a gallery with a policy stays a row with everything that hangs off it, under another type,
//! so that lists, `latest` and whoever looks for a version do not meet it. Its times are fixed when it is deleted.

mod list;
pub(crate) mod policy;
mod restore;

use galerie_arm::{ArmError, ResourceType};

use self::policy::Policy;
pub(crate) use self::restore::meet;
use crate::{
    db::{
        self, Connection, operation,
        resource::{self, ResourceRow},
        soft_deletion::{self, SoftDeletionRow},
    },
    resource::delete,
};

/// What deleting a resource comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Deletion {
    /// As its gallery's policy has it.
    AsThePolicySays,
    /// For good, be it soft-deleted already.
    ForGood,
}

/// The policy that keeps a resource when it is deleted; only versions have one, and only while their gallery's is on.
pub(crate) async fn policy_of(tx: &mut Connection, row: &ResourceRow) -> db::Result<Option<Policy>> {
    if row.resource_type != ResourceType::ImageVersion {
        return Ok(None);
    }
    let definition = match row.parent.as_deref() {
        Some(parent) => resource::find(tx, parent).await?,
        None => None,
    };
    let gallery = match definition.as_ref().and_then(|definition| definition.parent.as_deref()) {
        Some(parent) => resource::find(tx, parent).await?,
        None => None,
    };
    Ok(gallery.and_then(|gallery| Policy::of(&gallery.document)))
}

/// Deletes a version softly. What was being done for it ends; its replicas, its rights and its charge stay.
pub(crate) async fn put_away(tx: &mut Connection, row: &ResourceRow, policy: Policy) -> db::Result<()> {
    let now_ms = tx.now_ms().await?;
    operation::cancel_for_resource(tx, row.uid, now_ms).await?;
    soft_deletion::put_away(tx, row, &policy.deletion(&row.key, now_ms)).await
}

/// A resource by its key, be it a soft-deleted version that can still be used by its exact name.
pub(crate) async fn find_usable(tx: &mut Connection, key: &str) -> db::Result<Option<ResourceRow>> {
    let Some(row) = resource::find_kept(tx, key).await? else { return Ok(None) };
    Ok(match deletion_of(tx, &row).await? {
        Some(deletion) if deletion.usable_until_ms <= tx.now_ms().await? => None,
        _ => Some(row),
    })
}

/// When and until when, of a version that is soft-deleted.
pub(crate) async fn deletion_of(tx: &mut Connection, row: &ResourceRow) -> db::Result<Option<SoftDeletionRow>> {
    if row.resource_type != ResourceType::SoftDeletedVersion {
        return Ok(None);
    }
    soft_deletion::find(tx, &row.key).await
}

/// Deletes for good what has been kept for as long as it was promised: at most `most`. How many there were.
///
/// # Errors
/// The catalogue's.
pub(crate) async fn purge(tx: &mut Connection, most: u32) -> Result<usize, ArmError> {
    let now_ms = tx.now_ms().await?;
    let mut purged = 0;
    for deletion in soft_deletion::due(tx, now_ms, most).await? {
        if let Some(row) = resource::find_kept(tx, &deletion.key).await? {
            delete_for_good(tx, &row).await?;
            purged += 1;
            tracing::info!(version = row.id, "a soft-deleted version's time is over, and it is deleted for good");
        }
    }
    Ok(purged)
}

async fn delete_for_good(tx: &mut Connection, row: &ResourceRow) -> Result<(), ArmError> {
    let now_ms = tx.now_ms().await?;
    delete::remove(tx, row, now_ms).await
}

#[cfg(test)]
mod tests;
