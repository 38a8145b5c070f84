//! Expired grants are ended: a disk that was read becomes `Unattached`, an upload `ReadyToUpload` with its pages kept.

use galerie_arm::ArmError;

use crate::{
    Control, access,
    db::{grant, transact},
};

/// Most grants ended in one transaction.
const BATCH: u32 = 100;

pub(super) async fn run(control: &Control) -> Result<(), ArmError> {
    loop {
        // Looking takes no write lock; there is rarely anything to do.
        let now_ms = control.now_ms();
        if grant::list_expired(&mut *control.db().read().await?, now_ms, 1).await?.is_empty() {
            return Ok(());
        }
        transact!(control.db(), |tx| -> Result<(), ArmError> {
            let now_ms = tx.now_ms().await?;
            for expired in grant::list_expired(tx, now_ms, BATCH).await? {
                access::expire(tx, &expired, now_ms).await?;
            }
            Ok(())
        })?;
    }
}
