//! Pins that nobody renewed go.

use galerie_arm::ArmError;

use crate::{
    Control,
    db::{pin, transact},
};

pub(super) async fn run(control: &Control) -> Result<(), ArmError> {
    let expired = transact!(control.db(), |tx| -> Result<u64, ArmError> {
        let now_ms = tx.now_ms().await?;
        Ok(pin::expire(tx, now_ms).await?)
    })?;
    if expired > 0 {
        tracing::info!(expired, "removed pins that nobody renewed");
    }
    Ok(())
}
