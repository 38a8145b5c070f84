//! Operations that ended long ago are forgotten.

use galerie_arm::ArmError;

use crate::{Control, db::operation};

/// How long an ended operation can be asked about, in ms: 7 days.
const KEPT_MS: i64 = 7 * 24 * 3600 * 1000;
/// Most rows deleted in one transaction.
const BATCH: u32 = 1000;

pub(super) async fn run(control: &Control) -> Result<(), ArmError> {
    loop {
        let mut tx = control.db().write().await?;
        let forgotten = operation::forget_ended(&mut tx, control.now_ms() - KEPT_MS, BATCH).await?;
        tx.commit().await?;
        if forgotten < u64::from(BATCH) {
            return Ok(());
        }
    }
}
