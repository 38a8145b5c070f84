//! Collecting garbage.
//!
//! ```text
//!   pack: live --(less than half of it is alive)--> condemned --(every older pin is gone, mark again)-->
//!         its live blobs copied --(readers' grace)--> deleted --> forgotten by the catalogue
//! ```
//! A condemned pack is never deduplicated against and never un-condemned. The order makes every pause harmless:
//! - An import pins, then reads which packs are condemned, then looks blobs up. So whoever may rely on a pack has a pin
//!   older than its condemnation, and the pack stays until that pin is gone and the marks were made again.
//! - Deleting late, by a collector that was long thought dead, deletes a pack that nothing may refer to any more: names
//!   are never used again.
//! - A collector that dies at any point leaves condemned packs, whose next collector marks again. What the ledger was told
//!   of as emptied is not copied again, unless something in it came alive.
//!
//! Packs of which nothing is alive go first, without a byte being written: a full region must be able to empty itself.
//!
//! A pack whose table does not read may have anything in it. It is kept as long as live images lack something: it may read again,
//! or somebody may salvage what is lacking. When everything alive lies in packs that read and stay, it is needed for nothing and is
//! condemned. When that was so for as long as there is hope, is so still, and it does not read now either, it goes.
//!
//! Listings may lag (`docs/design/store.md`, "Where listings lag"): a condemned pack is deleted only if its table was read, or found
//! not to read, or the backend says that it is gone, and only after the packs that keep its live blobs were asked for by name.
//!
//! Marks are a bit for each stored blob, and a little for each list. A domain whose whole images cannot all be walked, here
//! or by what other regions have of them (`lists.rs`), is left alone for as long as there is hope.

mod copy_live;
mod lists;
mod mark;
mod survey;

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use async_trait::async_trait;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{BlobSource, CondemnedPacks, Error, ManifestId, PackId, Result, TenantId, domain::Domain};
use lists::{Lists, UnreadableSince};
use mark::{Found, MarkedPack, Marks};
pub use survey::{CollectSurvey, PackSum};

/// What must stay in a domain.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Roots {
    /// Manifests that are there with all they name, or were until something turned out to be damaged. One that cannot be
    /// walked stops the collector.
    pub whole: Vec<ManifestId>,
    /// Manifests that are being brought, or were to be. A copy brings the manifest last, so one that is not there keeps
    /// nothing: what a copy under way relies on is kept by its pin, and what a failed one left is brought again.
    pub arriving: Vec<ManifestId>,
}

/// A pack that the catalogue has condemned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Condemned {
    /// The pack.
    pub pack: PackId,
    /// When: on the one counter that pins draw from, too.
    pub sequence: u64,
    /// Since when nothing is alive in it that is nowhere else, if the ledger was told so.
    pub copied_ms: Option<i64>,
}

/// What the collector asks of the catalogue. Every answer reflects all that was acknowledged before the call.
#[async_trait]
pub trait CollectorLedger: Send + Sync {
    /// The manifests that must stay: of every resource, and of every pin that names one. All from one moment.
    async fn roots(&self, tenant: &TenantId) -> Result<Roots>;

    /// The condemned packs that were not forgotten yet.
    async fn condemned(&self, tenant: &TenantId) -> Result<Vec<Condemned>>;

    /// Condemns packs, for ever; the sequence number it happened at. Twice is once.
    async fn condemn(&self, tenant: &TenantId, packs: &[PackId]) -> Result<u64>;

    /// Since `copied_ms` nothing is alive in these condemned packs that is nowhere else. The last word counts.
    async fn record_copied(&self, tenant: &TenantId, packs: &[PackId], copied_ms: i64) -> Result<()>;

    /// The sequence number of the oldest pin, neither released nor fenced, whoever holds it: an import or a copy looks
    /// blobs up to rely on them, and what only reads an image is not told apart. So a reader that stays for months keeps
    /// what is condemned meanwhile from going, as an import would.
    async fn oldest_pin(&self, tenant: &TenantId) -> Result<Option<u64>>;

    /// What gives the blobs of an image in other regions, complete there or not: a list that is damaged here may be good there.
    /// There are no others by default.
    ///
    /// # Errors
    /// When a region that may have it cannot be asked now.
    async fn elsewhere(&self, _tenant: &TenantId, _root: ManifestId) -> Result<Vec<Arc<dyn BlobSource>>> {
        Ok(Vec::new())
    }

