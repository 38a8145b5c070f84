//! Staged uploads that no disk owns any more are removed.
//!
//! A disk owns its upload while pages may still be written to it or are being imported. An upload goes only when two
//! runs in a row found it without an owner, so one whose disk is being created this moment is safe.

use std::{collections::HashSet, time::Duration};

use galerie_arm::{ArmError, disk::DiskState};
use galerie_region::{Region, UploadId};

use super::attempted;
use crate::{
    Control,
    db::{Connection, disk, operation, resource},
};

/// How often it looks.
const EVERY: Duration = Duration::from_secs(60);

pub(super) async fn keep_true(control: Control) {
    let mut suspects = HashSet::new();
    loop {
        if let Some(found) = attempted("staging", run(&control, &suspects)).await {
            suspects = found;
        }
        tokio::select! {
            () = control.stopping().cancelled() => return,
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}

/// Removes what is ownerless and was in `suspects`; what is ownerless now and was not.
pub(super) async fn run(control: &Control, suspects: &HashSet<UploadId>) -> Result<HashSet<UploadId>, ArmError> {
    let mut ownerless = HashSet::new();
    for region in control.regions() {
        let uploads = match region.uploads().await {
            Ok(uploads) => uploads,
            Err(error) => {
                tracing::warn!(region = region.name(), error = &error as &dyn std::error::Error, "list uploads");
                continue;
            }
        };
        for upload in uploads {
            if is_owned(&mut *control.db().read().await?, upload).await? {
                continue;
            }
            if suspects.contains(&upload) {
                remove(&**region, upload).await;
            } else {
                ownerless.insert(upload);
            }
        }
    }
    Ok(ownerless)
}

async fn is_owned(tx: &mut Connection, upload: UploadId) -> Result<bool, ArmError> {
    let Some(row) = resource::find_by_uid(tx, upload.0).await? else { return Ok(false) };
    let state = disk::find(tx, &row.key).await?.map(|disk| disk.state);
    if matches!(state, Some(DiskState::ReadyToUpload | DiskState::ActiveUpload)) {
        return Ok(true);
    }
    Ok(!operation::unfinished(tx, &row.key, row.uid).await?.is_empty())
}

async fn remove(region: &dyn Region, upload: UploadId) {
    tracing::info!(region = region.name(), %upload, "remove an upload that no disk owns");
    if let Err(error) = region.remove_upload(upload).await {
        tracing::warn!(region = region.name(), %upload, error = &error as &dyn std::error::Error, "remove an upload");
    }
}
