//! Pins that nobody renewed go.

use galerie_arm::ArmError;

use crate::{Control, db::pin};

pub(super) async fn run(control: &Control) -> Result<(), ArmError> {
    let mut tx = control.db().write().await?;
    let expired = pin::expire(&mut tx, control.now_ms()).await?;
    tx.commit().await?;
    if expired > 0 {
        tracing::info!(expired, "removed pins that nobody renewed");
    }
    Ok(())
}