    /// The packs are gone.
    async fn forget(&self, tenant: &TenantId, packs: &[PackId]) -> Result<()>;
}

/// How a collector works.
#[derive(Debug, Clone, Copy)]
pub struct CollectorOptions {
    /// How long a pack outlives the copying of its live blobs, so that readers on their way are not sent round.
    pub readers_grace_ms: i64,
    /// A pack of which less than this share is alive is condemned, in percent of its stored bytes.
    pub alive_min_percent: u64,
    /// After how long what does not read is taken for lost: a list of a live image that nobody gives, counted by the collector
    /// that met it; a pack that nothing is lacking for, counted by the ledger.
    pub lost_after_ms: i64,
}

impl CollectorOptions {
    /// How long a condemned pack stays after nothing is needed of it any more.
    fn grace_ms(&self, is_unreadable: bool) -> i64 {
        if is_unreadable { self.readers_grace_ms.max(self.lost_after_ms) } else { self.readers_grace_ms }
    }
}

impl Default for CollectorOptions {
    fn default() -> Self {
        // A week: by then everything was read once more, and somebody has seen what is hurt.
        Self { readers_grace_ms: 60_000, alive_min_percent: 50, lost_after_ms: 7 * 24 * 3_600_000 }
    }
}

/// What a run found and did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CollectReport {
    /// Packs there were.
    pub packs: u64,
    /// Blobs that are alive.
    pub live_blobs: u64,
    /// Blobs that are not, or lie elsewhere too.
    pub dead_blobs: u64,
    /// What is alive, as stored.
    pub live_bytes: u64,
    /// What is not, as stored.
    pub dead_bytes: u64,
    /// Blobs that live images name and no pack has.
    pub missing_blobs: u64,
    /// Lists of live images that were given up: nothing has what they named alive.
    pub lost_lists: u64,
    /// Packs whose table does not read, which are not among the others.
    pub unreadable_packs: u64,
    /// Packs condemned in this run.
    pub condemned_packs: u64,
    /// Condemned packs that a pin older than their condemnation keeps, or of which it is not known what is in them.
    pub waiting_packs: u64,
    /// What was copied out of condemned packs, as stored.
    pub copied_bytes: u64,
    /// Condemned packs of which something alive could not be copied, for want of space or because it is damaged. They
    /// stay until it can.
    pub uncopied_packs: u64,
    /// Packs deleted in this run.
    pub deleted_packs: u64,
    /// What that gave back, less what was copied in this run.
    pub given_back_bytes: i64,
    /// What the marks took.
    pub mark_memory_bytes: u64,
    /// How long marking took.
    pub mark_elapsed_ms: u64,
}

impl CollectReport {
    /// What two runs did together, and what the later one found.
    pub fn followed_by(self, later: Self) -> Self {
        Self {
            condemned_packs: self.condemned_packs + later.condemned_packs,
            copied_bytes: self.copied_bytes + later.copied_bytes,
            deleted_packs: self.deleted_packs + later.deleted_packs,
            given_back_bytes: self.given_back_bytes + later.given_back_bytes,
            ..later
        }
    }
}

/// Collects one domain, run by run. What must outlive it is in the ledger.
#[derive(Debug)]
pub struct Collector {
    domain: Arc<Domain>,
    options: CollectorOptions,
    /// The oldest pin there was when a pack was first seen: who is still writing is spared a vain condemnation.
    first_seen: HashMap<PackId, Option<u64>>,
    unreadable_since: UnreadableSince,
}

impl Collector {
    /// A collector of `domain`.
    pub fn new(domain: Arc<Domain>, options: CollectorOptions) -> Self {
        Self { domain, options, first_seen: HashMap::new(), unreadable_since: UnreadableSince::new() }
    }

    /// How it works from the next run on.
    pub fn set_options(&mut self, options: CollectorOptions) {
        self.options = options;
    }

