//! Failed replicas whose time has come are tried again.

use galerie_arm::ArmError;

use crate::{Control, db::replica};

pub(super) async fn run(control: &Control) -> Result<(), ArmError> {
    let mut retried = 0;
    let mut tx = control.db().write().await?;
    for region in control.region_names() {
        retried += replica::retry_due(&mut tx, &region, control.now_ms()).await?;
    }
    tx.commit().await?;
    if retried > 0 {
        tracing::info!(retried, "try failed replicas again");
        control.wake();
    }
    Ok(())
}
