//! The packs of a domain whose table does not read: what is in them nobody knows.
//!
//! They are in no index, so nothing is read from them and nothing is deduplicated against them. Each refresh of the domain
//! tries them again. What becomes of those that never read again is the collector's decision (`collect/mod.rs`).

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::PackId;

/// A pack whose table does not read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnreadablePack {
    /// Its size, all included.
    pub size_bytes: u64,
    /// Why it does not read.
    pub reason: String,
}

/// Those that are known now.
#[derive(Debug, Default)]
pub(crate) struct UnreadablePacks(Mutex<BTreeMap<PackId, UnreadablePack>>);

impl UnreadablePacks {
    /// Whether it was not known to be unreadable.
    pub(crate) fn add(&self, pack: PackId, unreadable: UnreadablePack) -> bool {
        self.packs().insert(pack, unreadable).is_none()
    }

    /// It reads, or it is gone.
    pub(crate) fn remove(&self, pack: &PackId) {
        self.packs().remove(pack);
    }

    /// Forgets those that are not wanted.
    pub(crate) fn retain(&self, is_wanted: impl Fn(&PackId) -> bool) {
        self.packs().retain(|pack, _| is_wanted(pack));
    }

    pub(crate) fn all(&self) -> BTreeMap<PackId, UnreadablePack> {
        self.packs().clone()
    }

    fn packs(&self) -> MutexGuard<'_, BTreeMap<PackId, UnreadablePack>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
