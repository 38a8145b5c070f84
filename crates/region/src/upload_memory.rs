//! What the open uploads of a region hold in memory, against one bound.
//!
//! Each upload fills a pack and writes another, and knows every blob that it may refer to: little for a small image, half
//! a gigabyte for one of terabytes. One upload alone may be large; many large ones at once are told to come again.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use galerie_store::pack::PACK_MAX_BYTES;

use crate::{Error, Result};

/// What all open uploads of a region may hold.
const UPLOADS_MAX_BYTES: u64 = 2 << 30;
/// What a writer holds at most: the pack that is filled, and the one that is written.
const WRITER_BYTES: u64 = 2 * PACK_MAX_BYTES as u64;

/// What is held now.
#[derive(Debug, Default)]
pub(crate) struct UploadMemory {
    held_bytes: AtomicU64,
}

/// What one upload holds; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct HeldMemory {
    of: Arc<UploadMemory>,
    bytes: u64,
}

impl UploadMemory {
    /// What an upload holds from its beginning.
    ///
    /// # Errors
    /// `Busy`.
    pub(crate) fn hold_writer(this: &Arc<Self>) -> Result<HeldMemory> {
        let mut held = HeldMemory { of: Arc::clone(this), bytes: 0 };
        held.grow(WRITER_BYTES)?;
        Ok(held)
    }
}

impl HeldMemory {
    /// Holds more.
    ///
    /// # Errors
    /// `Busy`; what was held before still is.
    pub(crate) fn grow(&mut self, bytes: u64) -> Result<()> {
        let held_bytes = self.of.held_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if held_bytes > UPLOADS_MAX_BYTES {
            self.of.held_bytes.fetch_sub(bytes, Ordering::Relaxed);
            return Err(Error::Busy("the uploads that are open hold as much memory as they may".to_owned()));
        }
        self.bytes += bytes;
        Ok(())
    }
}

impl Drop for HeldMemory {
    fn drop(&mut self) {
        self.of.held_bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uploads_share_one_bound_and_give_back() {
        let memory = Arc::new(UploadMemory::default());
        let mut held: Vec<HeldMemory> = Vec::new();
        let refusal = loop {
            match UploadMemory::hold_writer(&memory) {
                Ok(another) => held.push(another),
                Err(refusal) => break refusal,
            }
        };
        assert!(matches!(refusal, Error::Busy(_)) && refusal.is_passing(), "{refusal}");
        assert_eq!(held.len() as u64, UPLOADS_MAX_BYTES / WRITER_BYTES);
        let mut last = held.pop().expect("there was room for one");
        assert!(last.grow(UPLOADS_MAX_BYTES).is_err());
        drop((held, last));
        assert_eq!(memory.held_bytes.load(Ordering::Relaxed), 0);
    }
}
