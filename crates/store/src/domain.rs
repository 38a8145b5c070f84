//! Domains: one tenant's bytes in one region, and the boundary within which they are deduplicated.
//!
//! A domain answers where blobs are, reads them, and hands out writers. It serves verified bytes only: a blob that does
//! not match its id, or that the medium does not give back, is read again from each pack that holds it. A copy that fails
//! twice more is quarantined durably, so that it is neither served nor deduplicated against from then on. Putting the same
//! bytes again (another import, another region) heals it.
//!
//! That a segment or manifest is kept says nothing about what it names; only the catalogue knows what is complete.

use std::{
    collections::{BTreeMap, HashSet},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use tokio::sync::Mutex;

use crate::{
    BlobId, BlobSource, CondemnedPacks, DamageNotes, Error, Manifest, ManifestId, Result, Segment, SegmentId,
    StoredBlob, TenantId,
    backend::{Backend, Key, list_all},
    blob::blocking,
    index::{Index, IndexStats, IndexedPack, Location},
    pack::{PackEntry, PackId, PackTable, blob_at, packs_prefix, read_table},
    region_store::StoreOptions,
    space::Watermark,
    unreadable::{UnreadablePack, UnreadablePacks},
    writer::DomainWriter,
};

/// How many pack tables are read at a time.
const TABLE_READS_MAX: usize = 16;
/// The most bytes one range read spans.
const RANGE_READ_MAX_BYTES: u64 = 1024 * 1024;
/// Neighbours are read together if no more than this lies between them; a read of that many bytes costs about what a
/// second request does.
const RANGE_GAP_MAX_BYTES: u64 = 32 * 1024;
/// How many range reads one fetch has under way.
const RANGE_READS_MAX: usize = 8;

/// One tenant's blobs in one region.
#[derive(Debug)]
pub struct Domain {
    cache_scope: u64,
    tenant: TenantId,
    backend: Arc<dyn Backend>,
    index: Arc<Index>,
    options: StoreOptions,
    /// Whoever looks after the store waits for these.
    damage: Arc<DamageNotes>,
    refreshing: Mutex<()>,
    unreadable: UnreadablePacks,
}

/// What a domain holds and what its index takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DomainStats {
    /// How many packs there are.
    pub packs: u64,
    /// Their size, all included.
    pub pack_bytes: u64,
    /// How many blobs are in them, dead ones included.
    pub blobs: u64,
    /// Damaged blobs that are left out.
    pub quarantined: u64,
    /// Packs whose table cannot be read, which are not among the others.
    pub unreadable_packs: u64,
    /// Their size, all included.
    pub unreadable_pack_bytes: u64,
    /// The index.
    pub index: IndexStats,
}

impl Domain {
    pub(crate) async fn open(
        backend: Arc<dyn Backend>,
        tenant: TenantId,
        index_folder: &Path,
        options: StoreOptions,
        damage: Arc<DamageNotes>,
    ) -> Result<Arc<Self>> {
        let (folder, recent) = (index_folder.to_owned(), options.index_recent_entries_max);
        let index = blocking(move || Index::open(&folder, recent)).await?;
        static NEXT_SCOPE: AtomicU64 = AtomicU64::new(1);
        let domain = Arc::new(Self {
            cache_scope: NEXT_SCOPE.fetch_add(1, Ordering::Relaxed),
            tenant,
            backend,
            index: Arc::new(index),
            options,
            damage,
            refreshing: Mutex::default(),
            unreadable: UnreadablePacks::default(),
        });
        domain.refresh().await?;
        Ok(domain)
    }

    /// Whose bytes these are.
    pub fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    /// Where the packs lie.
    pub fn backend(&self) -> &Arc<dyn Backend> {
        &self.backend
    }

    pub(crate) fn index(&self) -> &Arc<Index> {
        &self.index
    }

    pub(crate) fn options(&self) -> &StoreOptions {
        &self.options
    }

    /// The packs it knows of.
    pub fn packs(&self) -> Vec<IndexedPack> {
        self.index.packs()
    }

    /// Whether a blob is kept, as far as the index knows.
    ///
    /// # Errors
    /// `Io`, `Unavailable` when the index cannot be read.
    pub fn contains(&self, id: &BlobId) -> Result<bool> {
        self.index.contains(id, &CondemnedPacks::none())
    }

