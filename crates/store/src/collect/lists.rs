//! The lists that marking walks, be they damaged here.
//!
//! What a list names is alive, and only the list says what that is. One that does not read here is read where another region
//! has the image: that lasts from the moment something turns out to be damaged until it is brought again, and what the image
//! still has here must not go meanwhile, since the other region may lack something, too.
//!
//! A list that nobody gives stops the collector: the medium may recover, and then the image is whole. After
//! `CollectorOptions::lost_after_ms` it is taken for lost. What it named can only be brought again
//! together with it, by somebody who has the bytes; a tenant's garbage is not kept for ever for that.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use super::CollectorLedger;
use crate::{
    BlobId, BlobSource, Error, Manifest, ManifestId, Result, Segment, SegmentId,
    domain::{Domain, complaint, fetch_manifest, fetch_segment},
};

/// Since when lists cannot be read anywhere, in ms of the ledger's clock.
pub(super) type UnreadableSince = HashMap<BlobId, i64>;

/// Where lists are read.
pub(super) struct Lists<'a> {
    pub(super) domain: &'a Domain,
    ledger: &'a dyn CollectorLedger,
    now_ms: i64,
    lost_after_ms: i64,
    unreadable_since: &'a mut UnreadableSince,
    /// Where else the image is that is walked, once somebody wanted to know.
    elsewhere: Option<(ManifestId, Vec<Arc<dyn BlobSource>>)>,
    /// Lists that nobody gave in this run.
    met: HashSet<BlobId>,
}

impl<'a> Lists<'a> {
    pub(super) fn new(
        domain: &'a Domain,
        ledger: &'a dyn CollectorLedger,
        now_ms: i64,
        lost_after_ms: i64,
        unreadable_since: &'a mut UnreadableSince,
    ) -> Self {
        Self { domain, ledger, now_ms, lost_after_ms, unreadable_since, elsewhere: None, met: HashSet::new() }
    }

    /// All lists were walked: what was not met in vain this time reads again. How many were given up.
    pub(super) fn end(&mut self) -> u64 {
        self.unreadable_since.retain(|id, _| self.met.contains(id));
        self.met.len() as u64
    }

    /// A manifest; `None` when it is lost.
    ///
    /// # Errors
    /// Why it cannot be read now, here or elsewhere.
    pub(super) async fn manifest(&mut self, root: ManifestId) -> Result<Option<Manifest>> {
        let mut found = self.domain.manifest(root).await;
        if is_missing(&found) {
            match self.elsewhere(root).await {
                Ok(sources) => {
                    for source in sources {
                        found = fetch_manifest(&**source, root).await;
                        if found.is_ok() {
                            break;
                        }
                    }
                }
                Err(error) => found = Err(error),
            }
        }
        self.judge(root.0, found)
    }

    /// A segment that did not read here with others; `None` when it is lost.
    ///
    /// # Errors
    /// As [`Lists::manifest`].
    pub(super) async fn segment(&mut self, root: ManifestId, id: SegmentId) -> Result<Option<Segment>> {
        let mut found = self.domain.segment(id).await;
        if is_missing(&found) {
            match self.elsewhere(root).await {
                Ok(sources) => {
                    for source in sources {
                        found = fetch_segment(&**source, id, root).await;
                        if found.is_ok() {
                            break;
                        }
                    }
                }
                Err(error) => found = Err(error),
            }
        }
        self.judge(id.0, found)
    }

    async fn elsewhere(&mut self, root: ManifestId) -> Result<&[Arc<dyn BlobSource>]> {
        if self.elsewhere.as_ref().is_none_or(|(of, _)| *of != root) {
            self.elsewhere = Some((root, self.ledger.elsewhere(self.domain.tenant(), root).await?));
        }
        Ok(self.elsewhere.as_ref().map_or(&[], |(_, sources)| sources))
    }

    /// What there is to say of a list that was looked for everywhere.
    fn judge<T>(&mut self, id: BlobId, found: Result<T>) -> Result<Option<T>> {
        let error = match found {
            Ok(list) => return Ok(Some(list)),
            Err(Error::Cancelled) => return Err(Error::Cancelled),
            Err(error) => error,
        };
        self.met.insert(id);
        let since_ms = *self.unreadable_since.entry(id).or_insert(self.now_ms);
        if self.now_ms.saturating_sub(since_ms) < self.lost_after_ms {
            return Err(error);
        }
        let (tenant, why) = (self.domain.tenant(), complaint(&error));
        tracing::error!(%tenant, list = %id, why, "a list is lost everywhere; garbage is collected as if nothing had listed what it did");
        Ok(None)
    }
}

/// Whether what was asked for is not here, for all that can be done here.
pub(super) fn is_missing<T>(found: &Result<T>) -> bool {
    matches!(found, Err(Error::NotFound(_) | Error::Corrupt(_)))
}
