//! The index: where each blob of a domain lies.
//!
//! It follows the tables of the domain's packs, which are the truth: its files are a process's own, disposable, and
//! made anew from pack tables when they are missing or damaged. A stale miss costs a duplicate; a stale hit leads to a
//! pack that is gone, which the reader sees and resolves again.
//!
//! Recent packs are in a small table in memory; the others in sorted runs on disk, merged so that each is at least
//! twice as long as the next. A lookup reads one page of each run. Memory does not grow with the number of blobs but for
//! eight bytes a page (of 73 entries).
//!
//! Lookups read from files that the page cache holds and are made on the calling thread.

mod entry;
mod run;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fs::DirBuilder,
    ops::ControlFlow,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

pub use entry::IndexedPack;
use entry::Place;
use run::{MergeInput, Run};

use crate::{
    BlobId, Error, Result,
    pack::{CondemnedPacks, PackEntry, PackId, PackTable},
};

/// How many entries are kept in memory before they go to a run; about 4 MiB.
const RECENT_ENTRIES_MAX: usize = 32 * 1024;
/// A run is merged with the one before it unless that one is longer by this factor.
const RUN_GROWTH: u64 = 2;

/// Where a blob lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Location {
    /// The pack.
    pub pack: PackId,
    /// Its place in the pack's table.
    pub slot: u32,
    /// The table's entry.
    pub entry: PackEntry,
}

/// What an index takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct IndexStats {
    /// Entries in memory.
    pub recent_entries: u64,
    /// Entries in runs, those of removed packs included.
    pub run_entries: u64,
    /// How many runs there are.
    pub runs: u64,
    /// Bytes on disk.
    pub disk_bytes: u64,
    /// Bytes in memory, estimated.
    pub memory_bytes: u64,
}

/// The blobs of a domain and their places.
#[derive(Debug)]
pub struct Index {
    folder: PathBuf,
    recent_entries_max: usize,
    state: RwLock<State>,
    /// Held while runs are written, so that only one thread does.
    maintenance: Mutex<()>,
}

#[derive(Debug, Default)]
struct State {
    /// By number; numbers are the process's own and never used again.
    packs: Vec<KnownPack>,
    numbers: HashMap<PackId, u32>,
    recent: BTreeMap<(BlobId, u32), Place>,
    /// The longest first.
    runs: Vec<Arc<Run>>,
    quarantined: HashSet<(PackId, BlobId)>,
}

/// Which copies of a blob are looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Copies {
    /// Those that are not known to be damaged.
    Sound,
    /// Those that are left out.
    Quarantined,
}

#[derive(Debug, Clone, Copy)]
struct KnownPack {
    pack: IndexedPack,
    removed: bool,
}

impl Index {
    /// Opens the index in `folder`, creating it when it is missing. Damaged runs are dropped; their packs are simply
    /// not known, see [`Index::packs`].
    ///
    /// # Errors
    /// `Io` when the folder cannot be used.
    pub fn open(folder: &Path, recent_entries_max: Option<usize>) -> Result<Self> {
        create_folder(folder)?;
        let mut state = State::default();
        for run in run::open_all(folder)? {
            state.adopt(run);
        }
        Ok(Self {
            folder: folder.to_owned(),
            recent_entries_max: recent_entries_max.unwrap_or(RECENT_ENTRIES_MAX),
            state: RwLock::new(state),
            maintenance: Mutex::new(()),
        })
    }

    /// The packs it knows.
    pub fn packs(&self) -> Vec<IndexedPack> {
        self.read().packs.iter().filter(|known| !known.removed).map(|known| known.pack).collect()
    }

    /// Takes in a pack's table. A pack it knows changes nothing. May write and merge runs.
    ///
    /// # Errors
    /// `Io`, `Full` when a run cannot be written; what it knew it still knows.
    pub fn add(&self, table: &PackTable, size_bytes: u64) -> Result<()> {
        let full = {
            let mut state = self.write();
            state.add(table, size_bytes);
            state.recent.len() >= self.recent_entries_max
        };
        if full { self.flush() } else { Ok(()) }
    }

