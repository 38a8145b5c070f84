//! Pins while they are held: taken in a transaction, renewed as long as their holder lives, released when it lets go.
//!
//! The order that the collector's argument rests on (`docs/design/store.md`): commit the pin, *then* load the condemned
//! packs, then look blobs up; and name what was written in a row *before* the pin goes, in a transaction that checks
//! that the pin is still there. A process that is stopped for longer than a lease finds its pin gone and is refused.

use std::time::Duration;

use galerie_store::{CondemnedPacks, ManifestId};
use tokio_util::sync::{CancellationToken, DropGuard};
use uuid::Uuid;

use crate::{
    Control,
    db::{self, Connection, condemned_pack, pin, transact},
};

/// How long a pin lives without being renewed, in ms.
pub(crate) const PIN_LEASE_MS: i64 = 60_000;
/// How often a holder renews it.
const RENEW_EVERY: Duration = Duration::from_secs(15);

/// Pins that are held. Dropping it releases them.
#[derive(Debug)]
pub(crate) struct Pinned {
    sequences: Vec<u64>,
    lost: CancellationToken,
    _let_go: DropGuard,
}

/// Pins that were taken in a transaction. When it is not committed there are none; else nobody renews them before they
/// are held.
#[derive(Debug)]
pub(crate) struct TakenPins(Vec<u64>);

impl Pinned {
    /// Cancelled when the pins could not be kept: what they protected must not be relied on any more.
    pub(crate) fn lost(&self) -> CancellationToken {
        self.lost.clone()
    }

    /// Does work that the pins protect; cancels it, and waits for its end, when they are lost.
    pub(crate) async fn guard<T>(&self, cancel: &CancellationToken, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        tokio::select! {
            output = &mut work => output,
            () = self.lost.cancelled() => {
                cancel.cancel();
                work.await
            }
        }
    }

    /// Whether every pin is still there. Asked in the transaction that names what was written.
    pub(crate) async fn check(&self, tx: &mut Connection) -> db::Result<bool> {
        for sequence in &self.sequences {
            if !pin::exists(tx, *sequence).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

impl Control {
    /// Pins a region's blobs of a tenant: everything that is looked up from now on, and the images of `manifests` as roots.
    pub(crate) async fn pin(
        &self,
        region: &str,
        tenant: Uuid,
        manifests: &[ManifestId],
        owner: &str,
    ) -> db::Result<Pinned> {
        let taken = transact!(self.db(), |tx| -> db::Result<TakenPins> {
            self.take_pins(tx, region, tenant, manifests, owner).await
        })?;
        Ok(self.hold_pins(taken))
    }

    /// Takes pins in a transaction: what is a root in it stays one. [`Control::hold_pins`] when it is committed.
    pub(crate) async fn take_pins(
        &self,
        tx: &mut Connection,
        region: &str,
        tenant: Uuid,
        manifests: &[ManifestId],
        owner: &str,
    ) -> db::Result<TakenPins> {
        let owner = format!("{}/{owner}", self.owner());
        let expires_ms = tx.now_ms().await?.saturating_add(PIN_LEASE_MS);
        let mut sequences = Vec::with_capacity(manifests.len().max(1));
        if manifests.is_empty() {
            sequences.push(pin::take(tx, region, tenant, None, &owner, expires_ms).await?);
        }
        for manifest in manifests {
            sequences.push(pin::take(tx, region, tenant, Some(*manifest), &owner, expires_ms).await?);
        }
        Ok(TakenPins(sequences))
    }

    /// Holds pins whose transaction is committed.
    pub(crate) fn hold_pins(&self, taken: TakenPins) -> Pinned {
        let TakenPins(sequences) = taken;
        let (lost, let_go) = (CancellationToken::new(), CancellationToken::new());
        self.track(keep(self.clone(), sequences.clone(), lost.clone(), let_go.clone()));
        Pinned { sequences, lost, _let_go: let_go.drop_guard() }
    }

    /// The packs that nothing may be deduplicated against; to be loaded after the pin is taken.
    pub(crate) async fn condemned(&self, region: &str, tenant: Uuid) -> db::Result<CondemnedPacks> {
        let rows = condemned_pack::list(&mut *self.db().read().await?, region, tenant).await?;
        Ok(rows.into_iter().map(|row| row.pack).collect())
    }
}

/// Renews until the holder lets go, then releases.
async fn keep(control: Control, sequences: Vec<u64>, lost: CancellationToken, let_go: CancellationToken) {
    let mut expires_ms = control.now_ms().saturating_add(PIN_LEASE_MS);
    loop {
        tokio::select! {
            () = let_go.cancelled() => break,
            // Whoever holds it may still be at work; it expires by itself.
            () = control.stopping().cancelled() => return,
            () = tokio::time::sleep(RENEW_EVERY) => {}
        }
        match renew(&control, &sequences).await {
            Ok(Some(until_ms)) => expires_ms = until_ms,
            Ok(None) => lost.cancel(),
            Err(error) => tracing::warn!(error = &error as &dyn std::error::Error, "renew pins"),
        }
        if control.now_ms() >= expires_ms {
            lost.cancel();
        }
    }
    if let Err(error) = release(&control, &sequences).await {
        // They expire by themselves.
        tracing::warn!(error = &error as &dyn std::error::Error, "release pins");
    }
}

/// Until when they live now; `None` when one was gone.
async fn renew(control: &Control, sequences: &[u64]) -> db::Result<Option<i64>> {
    transact!(control.db(), |tx| -> db::Result<Option<i64>> {
        let expires_ms = tx.now_ms().await?.saturating_add(PIN_LEASE_MS);
        for sequence in sequences {
            if !pin::renew(tx, *sequence, expires_ms).await? {
                return Ok(None);
            }
        }
        Ok(Some(expires_ms))
    })
}

async fn release(control: &Control, sequences: &[u64]) -> db::Result<()> {
    transact!(control.db(), |tx| -> db::Result<()> {
        for sequence in sequences {
            pin::release(tx, *sequence).await?;
        }
        Ok(())
    })
}
