//! A checksum of each page of a staged upload, so that what rots on the disk before it is imported is not imported as truth.
//!
//! Four bytes a page in a sparse file beside the upload: the first ones of the page's BLAKE3, with 0 for a page of which
//! nothing is known. A checksum that is there is right, after a crash, too: those of pages that are overwritten are removed
//! durably before, and the new ones come after the pages are durable. They are not made durable themselves before the write is
//! acknowledged; one that a crash loses is a page that is not checked.

use std::{fs::File, io, ops::Range, os::unix::fs::FileExt};

use rustix::{fs::FallocateFlags, io::Errno};

use crate::staging::PAGE_SIZE_BYTES;

/// The size of a checksum.
const SUM_BYTES: u64 = 4;
/// How many checksums are written at a time where no hole can be made.
const FILL_BYTES: u64 = 64 * 1024;

/// The checksums of one upload. The caller holds a lock while it changes them.
#[derive(Debug)]
pub(crate) struct PageSums {
    file: File,
}

impl PageSums {
    /// The checksums in `file`, which is as long as [`PageSums::length_bytes`] says.
    pub(crate) fn new(file: File) -> Self {
        Self { file }
    }

    /// How long the file is for so many pages.
    pub(crate) fn length_bytes(pages: u64) -> u64 {
        pages * SUM_BYTES
    }

    /// Removes the checksums of pages that are about to be written, durably if there are any.
    pub(crate) fn forget(&self, pages: &Range<u64>) -> io::Result<()> {
        let mut known = vec![0; usize::try_from((pages.end - pages.start) * SUM_BYTES).map_err(io::Error::other)?];
        self.file.read_exact_at(&mut known, pages.start * SUM_BYTES)?;
        match known.iter().all(|byte| *byte == 0) {
            true => Ok(()),
            false => self.clear(pages),
        }
    }

    /// Removes the checksums of pages, however many, durably.
    pub(crate) fn clear(&self, pages: &Range<u64>) -> io::Result<()> {
        let (start, end) = (pages.start * SUM_BYTES, pages.end * SUM_BYTES);
        let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        match rustix::fs::fallocate(&self.file, hole, start, end - start) {
            Err(Errno::OPNOTSUPP) => {
                let zeros = [0; FILL_BYTES as usize];
                for at in (start..end).step_by(FILL_BYTES as usize) {
                    self.file.write_all_at(&zeros[..(end - at).min(FILL_BYTES) as usize], at)?;
                }
            }
            punched => punched?,
        }
        self.file.sync_data()
    }

    /// Writes the checksums of pages that are durable.
    pub(crate) fn set(&self, first_page: u64, bytes: &[u8]) -> io::Result<()> {
        let sums: Vec<u8> = bytes.chunks(PAGE_SIZE_BYTES as usize).flat_map(sum).collect();
        self.file.write_all_at(&sums, first_page * SUM_BYTES)
    }

    /// The first of these pages that is not what was written, if there is one.
    pub(crate) fn first_wrong(&self, first_page: u64, bytes: &[u8]) -> io::Result<Option<u64>> {
        let pages = bytes.chunks(PAGE_SIZE_BYTES as usize);
        let mut known = vec![0; pages.len() * SUM_BYTES as usize];
        self.file.read_exact_at(&mut known, first_page * SUM_BYTES)?;
        let known = known.chunks(SUM_BYTES as usize);
        let is_wrong = |(page, known): (&[u8], &[u8])| known != [0; SUM_BYTES as usize] && known != sum(page);
        Ok(pages.zip(known).position(is_wrong).map(|at| first_page + at as u64))
    }
}

/// Never 0, which says nothing.
fn sum(page: &[u8]) -> [u8; SUM_BYTES as usize] {
    let mut sum = [0; SUM_BYTES as usize];
    sum.copy_from_slice(&blake3::hash(page).as_bytes()[..SUM_BYTES as usize]);
    if sum == [0; SUM_BYTES as usize] { [1; SUM_BYTES as usize] } else { sum }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_is_checked_and_what_is_not_is_not() {
        let file = tempfile::tempfile().expect("a file");
        file.set_len(PageSums::length_bytes(100)).expect("a length");
        let sums = PageSums::new(file);
        let pages: Vec<u8> = (0..4 * 512).map(|at| (at / 512) as u8 + 1).collect();
        assert_eq!(sums.first_wrong(10, &pages).expect("read"), None, "nothing is known yet");
        sums.set(10, &pages).expect("set");
        assert_eq!(sums.first_wrong(10, &pages).expect("read"), None);
        for page in 0..4 {
            let mut rotten = pages.clone();
            rotten[page * 512 + 77] ^= 4;
            assert_eq!(sums.first_wrong(10, &rotten).expect("read"), Some(10 + page as u64));
        }
        sums.forget(&(11..13)).expect("forget");
        let mut rotten = pages.clone();
        rotten[700] ^= 1;
        assert_eq!(sums.first_wrong(10, &rotten).expect("read"), None);
        rotten[3 * 512] ^= 1;
        assert_eq!(sums.first_wrong(10, &rotten).expect("read"), Some(13));
        sums.clear(&(0..100)).expect("clear");
        assert_eq!(sums.first_wrong(10, &rotten).expect("read"), None);
    }
}