    /// One run: condemns, copies what is alive in condemned packs, deletes. `now_ms` is the ledger's clock; when it is put
    /// back, readers' grace begins anew.
    ///
    /// # Errors
    /// What the ledger or the store answers; `Corrupt` or `NotFound`, naming the manifest, when a whole image cannot be
    /// walked, and then nothing was condemned or deleted. `Cancelled`. A pack whose live blobs cannot be copied out is no
    /// error but in the report.
    pub async fn run(
        &mut self,
        ledger: &dyn CollectorLedger,
        now_ms: i64,
        cancel: &CancellationToken,
    ) -> Result<CollectReport> {
        let tenant = self.domain.tenant().clone();
        // Before the roots: whoever pins later than this cannot make a pack due that is not due now.
        let oldest_pin = ledger.oldest_pin(&tenant).await?;
        let condemned = ledger.condemned(&tenant).await?;
        let avoided: CondemnedPacks = condemned.iter().map(|condemned| condemned.pack).collect();
        self.domain.refresh().await?;
        let named: Vec<PackId> = condemned.iter().map(|condemned| condemned.pack).collect();
        let gone = self.domain.learn_unlisted(&named).await?;
        let found = Found::in_domain(&self.domain);
        let roots = ledger.roots(&tenant).await?;
        let lost_after_ms = self.options.lost_after_ms;
        let mut lists = Lists::new(&self.domain, ledger, now_ms, lost_after_ms, &mut self.unreadable_since);
        let marks = Marks::make(&mut lists, found, &roots, &avoided, cancel).await?;
        self.confirm(marks.relied().iter().copied().collect()).await?;
        let mut report = marks.report();

        let is_known = |condemned: &Condemned| {
            let pack = &condemned.pack;
            if marks.is_unreadable(pack) { marks.is_all_safe() } else { marks.knows(pack) || gone.contains(pack) }
        };
        let is_due = |condemned: &Condemned| oldest_pin.is_none_or(|pin| pin > condemned.sequence);
        let (due, waiting): (Vec<Condemned>, Vec<Condemned>) =
            condemned.into_iter().partition(|one| is_due(one) && is_known(one));
        report.waiting_packs = waiting.len() as u64;
        let (needed, dead): (Vec<Condemned>, Vec<Condemned>) =
            due.into_iter().partition(|condemned| marks.needs(&condemned.pack));
        self.delete_dead(ledger, &marks, &dead, now_ms, &mut report).await?;
        self.empty(ledger, &marks, &needed, &avoided, now_ms, cancel, &mut report).await?;
        self.condemn(ledger, &tenant, &marks, &avoided, oldest_pin, &mut report).await?;
        Ok(report)
    }

    /// Makes sure that the packs are there for whose sake others may go.
    async fn confirm(&self, relied: Vec<PackId>) -> Result<()> {
        let gone = self.domain.gone(relied).await?;
        self.domain.index().remove(&gone);
        match gone.first() {
            None => Ok(()),
            Some(pack) => Err(Error::Unavailable(format!("pack {pack}, which is listed, is gone; the next run knows"))),
        }
    }

    /// Whether so little of a pack is alive that it is not to stay.
    fn is_poor(&self, pack: &MarkedPack) -> bool {
        let total_bytes = pack.live_bytes + pack.dead_bytes;
        pack.live_bytes * 100 < total_bytes * self.options.alive_min_percent
    }

    /// Whether a pack has only been there under one pin that lives: its holder is probably writing it.
    fn may_be_written_for(&self, pack: &PackId, oldest_pin: Option<u64>) -> bool {
        let seen_with = self.first_seen.get(pack).copied().unwrap_or(oldest_pin);
        seen_with.is_some() && seen_with == oldest_pin
    }

    async fn condemn(
        &mut self,
        ledger: &dyn CollectorLedger,
        tenant: &TenantId,
        marks: &Marks,
        avoided: &CondemnedPacks,
        oldest_pin: Option<u64>,
        report: &mut CollectReport,
    ) -> Result<()> {
        let readable = marks.packs().map(|pack| (pack.pack, self.is_poor(pack)));
        let all: BTreeMap<PackId, bool> =
            readable.chain(marks.unreadable().map(|pack| (*pack, marks.is_all_safe()))).collect();
        self.first_seen.retain(|pack, _| all.contains_key(pack));
        let mut poor = Vec::new();
        for (pack, is_poor) in all.into_iter().filter(|(pack, _)| !avoided.contains(pack)) {
            self.first_seen.entry(pack).or_insert(oldest_pin);
            if is_poor && !self.may_be_written_for(&pack, oldest_pin) {
                poor.push(pack);
            }
        }
        if !poor.is_empty() {
            ledger.condemn(tenant, &poor).await?;
        }
        report.condemned_packs = poor.len() as u64;
        Ok(())
    }

