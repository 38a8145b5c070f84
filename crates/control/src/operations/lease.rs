//! Doing work under a lease: it is renewed, progress is recorded, and losing it stops the work.

use std::{pin::pin, sync::Arc, time::Duration};

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use super::progress::Progress;
use crate::{
    Control,
    db::{
        self, Connection,
        operation::{self, OperationLease},
        replica::{self, ReplicaLease},
        transact,
    },
};

/// How long a claim lives without being renewed, in ms.
pub(super) const LEASE_MS: i64 = 30_000;
/// How often it is renewed when nothing else is to be written, in ms.
const RENEW_EVERY_MS: u64 = 10_000;
/// How often progress is written at most, in ms.
const RECORD_EVERY_MS: u64 = 1_000;
/// How often a holder looks whether it still is one.
const BEAT: Duration = Duration::from_secs(1);
/// How long work may take to notice that it is cancelled.
const STOP_WITHIN: Duration = Duration::from_secs(20);

/// A claim on something.
#[async_trait]
pub(super) trait Lease: Send + Sync {
    /// Whether it still holds.
    async fn holds(&self, tx: &mut Connection) -> db::Result<bool>;
    /// Prolongs it and records progress; whether it held.
    async fn renew(&self, tx: &mut Connection, until_ms: i64, progress: &Progress) -> db::Result<bool>;
}

#[async_trait]
impl Lease for ReplicaLease {
    async fn holds(&self, tx: &mut Connection) -> db::Result<bool> {
        replica::holds(tx, *self).await
    }

    async fn renew(&self, tx: &mut Connection, until_ms: i64, progress: &Progress) -> db::Result<bool> {
        let (total, done) = progress.figures();
        replica::renew(tx, *self, until_ms, total, done).await
    }
}

#[async_trait]
impl Lease for OperationLease {
    async fn holds(&self, tx: &mut Connection) -> db::Result<bool> {
        operation::holds(tx, *self).await
    }

    async fn renew(&self, tx: &mut Connection, until_ms: i64, progress: &Progress) -> db::Result<bool> {
        operation::renew(tx, *self, until_ms, progress.percent()).await
    }
}

/// Does `work` while `lease` holds. `cancel` is cancelled when it does not hold any more; work that does not end then is
/// dropped. `None`: it was dropped.
pub(super) async fn under<T>(
    control: &Control,
    lease: &dyn Lease,
    progress: &Arc<Progress>,
    cancel: &CancellationToken,
    work: impl Future<Output = T>,
) -> Option<T> {
    let mut work = pin!(work);
    // Both are polled together: the work may hold the one writing connection while the keeper waits for it.
    tokio::select! {
        output = &mut work => return Some(output),
        () = keep(control, lease, progress, cancel) => {}
    }
    tokio::time::timeout(STOP_WITHIN, work).await.ok()
}

/// Keeps a lease until it is lost or `cancel` is cancelled; then both are.
async fn keep(control: &Control, lease: &dyn Lease, progress: &Progress, cancel: &CancellationToken) {
    let mut woken = control.woken();
    let (mut renewed_ms, mut recorded) = (control.now_ms(), progress.figures());
    while !cancel.is_cancelled() {
        tokio::select! {
            () = cancel.cancelled() => return,
            _ = woken.changed() => {}
            () = tokio::time::sleep(BEAT) => {}
        }
        let (now_ms, current) = (control.now_ms(), progress.figures());
        // Also when the clock was put back: whoever looks at the lease reads that clock.
        let since_ms = now_ms.abs_diff(renewed_ms);
        let due = since_ms >= RENEW_EVERY_MS || (current != recorded && since_ms >= RECORD_EVERY_MS);
        let held = if due { renew(control, lease, progress).await } else { holds(control, lease).await };
        match held {
            Ok(true) if due => (renewed_ms, recorded) = (now_ms, current),
            Ok(true) => {}
            Ok(false) => cancel.cancel(),
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "keep a lease");
                if since_ms >= LEASE_MS.unsigned_abs() {
                    cancel.cancel();
                }
            }
        }
        // Requests wake workers far more often than a lease has news.
        tokio::time::sleep(BEAT / 10).await;
    }
}

async fn holds(control: &Control, lease: &dyn Lease) -> db::Result<bool> {
    lease.holds(&mut *control.db().read().await?).await
}

async fn renew(control: &Control, lease: &dyn Lease, progress: &Progress) -> db::Result<bool> {
    transact!(control.db(), |tx| -> db::Result<bool> {
        let until_ms = tx.now_ms().await?.saturating_add(LEASE_MS);
        lease.renew(tx, until_ms, progress).await
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        db::replica::{ReplicaRow, ReplicaWork},
        testing::World,
    };

    /// A claimed replica of a world that is not running.
    async fn claimed(world: &World) -> ReplicaLease {
        world.furnish().await;
        let (key, now_ms) = (world.id("galleries/g").key().to_owned(), world.control.now_ms());
        let mut tx = world.control.db().write().await.unwrap();
        replica::upsert(&mut tx, &ReplicaRow::wanted(&key, "westus", now_ms)).await.unwrap();
        let row = replica::claim_due(&mut tx, "westus", ReplicaWork::Copy, "me", now_ms, now_ms + LEASE_MS)
            .await
            .unwrap()
            .unwrap();
        tx.commit().await.unwrap();
        row.lease()
    }

    /// Work that was in the middle of its transaction was not polled while its own lease was being renewed, and both
    /// waited for the writing connection until one gave up.
    #[tokio::test]
    async fn work_goes_on_while_its_lease_is_renewed() {
        let world = World::new().await;
        let lease = claimed(&world).await;
        let (progress, cancel) = (Arc::new(Progress::default()), CancellationToken::new());
        let work = async {
            let tx = world.control.db().write().await.unwrap();
            world.clock.advance(RENEW_EVERY_MS.cast_signed());
            world.control.wake();
            // Long enough for the keeper to have begun to wait.
            for _ in 0..1000 {
                tokio::task::yield_now().await;
            }
            tx.commit().await.unwrap();
        };
        let done = under(&world.control, &lease, &progress, &cancel, work);
        assert_eq!(tokio::time::timeout(Duration::from_secs(10), done).await, Ok(Some(())));
    }

    #[tokio::test]
    async fn losing_the_lease_stops_the_work() {
        let world = World::new().await;
        let lease = claimed(&world).await;
        let (progress, cancel) = (Arc::new(Progress::default()), CancellationToken::new());
        let mut tx = world.control.db().write().await.unwrap();
        assert!(replica::fail(&mut tx, lease, "by another", 0).await.unwrap());
        tx.commit().await.unwrap();
        let work = async {
            cancel.cancelled().await;
            "stopped"
        };
        assert_eq!(under(&world.control, &lease, &progress, &cancel, work).await, Some("stopped"));
    }
}
