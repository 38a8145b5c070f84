//! The processes of one catalogue: who lives, who serves which region, and how one joins and leaves.
//!
//! ```text
//!   join --> Serving --(heartbeat every 2 s)--> Serving
//!               |`--(none for 10 s)--> dead: its leases run out, its uploads may be adopted
//!               `--(SIGTERM)--> Draining --> gone: its leases are given back
//! ```
//! A process keeps its id in its data directory, so that one that was killed takes its own claims back at its next start. An
//! incarnation tells starts apart: a copy of a data directory that is started elsewhere makes the first process stop.
//!
//! Promises: only what the database's clock says about heartbeats decides who is dead. Does not: elect anybody. Every piece of
//! work is fenced by its own lease; a process that is taken for dead and is not can do no harm with what it lost.
//!
//! On SQLite there is one process, and none of this happens. See `docs/design/processes.md`.

use std::time::Duration;

use galerie_arm::ArmError;
use galerie_store::blocking;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    Control, Error,
    db::{
        self, Connection, operation, pin,
        process::{self, ProcessRow, ProcessState, Start},
        replica, transact, upload,
    },
    request::RequestContext,
    uploads::StagedHere,
};

/// How long a heartbeat counts, in ms.
pub(crate) const ALIVE_MS: i64 = 10_000;
/// How often a process says that it lives.
const BEAT: Duration = Duration::from_secs(2);
/// For how long a dead process is still shown, in ms.
const SHOWN_MS: i64 = 24 * 60 * 60 * 1000;
/// How long readiness waits for the catalogue.
const ASK_WITHIN: Duration = Duration::from_secs(2);

/// Threads that ask a SQLite file whether it answers: where its disk hangs, so many hang with it and no more.
static PROBES: Semaphore = Semaphore::const_new(4);

/// A process that joins the others of its catalogue.
#[derive(Debug, Clone)]
pub struct ProcessOptions {
    /// Kept in its data directory: who starts there again is the same process.
    pub id: Uuid,
    /// Where other processes reach it: `https://10.0.0.5:8443`. Without one, nothing is forwarded to it.
    pub url: Option<String>,
    /// The program's version, for people.
    pub version: String,
    /// Whether processes wake each other at once. Without it, work waits for the next look of whoever does it.
    pub hints: bool,
}

/// This process among others.
#[derive(Debug)]
pub(crate) struct Member {
    /// As leases and uploads name it.
    pub(crate) id: String,
    incarnation: u64,
    /// Another process has this one's id.
    replaced: CancellationToken,
    /// Uploads whose pages are this process's.
    pub(crate) staged: StagedHere,
}

/// Another process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Its id.
    pub id: String,
    /// Where it is reached.
    pub url: String,
}

/// Where something can be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In this process.
    Here,
    /// In another one.
    At(Peer),
    /// Nowhere now; why, for the client.
    Away(String),
}

impl Member {
    fn start(&self) -> Start<'_> {
        Start { id: &self.id, incarnation: self.incarnation }
    }
}

impl Control {
    /// Becomes one of the processes of a shared catalogue, and takes back what its former start had claimed. Before
    /// [`Control::start`], once.
    ///
    /// # Errors
    /// `CatalogueInUse` while an offline command has the catalogue for itself; the catalogue's.
    pub async fn join(&self, options: ProcessOptions) -> Result<(), Error> {
        let shared_use = self.db().shared_use().await?.ok_or(Error::CatalogueInUse)?;
        self.keep_use(shared_use).await;
        let (id, url) = (options.id.simple().to_string(), options.url.unwrap_or_default());
        let (regions, version) = (self.region_names(), options.version);
        let (incarnation, released) = transact!(self.db(), |tx| -> Result<(u64, u64), Error> {
            let now_ms = tx.now_ms().await?;
            let expires_ms = now_ms.saturating_add(ALIVE_MS);
            let incarnation = process::register(tx, &id, &url, &regions, &version, now_ms, expires_ms).await?;
            let released = operation::release_of(tx, &id).await? + replica::release_of(tx, &id).await?;
            pin::release_of(tx, &id).await?;
            upload::take_back(tx, &id).await?;
            crate::backup::release_hold_of(tx, &id).await?;
            Ok((incarnation, released))
        })?;
        tracing::info!(process = id, incarnation, released, url, ?regions, "joined the catalogue's processes");
        let member = Member { id, incarnation, replaced: CancellationToken::new(), staged: StagedHere::default() };
        assert!(self.become_member(member), "a process joins once");
        self.track(beat(self.clone()));
        if options.hints {
            crate::hints::start(self).await?;
        }
        Ok(())
    }

