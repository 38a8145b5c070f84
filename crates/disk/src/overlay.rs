//! What a guest wrote, over what it started from: a disk's overlay and base, read as one.
//!
//! QEMU writes the overlay, a qcow2 file, while the guest runs, and is given the base as a node of its own; the overlay's
//! header names no backing file and is refused if it does. What the overlay does not hold is the base's, what it holds
//! as zeros is zeros. Open one only while QEMU does not have it open.

use std::{fmt, fs::File, ops::Range, sync::Arc};

use galerie_store::GuestBytes;

use crate::{
    Result,
    device::check_range,
    formats::{
        SourceFile,
        qcow2::{self, MAX_RUN_BYTES, Place},
    },
};

/// An overlay and its base. As large as the overlay; past the base's end, what was not written is zeros.
pub struct Overlay {
    writes: qcow2::Reader,
    base: Arc<dyn GuestBytes>,
}

impl Overlay {
    /// Opens an overlay over its base. The file is qcow2 by QEMU's own hand and is not inspected.
    ///
    /// # Errors
    /// As [`crate::open`].
    pub fn open(file: File, base: Arc<dyn GuestBytes>) -> Result<Self> {
        let writes = qcow2::Reader::open(SourceFile::new(file, "qcow2")?)?;
        Ok(Self { writes, base })
    }

    /// The first run at or after `offset_bytes` that the overlay speaks for, be it data or zeros; `None` when the rest is
    /// the base's. A segment without such a run is the base's segment, unless the base ends inside or before it.
    ///
    /// # Errors
    /// As [`GuestBytes::read_at`].
    pub fn next_change(&self, offset_bytes: u64) -> Result<Option<Range<u64>>> {
        let mut at = offset_bytes;
        while at < self.writes.virtual_size_bytes() {
            let run = self.writes.run(at, MAX_RUN_BYTES)?;
            if run.place != Place::Unallocated {
                return Ok(Some(at..at + run.length_bytes));
            }
            at += run.length_bytes;
        }
        Ok(None)
    }

    /// Fills `part` from the base; zeros past its end.
    fn read_base(&self, offset_bytes: u64, part: &mut [u8]) -> galerie_store::Result<()> {
        let left_bytes = self.base.virtual_size_bytes().saturating_sub(offset_bytes);
        let inside = left_bytes.min(part.len() as u64) as usize;
        let (inside, past_end) = part.split_at_mut(inside);
        past_end.fill(0);
        if inside.is_empty() { Ok(()) } else { self.base.read_at(offset_bytes, inside) }
    }

    /// The base's first data in a range.
    fn base_data(&self, range: Range<u64>) -> galerie_store::Result<Option<Range<u64>>> {
        if range.start >= self.base.virtual_size_bytes() {
            return Ok(None);
        }
        let found = self.base.next_data(range.start)?;
        Ok(found.filter(|data| data.start < range.end).map(|data| data.start..data.end.min(range.end)))
    }
}

impl GuestBytes for Overlay {
    fn virtual_size_bytes(&self) -> u64 {
        self.writes.virtual_size_bytes()
    }

    fn read_at(&self, offset_bytes: u64, buf: &mut [u8]) -> galerie_store::Result<()> {
        check_range(self.virtual_size_bytes(), offset_bytes, buf.len() as u64)?;
        let mut at = offset_bytes;
        let mut rest = buf;
        while !rest.is_empty() {
            let run = self.writes.run(at, rest.len() as u64)?;
            let (part, left) = rest.split_at_mut(run.length_bytes as usize);
            match run.place {
                Place::Unallocated => self.read_base(at, part)?,
                Place::Zero => part.fill(0),
                Place::Data { .. } | Place::Compressed { .. } => self.writes.read_at(at, part)?,
            }
            at += run.length_bytes;
            rest = left;
        }
        Ok(())
    }

    fn next_data(&self, offset_bytes: u64) -> galerie_store::Result<Option<Range<u64>>> {
        let mut at = offset_bytes;
        while at < self.virtual_size_bytes() {
            let run = self.writes.run(at, MAX_RUN_BYTES)?;
            let end = at + run.length_bytes;
            let found = match run.place {
                Place::Unallocated => self.base_data(at..end)?,
                Place::Zero => None,
                Place::Data { .. } | Place::Compressed { .. } => Some(at..end),
            };
            if found.is_some() {
                return Ok(found);
            }
            at = end;
        }
        Ok(None)
    }
}

impl fmt::Debug for Overlay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Overlay").field("writes", &self.writes).finish_non_exhaustive()
    }
}