    /// Brings the index up to date with the packs that are listed. Afterwards every pack is known that was listed, or known
    /// before, and is there. One that was known and is gone is forgotten as soon as a listing lacks it.
    ///
    /// # Errors
    /// `Io`, `Unavailable`.
    pub async fn refresh(&self) -> Result<()> {
        let _one = self.refreshing.lock().await;
        self.index.drop_damaged();
        // Known before listing: a pack written meanwhile may be missing from the listing, and must not be forgotten.
        let known: HashSet<PackId> = self.index.packs().into_iter().map(|pack| pack.pack).collect();
        let listed = self.list_packs().await?;
        let unlisted = known.iter().filter(|pack| !listed.contains_key(*pack)).copied().collect();
        self.index.remove(&self.gone(unlisted).await?);
        self.unreadable.retain(|pack| listed.contains_key(pack));
        let new: Vec<(PackId, u64)> = listed.into_iter().filter(|(pack, _)| !known.contains(pack)).collect();
        stream::iter(new)
            .map(|(pack, size_bytes)| self.learn(pack, size_bytes))
            .buffer_unordered(TABLE_READS_MAX)
            .try_collect::<()>()
            .await?;
        self.load_quarantine().await
    }

    /// The packs that are listed, in the order of their names, and their sizes in bytes.
    async fn list_packs(&self) -> Result<BTreeMap<PackId, u64>> {
        let objects = list_all(&*self.backend, &packs_prefix(&self.tenant)).await?;
        let named = objects.into_iter().filter_map(|object| Some((object.key.name().parse().ok()?, object.size_bytes)));
        Ok(named.collect())
    }