    /// Takes no new work from other processes any more: it is not ready, and lets go of uploads that others can carry on.
    pub async fn begin_draining(&self) {
        self.set_draining();
        let Some(member) = self.member() else { return };
        member.staged.forget();
        let released = transact!(self.db(), |tx| -> db::Result<()> {
            process::set_state(tx, member.start(), ProcessState::Draining).await?;
            for row in upload::of_process(tx, &member.id).await? {
                // What was sent of chunks is in this process's memory; it goes on here while it can.
                if !self.has_open_chunks(row.upload) {
                    upload::release(tx, row.upload, &member.id).await?;
                }
            }
            Ok(())
        });
        if let Err(error) = released {
            tracing::warn!(error = &error as &dyn std::error::Error, "say that this process is stopping");
        }
        self.wake();
    }

    /// Resolves when another process has taken this one's place: a copy of its data directory was started.
    pub async fn replaced(&self) {
        match self.member() {
            Some(member) => member.replaced.cancelled().await,
            None => std::future::pending().await,
        }
    }

    /// Whether the process can be sent requests: it is not stopping, and its catalogue answers.
    ///
    /// # Errors
    /// What is the matter, for people.
    pub async fn readiness(&self) -> Result<(), &'static str> {
        if self.is_draining() {
            return Err("draining");
        }
        if self.member().is_some_and(|member| member.replaced.is_cancelled()) {
            return Err("replaced by another process");
        }
        match tokio::time::timeout(ASK_WITHIN, self.catalogue_answers()).await {
            Ok(true) => Ok(()),
            _ => Err("the catalogue does not answer"),
        }
    }

    async fn catalogue_answers(&self) -> bool {
        let db = self.db().clone();
        let holds_no_thread = db.is_shared() || blocking::is_in_place();
        let ask = async move { db::setting::find(&mut *db.read().await?, db::setting::CATALOGUE).await };
        if holds_no_thread {
            return ask.await.is_ok();
        }
        // SQLite answers on the thread that asks, which hangs when the file's disk does: on one that nobody needs.
        let Ok(probe) = PROBES.acquire().await else { return false };
        let runtime = tokio::runtime::Handle::current();
        let asked = blocking::run(move || {
            let _probe = probe;
            runtime.block_on(ask)
        });
        matches!(asked.await, Ok(Ok(_)))
    }

    /// The catalogue's processes, for the operator.
    ///
    /// # Errors
    /// `AuthorizationFailed`; the catalogue's.
    pub async fn processes(&self, ctx: &RequestContext) -> Result<Value, ArmError> {
        let mut tx = self.db().read().await?;
        self.require_operator(&mut tx, &ctx.caller, "Galerie/processes/read").await?;
        let now_ms = tx.now_ms().await?;
        let rows = process::list(&mut tx).await?;
        let own = self.member().map(|member| member.id.as_str());
        let shown = rows.iter().map(|row| document(row, now_ms, own)).collect::<Vec<_>>();
        Ok(json!({ "value": shown }))
    }

    /// Whether requests may be another process's to answer.
    pub fn is_one_of_several(&self) -> bool {
        self.member().is_some()
    }

    /// As other processes name this one.
    pub fn process_id(&self) -> &str {
        self.owner()
    }

    /// Where a region is served.
    ///
    /// # Errors
    /// The catalogue's.
    pub async fn place_of_region(&self, region: &str) -> Result<Place, ArmError> {
        if self.region(region).is_some() || self.member().is_none() {
            return Ok(Place::Here);
        }
        let mut tx = self.db().read().await?;
        Ok(self.elsewhere(&mut tx, region).await?)
    }

    /// Another process that serves a region.
    pub(crate) async fn elsewhere(&self, tx: &mut Connection, region: &str) -> db::Result<Place> {
        let now_ms = tx.now_ms().await?;
        let mut serving = process::list(tx).await?;
        serving.retain(|row| {
            row.expires_ms > now_ms
                && row.state == ProcessState::Serving
                && !row.url.is_empty()
                && row.regions.iter().any(|served| served == region)
        });
        let turn = usize::from(Uuid::new_v4().as_bytes()[0]);
        let chosen = serving.get(turn % serving.len().max(1));
        Ok(chosen.map_or_else(|| Place::Away(away(region)), |row| Place::At(peer(row))))
    }

    /// Tells the other processes which regions this one serves now.
    pub(crate) async fn announce_regions(&self) -> db::Result<()> {
        let (Some(member), regions) = (self.member(), self.region_names()) else { return Ok(()) };
        transact!(self.db(), |tx| -> db::Result<()> { process::set_regions(tx, member.start(), &regions).await })
    }

    /// Removes the process from the others' list; its leases were given back.
    pub(crate) async fn leave(&self) {
        let Some(member) = self.member() else { return };
        let left = transact!(self.db(), |tx| -> db::Result<()> { process::leave(tx, member.start()).await });
        if let Err(error) = left {
            // It is taken for dead a little later.
            tracing::warn!(error = &error as &dyn std::error::Error, "leave the catalogue's processes");
        }
        crate::hints::send(self).await;
    }
}

