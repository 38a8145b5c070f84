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
//! - A collector that dies at any point leaves condemned packs, whose next collector marks and copies again.
//!
//! Marks are one bit for each stored blob. A domain whose live images cannot all be walked is left alone.

mod mark;

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Instant,
};

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use crate::{
    BlobId, BlobSink, BlobSource, CondemnedPacks, Error, ManifestId, PackId, Result, TenantId,
    domain::Domain,
    pack::{PackTable, read_table},
};
use mark::Marks;

/// How many bytes of live blobs are copied out of a pack at a time.
const COPY_BATCH_BYTES: u64 = 4 * 1024 * 1024;

/// A pack that the catalogue has condemned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Condemned {
    /// The pack.
    pub pack: PackId,
    /// When: on the one counter that pins draw from, too.
    pub sequence: u64,
}

/// What the collector asks of the catalogue. Every answer reflects all that was acknowledged before the call.
#[async_trait]
pub trait CollectorLedger: Send + Sync {
    /// The manifests that must stay: of every resource, and of every pin that names one.
    async fn roots(&self, tenant: &TenantId) -> Result<Vec<ManifestId>>;

    /// The condemned packs that were not forgotten yet.
    async fn condemned(&self, tenant: &TenantId) -> Result<Vec<Condemned>>;

    /// Condemns packs, for ever; the sequence number it happened at. Twice is once.
    async fn condemn(&self, tenant: &TenantId, packs: &[PackId]) -> Result<u64>;

    /// The sequence number of the oldest pin, neither released nor fenced, of somebody who looks blobs up to rely on
    /// them: an import or a copy. Who only reads an image has its manifest among the roots instead, so that a machine
    /// that runs for months does not stop collection.
    async fn oldest_pin(&self, tenant: &TenantId) -> Result<Option<u64>>;

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
}

impl Default for CollectorOptions {
    fn default() -> Self {
        Self { readers_grace_ms: 60_000, alive_min_percent: 50 }
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
    /// Packs condemned in this run.
    pub condemned_packs: u64,
    /// Condemned packs that a pin older than their condemnation keeps.
    pub waiting_packs: u64,
    /// What was copied out of condemned packs, as stored.
    pub copied_bytes: u64,
    /// Packs deleted in this run.
    pub deleted_packs: u64,
    /// What that gave back, less what was copied in this run.
    pub given_back_bytes: i64,
    /// What the marks took.
    pub mark_memory_bytes: u64,
    /// How long marking took.
    pub mark_elapsed_ms: u64,
}

/// Collects one domain, run by run. Between runs it remembers only since when packs can be deleted; a new collector
/// merely begins the readers' grace again.
#[derive(Debug)]
pub struct Collector {
    domain: Arc<Domain>,
    options: CollectorOptions,
    copied_at_ms: HashMap<PackId, i64>,
    /// The oldest pin there was when a pack was first seen: who is still writing is spared a vain condemnation.
    first_seen: HashMap<PackId, Option<u64>>,
}

impl Collector {
    /// A collector of `domain`.
    pub fn new(domain: Arc<Domain>, options: CollectorOptions) -> Self {
        Self { domain, options, copied_at_ms: HashMap::new(), first_seen: HashMap::new() }
    }

    /// One run: condemns, copies what is alive in condemned packs, deletes. `now_ms` is any clock that goes forward.
    ///
    /// # Errors
    /// What the ledger or the store answers; `Corrupt` or `NotFound`, naming the manifest, when a live image cannot be
    /// walked, and then nothing was condemned or deleted. `Cancelled`.
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
        let packs = self.domain.packs();
        let roots = ledger.roots(&tenant).await?;
        let marks = Marks::make(&self.domain, &packs, &roots, &avoided, cancel).await?;
        let mut report = marks.report();

        let due: Vec<PackId> = condemned
            .iter()
            .filter(|condemned| oldest_pin.is_none_or(|pin| pin > condemned.sequence))
            .map(|condemned| condemned.pack)
            .collect();
        report.waiting_packs = (condemned.len() - due.len()) as u64;
        self.copy_and_delete(ledger, &tenant, &due, &avoided, &marks, now_ms, cancel, &mut report).await?;
        self.condemn(ledger, &tenant, &marks, &avoided, oldest_pin, &mut report).await?;
        Ok(report)
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
        let known: HashSet<PackId> = marks.packs().map(|pack| pack.pack).collect();
        self.first_seen.retain(|pack, _| known.contains(pack));
        let mut poor = Vec::new();
        for pack in marks.packs().filter(|pack| !avoided.contains(&pack.pack)) {
            let seen_with = *self.first_seen.entry(pack.pack).or_insert(oldest_pin);
            let may_be_written_for = seen_with.is_some() && seen_with == oldest_pin;
            let total_bytes = pack.live_bytes + pack.dead_bytes;
            if !may_be_written_for && pack.live_bytes * 100 < total_bytes * self.options.alive_min_percent {
                poor.push(pack.pack);
            }
        }
        if !poor.is_empty() {
            ledger.condemn(tenant, &poor).await?;
        }
        report.condemned_packs = poor.len() as u64;
        Ok(())
    }

