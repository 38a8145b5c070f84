//! `ImportUpload`: the pages that were written to a disk become its content.
//!
//! Look: is the disk still this incarnation? Act: pin, import (what is stored already is not stored again). Record: the
//! image, the disk's state and size and the operation's end, in one transaction. Then the staged pages go; if that is
//! missed, the staging reconciler does it.

use std::sync::{Arc, atomic::Ordering};

use galerie_arm::{ProvisioningState, disk::DiskState};
use galerie_region::{Imported, UploadId};
use galerie_store::ImportProgress;
use tokio_util::sync::CancellationToken;

use super::{
    failure::Failure,
    progress::{Progress, follow},
};
use crate::{
    Control,
    db::{
        self, Connection, disk, disk_image,
        operation::{self, OperationRow},
        resource::{self, ResourceRow},
        transact,
    },
    pins::Pinned,
    quota,
};

pub(super) async fn run(
    control: &Control,
    claimed: &OperationRow,
    progress: &Arc<Progress>,
    cancel: &CancellationToken,
) -> Result<(), Failure> {
    let found = look(control, claimed).await?;
    let region = control.region(&found.location).ok_or_else(|| Failure::region_absent(&found.location))?;
    let upload = UploadId(found.uid);
    let pinned = control.pin(&found.location, found.tenant, &[], "import").await?;
    let condemned = control.condemned(&found.location, found.tenant).await?;
    let total_bytes = upload_bytes(control, &found.key).await?;
    // Whoever granted the access may have died before it made room. What is there stays.
    let in_region = |error| Failure::in_region(&found.location, error);
    region.create_upload(upload, total_bytes).await.map_err(in_region)?;
    let read = Arc::new(ImportProgress::default());
    let import = region.import_upload(found.tenant, upload, &condemned, read.clone(), cancel.clone());
    let import = pinned.guard(cancel, import);
    let imported = follow(import, || progress.set(total_bytes, read.read_bytes.load(Ordering::Relaxed))).await;
    let imported = imported.map_err(in_region)?;
    record(control, claimed, &pinned, &imported, Some(DiskState::Unattached)).await?;
    if let Err(error) = region.remove_upload(upload).await {
        tracing::warn!(error = &error as &dyn std::error::Error, %upload, "remove an imported upload");
    }
    Ok(())
}

/// How much there is to read: the VHD. Its footer counts for so little that it is left in.
async fn upload_bytes(control: &Control, key: &str) -> Result<u64, Failure> {
    let disk = disk::find(&mut *control.db().read().await?, key).await?;
    Ok(disk.and_then(|disk| disk.upload_bytes).unwrap_or(0))
}

/// The resource, if it is still the one that the operation is about.
pub(super) async fn look(control: &Control, claimed: &OperationRow) -> Result<ResourceRow, Failure> {
    let found = resource::find(&mut *control.db().read().await?, &claimed.resource).await?;
    found.filter(|found| found.uid == claimed.resource_uid).ok_or(Failure::Stopped)
}

/// Makes an image the content of the operation's disk and ends the operation. Fenced by the lease, the incarnation and
/// the pin.
pub(super) async fn record(
    control: &Control,
    claimed: &OperationRow,
    pinned: &Pinned,
    imported: &Imported,
    state: Option<DiskState>,
) -> Result<(), Failure> {
    let now_ms = control.now_ms();
    transact!(control.db(), |tx| -> Result<(), Failure> {
        record_in(tx, claimed, pinned, imported, state, now_ms).await
    })
}

/// As [`record`], in a transaction.
pub(super) async fn record_in(
    tx: &mut Connection,
    claimed: &OperationRow,
    pinned: &Pinned,
    imported: &Imported,
    state: Option<DiskState>,
    now_ms: i64,
) -> Result<(), Failure> {
    let found = resource::find(tx, &claimed.resource).await?;
    let Some(mut found) = found.filter(|found| found.uid == claimed.resource_uid) else { return Err(Failure::Stopped) };
    if !pinned.check(tx).await? || !operation::finish(tx, claimed.lease(), None, now_ms).await? {
        return Err(Failure::Stopped);
    }
    let image = disk_image::DiskImageRow {
        resource: found.key.clone(),
        lun: crate::resource::plan::OS_LUN,
        tenant: found.tenant,
        region: found.location.clone(),
        manifest: imported.manifest,
        virtual_size_bytes: imported.virtual_size_bytes,
    };
    disk_image::insert(tx, &image).await?;
    if let Some(state) = state {
        disk::set_state(tx, &found.key, state).await?;
    }
    crate::disk::content_arrived(&mut found.document, imported.virtual_size_bytes);
    resource::record_progress(tx, &found.key, found.uid, ProvisioningState::Succeeded, &found.document).await?;
    quota::settle(tx, &found).await?;
    Ok(())
}

/// The pages are kept: whoever uploaded them grants access again, mends them, and ends access again.
pub(super) async fn undo(tx: &mut Connection, failed: &OperationRow) -> db::Result<()> {
    if resource::set_state(tx, &failed.resource, failed.resource_uid, ProvisioningState::Succeeded).await? {
        disk::set_state(tx, &failed.resource, DiskState::ReadyToUpload).await?;
    }
    Ok(())
}