pub(crate) fn peer(row: &ProcessRow) -> Peer {
    Peer { id: row.id.clone(), url: row.url.clone() }
}

/// What clients are told of a region that no live process serves.
pub(crate) fn away(region: &str) -> String {
    format!("No running server process serves the region '{region}' now. Try again later.")
}

fn document(row: &ProcessRow, now_ms: i64, own: Option<&str>) -> Value {
    let state = if row.expires_ms > now_ms { row.state.as_str() } else { "Dead" };
    json!({
        "id": row.id,
        "url": row.url,
        "regions": row.regions,
        "version": row.version,
        "state": state,
        "startedAt": galerie_arm::timestamp::format_ms(row.started_ms),
        "lastSeenMsAgo": (now_ms - (row.expires_ms - ALIVE_MS)).max(0),
        "answering": own == Some(row.id.as_str()),
    })
}

/// Says that this process lives, until it stops or is replaced.
async fn beat(control: Control) {
    let Some(member) = control.member() else { return };
    loop {
        tokio::select! {
            () = control.stopping().cancelled() => return,
            () = tokio::time::sleep(BEAT) => {}
        }
        match say_alive(&control, member).await {
            Ok(true) => control.check_use().await,
            Ok(false) => {
                tracing::error!(process = member.id, "another process was started with this one's id; this one stops");
                member.replaced.cancel();
                return;
            }
            Err(error) => {
                // Others may take it for dead before the next one.
                member.staged.forget();
                tracing::warn!(error = &error as &dyn std::error::Error, "say that this process lives");
            }
        }
    }
}

/// Whether this is still the process's last start.
async fn say_alive(control: &Control, member: &Member) -> db::Result<bool> {
    let (start, is_draining) = (member.start(), control.is_draining());
    transact!(control.db(), |tx| -> db::Result<bool> {
        let now_ms = tx.now_ms().await?;
        let mut rows = process::list(tx).await?;
        let forgotten_ms = now_ms.saturating_sub(SHOWN_MS);
        if rows.iter().any(|row| row.expires_ms <= forgotten_ms) {
            process::forget(tx, forgotten_ms).await?;
            rows = process::list(tx).await?;
        }
        let alive = rows.iter().filter(|row| row.expires_ms > now_ms).count();
        metrics::gauge!("galerie_processes").set(alive as f64);
        let Some(row) = rows.iter().find(|row| row.id == member.id) else { return Ok(false) };
        if row.expires_ms <= now_ms {
            // It was taken for dead, and others may have what it had.
            member.staged.forget();
        }
        let is_this = process::prolong(tx, start, now_ms.saturating_add(ALIVE_MS)).await?;
        if is_this && is_draining {
            process::set_state(tx, start, ProcessState::Draining).await?;
        }
        Ok(is_this)
    })
}

#[cfg(test)]
mod tests;
