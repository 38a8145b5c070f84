//! `DeleteGroup`: a group's resources go in batches, children first, then the group. Nothing can be added meanwhile: a
//! group that is being deleted takes no writes.

use std::cmp::Reverse;

use galerie_arm::{ProvisioningState, ResourceType};
use uuid::Uuid;

use super::failure::Failure;
use crate::{
    Control,
    db::{
        self, Connection,
        operation::{self, OperationRow},
        resource, resource_group, transact,
    },
    resource::delete::remove,
};

/// Resources deleted in one transaction, so that other writes get their turn.
const BATCH: u32 = 100;

pub(super) async fn run(control: &Control, claimed: &OperationRow) -> Result<(), Failure> {
    loop {
        for resource_type in children_first() {
            while delete_batch(control, claimed, resource_type).await? {}
        }
        // A version that was put away meanwhile has another type than the one that it was looked for under.
        if finish(control, claimed).await? {
            return Ok(());
        }
    }
}

/// Every type that a group can hold, the deepest nested first.
fn children_first() -> Vec<ResourceType> {
    let in_groups = |kind: &ResourceType| !matches!(kind, ResourceType::Subscription | ResourceType::ResourceGroup);
    let mut types: Vec<_> = ResourceType::ALL.iter().copied().filter(in_groups).collect();
    types.sort_by_key(|kind| Reverse(kind.path().matches('/').count()));
    types
}

/// Whether there may be more of the type.
async fn delete_batch(control: &Control, claimed: &OperationRow, kind: ResourceType) -> Result<bool, Failure> {
    let now_ms = control.now_ms();
    let is_there_more = transact!(control.db(), |tx| -> Result<bool, Failure> {
        if !operation::holds(tx, claimed.lease()).await? {
            return Err(Failure::Stopped);
        }
        let batch = resource::first_in_group(tx, &claimed.resource, kind, BATCH).await?;
        for row in &batch {
            remove(tx, row, now_ms).await?;
        }
        Ok(!batch.is_empty())
    })?;
    // Whoever copies or imports for one of them looks up.
    control.wake();
    Ok(is_there_more)
}

/// Ends the group, if it is empty; whether it was.
async fn finish(control: &Control, claimed: &OperationRow) -> Result<bool, Failure> {
    transact!(control.db(), |tx| -> Result<bool, Failure> {
        for resource_type in children_first() {
            if !resource::first_in_group(tx, &claimed.resource, resource_type, 1).await?.is_empty() {
                return Ok(false);
            }
        }
        if !operation::finish(tx, claimed.lease(), None, control.now_ms()).await? {
            return Err(Failure::Stopped);
        }
        db::role_assignment::delete_at_or_below(tx, claimed.tenant, &claimed.resource).await?;
        resource_group::delete(tx, &claimed.resource, claimed.resource_uid).await?;
        Ok(true)
    })
}

/// What is left of the group can be used, and deleted, again.
pub(super) async fn undo(tx: &mut Connection, failed: &OperationRow) -> db::Result<()> {
    if let Some(mut group) = resource_group::find(tx, &failed.resource).await?
        && group.uid == failed.resource_uid
    {
        group.state = ProvisioningState::Succeeded;
        group.etag = Uuid::new_v4().to_string();
        resource_group::update(tx, &group).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_go_before_parents() {
        let order = children_first();
        let at = |kind| order.iter().position(|other| *other == kind).expect("in a group");
        assert!(at(ResourceType::ImageVersion) < at(ResourceType::ImageDefinition));
        assert!(at(ResourceType::ImageDefinition) < at(ResourceType::Gallery));
        assert!(order.contains(&ResourceType::Disk));
    }
}
