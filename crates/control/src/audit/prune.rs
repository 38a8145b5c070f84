//! Forgetting: rows older than they are kept go, a whole seal's at a time. The seals stay, so the chain never breaks.

use galerie_arm::ArmError;

use crate::{
    Control,
    db::{audit, audit_seal, transact},
};

/// Deletes what is older than the audit is kept.
///
/// # Errors
/// The catalogue's.
pub(crate) async fn prune(control: &Control) -> Result<(), ArmError> {
    let Some(kept) = control.tuning().audit_kept else { return Ok(()) };
    let kept_ms = i64::try_from(kept.as_millis()).unwrap_or(i64::MAX);
    loop {
        {
            // Looking takes no write lock; there is something to do once in a while.
            let mut reading = control.db().read().await?;
            let before_ms = reading.now_ms().await?.saturating_sub(kept_ms);
            if audit_seal::oldest_unpruned(&mut reading, before_ms).await?.is_none() {
                return Ok(());
            }
        }
        let pruned = transact!(control.db(), |tx| -> Result<bool, ArmError> {
            let now_ms = tx.now_ms().await?;
            let Some(seal) = audit_seal::oldest_unpruned(tx, now_ms.saturating_sub(kept_ms)).await? else {
                return Ok(false);
            };
            audit::delete_in_chain(tx, seal.first_sequence, seal.end()).await?;
            audit_seal::set_pruned(tx, seal.number, now_ms).await?;
            Ok(true)
        })?;
        if !pruned {
            return Ok(());
        }
    }
}
