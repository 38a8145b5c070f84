//! Marking: which stored blobs live images need. One bit for each blob of each pack, and a little for each list that was walked.

use std::collections::{BTreeMap, HashSet};

use futures::{StreamExt, stream};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{
    CollectReport, Roots, elapsed_ms,
    lists::{Lists, is_missing},
};
use crate::{
    BlobId, CondemnedPacks, Error, ManifestId, PackId, Result, Segment, SegmentId, UnreadablePack,
    blob::BlobSource,
    domain::Domain,
    index::{IndexedPack, Location},
    pack::{ENTRY_BYTES, HEADER_BYTES, TRAILER_BYTES},
};

/// How many segments are fetched together, and how many such batches are under way.
const SEGMENT_BATCH: usize = 16;
const BATCHES_MAX: usize = 4;

/// The packs there are, as they were found before marking.
pub(super) struct Found {
    pub(super) packs: Vec<IndexedPack>,
    pub(super) unreadable: BTreeMap<PackId, UnreadablePack>,
}

impl Found {
    pub(super) fn in_domain(domain: &Domain) -> Self {
        let mut packs = domain.packs();
        // After them, so that one that ceases to read in between is in both, and then counts as unreadable.
        let unreadable = domain.unreadable_packs();
        packs.retain(|pack| !unreadable.contains_key(&pack.pack));
        Self { packs, unreadable }
    }
}

pub(super) struct Marks {
    packs: BTreeMap<PackId, MarkedPack>,
    /// Packs of which nobody knows what is in them. Nothing is taken to lie there, even if one should read again meanwhile.
    unreadable: BTreeMap<PackId, UnreadablePack>,
    live: Bits,
    /// Manifests and segments that were walked. Being alive does not say so: ids ignore kinds, and a guest may hold the
    /// bytes of another image's segment as a chunk of its own. No bytes are both a manifest and a segment.
    walked: Walked,
    /// Sound packs for whose sake a condemned pack's copy of a blob was not marked.
    relied: HashSet<PackId>,
    missing_blobs: u64,
    /// Whether something alive lies in condemned packs only.
    is_leaving: bool,
    lost_lists: u64,
    elapsed_ms: u64,
}

/// A pack and what of it is alive, in stored bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct MarkedPack {
    pub(super) pack: PackId,
    pub(super) live_bytes: u64,
    pub(super) dead_bytes: u64,
    live_blobs: u64,
    blobs: u32,
    size_bytes: u64,
    first_bit: u64,
}

/// One bit for each stored blob.
struct Bits(Vec<u64>);

impl Bits {
    fn none(count: u64) -> Self {
        Self(vec![0; usize::try_from(count.div_ceil(64)).expect("a bit for each blob fits in memory")])
    }

    /// Whether it was not set before.
    fn set(&mut self, bit: u64) -> bool {
        let word = &mut self.0[(bit / 64) as usize];
        let is_new = *word & (1 << (bit % 64)) == 0;
        *word |= 1 << (bit % 64);
        is_new
    }

    fn is_set(&self, bit: u64) -> bool {
        self.0[(bit / 64) as usize] & (1 << (bit % 64)) != 0
    }

    fn memory_bytes(&self) -> u64 {
        (self.0.len() * 8) as u64
    }
}

/// Some of the stored blobs, by their bits' numbers: one by one while they are few, as lists are among what they list; as a bit
/// for each blob once that takes less.
enum Walked {
    Few { numbers: HashSet<u64>, blobs: u64 },
    Many(Bits),
}

/// What a number in a set takes: itself, the set's own byte, and room to grow.
const NUMBER_BYTES: u64 = 16;

impl Walked {
    fn none(blobs: u64) -> Self {
        Self::Few { numbers: HashSet::new(), blobs }
    }

