//! Operations that ended long ago are forgotten.

use galerie_arm::ArmError;

use crate::{
    Control,
    db::{operation, transact},
};

/// How long an ended operation can be asked about, in ms: 7 days.
const KEPT_MS: i64 = 7 * 24 * 3600 * 1000;
/// Most rows deleted in one transaction.
const BATCH: u32 = 1000;

pub(super) async fn run(control: &Control) -> Result<(), ArmError> {
    loop {
        let forgotten = transact!(control.db(), |tx| -> Result<u64, ArmError> {
            Ok(operation::forget_ended(tx, control.now_ms() - KEPT_MS, BATCH).await?)
        })?;
        if forgotten < u64::from(BATCH) {
            return Ok(());
        }
    }
}
