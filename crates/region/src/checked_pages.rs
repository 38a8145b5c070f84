//! A staged upload's guest bytes, checked against what was written while they are read.

use std::{
    ops::Range,
    sync::{Arc, OnceLock},
};

use galerie_store::{Error, GuestBytes, Result};

use crate::{page_sums::PageSums, staging::PAGE_SIZE_BYTES};

/// The guest of a fixed VHD, whose bytes lie in the file where they lie in the guest.
pub(crate) struct CheckedPages {
    guest: Arc<dyn GuestBytes>,
    /// Nothing is checked of an upload without checksums.
    sums: Option<PageSums>,
    damage: OnceLock<String>,
}

impl CheckedPages {
    pub(crate) fn new(guest: Arc<dyn GuestBytes>, sums: Option<PageSums>) -> Self {
        Self { guest, sums, damage: OnceLock::new() }
    }

    /// What whoever uploaded it is to know of a page that is not what was written, when one was met.
    pub(crate) fn damage(&self) -> Option<&str> {
        self.damage.get().map(String::as_str)
    }

    /// Fills `pages`, which are whole ones, reading them twice if need be: a bit may have flipped on the way.
    fn read_pages(&self, sums: &PageSums, offset_bytes: u64, pages: &mut [u8]) -> Result<()> {
        let mut wrong = None;
        for _ in 0..2 {
            self.guest.read_at(offset_bytes, pages)?;
            let found = sums.first_wrong(offset_bytes / PAGE_SIZE_BYTES, pages);
            wrong = found.map_err(|source| Error::io("read the checksums of an upload", source))?;
            if wrong.is_none() {
                return Ok(());
            }
        }
        let at = wrong.unwrap_or(0) * PAGE_SIZE_BYTES;
        let told = self.damage.get_or_init(|| {
            format!(
                "the page at byte {at} is not what was uploaded: the disk that it was kept on has damaged it. Grant access \
                 again, upload that page or all of them, and end the access again"
            )
        });
        Err(Error::Corrupt(told.clone()))
    }
}

impl GuestBytes for CheckedPages {
    fn virtual_size_bytes(&self) -> u64 {
        self.guest.virtual_size_bytes()
    }

    fn read_at(&self, offset_bytes: u64, buf: &mut [u8]) -> Result<()> {
        let Some(sums) = &self.sums else { return self.guest.read_at(offset_bytes, buf) };
        let end_bytes = offset_bytes.saturating_add(buf.len() as u64);
        if offset_bytes.is_multiple_of(PAGE_SIZE_BYTES) && end_bytes.is_multiple_of(PAGE_SIZE_BYTES) {
            return self.read_pages(sums, offset_bytes, buf);
        }
        // Pages of which the caller wants a part are read as a whole. A fixed VHD's disk has whole pages.
        let start = offset_bytes / PAGE_SIZE_BYTES * PAGE_SIZE_BYTES;
        let length = end_bytes.next_multiple_of(PAGE_SIZE_BYTES) - start;
        let mut pages = vec![0; usize::try_from(length).expect("little more than the buffer")];
        self.read_pages(sums, start, &mut pages)?;
        let within = usize::try_from(offset_bytes - start).expect("less than a page");
        buf.copy_from_slice(&pages[within..within + buf.len()]);
        Ok(())
    }

    fn next_data(&self, offset_bytes: u64) -> Result<Option<Range<u64>>> {
        self.guest.next_data(offset_bytes)
    }
}