    /// Forgets packs that are gone.
    pub fn remove(&self, packs: &[PackId]) {
        let mut state = self.write();
        for pack in packs {
            let Some(number) = state.numbers.remove(pack) else { continue };
            state.packs[number as usize].removed = true;
            state.recent.retain(|(_, of), _| *of != number);
            state.quarantined.retain(|(of, _)| of != pack);
        }
    }

    /// Leaves a damaged blob out from now on.
    pub fn quarantine(&self, pack: PackId, id: BlobId) {
        self.write().quarantined.insert((pack, id));
    }

    /// Takes a blob in again that is not damaged after all.
    pub fn lift_quarantine(&self, pack: PackId, id: BlobId) {
        self.write().quarantined.remove(&(pack, id));
    }

    /// The blobs of a pack that are left out.
    pub fn quarantined_in(&self, pack: &PackId) -> Vec<BlobId> {
        let state = self.read();
        state.quarantined.iter().filter(|(of, _)| of == pack).map(|(_, id)| *id).collect()
    }

    /// Whether a pack's copy of a blob is left out.
    pub fn has_quarantined(&self, pack: &PackId, id: &BlobId) -> bool {
        self.read().is_quarantined(pack, id)
    }

    /// How many copies of blobs are left out.
    pub fn quarantined(&self) -> usize {
        self.read().quarantined.len()
    }

    /// Whether the blob lies in some pack that is not condemned.
    ///
    /// # Errors
    /// `Io`, `Corrupt` when a run cannot be read.
    pub fn contains(&self, id: &BlobId, condemned: &CondemnedPacks) -> Result<bool> {
        Ok(self.find(id, condemned)?.is_some())
    }

    /// A pack that is not condemned and has the blob.
    ///
    /// # Errors
    /// As [`Index::contains`].
    pub(crate) fn find(&self, id: &BlobId, condemned: &CondemnedPacks) -> Result<Option<PackId>> {
        let mut found = None;
        self.read().visit(id, Copies::Sound, &mut |location| {
            if condemned.contains(&location.pack) {
                return ControlFlow::Continue(());
            }
            found = Some(location.pack);
            ControlFlow::Break(())
        })?;
        Ok(found)
    }

    /// Everywhere the blob lies; the newest first.
    ///
    /// # Errors
    /// As [`Index::contains`].
    pub fn locations(&self, id: &BlobId) -> Result<Vec<Location>> {
        self.locations_in(id, Copies::Sound)
    }

    /// Everywhere a copy of the blob lies that is left out.
    ///
    /// # Errors
    /// As [`Index::contains`].
    pub(crate) fn quarantined_locations(&self, id: &BlobId) -> Result<Vec<Location>> {
        self.locations_in(id, Copies::Quarantined)
    }

    fn locations_in(&self, id: &BlobId, copies: Copies) -> Result<Vec<Location>> {
        let mut locations = Vec::new();
        self.read().visit(id, copies, &mut |location| {
            locations.push(location);
            ControlFlow::Continue(())
        })?;
        Ok(locations)
    }

    /// Drops runs that turned out to be damaged; their packs become unknown and can be added again.
    pub fn drop_damaged(&self) {
        let mut state = self.write();
        let (damaged, sound): (Vec<_>, Vec<_>) = state.runs.drain(..).partition(|run| run.is_damaged());
        state.runs = sound;
        for run in damaged {
            tracing::warn!(file = %run.path().display(), "index run is damaged and made anew");
            run.unlink();
            for number in run.numbers() {
                let pack = state.packs[*number as usize].pack.pack;
                state.packs[*number as usize].removed = true;
                state.numbers.remove(&pack);
            }
        }
    }

    /// What it takes.
    pub fn stats(&self) -> IndexStats {
        const RECENT_ENTRY_BYTES: u64 = 96;
        const PACK_BYTES: u64 = 96;
        let state = self.read();
        IndexStats {
            recent_entries: state.recent.len() as u64,
            run_entries: state.runs.iter().map(|run| run.entries()).sum(),
            runs: state.runs.len() as u64,
            disk_bytes: state.runs.iter().map(|run| run.disk_bytes()).sum(),
            memory_bytes: state.runs.iter().map(|run| run.memory_bytes()).sum::<u64>()
                + state.recent.len() as u64 * RECENT_ENTRY_BYTES
                + state.packs.len() as u64 * PACK_BYTES,
        }
    }

