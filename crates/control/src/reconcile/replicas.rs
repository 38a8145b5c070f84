//! Failed replicas whose time has come are tried again.

use galerie_arm::{ArmError, ReplicationState};

use crate::{
    Control,
    db::{
        replica::{self, ReplicaWork},
        transact,
    },
};

pub(super) async fn run(control: &Control) -> Result<(), ArmError> {
    let regions = due(control).await?;
    if regions.is_empty() {
        return Ok(());
    }
    let retried = transact!(control.db(), |tx| -> Result<u64, ArmError> {
        let mut retried = 0;
        let now_ms = tx.now_ms().await?;
        for region in &regions {
            retried += replica::retry_due(tx, region, now_ms).await?;
        }
        Ok(retried)
    })?;
    if retried > 0 {
        tracing::info!(retried, "try failed replicas again");
        control.wake();
    }
    Ok(())
}

/// The regions where something is to be tried again. Looking takes no write lock; there is rarely anything to do.
async fn due(control: &Control) -> Result<Vec<String>, ArmError> {
    let mut reading = control.db().read().await?;
    let now_ms = reading.now_ms().await?;
    let mut due = Vec::new();
    for region in control.region_names() {
        if replica::is_due(&mut reading, &region, ReplicaWork::Copy, ReplicationState::Failed, now_ms).await? {
            due.push(region);
        }
    }
    Ok(due)
}
