//! What a domain's space is made of: what is alive, what is garbage, and what keeps garbage from going.
//!
//! A survey marks as a run does and changes nothing.

use std::collections::HashMap;

use tokio_util::sync::CancellationToken;

use super::{
    Collector, CollectorLedger, Condemned,
    lists::Lists,
    mark::{Found, Marks},
};
use crate::{CondemnedPacks, PackId, Result};

/// Packs and their bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PackSum {
    /// How many.
    pub packs: u64,
    /// Their size, all included.
    pub bytes: u64,
    /// What of it is alive, as stored.
    pub live_bytes: u64,
}

impl PackSum {
    fn add(&mut self, size_bytes: u64, live_bytes: u64) {
        self.packs += 1;
        self.bytes += size_bytes;
        self.live_bytes += live_bytes;
    }

    /// What of it is garbage.
    pub fn dead_bytes(&self) -> u64 {
        self.bytes.saturating_sub(self.live_bytes)
    }
}

/// What the next run, or a later one, will do with a domain's packs. Each pack is in one of the sums.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CollectSurvey {
    /// At least as much alive as the collector asks for. Their garbage goes when more of them dies.
    pub kept: PackSum,
    /// Mostly garbage, and perhaps being written by somebody who holds a pin: looked at again when the oldest pin is another.
    pub being_written: PackSum,
    /// Mostly garbage: the next run condemns them.
    pub to_condemn: PackSum,
    /// Condemned, and kept by a pin that is older: of work that may rely on them.
    pub pinned: PackSum,
    /// Condemned. The next run copies out what is alive, if anything is, there is room and it reads; then readers' grace begins.
    pub to_empty: PackSum,
    /// Emptied, and readers may still be on their way to them.
    pub in_grace: PackSum,
    /// When the last of them may go, in ms of the ledger's clock.
    pub grace_ends_ms: Option<i64>,
    /// Emptied long enough ago: the next run deletes them.
    pub to_delete: PackSum,
    /// Packs whose table does not read, in no other sum: what of them is alive nobody knows.
    pub unreadable: PackSum,
    /// When the last of them may go; `None` when there are none, or they are kept because live images lack something.
    pub unreadable_end_ms: Option<i64>,
    /// The oldest pin's sequence number.
    pub oldest_pin: Option<u64>,
    /// Blobs that live images name and no pack has.
    pub missing_blobs: u64,
}

impl CollectSurvey {
    /// What is alive, as stored.
    pub fn live_bytes(&self) -> u64 {
        self.sums().iter().map(|sum| sum.live_bytes).sum()
    }

    /// What is garbage.
    pub fn dead_bytes(&self) -> u64 {
        self.sums().iter().map(PackSum::dead_bytes).sum()
    }

    fn sums(&self) -> [PackSum; 7] {
        [self.kept, self.being_written, self.to_condemn, self.pinned, self.to_empty, self.in_grace, self.to_delete]
    }
}

impl Collector {
    /// What a run would find, without doing anything. `now_ms` is the ledger's clock.
    ///
    /// # Errors
    /// As [`Collector::run`].
    pub async fn survey(
        &self,
        ledger: &dyn CollectorLedger,
        now_ms: i64,
        cancel: &CancellationToken,
    ) -> Result<CollectSurvey> {
        let tenant = self.domain.tenant().clone();
        let oldest_pin = ledger.oldest_pin(&tenant).await?;
        let condemned = ledger.condemned(&tenant).await?;
        let avoided: CondemnedPacks = condemned.iter().map(|condemned| condemned.pack).collect();
        self.domain.refresh().await?;
        let found = Found::in_domain(&self.domain);
        let roots = ledger.roots(&tenant).await?;
        let mut unreadable_since = self.unreadable_since.clone();
        let mut lists = Lists::new(&self.domain, ledger, now_ms, self.options.lost_after_ms, &mut unreadable_since);
        let marks = Marks::make(&mut lists, found, &roots, &avoided, cancel).await?;
        let condemned: HashMap<PackId, Condemned> =
            condemned.into_iter().map(|condemned| (condemned.pack, condemned)).collect();
        let mut survey =
            CollectSurvey { oldest_pin, missing_blobs: marks.report().missing_blobs, ..CollectSurvey::default() };
        for pack in marks.unreadable() {
            survey.unreadable.add(marks.size_bytes(pack), 0);
            if marks.is_all_safe() {
                let since_ms = condemned.get(pack).and_then(|condemned| condemned.copied_ms).unwrap_or(now_ms);
                let ends_ms = since_ms.saturating_add(self.options.grace_ms(true));
                survey.unreadable_end_ms = survey.unreadable_end_ms.max(Some(ends_ms));
            }
        }
        for pack in marks.packs() {
            let size_bytes = marks.size_bytes(&pack.pack);
            let sum = match condemned.get(&pack.pack) {
                None if !self.is_poor(pack) => &mut survey.kept,
                None if self.may_be_written_for(&pack.pack, oldest_pin) => &mut survey.being_written,
                None => &mut survey.to_condemn,
                Some(condemned) if oldest_pin.is_some_and(|pin| pin <= condemned.sequence) => &mut survey.pinned,
                Some(_) if marks.needs(&pack.pack) => &mut survey.to_empty,
                Some(Condemned { copied_ms: None, .. }) => &mut survey.to_empty,
                Some(Condemned { copied_ms: Some(copied_ms), .. }) => {
                    let ends_ms = copied_ms.saturating_add(self.options.readers_grace_ms);
                    if now_ms >= ends_ms {
                        &mut survey.to_delete
                    } else {
                        survey.grace_ends_ms = survey.grace_ends_ms.max(Some(ends_ms));
                        &mut survey.in_grace
                    }
                }
            };
            sum.add(size_bytes, pack.live_bytes);
        }
        Ok(survey)
    }
}
