//! Claiming operations that are due and carrying them out.

use std::{panic::AssertUnwindSafe, sync::Arc};

use futures::FutureExt;
use galerie_arm::ArmError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::{
    MOST_ATTEMPTS, OperationKind, backoff_ms, copy_image, create_empty_disk, delete_group,
    failure::Failure,
    import_upload,
    lease::{self, LEASE_MS},
    never_ended,
    progress::Progress,
    replicate,
};
use crate::{
    Control, db,
    db::{
        operation::{self, OperationRow},
        replica::ReplicaWork,
        transact,
    },
    reconcile::attempted,
};

/// Starts the workers: one for operations, two for each region's replicas.
pub(crate) fn start(control: &Control) {
    control.track(operations(control.clone()));
    for region in control.region_names() {
        start_region(control, &region);
    }
}

/// Starts what works for a region that is available.
pub(crate) fn start_region(control: &Control, region: &str) {
    // What is fetched comes as slowly as whoever sends it likes: it has places of its own.
    for work in [ReplicaWork::Copy, ReplicaWork::Fetch] {
        control.track(replicate::worker(control.clone(), region.to_owned(), work));
    }
}

/// Claims and spawns until the process stops.
async fn operations(control: Control) {
    let slots = Arc::new(Semaphore::new(control.tuning().operations_at_once));
    let mut woken = control.woken();
    while !control.stopping().is_cancelled() {
        woken.mark_unchanged();
        while let Ok(slot) = slots.clone().try_acquire_owned() {
            let Some(claimed) = attempted("claim-operations", claim(&control)).await.flatten() else { break };
            let span = tracing::info_span!(
                "operation",
                id = %claimed.id,
                kind = claimed.kind.as_str(),
                correlation_id = %claimed.correlation_id
            );
            control.track(carry_out(control.clone(), claimed, slot).instrument(span));
        }
        control.rest(&mut woken).await;
    }
}

async fn claim(control: &Control) -> db::Result<Option<OperationRow>> {
    if control.is_draining() {
        return Ok(None);
    }
    {
        // Workers are woken far more often than there is work. Looking takes no write lock.
        let mut reading = control.db().read().await?;
        let now_ms = reading.now_ms().await?;
        if !operation::is_due(&mut reading, now_ms).await? {
            return Ok(None);
        }
    }
    let regions = control.region_names();
    transact!(control.db(), |tx| -> db::Result<Option<OperationRow>> {
        let now_ms = tx.now_ms().await?;
        let until_ms = now_ms.saturating_add(LEASE_MS);
        for region in std::iter::once(None).chain(regions.iter().map(|region| Some(region.as_str()))) {
            if let Some(row) = operation::claim_due(tx, region, control.owner(), now_ms, until_ms).await? {
                return Ok(Some(row));
            }
        }
        Ok(None)
    })
}

async fn carry_out(control: Control, claimed: OperationRow, slot: OwnedSemaphorePermit) {
    let cancel = control.stopping().child_token();
    let progress = Arc::new(Progress::default());
    let step = async {
        if claimed.attempts > MOST_ATTEMPTS {
            return Err(never_ended(claimed.attempts));
        }
        step(&control, &claimed, &progress, &cancel).await
    };
    let work = AssertUnwindSafe(step).catch_unwind();
    let done = lease::under(&control, &claimed.lease(), &progress, &cancel, work).await;
    let outcome = match done {
        Some(Ok(outcome)) => outcome,
        Some(Err(_)) => Err(Failure::Passing(ArmError::internal(&claimed.id.to_string()))),
        None => Err(Failure::Stopped),
    };
    if let Err(failure) = outcome
        && let Err(error) = put_back(&control, &claimed, failure).await
    {
        // The lease runs out, and the operation is claimed again.
        tracing::warn!(error = &error as &dyn std::error::Error, operation = %claimed.id, "record an operation's failure");
    }
    drop(slot);
    control.wake();
}

/// The work of a kind. It records its own success, in the transaction that makes the result visible.
async fn step(
    control: &Control,
    claimed: &OperationRow,
    progress: &Arc<Progress>,
    cancel: &CancellationToken,
) -> Result<(), Failure> {
    match claimed.kind {
        OperationKind::ImportUpload => import_upload::run(control, claimed, progress, cancel).await,
        OperationKind::CreateEmptyDisk => create_empty_disk::run(control, claimed).await,
        OperationKind::CopyImage => copy_image::run(control, claimed, progress, cancel).await,
        OperationKind::DeleteGroup => delete_group::run(control, claimed).await,
        // Never due; whoever finds one here finds it finished by nobody.
        OperationKind::ReplicateVersion | OperationKind::Immediate => Err(Failure::Final(ArmError::internal(""))),
    }
}

/// Records what came of an attempt that did not succeed.
async fn put_back(control: &Control, claimed: &OperationRow, failure: Failure) -> db::Result<()> {
    let lease = claimed.lease();
    let failed = transact!(control.db(), |tx| -> db::Result<Option<&ArmError>> {
        let now_ms = tx.now_ms().await?;
        match &failure {
            Failure::Stopped => {
                operation::relinquish(tx, lease).await?;
            }
            Failure::Passing(_) if claimed.attempts < MOST_ATTEMPTS => {
                let next_ms = now_ms.saturating_add(backoff_ms(claimed.attempts));
                operation::postpone(tx, lease, next_ms).await?;
            }
            Failure::Passing(error) | Failure::Final(error) => {
                if operation::finish(tx, lease, Some(error), now_ms).await? {
                    undo(tx, claimed).await?;
                    return Ok(Some(error));
                }
            }
        }
        Ok(None)
    })?;
    if let Some(error) = failed {
        tracing::warn!(operation = %claimed.id, kind = claimed.kind.as_str(), %error, "an operation failed");
    }
    Ok(())
}

/// What a failed operation leaves of its resource: nothing half-made.
async fn undo(tx: &mut db::Connection, failed: &OperationRow) -> db::Result<()> {
    match failed.kind {
        OperationKind::ImportUpload => import_upload::undo(tx, failed).await,
        OperationKind::CreateEmptyDisk => create_empty_disk::undo(tx, failed).await,
        OperationKind::CopyImage => copy_image::undo(tx, failed).await,
        OperationKind::DeleteGroup => delete_group::undo(tx, failed).await,
        OperationKind::ReplicateVersion | OperationKind::Immediate => Ok(()),
    }
}
