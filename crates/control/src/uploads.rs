//! Whose an upload is: staged pages, and chunks that are being sent, lie with one process until they are in a store.
//!
//! The first process that takes bytes of an upload has it. Others forward to it while it lives. When it is dead (or is
//! stopping and has let go), another one may adopt the upload in a transaction that names the generation it saw:
//!
//! - if it *sees* the staged file: both have the region's staging directory on one file system;
//! - or if no page was ever acknowledged: what was sent of chunks is lost with its process, and the client begins anew.
//!
//! Otherwise the answer is 503 until the process is back: what it acknowledged is on its disk. An import is claimed by the
//! upload's process only (`db::operation`).

use std::{
    collections::HashSet,
    sync::{Mutex, MutexGuard, PoisonError},
};

use galerie_arm::ArmError;
use galerie_region::{Region, UploadId};
use uuid::Uuid;

use crate::{
    BlobError, Control,
    db::{
        self, Connection, process,
        process::ProcessRow,
        transact,
        upload::{self, UploadRow},
    },
    processes::{Place, away, peer},
};

/// Uploads that are remembered as this process's; more of them are looked up.
const MOST_REMEMBERED: usize = 4096;
/// Rows that the reconciler looks at in one transaction.
const BATCH: u32 = 100;

/// What is to become of a request for an upload.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Ours,
    /// Nobody's yet.
    Free,
    /// Its process lives and has it.
    Theirs,
    /// Its process is gone or lets go: who can may have it.
    Adoptable,
}

/// The uploads whose pages lie here for certain, so that not every page asks the catalogue.
///
/// Only what has `has_pages` in its row is remembered. Should another process have adopted such an upload all the same, because this
/// one was frozen and does not know it, it sees the very file that is written here: nothing that is acknowledged is lost.
#[derive(Debug, Default)]
pub(crate) struct StagedHere(Mutex<HashSet<Uuid>>);

impl StagedHere {
    fn has(&self, upload: Uuid) -> bool {
        self.remembered().contains(&upload)
    }

    fn remember(&self, upload: Uuid) {
        let mut remembered = self.remembered();
        if remembered.len() >= MOST_REMEMBERED {
            remembered.clear();
        }
        remembered.insert(upload);
    }

    /// Forgets all: this process lets go, or may be taken for dead.
    pub(crate) fn forget(&self) {
        self.remembered().clear();
    }

    fn remembered(&self) -> MutexGuard<'_, HashSet<Uuid>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Control {
    /// Makes an upload this process's, or says where it is. Without other processes it is here.
    pub(crate) async fn place_of_upload(&self, upload: Uuid, region: &str) -> db::Result<Place> {
        let Some(member) = self.member() else { return Ok(Place::Here) };
        if member.staged.has(upload) {
            return Ok(Place::Here);
        }
        let Some(plane) = self.region(region) else {
            return self.place_of_foreign_upload(upload, region).await;
        };
        let (row, processes, now_ms) = look(&mut *self.db().read().await?, upload).await?;
        match verdict(row.as_ref(), &processes, &member.id, now_ms) {
            Verdict::Ours => return Ok(Place::Here),
            Verdict::Theirs => return Ok(at_owner(row.as_ref(), &processes, region)),
            Verdict::Free => {}
            Verdict::Adoptable => {
                let may = row.as_ref().is_none_or(|row| !row.has_pages) || sees(&*plane, upload).await;
                if !may {
                    return Ok(at_owner(row.as_ref(), &processes, region));
                }
            }
        }
        let seen = row;
        let (place, is_new) = transact!(self.db(), |tx| -> db::Result<(Place, bool)> {
            let is_ours = match &seen {
                None => upload::insert(tx, upload, region, &member.id).await?,
                Some(row) => upload::adopt(tx, row, &member.id).await?,
            };
            if is_ours {
                return Ok((Place::Here, true));
            }
            // Somebody was faster.
            let (row, processes, _) = look(tx, upload).await?;
            if row.as_ref().is_some_and(|row| row.process == member.id) {
                return Ok((Place::Here, false));
            }
            Ok((at_owner(row.as_ref(), &processes, region), false))
        })?;
        // Not before the commit: a transaction that loses a race runs again.
        if let (true, Some(former)) = (is_new, seen) {
            tracing::info!(%upload, region, from = former.process, "adopted an upload");
            metrics::counter!("galerie_uploads_adopted_total", "region" => region.to_owned()).increment(1);
        }
        Ok(place)
    }

    /// Of a region that this process does not serve: the upload's process, or any that serves the region.
    async fn place_of_foreign_upload(&self, upload: Uuid, region: &str) -> db::Result<Place> {
        let mut tx = self.db().read().await?;
        let (row, processes, now_ms) = look(&mut tx, upload).await?;
        match verdict(row.as_ref(), &processes, self.owner(), now_ms) {
            Verdict::Theirs => Ok(at_owner(row.as_ref(), &processes, region)),
            _ => self.elsewhere(&mut tx, region).await,
        }
    }

