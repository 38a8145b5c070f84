//! What the open uploads of a region hold in memory, against one bound.
//!
//! Each upload fills a pack and writes another, and knows every blob that it may refer to: little for a small image, half
//! a gigabyte for one of terabytes. One upload alone may be large; many large ones at once are told to come again. A tenant's
//! uploads hold no more than they leave free: the first tenant half of all, the next a half of the rest, so that no one of them
//! keeps the others out.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use galerie_store::pack::PACK_MAX_BYTES;
use uuid::Uuid;

use crate::{Error, Result};

/// What all open uploads of a region may hold.
const UPLOADS_MAX_BYTES: u64 = 2 << 30;
/// What a writer holds at most: the pack that is filled, and the one that is written.
const WRITER_BYTES: u64 = 2 * PACK_MAX_BYTES as u64;

/// What is held now.
#[derive(Debug, Default)]
pub(crate) struct UploadMemory(Mutex<Held>);

#[derive(Debug, Default)]
struct Held {
    bytes: u64,
    /// Of each tenant that has uploads open.
    by_tenant: HashMap<Uuid, u64>,
}

/// What one upload holds; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct HeldMemory {
    of: Arc<UploadMemory>,
    tenant: Uuid,
    bytes: u64,
}

impl UploadMemory {
    /// What an upload of a tenant holds from its beginning.
    ///
    /// # Errors
    /// `Busy`.
    pub(crate) fn hold_writer(this: &Arc<Self>, tenant: Uuid) -> Result<HeldMemory> {
        let mut held = HeldMemory { of: Arc::clone(this), tenant, bytes: 0 };
        held.grow(WRITER_BYTES)?;
        Ok(held)
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl HeldMemory {
    /// Holds more.
    ///
    /// # Errors
    /// `Busy`; what was held before still is.
    pub(crate) fn grow(&mut self, bytes: u64) -> Result<()> {
        let mut held = self.of.held();
        let all_bytes = held.bytes.saturating_add(bytes);
        let own_bytes = held.by_tenant.get(&self.tenant).copied().unwrap_or(0).saturating_add(bytes);
        if own_bytes > UPLOADS_MAX_BYTES.saturating_sub(all_bytes) {
            return Err(Error::Busy("the open uploads hold as much memory as they may".to_owned()));
        }
        held.by_tenant.insert(self.tenant, own_bytes);
        held.bytes = all_bytes;
        self.bytes += bytes;
        Ok(())
    }
}

impl Drop for HeldMemory {
    fn drop(&mut self) {
        let mut held = self.of.held();
        held.bytes -= self.bytes;
        if let Some(own_bytes) = held.by_tenant.get_mut(&self.tenant) {
            *own_bytes -= self.bytes;
            if *own_bytes == 0 {
                held.by_tenant.remove(&self.tenant);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hold_all(memory: &Arc<UploadMemory>, tenant: u128) -> Vec<HeldMemory> {
        let mut held = Vec::new();
        loop {
            match UploadMemory::hold_writer(memory, Uuid::from_u128(tenant)) {
                Ok(another) => held.push(another),
                Err(refusal) => {
                    assert!(matches!(refusal, Error::Busy(_)) && refusal.is_passing(), "{refusal}");
                    return held;
                }
            }
        }
    }

    #[test]
    fn uploads_share_one_bound_and_give_back() {
        let memory = Arc::new(UploadMemory::default());
        let mut held = hold_all(&memory, 1);
        let mut last = held.pop().expect("there was room for one");
        assert!(last.grow(1).is_err(), "it has its half");
        drop(held);
        last.grow(UPLOADS_MAX_BYTES / 2 - WRITER_BYTES).unwrap();
        assert!(last.grow(1).is_err());
        drop(last);
        let held = memory.held();
        assert!(held.bytes == 0 && held.by_tenant.is_empty(), "{held:?}");
    }

    /// Regression: sixteen uploads that sent nothing, or one that named millions of blobs, kept all others out of a region.
    #[test]
    fn one_tenant_does_not_keep_the_others_out() {
        let memory = Arc::new(UploadMemory::default());
        let mut large = UploadMemory::hold_writer(&memory, Uuid::from_u128(1)).unwrap();
        while large.grow(1 << 20).is_ok() {}
        let held: Vec<Vec<HeldMemory>> = (2..=5).map(|tenant| hold_all(&memory, tenant)).collect();
        let counts: Vec<u64> = held.iter().map(|held| held.len() as u64).collect();
        let all = UPLOADS_MAX_BYTES / WRITER_BYTES;
        assert_eq!(counts, [all / 4, all / 8, all / 16, 0]);
    }
}
