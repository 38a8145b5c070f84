//! A domain's writer: blobs in, packs out.
//!
//! ```text
//! put -> filling pack -(full)-> sealed -> written, in the order of sealing, a few at a time -> indexed, visible
//! ```
//! A pack is visible only when it is durable. A pack that holds a manifest is written when every earlier pack of this
//! writer is durable, and alone: a manifest never comes before what it names. Before it, and before the writer says that it
//! is done, the packs in which blobs were found are asked for by name, because the index may know packs that are gone
//! (`docs/design/store.md`, "Where listings lag"). After an error the writer takes nothing more; what it wrote stays, unreferenced, and is found again by the next attempt or collected.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use tokio::{
    runtime::Handle,
    sync::{Semaphore, SemaphorePermit, oneshot, watch},
};

use crate::{
    BlobId, BlobSink, Compression, CondemnedPacks, Error, Result, StoredBlob,
    blob::blocking,
    blocking::is_in_place,
    domain::Domain,
    pack::{PACK_MAX_BYTES, PackBuilder, PackId, SealedPack},
    presence::ReliedPacks,
    space::Watermark,
};

/// Writes blobs into new packs of a domain. Cheap to share: many threads may put at once.
#[derive(Debug)]
pub struct DomainWriter {
    domain: Arc<Domain>,
    condemned: CondemnedPacks,
    encodes: Option<Compression>,
    shared: Arc<Shared>,
    handle: Handle,
    in_flight_max: u32,
}

#[derive(Debug)]
struct Shared {
    filling: Mutex<Filling>,
    in_flight: Semaphore,
    /// The number of the sealed pack whose turn it is to be written.
    turn: watch::Sender<u64>,
    /// The packs in which blobs were found.
    relied: ReliedPacks,
    /// What must stay free when a pack is written.
    space: Watermark,
}

#[derive(Debug)]
struct Filling {
    pack: PackBuilder,
    /// What is in this pack and in those that are not visible yet.
    pending: HashSet<BlobId>,
    sealed: u64,
    failure: Option<Error>,
    written_bytes: u64,
}

/// Tells when a sealed pack's write has begun, so that whoever fills packs is held back.
type Begun = oneshot::Receiver<()>;

impl DomainWriter {
    /// `encodes`: what blobs are encoded with that come in another codec; `None`: they are kept as they come.
    pub(crate) fn new(
        domain: Arc<Domain>,
        condemned: CondemnedPacks,
        space: Watermark,
        encodes: Option<Compression>,
    ) -> Self {
        let in_flight_max = u32::try_from(domain.options().packs_in_flight_max.max(1)).unwrap_or(1);
        let filling = Filling {
            pack: PackBuilder::new(PackId::random()),
            pending: HashSet::new(),
            sealed: 0,
            failure: None,
            written_bytes: 0,
        };
        let shared = Shared {
            filling: Mutex::new(filling),
            in_flight: Semaphore::new(in_flight_max as usize),
            turn: watch::Sender::new(0),
            relied: ReliedPacks::default(),
            space,
        };
        Self { domain, condemned, encodes, shared: Arc::new(shared), handle: Handle::current(), in_flight_max }
    }

    /// The domain it writes to.
    pub fn domain(&self) -> &Arc<Domain> {
        &self.domain
    }

    /// The size in bytes of the packs written so far.
    pub fn written_bytes(&self) -> u64 {
        self.shared.filling().written_bytes
    }

    /// As [`BlobSink::put`], for async callers.
    ///
    /// # Errors
    /// As [`BlobSink::put`].
    pub async fn put_async(&self, blob: StoredBlob) -> Result<()> {
        self.shared.check()?;
        let blob = self.encoded(vec![blob]).await?.pop().expect("as many as were given");
        if let Some(begun) = self.push(blob)? {
            // Failing to begin is a failure of the writer, which the next call reports.
            let _ = begun.await;
        }
        Ok(())
    }

    /// Blobs as this writer keeps them, so that putting them costs no more; all at once, on a thread that may block.
    ///
    /// # Errors
    /// `Corrupt`, when a blob has to be decoded for that and does not decode to its id.
    pub(crate) async fn encoded(&self, blobs: Vec<StoredBlob>) -> Result<Vec<StoredBlob>> {
        match self.encodes {
            Some(compression) if !blobs.iter().all(|blob| compression.keeps(blob.codec)) => {
                blocking(move || blobs.into_iter().map(|blob| blob.kept_as(compression)).collect()).await
            }
            _ => Ok(blobs),
        }
    }

    /// Adds a blob that is encoded as it is kept, and seals the pack before if it was full.
    fn push(&self, blob: StoredBlob) -> Result<Option<Begun>> {
        let mut filling = self.shared.filling();
        if let Some(failure) = &filling.failure {
            return Err(failure.again());
        }
        if blob.bytes.is_empty() || blob.bytes.len() > blob.kind.max_bytes() {
            return Err(Error::Invalid(format!("blob {} has {} stored bytes", blob.id, blob.bytes.len())));
        }
        if !filling.pending.insert(blob.id) {
            return Ok(None);
        }
        let limit = self.domain.options().pack_size_bytes.min(PACK_MAX_BYTES);
        let full = !filling.pack.is_empty() && filling.pack.size_with_bytes(blob.bytes.len()) > limit;
        let begun = full.then(|| self.seal(&mut filling));
        filling.pack.push(blob);
        Ok(begun)
    }