    /// Says that pages of an upload are about to be acknowledged, so that nobody adopts it who does not see them.
    ///
    /// # Errors
    /// `Busy` when it was adopted by another process meanwhile.
    pub(crate) async fn mark_pages(&self, upload: Uuid) -> Result<(), BlobError> {
        let Some(member) = self.member() else { return Ok(()) };
        if member.staged.has(upload) {
            return Ok(());
        }
        let is_ours =
            transact!(self.db(), |tx| -> db::Result<bool> { upload::mark_pages(tx, upload, &member.id).await })?;
        if is_ours {
            if !self.is_draining() {
                member.staged.remember(upload);
            }
            Ok(())
        } else {
            Err(BlobError::Busy("The upload is another process's now. Try again.".to_owned()))
        }
    }

    /// Holds on to an upload of which something lies in this process's memory: one that is stopping lets go of what it does not
    /// know of yet. Whether it is still this process's.
    pub(crate) async fn hold_upload(&self, upload: Uuid) -> db::Result<bool> {
        let Some(member) = self.member() else { return Ok(true) };
        transact!(self.db(), |tx| -> db::Result<bool> { upload::hold(tx, upload, &member.id).await })
    }

    /// Adopts what dead processes left in the regions that this one serves, as far as it sees it; forgets what is over.
    pub(crate) async fn adopt_uploads(&self) -> Result<(), ArmError> {
        let Some(member) = self.member() else { return Ok(()) };
        // Mostly there is nothing to do, which one short look tells.
        let (has_orphans, theirs) = {
            let mut tx = self.db().read().await?;
            (upload::has_orphans(&mut tx).await?, upload::regions_of_others(&mut tx, &member.id).await?)
        };
        if has_orphans {
            transact!(self.db(), |tx| -> Result<(), ArmError> {
                upload::forget_orphans(tx).await?;
                Ok(())
            })?;
        }
        for region in self.regions().filter(|region| theirs.iter().any(|name| name == region.name())) {
            let mut after = Uuid::nil();
            loop {
                let (rows, processes, now_ms) = {
                    let mut tx = self.db().read().await?;
                    let now_ms = tx.now_ms().await?;
                    let rows = upload::of_others(&mut tx, region.name(), &member.id, after, BATCH).await?;
                    (rows, process::list(&mut tx).await?, now_ms)
                };
                let Some(last) = rows.last() else { break };
                after = last.upload;
                let mut left =
                    rows.iter().filter(|row| verdict(Some(row), &processes, &member.id, now_ms) == Verdict::Adoptable);
                let Some(first) = left.next() else { continue };
                let visible = region.uploads().await.unwrap_or_default().into_iter().collect::<HashSet<_>>();
                for row in std::iter::once(first).chain(left) {
                    if visible.contains(&UploadId(row.upload)) {
                        self.place_of_upload(row.upload, region.name()).await?;
                        self.wake();
                    }
                }
            }
        }
        Ok(())
    }
}

async fn look(tx: &mut Connection, upload: Uuid) -> db::Result<(Option<UploadRow>, Vec<ProcessRow>, i64)> {
    let now_ms = tx.now_ms().await?;
    Ok((upload::find(tx, upload).await?, process::list(tx).await?, now_ms))
}

fn verdict(row: Option<&UploadRow>, processes: &[ProcessRow], own: &str, now_ms: i64) -> Verdict {
    let Some(row) = row else { return Verdict::Free };
    if row.process == own {
        return Verdict::Ours;
    }
    let lives = processes.iter().any(|process| process.id == row.process && process.expires_ms > now_ms);
    if lives && !row.is_released { Verdict::Theirs } else { Verdict::Adoptable }
}

/// The upload's process, dead or alive: the caller finds out.
fn at_owner(row: Option<&UploadRow>, processes: &[ProcessRow], region: &str) -> Place {
    let Some(row) = row else { return Place::Away(away(region)) };
    match processes.iter().find(|process| process.id == row.process) {
        Some(owner) if !owner.url.is_empty() => Place::At(peer(owner)),
        _ => {
            let message =
                "What was uploaded lies with a server process that cannot be reached. Try again when it is back.";
            Place::Away(message.to_owned())
        }
    }
}

async fn sees(region: &dyn Region, upload: Uuid) -> bool {
    region.uploads().await.is_ok_and(|uploads| uploads.contains(&UploadId(upload)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::process::ProcessState;

    #[test]
    fn who_may_have_an_upload() {
        let row = |process: &str, is_released| UploadRow {
            upload: Uuid::nil(),
            region: "eastus".to_owned(),
            process: process.to_owned(),
            generation: 1,
            has_pages: true,
            is_released,
        };
        let process = |id: &str, expires_ms| ProcessRow {
            id: id.to_owned(),
            incarnation: 1,
            url: "https://peer".to_owned(),
            regions: vec!["eastus".to_owned()],
            version: String::new(),
            state: ProcessState::Serving,
            started_ms: 0,
            expires_ms,
        };
        let processes = [process("lives", 11), process("dead", 10)];
        let decide = |row: Option<UploadRow>| verdict(row.as_ref(), &processes, "me", 10);
        assert_eq!(decide(None), Verdict::Free);
        assert_eq!(decide(Some(row("me", true))), Verdict::Ours);
        assert_eq!(decide(Some(row("lives", false))), Verdict::Theirs);
        for adoptable in [row("lives", true), row("dead", false), row("forgotten", false)] {
            assert_eq!(decide(Some(adoptable)), Verdict::Adoptable);
        }
        assert!(matches!(at_owner(Some(&row("dead", false)), &processes, "eastus"), Place::At(_)));
        assert!(matches!(at_owner(Some(&row("forgotten", false)), &processes, "eastus"), Place::Away(_)));
    }
}