    /// Reads a pack's table into the index. A pack that is no pack is remembered, left to [`crate::verify`], and tried again
    /// at the next refresh: what failed may have been the way to it.
    pub(crate) async fn learn(&self, pack: PackId, size_bytes: u64) -> Result<()> {
        match self.table(pack, size_bytes).await {
            Ok(table) => {
                self.unreadable.remove(&pack);
                let index = Arc::clone(&self.index);
                blocking(move || index.add(&table, size_bytes)).await
            }
            Err(Error::NotFound(_)) => {
                self.unreadable.remove(&pack);
                Ok(())
            }
            Err(error) if error.is_damage() => {
                self.give_up(pack, size_bytes, complaint(&error));
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// A pack's table, read twice if need be.
    pub(crate) async fn table(&self, pack: PackId, size_bytes: u64) -> Result<PackTable> {
        let key = pack.key(&self.tenant);
        match read_table(&*self.backend, &key, pack, size_bytes).await {
            Err(error) if error.is_damage() => read_table(&*self.backend, &key, pack, size_bytes).await,
            other => other,
        }
    }

    /// Leaves out a pack whose table cannot be read.
    pub(crate) fn give_up(&self, pack: PackId, size_bytes: u64, reason: String) {
        self.index.remove(&[pack]);
        if self.unreadable.add(pack, UnreadablePack { size_bytes, reason: reason.clone() }) {
            tracing::error!(tenant = %self.tenant, %pack, reason, "pack cannot be read and is left out");
            self.damage.note(&self.tenant);
        }
    }

    /// The packs whose table cannot be read.
    pub fn unreadable_packs(&self) -> BTreeMap<PackId, UnreadablePack> {
        self.unreadable.all()
    }

    pub(crate) fn quarantine_prefix(&self) -> String {
        format!("tenants/{}/quarantine/", self.tenant)
    }

    fn quarantine_key(&self, pack: PackId, id: BlobId) -> Key {
        format!("{}{pack}.{id}", self.quarantine_prefix()).parse().expect("hexadecimal digits make a valid key")
    }

    async fn load_quarantine(&self) -> Result<()> {
        for object in list_all(&*self.backend, &self.quarantine_prefix()).await? {
            let names =
                object.key.name().split_once('.').and_then(|(pack, id)| Some((pack.parse().ok()?, id.parse().ok()?)));
            if let Some((pack, id)) = names
                && !self.index.has_quarantined(&pack, &id)
            {
                self.index.quarantine(pack, id);
                self.damage.note(&self.tenant);
            }
        }
        Ok(())
    }

    /// Records durably that a pack's copy of a blob is damaged, and leaves it out from then on. Where the record cannot be
    /// written, perhaps nothing can be read either, and then the blob is not to blame: it is not left out.
    pub(crate) async fn quarantine(&self, pack: PackId, id: BlobId, reason: &str) -> Result<()> {
        let record = Bytes::copy_from_slice(reason.as_bytes());
        match self.backend.put(&self.quarantine_key(pack, id), vec![record]).await {
            // For want of space only this process knows of it; the next one finds out again.
            Ok(()) | Err(Error::AlreadyExists(_) | Error::Full { .. }) => {}
            Err(error) => {
                tracing::error!(tenant = %self.tenant, %pack, blob = %id, reason, %error, "blob is damaged, which cannot be recorded");
                return Err(error);
            }
        }
        tracing::error!(tenant = %self.tenant, %pack, blob = %id, reason, "blob is damaged and quarantined");
        metrics::counter!("galerie_store_blobs_quarantined_total").increment(1);
        self.index.quarantine(pack, id);
        self.damage.note(&self.tenant);
        Ok(())
    }

    /// Takes in again what was quarantined in a pack and reads as it should: what failed was the way to it (a cable, memory),
    /// and may be the only copy there is. `damaged` is what was found damaged now, reading all of the pack. How many there were.
    pub(crate) async fn lift_quarantine(&self, pack: PackId, damaged: &[BlobId]) -> Result<u64> {
        let mut lifted = 0;
        for id in self.index.quarantined_in(&pack) {
            if damaged.contains(&id) {
                continue;
            }
            self.backend.delete(&self.quarantine_key(pack, id)).await?;
            self.index.lift_quarantine(pack, id);
            tracing::warn!(tenant = %self.tenant, %pack, blob = %id, "blob was quarantined, reads now, and is taken in again");
            lifted += 1;
        }
        Ok(lifted)
    }

    /// Removes a pack, for the collector; then the records about its blobs.
    pub(crate) async fn delete_pack(&self, pack: PackId) -> Result<()> {
        self.backend.delete(&pack.key(&self.tenant)).await?;
        self.index.remove(&[pack]);
        self.unreadable.remove(&pack);
        let prefix = self.quarantine_prefix();
        for object in list_all(&*self.backend, &prefix).await? {
            if object.key.name().split('.').next().is_some_and(|name| name == pack.to_string()) {
                self.backend.delete(&object.key).await?;
            }
        }
        Ok(())
    }

    /// A writer of new packs. The caller has pinned what it will find here, *then* read which packs are condemned.
    /// The index is refreshed first, so that hardly a pack deleted before the call is deduplicated against; the writer makes
    /// sure of it before it is done.
    ///
    /// # Errors
    /// As [`Domain::refresh`]; `LowSpace`, here or at any pack, when the volume has less room than is kept free.
    pub async fn writer(self: &Arc<Self>, condemned: CondemnedPacks) -> Result<Arc<DomainWriter>> {
        let space = self.options.space.clone();
        let looked = space.clone();
        blocking(move || looked.admit(0).map_err(Error::LowSpace)).await?;
        self.refresh().await?;
        let encodes = Some(self.options.compression);
        Ok(Arc::new(DomainWriter::new(Arc::clone(self), condemned, space, encodes)))
    }

    /// A writer for the collector: it writes little to free much, and so below the watermark, too.
    pub(crate) async fn collectors_writer(self: &Arc<Self>, condemned: CondemnedPacks) -> Result<Arc<DomainWriter>> {
        self.refresh().await?;
        Ok(Arc::new(DomainWriter::new(Arc::clone(self), condemned, Watermark::none(), None)))
    }

    /// A manifest, verified.
    ///
    /// # Errors
    /// `NotFound`, `Corrupt`, `Io`, `Unavailable`.
    pub async fn manifest(&self, id: ManifestId) -> Result<Manifest> {
        fetch_manifest(self, id).await
    }

    /// A segment, verified.
    ///
    /// # Errors
    /// `NotFound`, `Corrupt`, `Io`, `Unavailable`.
    pub async fn segment(&self, id: SegmentId) -> Result<Segment> {
        let decoded = self.fetch_decoded(&[id.0], None).await?;
        decoded.first().ok_or_else(|| Error::NotFound(format!("segment {id}"))).and_then(|bytes| Segment::decode(bytes))
    }

    /// What it holds.
    pub fn stats(&self) -> DomainStats {
        let (packs, unreadable) = (self.index.packs(), self.unreadable.all());
        DomainStats {
            packs: packs.len() as u64,
            pack_bytes: packs.iter().map(|pack| pack.size_bytes).sum(),
            blobs: packs.iter().map(|pack| u64::from(pack.blobs)).sum(),
            quarantined: self.index.quarantined() as u64,
            unreadable_packs: unreadable.len() as u64,
            unreadable_pack_bytes: unreadable.values().map(|pack| pack.size_bytes).sum(),
            index: self.index.stats(),
        }
    }

    /// Where the blobs lie; `Err` names the first that is nowhere.
    fn locate(&self, ids: &[BlobId]) -> Result<Vec<Location>> {
        let mut last_pack = None;
        let mut found = Vec::with_capacity(ids.len());
        for id in ids {
            let locations = self.index.locations(id)?;
            // The pack just read from, if it has this one too: neighbours are then read together.
            let near = locations.iter().find(|location| Some(location.pack) == last_pack).or(locations.first());
            let location = *near.ok_or_else(|| Error::NotFound(format!("blob {id}")))?;
            last_pack = Some(location.pack);
            found.push(location);
        }
        Ok(found)
    }

    async fn fetch_located(&self, locations: Vec<Location>) -> Result<Vec<StoredBlob>> {
        let count = locations.len();
        let ranges = coalesce(locations);
        let mut blobs: Vec<Option<StoredBlob>> = vec![None; count];
        if let [range] = ranges.as_slice() {
            // The usual case, without the machinery of the other.
            for (at, blob) in self.read_range(range).await? {
                blobs[at] = Some(blob);
            }
        } else {
            let reads: Vec<_> = ranges.iter().map(|range| self.read_range(range)).collect();
            let mut reads = stream::iter(reads).buffer_unordered(RANGE_READS_MAX);
            while let Some(read) = reads.next().await {
                for (at, blob) in read? {
                    blobs[at] = Some(blob);
                }
            }
        }
        Ok(blobs.into_iter().map(|blob| blob.expect("every location is in one range")).collect())
    }

    async fn read_range(&self, range: &RangeRead) -> Result<Vec<(usize, StoredBlob)>> {
        let key = range.pack.key(&self.tenant);
        match self.backend.get_range(&key, range.start_bytes, range.end_bytes - range.start_bytes).await {
            Ok(bytes) => range
                .wanted
                .iter()
                .map(|(at, location)| Ok((*at, blob_at(&bytes, range.start_bytes, &location.entry)?)))
                .collect(),
            Err(error) if error.is_damage() => {
                // The pack was cut short, or has a bad sector; what lies beside it, or elsewhere, is still good.
                let mut blobs = Vec::new();
                for (at, location) in &range.wanted {
                    blobs.push((*at, self.good_copy(location.entry.id).await?));
                }
                Ok(blobs)
            }
            Err(error) => {
                self.forget_if_gone(range.pack, &error);
                Err(error)
            }
        }
    }

    /// What the backend says of a pack's name counts for more than a listing that still shows it.
    pub(crate) fn forget_if_gone(&self, pack: PackId, error: &Error) {
        if matches!(error, Error::NotFound(_)) {
            self.index.remove(&[pack]);
        }
    }

    /// A copy of the blob that decodes, from wherever there is one; damaged copies are quarantined on the way.
    async fn good_copy(&self, id: BlobId) -> Result<StoredBlob> {
        let mut is_damaged = false;
        for location in self.index.locations(&id)? {
            match self.read_blob(location.pack, &location.entry).await {
                Ok(blob) => return Ok(blob),
                Err(error) if error.is_damage() => {
                    is_damaged = true;
                    // Recorded or not, the other copies may be good.
                    let _ = self.quarantine(location.pack, id, &complaint(&error)).await;
                }
                // The pack was collected, and another has the blob.
                Err(Error::NotFound(_)) => {}
                Err(error) => return Err(error),
            }
        }
        match is_damaged {
            true => Err(Error::Corrupt(format!("blob {id} is damaged in every pack that holds it"))),
            false => Err(Error::NotFound(format!("blob {id}"))),
        }
    }

    /// A pack's copy of a blob, verified; read twice if need be, for a bit may have flipped on the way.
    pub(crate) async fn read_blob(&self, pack: PackId, entry: &PackEntry) -> Result<StoredBlob> {
        match self.read_once(pack, entry).await {
            Err(error) if error.is_damage() => self.read_once(pack, entry).await,
            other => other,
        }
    }

    async fn read_once(&self, pack: PackId, entry: &PackEntry) -> Result<StoredBlob> {
        let (offset, length) = (u64::from(entry.offset_bytes), u64::from(entry.stored_bytes));
        let bytes = self.backend.get_range(&pack.key(&self.tenant), offset, length).await?;
        let blob = blob_at(&bytes, offset, entry)?;
        blob.decode().map(|_| blob)
    }
}

/// An error and its cause, for a record that people read.
pub(crate) fn complaint(error: &Error) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

#[async_trait]
impl BlobSource for Domain {
    async fn fetch(&self, ids: &[BlobId], _listed_by: Option<BlobId>) -> Result<Vec<StoredBlob>> {
        let first = match self.locate(ids) {
            Ok(locations) => self.fetch_located(locations).await,
            Err(error) => Err(error),
        };
        match first {
            // Another process wrote or removed packs, or a run of the index is damaged: look again, once.
            Err(Error::NotFound(_) | Error::Unavailable(_)) => {
                self.refresh().await?;
                self.fetch_located(self.locate(ids)?).await
            }
            other => other,
        }
    }

    fn cache_scope(&self) -> u64 {
        self.cache_scope
    }

    async fn replace_corrupt(&self, id: BlobId, _listed_by: Option<BlobId>) -> Result<StoredBlob> {
        self.good_copy(id).await
    }
}

/// A manifest from any source, verified.
///
/// # Errors
/// As [`BlobSource::fetch_decoded`].
pub async fn fetch_manifest(source: &dyn BlobSource, id: ManifestId) -> Result<Manifest> {
    let decoded = source.fetch_decoded(&[id.0], None).await?;
    decoded.first().ok_or_else(|| Error::NotFound(format!("manifest {id}"))).and_then(|bytes| Manifest::decode(bytes))
}

/// A segment from any source, verified.
///
/// # Errors
/// As [`BlobSource::fetch_decoded`].
pub async fn fetch_segment(source: &dyn BlobSource, id: SegmentId, listed_by: ManifestId) -> Result<Segment> {
    let decoded = source.fetch_decoded(&[id.0], Some(listed_by.0)).await?;
    decoded.first().ok_or_else(|| Error::NotFound(format!("segment {id}"))).and_then(|bytes| Segment::decode(bytes))
}

/// Neighbours in a pack that are read together.
struct RangeRead {
    pack: PackId,
    start_bytes: u64,
    end_bytes: u64,
    /// The place in the answer, and the blob's.
    wanted: Vec<(usize, Location)>,
}

fn coalesce(locations: Vec<Location>) -> Vec<RangeRead> {
    let mut sorted: Vec<(usize, Location)> = locations.into_iter().enumerate().collect();
    sorted.sort_by_key(|(_, location)| (location.pack, location.entry.offset_bytes));
    let mut ranges: Vec<RangeRead> = Vec::new();
    for (at, location) in sorted {
        let start = u64::from(location.entry.offset_bytes);
        let end = start + u64::from(location.entry.stored_bytes);
        match ranges.last_mut() {
            Some(range)
                if range.pack == location.pack
                    && start <= range.end_bytes + RANGE_GAP_MAX_BYTES
                    && end <= range.start_bytes + RANGE_READ_MAX_BYTES =>
            {
                range.end_bytes = range.end_bytes.max(end);
                range.wanted.push((at, location));
            }
            _ => ranges.push(RangeRead {
                pack: location.pack,
                start_bytes: start,
                end_bytes: end,
                wanted: vec![(at, location)],
            }),
        }
    }
    ranges
}
