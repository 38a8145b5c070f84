//! A write that meets a soft-deleted version: it restores it, is refused, or finds the name free.

use galerie_arm::{ArmError, ResourceType, document::Document, image_version::ImageVersion};
use serde_json::Value;

use super::{delete_for_good, deletion_of};
use crate::{
    db::{Connection, resource::ResourceRow, soft_deletion},
    resource::document::{at, is_true, remove},
};

const RESTORE: &str = "properties.restore";

/// What a write finds under its name.
pub(crate) struct Met {
    /// The resource that is there, restored when it was deleted.
    pub(crate) row: Option<ResourceRow>,
    /// Whether this write restores it: what the body does not say stays as it was, in a PUT, too.
    pub(crate) restores: bool,
}

/// Looks at what is kept under the name of what is written. `PATCH` restores with `restore`, `PUT` by naming no source; so do
/// the documentation and az, respectively.
///
/// # Errors
/// 409 `Conflict` for a PUT with a source, or with `restore: false`.
pub(crate) async fn meet(
    tx: &mut Connection,
    row: Option<ResourceRow>,
    sent: &mut Value,
    is_put: bool,
) -> Result<Met, ArmError> {
    let asks = is_true(sent, RESTORE);
    let declines = !asks && at(sent, RESTORE).is_some();
    // It is a request, and no property of a version.
    remove(sent, RESTORE);
    let Some(mut row) = row else { return Ok(Met { row: None, restores: false }) };
    let Some(deletion) = deletion_of(tx, &row).await? else { return Ok(Met { row: Some(row), restores: false }) };
    if deletion.purge_ms <= tx.now_ms().await? {
        delete_for_good(tx, &row).await?;
        return Ok(Met { row: None, restores: false });
    }
    if is_put && (declines || ImageVersion::read(sent)?.source()?.is_some()) {
        return Err(ArmError::name_is_soft_deleted(&row.name));
    }
    if !is_put && !asks {
        return Ok(Met { row: None, restores: false });
    }
    // az sends tags that nobody gave.
    if sent.get("tags").and_then(Value::as_object).is_some_and(serde_json::Map::is_empty) {
        remove(sent, "tags");
    }
    soft_deletion::bring_back(tx, &row).await?;
    row.resource_type = ResourceType::ImageVersion;
    tracing::info!(version = row.id, "a soft-deleted version is restored");
    Ok(Met { row: Some(row), restores: true })
}