    /// Whether it was not among them before.
    fn add(&mut self, number: u64) -> bool {
        match self {
            Self::Few { numbers, blobs } => {
                let is_new = numbers.insert(number);
                if numbers.len() as u64 * NUMBER_BYTES > *blobs / 8 {
                    let mut bits = Bits::none(*blobs);
                    for number in numbers.iter() {
                        bits.set(*number);
                    }
                    *self = Self::Many(bits);
                }
                is_new
            }
            Self::Many(bits) => bits.set(number),
        }
    }

    fn memory_bytes(&self) -> u64 {
        match self {
            Self::Few { numbers, .. } => numbers.len() as u64 * NUMBER_BYTES,
            Self::Many(bits) => bits.memory_bytes(),
        }
    }
}

impl Marks {
    /// Walks all roots. Where a blob lies several times, one copy is marked that is in no condemned pack; if there is
    /// none, all are, because only one of them may be good. Of what has no good copy at all, the damaged ones are: the
    /// medium may recover.
    pub(super) async fn make(
        lists: &mut Lists<'_>,
        Found { packs, unreadable }: Found,
        roots: &Roots,
        condemned: &CondemnedPacks,
        cancel: &CancellationToken,
    ) -> Result<Self> {
        let start = Instant::now();
        let mut marks = Self::none(&packs, unreadable);
        for root in &roots.whole {
            marks.walk(lists, *root, condemned, cancel).await.map_err(|error| match error {
                Error::Cancelled => Error::Cancelled,
                Error::NotFound(what) => Error::NotFound(format!("{what}, of live manifest {root},")),
                Error::Corrupt(why) => Error::Corrupt(format!("live manifest {root}: {why}")),
                other => other,
            })?;
        }
        // After the others: a list that has gaps here would count as walked there.
        for root in &roots.arriving {
            marks.walk_what_is_there(lists.domain, *root, condemned, cancel).await?;
        }
        marks.lost_lists = lists.end();
        marks.elapsed_ms = elapsed_ms(start);
        Ok(marks)
    }

    fn none(packs: &[IndexedPack], unreadable: BTreeMap<PackId, UnreadablePack>) -> Self {
        let mut first_bit = 0;
        let mut marked = BTreeMap::new();
        for pack in packs {
            let fresh = MarkedPack {
                pack: pack.pack,
                live_bytes: 0,
                // What copying the live blobs would give back. Each goes with its entry in the table; header and trailer
                // the next pack has, too.
                dead_bytes: pack.size_bytes.saturating_sub((HEADER_BYTES + TRAILER_BYTES) as u64),
                live_blobs: 0,
                blobs: pack.blobs,
                size_bytes: pack.size_bytes,
                first_bit,
            };
            marked.insert(pack.pack, fresh);
            first_bit += u64::from(pack.blobs);
        }
        let (live, walked) = (Bits::none(first_bit), Walked::none(first_bit));
        Self {
            packs: marked,
            unreadable,
            live,
            walked,
            relied: HashSet::new(),
            missing_blobs: 0,
            is_leaving: false,
            lost_lists: 0,
            elapsed_ms: 0,
        }
    }

    async fn walk(
        &mut self,
        lists: &mut Lists<'_>,
        root: ManifestId,
        condemned: &CondemnedPacks,
        cancel: &CancellationToken,
    ) -> Result<()> {
        let domain = lists.domain;
        if !self.enter(domain, &root.0, condemned)? {
            return Ok(());
        }
        let Some(manifest) = lists.manifest(root).await? else { return Ok(()) };
        let mut unwalked = Vec::new();
        for (_, segment) in manifest.segments() {
            if self.enter(domain, &segment.0, condemned)? {
                unwalked.push(segment.0);
            }
        }
        let mut batches = stream::iter(unwalked.chunks(SEGMENT_BATCH))
            .map(|ids| async move { (ids, domain.fetch_decoded(ids, Some(root.0)).await) })
            .buffered(BATCHES_MAX)
            // The compiler cannot prove a future that holds the bare stream `Send`.
            .boxed();
        while let Some((ids, batch)) = batches.next().await {
            if cancel.is_cancelled() {
                return Err(Error::Cancelled);
            }
            if is_missing(&batch) {
                for id in ids {
                    if let Some(segment) = lists.segment(root, SegmentId(*id)).await? {
                        self.mark_chunks(domain, &segment, condemned)?;
                    }
                }
                continue;
            }
            for bytes in batch? {
                self.mark_chunks(domain, &Segment::decode(&bytes)?, condemned)?;
            }
        }
        Ok(())
    }

