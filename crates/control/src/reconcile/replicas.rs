//! Failed replicas whose time has come are tried again.

use galerie_arm::ArmError;

use crate::{
    Control,
    db::{replica, transact},
};

pub(super) async fn run(control: &Control) -> Result<(), ArmError> {
    let retried = transact!(control.db(), |tx| -> Result<u64, ArmError> {
        let mut retried = 0;
        let now_ms = tx.now_ms().await?;
        for region in control.region_names() {
            retried += replica::retry_due(tx, &region, now_ms).await?;
        }
        Ok(retried)
    })?;
    if retried > 0 {
        tracing::info!(retried, "try failed replicas again");
        control.wake();
    }
    Ok(())
}
