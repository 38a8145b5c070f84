//! The hold: while a backup runs, no condemned pack is due, whoever condemned it when.
//!
//! It is one row of the catalogue with a lease, so that all processes on the catalogue see it and none keeps it after its
//! death. There is one at a time.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio_util::sync::{CancellationToken, DropGuard};
use uuid::Uuid;

use crate::{
    Control, Error,
    db::{self, Connection, setting, transact},
};

/// How long a hold lives without being renewed, in ms.
const HOLD_LEASE_MS: i64 = 60_000;
/// How often its holder renews it.
const RENEW_EVERY: Duration = Duration::from_secs(15);

/// The row's value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct HoldRow {
    owner: String,
    until_ms: i64,
}

/// A hold. Dropping it lets go of it, in a moment.
#[derive(Debug)]
pub(super) struct Hold {
    owner: String,
    lost: CancellationToken,
    _let_go: DropGuard,
}

impl Hold {
    /// Cancelled when it could not be kept, or the process stops: what it protected may be gone.
    pub(super) fn lost(&self) -> &CancellationToken {
        &self.lost
    }

    /// Lets go of it now.
    pub(super) async fn release(self, control: &Control) -> db::Result<()> {
        release(control, &self.owner).await
    }
}

impl Control {
    /// Holds collection until the answer is dropped.
    ///
    /// # Errors
    /// `BackupUnderWay` when somebody else does.
    pub(super) async fn hold_collection(&self) -> Result<Hold, Error> {
        let owner = format!("{}/{}", self.owner(), Uuid::new_v4().simple());
        let row = HoldRow { owner: owner.clone(), until_ms: self.now_ms().saturating_add(HOLD_LEASE_MS) };
        transact!(self.db(), |tx| -> Result<(), Error> {
            if find(tx).await?.is_some_and(|held| held.until_ms > self.now_ms()) {
                return Err(Error::BackupUnderWay);
            }
            Ok(put(tx, &row).await?)
        })?;
        let (lost, let_go) = (self.stopping().child_token(), CancellationToken::new());
        self.track(keep(self.clone(), row, lost.clone(), let_go.clone()));
        Ok(Hold { owner, lost, _let_go: let_go.drop_guard() })
    }
}

/// Whether condemned packs must stay, however old.
pub(crate) async fn is_collection_held(tx: &mut Connection, now_ms: i64) -> db::Result<bool> {
    Ok(find(tx).await?.is_some_and(|held| held.until_ms > now_ms))
}

/// Ends the hold, whoever has it.
pub(crate) async fn release_hold(tx: &mut Connection) -> db::Result<()> {
    setting::remove(tx, setting::COLLECTION_HOLD).await
}

/// Ends the hold that a process had before it died.
pub(crate) async fn release_hold_of(tx: &mut Connection, process: &str) -> db::Result<()> {
    let is_of = |held: &HoldRow| held.owner.split_once('/').is_some_and(|(owner, _)| owner == process);
    match find(tx).await?.as_ref().is_some_and(is_of) {
        true => release_hold(tx).await,
        false => Ok(()),
    }
}

/// Renews until the holder lets go, then releases.
async fn keep(control: Control, mut row: HoldRow, lost: CancellationToken, let_go: CancellationToken) {
    loop {
        tokio::select! {
            biased;
            () = let_go.cancelled() => break,
            // It runs out by itself.
            () = control.stopping().cancelled() => return,
            () = tokio::time::sleep(RENEW_EVERY) => {}
        }
        let renewed = HoldRow { until_ms: control.now_ms().saturating_add(HOLD_LEASE_MS), ..row.clone() };
        match renew(&control, &renewed).await {
            Ok(true) => row = renewed,
            Ok(false) => lost.cancel(),
            Err(error) => tracing::warn!(error = &error as &dyn std::error::Error, "renew the hold on collection"),
        }
        if control.now_ms() >= row.until_ms {
            lost.cancel();
        }
    }
    if let Err(error) = release(&control, &row.owner).await {
        // It runs out by itself.
        tracing::warn!(error = &error as &dyn std::error::Error, "release the hold on collection");
    }
}

/// Whether it was still there. What ran out was perhaps acted on, and is not revived.
async fn renew(control: &Control, renewed: &HoldRow) -> db::Result<bool> {
    transact!(control.db(), |tx| -> db::Result<bool> {
        let is_ours = |held: &HoldRow| held.owner == renewed.owner && held.until_ms > control.now_ms();
        if !find(tx).await?.as_ref().is_some_and(is_ours) {
            return Ok(false);
        }
        put(tx, renewed).await?;
        Ok(true)
    })
}

async fn release(control: &Control, owner: &str) -> db::Result<()> {
    transact!(control.db(), |tx| -> db::Result<()> {
        match find(tx).await? {
            Some(held) if held.owner == owner => release_hold(tx).await,
            _ => Ok(()),
        }
    })
}

async fn find(tx: &mut Connection) -> db::Result<Option<HoldRow>> {
    let Some(text) = setting::find(tx, setting::COLLECTION_HOLD).await? else { return Ok(None) };
    let row = serde_json::from_str(&text);
    row.map(Some).map_err(|error| db::Error::Corrupt(format!("the hold on collection: {error}")))
}

async fn put(tx: &mut Connection, row: &HoldRow) -> db::Result<()> {
    setting::put(tx, setting::COLLECTION_HOLD, &serde_json::to_string(row).expect("texts and numbers are JSON")).await
}
