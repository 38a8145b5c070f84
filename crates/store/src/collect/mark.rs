//! Marking: which stored blobs live images need. One bit for each blob of each pack.

use std::{collections::HashMap, time::Instant};

use futures::{StreamExt, TryStreamExt, stream};
use tokio_util::sync::CancellationToken;

use super::{CollectReport, elapsed_ms};
use crate::{
    BlobId, CondemnedPacks, Error, ManifestId, PackId, Result, Segment,
    blob::BlobSource,
    domain::Domain,
    index::{IndexedPack, Location},
};

/// How many segments are fetched together, and how many such batches are under way.
const SEGMENT_BATCH: usize = 16;
const BATCHES_MAX: usize = 4;

pub(super) struct Marks {
    packs: HashMap<PackId, MarkedPack>,
    bits: Vec<u64>,
    missing_blobs: u64,
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

impl Marks {
    /// Walks all roots. Where a blob lies several times, one copy is marked, in a pack that is not condemned if there
    /// is one.
    pub(super) async fn make(
        domain: &Domain,
        packs: &[IndexedPack],
        roots: &[ManifestId],
        condemned: &CondemnedPacks,
        cancel: &CancellationToken,
    ) -> Result<Self> {
        let start = Instant::now();
        let mut marks = Self::none(packs);
        for root in roots {
            marks.walk(domain, *root, condemned, cancel).await.map_err(|error| match error {
                Error::Cancelled => Error::Cancelled,
                Error::NotFound(what) => Error::NotFound(format!("{what}, of live manifest {root},")),
                Error::Corrupt(why) => Error::Corrupt(format!("live manifest {root}: {why}")),
                other => other,
            })?;
        }
        marks.elapsed_ms = elapsed_ms(start);
        Ok(marks)
    }

    fn none(packs: &[IndexedPack]) -> Self {
        let mut first_bit = 0;
        let mut marked = HashMap::with_capacity(packs.len());
        for pack in packs {
            let fresh = MarkedPack {
                pack: pack.pack,
                live_bytes: 0,
                // The table's and trailer's bytes go with the blobs; they are dead weight in a pack that is mostly dead.
                dead_bytes: pack.size_bytes,
                live_blobs: 0,
                blobs: pack.blobs,
                size_bytes: pack.size_bytes,
                first_bit,
            };
            marked.insert(pack.pack, fresh);
            first_bit += u64::from(pack.blobs);
        }
        let words = usize::try_from(first_bit.div_ceil(64)).expect("a bit for each blob fits in memory");
        Self { packs: marked, bits: vec![0; words], missing_blobs: 0, elapsed_ms: 0 }
    }

    async fn walk(
        &mut self,
        domain: &Domain,
        root: ManifestId,
        condemned: &CondemnedPacks,
        cancel: &CancellationToken,
    ) -> Result<()> {
        if !self.mark(domain, &root.0, condemned)? {
            return Ok(());
        }
        let manifest = domain.manifest(root).await?;
        let mut unmarked = Vec::new();
        for (_, segment) in manifest.segments() {
            if self.mark(domain, &segment.0, condemned)? {
                unmarked.push(segment.0);
            }
        }
        let mut batches = stream::iter(unmarked.chunks(SEGMENT_BATCH))
            .map(|ids| domain.fetch_decoded(ids, Some(root.0)))
            .buffered(BATCHES_MAX)
            // The compiler cannot prove a future that holds the bare stream `Send`.
            .boxed();
        while let Some(batch) = batches.try_next().await? {
            if cancel.is_cancelled() {
                return Err(Error::Cancelled);
            }
            for bytes in batch {
                self.mark_chunks(domain, &Segment::decode(&bytes)?, condemned)?;
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

    /// Whether the blob was not marked before. A blob that is nowhere is counted, and its image goes on being kept: it
    /// may be healed.
    fn mark(&mut self, domain: &Domain, id: &BlobId, condemned: &CondemnedPacks) -> Result<bool> {
        let locations = domain.index().locations(id)?;
        // Packs written since the marks were begun are nobody's to condemn yet.
        let known = || locations.iter().filter(|location| self.packs.contains_key(&location.pack));
        let sound = known().filter(|location| !condemned.contains(&location.pack)).min_by_key(|location| location.pack);
        match sound.or_else(|| known().min_by_key(|location| location.pack)).copied() {
            Some(location) => Ok(self.set(&location)),
            None if locations.is_empty() => {
                self.missing_blobs += 1;
                Ok(true)
            }
            None => Ok(true),
        }
    }

    fn set(&mut self, location: &Location) -> bool {
        let Some(pack) = self.packs.get_mut(&location.pack).filter(|pack| location.slot < pack.blobs) else {
            return true;
        };
        let bit = pack.first_bit + u64::from(location.slot);
        let word = &mut self.bits[(bit / 64) as usize];
        let mask = 1 << (bit % 64);
        if *word & mask != 0 {
            return false;
        }
        *word |= mask;
        let stored_bytes = u64::from(location.entry.stored_bytes);
        pack.live_blobs += 1;
        pack.live_bytes += stored_bytes;
        pack.dead_bytes = pack.dead_bytes.saturating_sub(stored_bytes);
        true
    }

    pub(super) fn is_live(&self, pack: &PackId, slot: u32) -> bool {
        self.packs.get(pack).filter(|pack| slot < pack.blobs).is_some_and(|pack| {
            let bit = pack.first_bit + u64::from(slot);
            self.bits[(bit / 64) as usize] & (1 << (bit % 64)) != 0
        })
    }

    /// Whether something is alive that only this pack, or other condemned ones, have.
    pub(super) fn needs(&self, pack: &PackId) -> bool {
        self.packs.get(pack).is_some_and(|pack| pack.live_blobs > 0)
    }

    pub(super) fn size_bytes(&self, pack: &PackId) -> u64 {
        self.packs.get(pack).map_or(0, |pack| pack.size_bytes)
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
            mark_memory_bytes: (self.bits.len() * 8) as u64,
            mark_elapsed_ms: self.elapsed_ms,
            ..CollectReport::default()
        }
    }
}
