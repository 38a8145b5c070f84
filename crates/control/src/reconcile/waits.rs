//! Nothing waits for a moment that is further away than any wait is long.
//!
//! Moments are read off the wall clock. When it is put back, by hours perhaps, whatever was to begin "now" or after a short
//! pause would wait for those hours. Such a moment is recognised by its distance, and becomes now.

use galerie_arm::{ArmError, ReplicationState};

use crate::{
    Control,
    db::{operation, replica, transact},
    operations::LONGEST_BACKOFF_MS,
};

pub(super) async fn run(control: &Control) -> Result<(), ArmError> {
    let (copying, failed) = (ReplicationState::Replicating, ReplicationState::Failed);
    {
        // Looking takes no write lock; there is hardly ever anything to do.
        let (now_ms, tx) = (control.now_ms(), &mut *control.db().read().await?);
        let soon_ms = now_ms.saturating_add(LONGEST_BACKOFF_MS);
        let retried_ms = now_ms.saturating_add(control.tuning().retry_failed_replicas_after_ms);
        let is_waiting = operation::waits_beyond(tx, soon_ms).await?
            || replica::waits_beyond(tx, copying, soon_ms).await?
            || replica::waits_beyond(tx, failed, retried_ms).await?;
        if !is_waiting {
            return Ok(());
        }
    }
    let regions = control.region_names();
    let shortened = transact!(control.db(), |tx| -> Result<u64, ArmError> {
        let now_ms = control.now_ms();
        let soon_ms = now_ms.saturating_add(LONGEST_BACKOFF_MS);
        let retried_ms = now_ms.saturating_add(control.tuning().retry_failed_replicas_after_ms);
        let mut shortened = operation::shorten_waits(tx, None, soon_ms, now_ms).await?;
        for region in &regions {
            shortened += operation::shorten_waits(tx, Some(region), soon_ms, now_ms).await?;
            shortened += replica::shorten_waits(tx, region, copying, soon_ms, now_ms).await?;
            shortened += replica::shorten_waits(tx, region, failed, retried_ms, now_ms).await?;
        }
        Ok(shortened)
    })?;
    if shortened > 0 {
        tracing::warn!(shortened, "the clock was put back: work that would have waited for it begins now");
        control.wake();
    }
    Ok(())
}
