//! Blobs from several segments at once, put in the order of the segments.
//!
//! Each segment has a *lane*, numbered in guest order. The lane whose turn it is puts straight into the sink; the
//! others collect. What they collect shares one budget, and a lane that finds it spent waits for its turn; the lane
//! whose turn it is never waits, so something always moves. A lane that ends before its turn leaves what it collected to
//! whoever has the turn.
//!
//! A blob is put by the first of the lanes that need it, which need not be the first to come upon it: a lane takes it over
//! from a later one. So every blob is put before the segment that lists it.

use std::{
    collections::{BTreeMap, HashMap, hash_map::Entry},
    sync::{
        Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use crate::{BlobId, BlobSink, Error, Result, StoredBlob};

/// How many encoded bytes may wait for their turn. With two packs in memory, an import stays below 300 MiB.
const AHEAD_MAX_BYTES: usize = 96 * 1024 * 1024;
/// How many lanes may have ended before their turn.
const AHEAD_MAX_LANES: usize = 1024;

pub(super) struct OrderedSink<'a> {
    sink: &'a dyn BlobSink,
    state: Mutex<State>,
    changed: Condvar,
    stopped: AtomicBool,
    /// Blobs that a lane has taken on and not yet put, and which one.
    claimed: Mutex<HashMap<BlobId, u64>>,
}

#[derive(Default)]
struct State {
    turn: u64,
    ahead_bytes: usize,
    ended: BTreeMap<u64, Vec<StoredBlob>>,
    failure: Option<Error>,
}

/// One segment's blobs.
pub(super) struct Lane<'a, 'b> {
    ordered: &'a OrderedSink<'b>,
    ordinal: u64,
    has_turn: bool,
    collected: Vec<StoredBlob>,
}

/// Stops the import when it is dropped by a panic, so that no thread waits for a turn that never comes.
pub(super) struct StopGuard<'a, 'b>(Option<&'a OrderedSink<'b>>);

impl StopGuard<'_, '_> {
    pub(super) fn defuse(mut self) {
        self.0 = None;
    }
}

impl Drop for StopGuard<'_, '_> {
    fn drop(&mut self) {
        if let Some(ordered) = self.0 {
            ordered.stop(Error::Cancelled);
        }
    }
}

impl<'a> OrderedSink<'a> {
    pub(super) fn new(sink: &'a dyn BlobSink) -> Self {
        Self {
            sink,
            state: Mutex::default(),
            changed: Condvar::new(),
            stopped: AtomicBool::new(false),
            claimed: Mutex::default(),
        }
    }

    pub(super) fn contains(&self, id: &BlobId) -> Result<bool> {
        self.sink.contains(id)
    }

    pub(super) fn lane(&self, ordinal: u64) -> Lane<'_, 'a> {
        Lane { ordered: self, ordinal, has_turn: false, collected: Vec::new() }
    }

    pub(super) fn stop_unless_defused(&self) -> StopGuard<'_, 'a> {
        StopGuard(Some(self))
    }

    /// Ends the import with its first error.
    pub(super) fn stop(&self, error: Error) {
        self.state().failure.get_or_insert(error);
        self.stopped.store(true, Ordering::Relaxed);
        self.changed.notify_all();
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    /// The error that ended the import, if one did.
    pub(super) fn check(&self) -> Result<()> {
        self.state().failure.take().map_or(Ok(()), Err)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits while `blocked` says so; fails when the import is stopped.
    fn wait(&self, mut blocked: impl FnMut(&State) -> bool) -> Result<MutexGuard<'_, State>> {
        let waiting = |state: &mut State| state.failure.is_none() && blocked(state);
        let state = self.changed.wait_while(self.state(), waiting).unwrap_or_else(PoisonError::into_inner);
        if state.failure.is_some() { Err(Error::Cancelled) } else { Ok(state) }
    }

    fn claimed(&self) -> MutexGuard<'_, HashMap<BlobId, u64>> {
        self.claimed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a blob of the lane whose turn it is.
    fn put(&self, ordinal: u64, blob: StoredBlob) -> Result<()> {
        let id = blob.id;
        if self.claimed().get(&id) != Some(&ordinal) {
            // An earlier lane took it over, and has put it.
            return Ok(());
        }
        self.sink.put(blob)?;
        self.claimed().remove(&id);
        Ok(())
    }

    fn put_collected(&self, ordinal: u64, blobs: Vec<StoredBlob>) -> Result<()> {
        if blobs.is_empty() {
            return Ok(());
        }
        for blob in blobs {
            let stored_bytes = blob.bytes.len();
            self.put(ordinal, blob)?;
            self.state().ahead_bytes -= stored_bytes;
        }
        self.changed.notify_all();
        Ok(())
    }
}

impl Lane<'_, '_> {
    /// Takes on a blob; `false` when this lane or an earlier one has.
    pub(super) fn claim(&self, id: &BlobId) -> bool {
        match self.ordered.claimed().entry(*id) {
            Entry::Occupied(mut claim) if *claim.get() > self.ordinal => {
                claim.insert(self.ordinal);
                true
            }
            Entry::Occupied(_) => false,
            Entry::Vacant(place) => {
                place.insert(self.ordinal);
                true
            }
        }
    }

    pub(super) fn put(&mut self, blob: StoredBlob) -> Result<()> {
        if !self.has_turn {
            let (stored_bytes, ordinal) = (blob.bytes.len(), self.ordinal);
            let spent = |state: &State| state.turn != ordinal && state.ahead_bytes + stored_bytes > AHEAD_MAX_BYTES;
            let mut state = self.ordered.wait(spent)?;
            self.has_turn = state.turn == ordinal;
            if !self.has_turn {
                state.ahead_bytes += stored_bytes;
                drop(state);
                self.collected.push(blob);
                return Ok(());
            }
        }
        self.ordered.put_collected(self.ordinal, std::mem::take(&mut self.collected))?;
        self.ordered.put(self.ordinal, blob)
    }

    /// The segment is complete.
    pub(super) fn finish(mut self) -> Result<()> {
        let ordinal = self.ordinal;
        let mut state = self.ordered.wait(|state| state.turn != ordinal && state.ended.len() >= AHEAD_MAX_LANES)?;
        let (mut turn, mut collected) = (ordinal, std::mem::take(&mut self.collected));
        if state.turn != ordinal {
            state.ended.insert(ordinal, collected);
            return Ok(());
        }
        loop {
            drop(state);
            self.ordered.put_collected(turn, collected)?;
            state = self.ordered.state();
            state.turn += 1;
            turn = state.turn;
            match state.ended.remove(&turn) {
                Some(ended) => collected = ended,
                None => {
                    self.ordered.changed.notify_all();
                    return Ok(());
                }
            }
        }
    }
}