    /// Writes what is in memory to a run, merged with runs that are not much longer.
    fn flush(&self) -> Result<()> {
        let _only = self.maintenance.lock().unwrap_or_else(PoisonError::into_inner);
        let (recent, packs, merged) = {
            let state = self.read();
            if state.recent.len() < self.recent_entries_max {
                return Ok(());
            }
            (state.recent.clone(), state.packs.clone(), state.runs_to_merge())
        };
        let mut inputs: Vec<MergeInput<'_>> = merged.iter().map(|run| MergeInput::run(run)).collect();
        inputs.push(MergeInput::recent(&recent));
        let alive = |number: u32| packs.get(number as usize).filter(|known| !known.removed).map(|known| known.pack);
        let run = Arc::new(run::write(&self.folder, inputs, &alive)?);
        let mut state = self.write();
        state.recent.retain(|key, _| !recent.contains_key(key));
        state.runs.retain(|run| !merged.iter().any(|gone| Arc::ptr_eq(gone, run)));
        state.runs.push(run);
        state.runs.sort_by_key(|run| std::cmp::Reverse(run.entries()));
        drop(state);
        merged.iter().for_each(|run| run.unlink());
        Ok(())
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Takes a run found on disk, unless another one (a merge that was not tidied up) covers its packs.
    fn adopt(&mut self, mut run: Run) {
        if run.packs().iter().any(|pack| self.numbers.contains_key(&pack.pack)) {
            run.unlink();
            return;
        }
        let packs = run.packs().to_vec();
        run.set_numbers(packs.iter().map(|pack| self.number(*pack)).collect());
        self.runs.push(Arc::new(run));
    }

    fn number(&mut self, pack: IndexedPack) -> u32 {
        let number = u32::try_from(self.packs.len()).expect("fewer than 2^32 packs of 64 MiB exist");
        self.packs.push(KnownPack { pack, removed: false });
        self.numbers.insert(pack.pack, number);
        number
    }

    fn add(&mut self, table: &PackTable, size_bytes: u64) {
        if self.numbers.contains_key(&table.pack) {
            return;
        }
        let blobs = u32::try_from(table.entries.len()).expect("a pack's table is bounded");
        let number = self.number(IndexedPack { pack: table.pack, blobs, size_bytes });
        for (slot, entry) in (0..).zip(&table.entries) {
            self.recent.insert((entry.id, number), Place::new(slot, entry));
        }
    }

    fn visit(&self, id: &BlobId, copies: Copies, visitor: &mut dyn FnMut(Location) -> ControlFlow<()>) -> Result<()> {
        let is_asked_for = |pack: &PackId| self.is_quarantined(pack, id) == (copies == Copies::Quarantined);
        let mut offer = |number: u32, place: &Place| match self.packs.get(number as usize) {
            Some(known) if !known.removed && is_asked_for(&known.pack.pack) => {
                visitor(Location { pack: known.pack.pack, slot: place.slot, entry: place.entry(*id) })
            }
            _ => ControlFlow::Continue(()),
        };
        for ((_, number), place) in self.recent.range((*id, 0)..=(*id, u32::MAX)) {
            if offer(*number, place).is_break() {
                return Ok(());
            }
        }
        for run in self.runs.iter().rev() {
            if run.visit(id, &mut offer)?.is_break() {
                return Ok(());
            }
        }
        Ok(())
    }

    fn is_quarantined(&self, pack: &PackId, id: &BlobId) -> bool {
        !self.quarantined.is_empty() && self.quarantined.contains(&(*pack, *id))
    }

    /// The shortest runs, as long as each is not much longer than what joins it.
    fn runs_to_merge(&self) -> Vec<Arc<Run>> {
        let mut joined = self.recent.len() as u64;
        let mut runs = Vec::new();
        for run in self.runs.iter().rev() {
            if run.entries() > joined * RUN_GROWTH {
                break;
            }
            joined += run.entries();
            runs.push(Arc::clone(run));
        }
        runs
    }
}

/// Makes a folder that only its owner may look into, whatever those above it allow.
pub(crate) fn create_folder(folder: &Path) -> Result<()> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(|source| Error::io(format!("create folder {}", folder.display()), source))
}