    /// Deletes the packs of which nothing is alive, when their readers had their grace.
    async fn delete_dead(
        &self,
        ledger: &dyn CollectorLedger,
        marks: &Marks,
        dead: &[Condemned],
        now_ms: i64,
        report: &mut CollectReport,
    ) -> Result<()> {
        // A time that is still to come was read off a clock that was put back since: the grace begins anew.
        let since = |condemned: &Condemned| condemned.copied_ms.filter(|copied_ms| *copied_ms <= now_ms);
        let fresh: Vec<PackId> =
            dead.iter().filter(|condemned| since(condemned).is_none()).map(|condemned| condemned.pack).collect();
        if !fresh.is_empty() {
            ledger.record_copied(self.domain.tenant(), &fresh, now_ms).await?;
        }
        let grace_ms = |condemned: &Condemned| self.options.grace_ms(marks.is_unreadable(&condemned.pack));
        let may_go =
            |condemned: &&Condemned| now_ms >= since(condemned).unwrap_or(now_ms).saturating_add(grace_ms(condemned));
        let going: Vec<PackId> = dead.iter().filter(may_go).map(|condemned| condemned.pack).collect();
        if going.iter().any(|pack| marks.is_unreadable(pack)) {
            // What is in these nobody knows, so all that is alive must be elsewhere for certain.
            self.confirm(marks.with_live_blobs()).await?;
        }
        for pack in going {
            if marks.is_unreadable(&pack) {
                tracing::warn!(tenant = %self.domain.tenant(), %pack, "a pack that has not read for long, and that nothing is lacking for, is deleted");
            }
            self.delete(ledger, pack, marks, report).await?;
        }
        Ok(())
    }

    /// Copies out what is alive, of as many packs as possible.
    #[expect(clippy::too_many_arguments, reason = "one step of a run, with what the run has found")]
    async fn empty(
        &self,
        ledger: &dyn CollectorLedger,
        marks: &Marks,
        needed: &[Condemned],
        avoided: &CondemnedPacks,
        now_ms: i64,
        cancel: &CancellationToken,
        report: &mut CollectReport,
    ) -> Result<()> {
        let packs = needed.iter().map(|condemned| condemned.pack).collect();
        let mut groups = copy_live::groups(packs, marks, self.domain.options().pack_size_bytes as u64);
        while let Some(group) = groups.pop_front() {
            let copied_bytes = match copy_live::copy_live(&self.domain, &group, avoided, marks, cancel).await {
                Ok(copied_bytes) => copied_bytes,
                Err(error) if !copy_live::is_of_these_packs(&error) => return Err(error),
                // One pack's trouble is not the others'.
                Err(_) if group.len() > 1 => {
                    groups.extend(group.into_iter().map(|pack| vec![pack]));
                    continue;
                }
                Err(error) => {
                    tracing::warn!(tenant = %self.domain.tenant(), pack = %group[0], %error, "copy out of a condemned pack");
                    report.uncopied_packs += 1;
                    continue;
                }
            };
            ledger.record_copied(self.domain.tenant(), &group, now_ms).await?;
            report.copied_bytes += copied_bytes;
            report.given_back_bytes -= i64::try_from(copied_bytes).unwrap_or(i64::MAX);
            if self.options.readers_grace_ms <= 0 {
                for pack in group {
                    self.delete(ledger, pack, marks, report).await?;
                }
            }
        }
        Ok(())
    }

    /// Deletes a pack, then forgets it: the other way round it could be deduplicated against in between.
    async fn delete(
        &self,
        ledger: &dyn CollectorLedger,
        pack: PackId,
        marks: &Marks,
        report: &mut CollectReport,
    ) -> Result<()> {
        self.domain.delete_pack(pack).await?;
        ledger.forget(self.domain.tenant(), &[pack]).await?;
        report.deleted_packs += 1;
        report.given_back_bytes += i64::try_from(marks.size_bytes(&pack)).unwrap_or(i64::MAX);
        Ok(())
    }
}

/// Milliseconds since `start`, for reports.
fn elapsed_ms(start: Instant) -> u64 {
    u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX)
}