    fn seal(&self, filling: &mut Filling) -> Begun {
        let sealed = std::mem::replace(&mut filling.pack, PackBuilder::new(PackId::random())).seal();
        let number = filling.sealed;
        filling.sealed += 1;
        let (begin, begun) = oneshot::channel();
        let (domain, shared) = (Arc::clone(&self.domain), Arc::clone(&self.shared));
        let permits = if sealed.has_manifest() { self.in_flight_max } else { 1 };
        self.handle.spawn(async move { write_in_turn(&domain, &shared, sealed, number, permits, begin).await });
        begun
    }
}

/// Waits for its turn and a place in flight, then writes. On its own task, so that nobody's giving up stops it.
async fn write_in_turn(
    domain: &Domain,
    shared: &Shared,
    sealed: SealedPack,
    number: u64,
    permits: u32,
    begin: oneshot::Sender<()>,
) {
    let mut outcome = Outcome { shared, number, written: None, place: None };
    shared.wait_turn(number).await;
    outcome.place = shared.in_flight.acquire_many(permits).await.ok();
    shared.turn.send_replace(number + 1);
    let _ = begin.send(());
    outcome.written = Some(match (&outcome.place, shared.check()) {
        (Some(_), Ok(())) => write(domain, shared, sealed).await,
        (None, Ok(())) => Err(Error::Cancelled),
        // A pack before this one failed: were this one to hold a manifest, it must not appear.
        (_, Err(failure)) => Err(failure),
    });
}

/// What came of a pack. Told when dropped, so that a write that panics, or goes down with its runtime, is a failure and no
/// pack that nobody misses.
struct Outcome<'a> {
    shared: &'a Shared,
    number: u64,
    written: Option<Result<()>>,
    /// Let go after the outcome is told: whoever waits for all places asks then what failed.
    place: Option<SemaphorePermit<'a>>,
}

impl Drop for Outcome<'_> {
    fn drop(&mut self) {
        let written = self.written.take().unwrap_or_else(|| Err(Error::Unavailable("writing a pack ended".to_owned())));
        if let Err(error) = written {
            self.shared.filling().failure.get_or_insert(error);
        }
        // Its turn may not have come, and then later packs wait for it.
        self.shared.turn.send_if_modified(|turn| {
            let is_behind = *turn <= self.number;
            *turn = (*turn).max(self.number + 1);
            is_behind
        });
    }
}

async fn write(domain: &Domain, shared: &Shared, sealed: SealedPack) -> Result<()> {
    if sealed.has_manifest() {
        shared.relied.confirm(domain).await?;
    }
    let SealedPack { table, parts, size_bytes } = sealed;
    let space = shared.space.clone();
    blocking(move || space.admit(size_bytes).map_err(Error::LowSpace)).await?;
    domain.backend().put(&table.pack.key(domain.tenant()), parts).await?;
    metrics::counter!("galerie_store_packs_written_total").increment(1);
    metrics::counter!("galerie_store_pack_bytes_written_total").increment(size_bytes);
    let index = Arc::clone(domain.index());
    shared.relied.add_written(table.pack);
    let table = blocking(move || index.add(&table, size_bytes).map(|()| table)).await?;
    let mut filling = shared.filling();
    filling.written_bytes += size_bytes;
    for entry in &table.entries {
        filling.pending.remove(&entry.id);
    }
    Ok(())
}

impl Shared {
    fn filling(&self) -> std::sync::MutexGuard<'_, Filling> {
        self.filling.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn check(&self) -> Result<()> {
        self.filling().failure.as_ref().map_or(Ok(()), |failure| Err(failure.again()))
    }

    async fn wait_turn(&self, number: u64) {
        // The sender lives in `self`, so waiting cannot fail.
        let _ = self.turn.subscribe().wait_for(|turn| *turn >= number).await;
    }
}

/// `put` is for threads, not for tasks: on a runtime's own thread it panics; use [`DomainWriter::put_async`] there.
#[async_trait]
impl BlobSink for DomainWriter {
    fn compression(&self) -> Compression {
        self.domain.options().compression
    }

    fn contains(&self, id: &BlobId) -> Result<bool> {
        if self.shared.filling().pending.contains(id) {
            return Ok(true);
        }
        let found = self.domain.index().find(id, &self.condemned)?;
        found.into_iter().for_each(|pack| self.shared.relied.add(pack));
        Ok(found.is_some())
    }

    fn put(&self, blob: StoredBlob) -> Result<()> {
        self.shared.check()?;
        let blob = match self.encodes {
            Some(compression) => blob.kept_as(compression)?,
            None => blob,
        };
        let begun = self.push(blob)?;
        // In place there is nobody else who could begin: sealed packs wait in memory until the import is through.
        if let Some(begun) = begun.filter(|_| !is_in_place()) {
            let _ = self.handle.block_on(begun);
        }
        Ok(())
    }

    async fn finish(&self) -> Result<()> {
        let sealed = {
            let mut filling = self.shared.filling();
            if filling.failure.is_none() && !filling.pack.is_empty() {
                self.seal(&mut filling);
            }
            filling.sealed
        };
        self.shared.wait_turn(sealed).await;
        let all = self.shared.in_flight.acquire_many(self.in_flight_max).await.map_err(|_| Error::Cancelled)?;
        drop(all);
        self.shared.check()?;
        let confirmed = self.shared.relied.confirm(&self.domain).await;
        // What was found before is in doubt from then on.
        if let Err(error) = &confirmed {
            self.shared.filling().failure.get_or_insert(error.again());
        }
        confirmed
    }
}
