//! Deleting a resource: the row goes in the accepting transaction, and with it everything that hangs off it.
//!
//! An image version in a gallery with a soft-delete policy is put away instead, and can come back (`soft_delete`).
//!
//! What still works for the resource (a copy, an import) finds its row gone at its next write. The bytes are the collector's.

use galerie_arm::{ArmError, ETag, ResourceId, ResourceType, disk::DiskState};
use serde_json::Value;

use super::{Verb, action, place, tracked_type};
use crate::{
    authz,
    control::Control,
    db::{self, Connection, resource::ResourceRow, transact},
    directory::managed_identity,
    gallery::identity,
    image_version,
    operations::{self, Answer, NewOperation, OperationKind},
    quota,
    request::{Accepted, RequestContext},
    sharing::state::SharingState,
    soft_delete::{self, Deletion},
};

/// Nested resources that a refusal names.
const NAMED_CHILDREN: u32 = 10;

impl Control {
    /// Deletes a resource; `None` when it was not there.
    ///
    /// # Errors
    /// `CannotDeleteResource` while nested resources exist; an end of life that blocks it; a download under way.
    pub async fn delete(&self, context: &RequestContext, id: &ResourceId) -> Result<Option<Accepted>, ArmError> {
        self.delete_as(context, id, Deletion::AsThePolicySays).await
    }

    /// Deletes a resource so that it does not come back, be it soft-deleted already; `None` when it was not there.
    ///
    /// # Errors
    /// As [`Control::delete`].
    pub async fn delete_for_good(
        &self,
        context: &RequestContext,
        id: &ResourceId,
    ) -> Result<Option<Accepted>, ArmError> {
        self.delete_as(context, id, Deletion::ForGood).await
    }

    async fn delete_as(
        &self,
        context: &RequestContext,
        id: &ResourceId,
        deletion: Deletion,
    ) -> Result<Option<Accepted>, ArmError> {
        let resource_type = tracked_type(id, context.api_version)?;
        let deleted = transact!(self.db(), |tx| -> Result<Option<Accepted>, ArmError> {
            self.delete_in(tx, context, (id, resource_type), deletion).await
        })?;
        self.wake();
        Ok(deleted)
    }

    async fn delete_in(
        &self,
        tx: &mut Connection,
        context: &RequestContext,
        (id, resource_type): (&ResourceId, ResourceType),
        deletion: Deletion,
    ) -> Result<Option<Accepted>, ArmError> {
        authz::authorize(tx, &context.caller, action(resource_type, Verb::Delete), id).await?;
        if deletion == Deletion::ForGood && resource_type == ResourceType::ImageVersion {
            // Who may only delete what can come back does not destroy.
            authz::authorize(tx, &context.caller, action(ResourceType::SoftDeletedVersion, Verb::Delete), id).await?;
        }
        let row = match deletion {
            Deletion::AsThePolicySays => db::resource::find(tx, id.key()).await?,
            Deletion::ForGood => db::resource::find_kept(tx, id.key()).await?,
        };
        context.preconditions.check(row.as_ref().map(|row| ETag::new(&row.etag)).as_ref())?;
        let Some(row) = row else { return Ok(None) };
        Ok(Some(delete_row(tx, context, (id, resource_type), &row, deletion, self.now_ms()).await?))
    }
}

/// Deletes what was found, with its operation and audit row. The right to it must have been asked for in this transaction.
///
/// # Errors
/// What keeps it from being deleted.
pub(crate) async fn delete_row(
    tx: &mut Connection,
    context: &RequestContext,
    (id, resource_type): (&ResourceId, ResourceType),
    row: &ResourceRow,
    deletion: Deletion,
    now_ms: i64,
) -> Result<Accepted, ArmError> {
    check_deletable(tx, row, now_ms).await?;
    // Nothing is kept in a group that goes: it would outlive the group.
    let is_going = place::find(tx, id).await?.going.is_some();
    let policy = match deletion {
        Deletion::AsThePolicySays if !is_going => soft_delete::policy_of(tx, row).await?,
        _ => None,
    };
    match policy {
        Some(policy) => soft_delete::put_away(tx, row, policy).await?,
        None => remove(tx, row, now_ms).await?,
    }
    let new = NewOperation {
        kind: OperationKind::Immediate,
        action: action(resource_type, Verb::Delete),
        resource: id,
        uid: row.uid,
        generation: row.generation,
        location: &row.location,
        region: None,
        input: Value::Null,
        answer: Answer::Deleted,
        finished: true,
    };
    let operation = operations::accept(tx, context, now_ms, new).await?;
    Ok(Accepted { created: false, resource: None, operation })
}

/// Removes a resource for good: its charge, its identity, what hangs off it, its row.
///
/// # Errors
/// `CannotDeleteLastRbacAdminAssignment` for an identity that owns everything; the catalogue's.
pub(crate) async fn remove(tx: &mut Connection, row: &ResourceRow, now_ms: i64) -> Result<(), ArmError> {
    quota::release(tx, row).await?;
    if row.resource_type == ResourceType::Gallery
        && let Some(principal) = identity::principal_of(&row.document)
    {
        managed_identity::remove(tx, principal).await?;
    }
    db::resource::delete_with_everything(tx, row, now_ms).await?;
    Ok(())
}

async fn check_deletable(tx: &mut Connection, row: &ResourceRow, now_ms: i64) -> Result<(), ArmError> {
    let children = db::resource::first_children(tx, &row.key, NAMED_CHILDREN).await?;
    if !children.is_empty() {
        let nested: Result<Vec<String>, ArmError> =
            children.iter().map(|child| ResourceId::parse(&child.id, "id").map(|id| id.type_and_names())).collect();
        return Err(ArmError::cannot_delete_resource(&nested?));
    }
    match row.resource_type {
        ResourceType::Gallery => SharingState::of(&row.document).check_deletable(&row.name),
        ResourceType::ImageVersion | ResourceType::SoftDeletedVersion => {
            image_version::check_delete(&row.name, &row.document, now_ms)
        }
        ResourceType::Disk | ResourceType::Snapshot => {
            let state = db::disk::find(tx, &row.key).await?.map(|disk| disk.state);
            let grant = db::grant::find_for_resource(tx, &row.key).await?;
            let is_read = state == Some(DiskState::ActiveSas) && grant.is_some_and(|grant| grant.expires_ms > now_ms);
            if is_read {
                return Err(ArmError::access_already_granted(row.resource_type.body_parameter(), &row.name));
            }
            Ok(())
        }
        _ => Ok(()),
    }
}
