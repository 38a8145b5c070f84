//! `CopyImage`: a disk's image is copied from another tenant's version, in the region, into the disk's own tenant's domain.
//! Input: `{"manifest": "..."}`, whose id is the same in both domains.
//!
//! Look: is the disk still this incarnation, and what is it made from? Act: pin in both domains, ask *then* whether the version
//! may still be read, pull what is missing. Record, in a transaction that asks once more: the image and the operation's end.

use std::sync::{Arc, atomic::Ordering};

use galerie_arm::{ArmError, ProvisioningState};
use galerie_store::{CopyProgress, ManifestId};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::{
    failure::Failure,
    import_upload,
    progress::{Progress, follow},
};
use crate::{
    Control,
    db::{
        self, Connection,
        foreign_source::{self, ForeignSource},
        operation::OperationRow,
        resource::{self, ResourceRow},
        transact,
    },
    sharing::foreign,
};

pub(super) async fn run(
    control: &Control,
    claimed: &OperationRow,
    progress: &Arc<Progress>,
    cancel: &CancellationToken,
) -> Result<(), Failure> {
    let manifest = manifest(claimed)?;
    let found = import_upload::look(control, claimed).await?;
    let source = source(&mut *control.db().read().await?, &found).await?;
    let region = control.region(&found.location).ok_or_else(|| Failure::region_absent(&found.location))?;
    let from = control.pin(&found.location, source.tenant, &[manifest], "copy-from").await?;
    // It names no manifest: what a pin names is whole, and here it comes last.
    let into = control.pin(&found.location, found.tenant, &[], "copy-into").await?;
    foreign::check(&mut *control.db().read().await?, &found, &source).await?;
    let condemned = control.condemned(&found.location, found.tenant).await?;
    let in_region = |error| Failure::in_region(&found.location, error);
    let blobs = region.blobs(source.tenant).await.map_err(in_region)?;
    let copied = Arc::new(CopyProgress::default());
    let pull = region.replicate(found.tenant, manifest, blobs, &condemned, copied.clone(), cancel.clone());
    let pull = into.guard(cancel, from.guard(cancel, pull));
    let add_up =
        || progress.set(copied.total_bytes.load(Ordering::Relaxed), copied.copied_bytes.load(Ordering::Relaxed));
    let image = follow(pull, add_up).await.map_err(in_region)?;
    let now_ms = control.now_ms();
    transact!(control.db(), |tx| -> Result<(), Failure> {
        foreign::check(tx, &found, &source).await?;
        if !from.check(tx).await? {
            return Err(Failure::Stopped);
        }
        foreign_source::delete(tx, &found.key).await?;
        import_upload::record_in(tx, claimed, &into, &image, None, now_ms).await
    })
}

fn manifest(claimed: &OperationRow) -> Result<ManifestId, Failure> {
    let text = claimed.input.get("manifest").and_then(Value::as_str);
    let unreadable = || Failure::Final(ArmError::internal(&claimed.id.to_string()));
    text.and_then(|text| text.parse().ok()).ok_or_else(unreadable)
}

/// What the disk is made from; whoever has the row has the disk's only claim on it.
async fn source(tx: &mut Connection, disk: &ResourceRow) -> Result<ForeignSource, Failure> {
    foreign_source::find(tx, &disk.key).await?.ok_or(Failure::Stopped)
}

/// The disk stays, failed and without content, with the reason in its operation; the same PUT tries again.
pub(super) async fn undo(tx: &mut Connection, failed: &OperationRow) -> db::Result<()> {
    resource::set_state(tx, &failed.resource, failed.resource_uid, ProvisioningState::Failed).await?;
    Ok(())
}
