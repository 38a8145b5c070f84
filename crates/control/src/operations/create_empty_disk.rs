//! `CreateEmptyDisk`: the manifest of a disk of zeros. Input: `{"virtualSizeBytes": n}`.

use galerie_arm::{ArmError, ProvisioningState};

use super::{failure::Failure, import_upload};
use crate::{
    Control,
    db::{self, Connection, operation::OperationRow, resource},
};

pub(super) async fn run(control: &Control, claimed: &OperationRow) -> Result<(), Failure> {
    let size = claimed.input.get("virtualSizeBytes").and_then(serde_json::Value::as_u64);
    let size = size.ok_or_else(|| Failure::Final(ArmError::required_parameter_missing("diskSizeGB")))?;
    let found = import_upload::look(control, claimed).await?;
    let region = control.region(&found.location).ok_or_else(|| Failure::region_absent(&found.location))?;
    let pinned = control.pin(&found.location, found.tenant, &[], "empty-disk").await?;
    let condemned = control.condemned(&found.location, found.tenant).await?;
    let made = region.create_empty(found.tenant, size, &condemned).await;
    let made = made.map_err(|error| Failure::in_region(&found.location, error))?;
    import_upload::record(control, claimed, &pinned, &made, None).await
}

/// The disk stays, failed, with the reason in its operation; the same PUT tries again.
pub(super) async fn undo(tx: &mut Connection, failed: &OperationRow) -> db::Result<()> {
    resource::set_state(tx, &failed.resource, failed.resource_uid, ProvisioningState::Failed).await?;
    Ok(())
}
