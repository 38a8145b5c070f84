//! Soft-deleted versions whose time is over are deleted for good.

use galerie_arm::ArmError;

use crate::{
    Control,
    db::{soft_deletion, transact},
    soft_delete,
};

/// Most deleted in one transaction, so that other writes get their turn.
const BATCH: u32 = 100;

pub(super) async fn run(control: &Control) -> Result<(), ArmError> {
    loop {
        // Looking takes no write lock; there is rarely anything to do.
        let mut reading = control.db().read().await?;
        let now_ms = reading.now_ms().await?;
        if soft_deletion::due(&mut reading, now_ms, 1).await?.is_empty() {
            return Ok(());
        }
        drop(reading);
        let purged = transact!(control.db(), |tx| -> Result<usize, ArmError> { soft_delete::purge(tx, BATCH).await })?;
        if purged == 0 {
            return Ok(());
        }
    }
}