    /// As [`Marks::walk`], for an image of which anything may be missing yet, or again.
    async fn walk_what_is_there(
        &mut self,
        domain: &Domain,
        root: ManifestId,
        condemned: &CondemnedPacks,
        cancel: &CancellationToken,
    ) -> Result<()> {
        let Some(manifest) = if_there(domain.manifest(root).await)? else { return Ok(()) };
        if !self.enter(domain, &root.0, condemned)? {
            return Ok(());
        }
        for (_, id) in manifest.segments() {
            if cancel.is_cancelled() {
                return Err(Error::Cancelled);
            }
            if self.enter(domain, &id.0, condemned)?
                && let Some(segment) = if_there(domain.segment(*id).await)?
            {
                self.mark_chunks(domain, &segment, condemned)?;
            }
        }
        Ok(())
    }

    fn mark_chunks(&mut self, domain: &Domain, segment: &Segment, condemned: &CondemnedPacks) -> Result<()> {
        for chunk in segment.entries().iter().filter_map(|entry| entry.chunk) {
            self.mark(domain, &chunk.0, condemned)?;
        }
        Ok(())
    }

    /// Marks a manifest or a segment; whether it is still to be walked.
    fn enter(&mut self, domain: &Domain, id: &BlobId, condemned: &CondemnedPacks) -> Result<bool> {
        let bit = self.mark(domain, id, condemned)?;
        Ok(bit.is_none_or(|bit| self.walked.add(bit)))
    }

    /// Marks a blob; the bit that stands for it, if a pack has it that was there when the marks were begun. Packs written
    /// since are nobody's to condemn yet. A blob that has no good copy is counted, and its image goes on being kept: it may
    /// be healed, or its damaged copies may read again.
    fn mark(&mut self, domain: &Domain, id: &BlobId, condemned: &CondemnedPacks) -> Result<Option<u64>> {
        let mut locations = domain.index().locations(id)?;
        locations.retain(|location| !self.unreadable.contains_key(&location.pack));
        if locations.is_empty() {
            self.missing_blobs += 1;
            let mut first = None;
            for location in domain.index().quarantined_locations(id)? {
                first = first.or(self.set(&location));
            }
            return Ok(first);
        }
        locations.sort_unstable_by_key(|location| (condemned.contains(&location.pack), location.pack));
        self.is_leaving |= condemned.contains(&locations[0].pack);
        let mut first = None;
        for location in &locations {
            let Some(bit) = self.set(location) else { continue };
            first.get_or_insert(bit);
            if !condemned.contains(&location.pack) {
                // They come last.
                if locations.last().is_some_and(|last| condemned.contains(&last.pack)) {
                    self.relied.insert(location.pack);
                }
                break;
            }
        }
        Ok(first)
    }

    fn set(&mut self, location: &Location) -> Option<u64> {
        let pack = self.packs.get_mut(&location.pack).filter(|pack| location.slot < pack.blobs)?;
        let bit = pack.first_bit + u64::from(location.slot);
        if self.live.set(bit) {
            let stored_bytes = u64::from(location.entry.stored_bytes);
            pack.live_blobs += 1;
            pack.live_bytes += stored_bytes;
            pack.dead_bytes = pack.dead_bytes.saturating_sub(stored_bytes + ENTRY_BYTES as u64);
        }
        Some(bit)
    }

