//! Uses of versions that were there before uses were recorded: a disk's document names the version that it was made from.
//!
//! Done once, before the first decision, in bounded transactions; doing it twice does no harm. A disk that was made from
//! `latest`, or through a shared gallery, does not say from which version, and is not known as a use.

use galerie_arm::{ArmError, ResourceId, ResourceType};
use serde_json::Value;

use crate::{
    Control,
    db::{Connection, resource, setting, transact, version_use},
    disk::creation_data,
    resource::document::text,
};

/// Disks looked at in one transaction.
const BATCH: u32 = 500;

/// Records what was not, if that was not done yet.
///
/// # Errors
/// The catalogue's.
pub(super) async fn record_earlier(control: &Control) -> Result<(), ArmError> {
    if setting::find(&mut *control.db().read().await?, setting::VERSION_USES).await?.is_some() {
        return Ok(());
    }
    let mut after = String::new();
    loop {
        let last = transact!(control.db(), |tx| -> Result<Option<String>, ArmError> { record_some(tx, &after).await })?;
        match last {
            Some(last) => after = last,
            None => return Ok(()),
        }
    }
}

/// Records a batch; the key of its last disk, or nothing when it was the last batch.
async fn record_some(tx: &mut Connection, after: &str) -> Result<Option<String>, ArmError> {
    let disks = version_use::unrecorded(tx, after, BATCH).await?;
    for disk in &disks {
        let Some(id) = version_of(&disk.document) else { continue };
        // One that was deleted and made again since is another version; its disks are older than it is.
        if let Some(version) = resource::find_kept(tx, id.key()).await?
            && version.created_ms <= disk.created_ms
        {
            version_use::put(tx, &disk.key, &version.key, version.uid).await?;
        }
    }
    if disks.len() < BATCH as usize {
        setting::put(tx, setting::VERSION_USES, "1").await?;
        return Ok(None);
    }
    Ok(disks.last().map(|disk| disk.key.clone()))
}

fn version_of(disk: &Value) -> Option<ResourceId> {
    let id: ResourceId = text(disk, creation_data::IMAGE_ID)?.parse().ok()?;
    (id.resource_type() == Some(ResourceType::ImageVersion)).then_some(id)
}