    #[expect(clippy::too_many_arguments, reason = "one step of a run, with what the run has found")]
    async fn copy_and_delete(
        &mut self,
        ledger: &dyn CollectorLedger,
        tenant: &TenantId,
        due: &[PackId],
        avoided: &CondemnedPacks,
        marks: &Marks,
        now_ms: i64,
        cancel: &CancellationToken,
        report: &mut CollectReport,
    ) -> Result<()> {
        self.copied_at_ms.retain(|pack, _| due.contains(pack));
        let fresh: Vec<PackId> = due.iter().filter(|pack| !self.copied_at_ms.contains_key(*pack)).copied().collect();
        if !fresh.is_empty() {
            report.copied_bytes = self.copy_live(&fresh, avoided, marks, cancel).await?;
            self.copied_at_ms.extend(fresh.iter().map(|pack| (*pack, now_ms)));
        }
        report.given_back_bytes -= i64::try_from(report.copied_bytes).unwrap_or(i64::MAX);
        for pack in due {
            let copied_at_ms = self.copied_at_ms.get(pack).copied().unwrap_or(now_ms);
            // A blob that came alive since it was copied, by a root that this run saw first, is copied before.
            if now_ms < copied_at_ms + self.options.readers_grace_ms || marks.needs(pack) && !fresh.contains(pack) {
                if marks.needs(pack) {
                    self.copied_at_ms.remove(pack);
                }
                continue;
            }
            self.delete(ledger, tenant, *pack, marks, report).await?;
        }
        Ok(())
    }

    /// Deletes a pack, then forgets it: the other way round it could be deduplicated against in between.
    async fn delete(
        &mut self,
        ledger: &dyn CollectorLedger,
        tenant: &TenantId,
        pack: PackId,
        marks: &Marks,
        report: &mut CollectReport,
    ) -> Result<()> {
        self.domain.delete_pack(pack).await?;
        ledger.forget(tenant, &[pack]).await?;
        self.copied_at_ms.remove(&pack);
        report.deleted_packs += 1;
        report.given_back_bytes += i64::try_from(marks.size_bytes(&pack)).unwrap_or(i64::MAX);
        Ok(())
    }

    /// Copies what is alive and only in condemned packs; what it took, as stored.
    async fn copy_live(
        &self,
        packs: &[PackId],
        avoided: &CondemnedPacks,
        marks: &Marks,
        cancel: &CancellationToken,
    ) -> Result<u64> {
        let writer = self.domain.writer(avoided.clone()).await?;
        let mut copied_bytes = 0;
        for pack in packs.iter().filter(|pack| marks.needs(pack)) {
            let table = self.table(*pack, marks).await?;
            for ids in live_batches(&table, marks) {
                if cancel.is_cancelled() {
                    return Err(Error::Cancelled);
                }
                for blob in self.domain.fetch_verified(&ids, None).await? {
                    if !writer.contains(&blob.id)? {
                        copied_bytes += blob.bytes.len() as u64;
                        writer.put_async(blob).await?;
                    }
                }
            }
        }
        writer.finish_async().await?;
        Ok(copied_bytes)
    }

    async fn table(&self, pack: PackId, marks: &Marks) -> Result<PackTable> {
        let key = pack.key(self.domain.tenant());
        read_table(&**self.domain.backend(), &key, pack, marks.size_bytes(&pack)).await
    }
}

fn live_batches(table: &PackTable, marks: &Marks) -> Vec<Vec<BlobId>> {
    let mut batches = vec![Vec::new()];
    let mut batch_bytes = 0;
    for (slot, entry) in (0_u32..).zip(&table.entries) {
        if !marks.is_live(&table.pack, slot) {
            continue;
        }
        if batch_bytes > COPY_BATCH_BYTES {
            batches.push(Vec::new());
            batch_bytes = 0;
        }
        batch_bytes += u64::from(entry.length_bytes);
        batches.last_mut().expect("there is always one").push(entry.id);
    }
    batches.retain(|batch: &Vec<BlobId>| !batch.is_empty());
    batches
}

/// Milliseconds since `start`, for reports.
fn elapsed_ms(start: Instant) -> u64 {
    u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX)
}