    pub(super) fn is_live(&self, pack: &PackId, slot: u32) -> bool {
        let pack = self.packs.get(pack).filter(|pack| slot < pack.blobs);
        pack.is_some_and(|pack| self.live.is_set(pack.first_bit + u64::from(slot)))
    }

    /// The sound packs that must be there for the marks to be right: what is alive in condemned ones is in them, too.
    pub(super) fn relied(&self) -> &HashSet<PackId> {
        &self.relied
    }

    /// Those whose table does not read.
    pub(super) fn unreadable(&self) -> impl Iterator<Item = &PackId> {
        self.unreadable.keys()
    }

    pub(super) fn is_unreadable(&self, pack: &PackId) -> bool {
        self.unreadable.contains_key(pack)
    }

    /// Whether everything that live images name lies in packs that read and stay. What an unreadable pack has is needed for
    /// nothing then.
    ///
    /// Condemned packs do not count, though they read: another collector that reads what does not read here, and that was
    /// frozen before the unreadable pack was condemned, may be about to delete them for the sake of just that pack.
    pub(super) fn is_all_safe(&self) -> bool {
        self.missing_blobs == 0 && self.lost_lists == 0 && !self.is_leaving
    }

    /// The packs that something alive lies in.
    pub(super) fn with_live_blobs(&self) -> Vec<PackId> {
        self.packs.values().filter(|pack| pack.live_blobs > 0).map(|pack| pack.pack).collect()
    }

    /// Whether the pack was there when the marks were begun, and it is known what is in it.
    pub(super) fn knows(&self, pack: &PackId) -> bool {
        self.packs.contains_key(pack)
    }

    /// Whether something is alive that only this pack, or other condemned ones, have.
    pub(super) fn needs(&self, pack: &PackId) -> bool {
        self.packs.get(pack).is_some_and(|pack| pack.live_blobs > 0)
    }

    pub(super) fn live_bytes(&self, pack: &PackId) -> u64 {
        self.packs.get(pack).map_or(0, |pack| pack.live_bytes)
    }

    pub(super) fn size_bytes(&self, pack: &PackId) -> u64 {
        let known = self.packs.get(pack).map(|pack| pack.size_bytes);
        known.or_else(|| Some(self.unreadable.get(pack)?.size_bytes)).unwrap_or(0)
    }

    pub(super) fn packs(&self) -> impl Iterator<Item = &MarkedPack> {
        self.packs.values()
    }

    pub(super) fn report(&self) -> CollectReport {
        let live_blobs = self.packs.values().map(|pack| pack.live_blobs).sum();
        let blobs: u64 = self.packs.values().map(|pack| u64::from(pack.blobs)).sum();
        CollectReport {
            packs: self.packs.len() as u64,
            live_blobs,
            dead_blobs: blobs - live_blobs,
            live_bytes: self.packs.values().map(|pack| pack.live_bytes).sum(),
            dead_bytes: self.packs.values().map(|pack| pack.dead_bytes).sum(),
            missing_blobs: self.missing_blobs,
            lost_lists: self.lost_lists,
            unreadable_packs: self.unreadable.len() as u64,
            mark_memory_bytes: self.live.memory_bytes() + self.walked.memory_bytes(),
            mark_elapsed_ms: self.elapsed_ms,
            ..CollectReport::default()
        }
    }
}

/// What is not there, or not readable, is left out.
fn if_there<T>(found: Result<T>) -> Result<Option<T>> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(Error::NotFound(_) | Error::Corrupt(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// From none to all of them, across the change of form; never more than a bit for each blob and one word.
        #[test]
        fn each_is_new_once(numbers in prop::collection::vec(0_u64..2000, 0..1500)) {
            let (mut walked, mut seen) = (Walked::none(2000), HashSet::new());
            for number in numbers {
                prop_assert_eq!(walked.add(number), seen.insert(number));
                prop_assert!(walked.memory_bytes() <= 2000 / 8 + 8);
            }
        }
    }
}
