//! Which pages of a staged upload were written: one bit a page, in a sparse file beside the upload.
//!
//! A file system's own map of holes is as coarse as its blocks, and cannot tell a page of written zeros from one that was
//! never written; Azure's Get Page Ranges does both. The bits follow the bytes: a page is marked after it is durable and
//! unmarked after it is zeros, so a crash in between leaves only what nobody was told.
//!
//! Whole bytes are unmarked by making a hole: clearing all of a large upload, which is how clients begin, then neither
//! writes its map nor leaves it to be read.

use std::{fs::File, io, ops::Range, os::unix::fs::FileExt};

use rustix::{
    fs::{FallocateFlags, SeekFrom},
    io::Errno,
};

/// How much of the map is read or filled at a time.
const READ_BYTES: u64 = 4096;

/// The map of one upload. The caller holds a lock while it changes one.
#[derive(Debug)]
pub(crate) struct PageMap {
    file: File,
}

impl PageMap {
    /// A map in `file`, which is as long as [`PageMap::length_bytes`] says.
    pub(crate) fn new(file: File) -> Self {
        Self { file }
    }

    /// How long the map's file is for so many pages.
    pub(crate) fn length_bytes(pages: u64) -> u64 {
        pages.div_ceil(8)
    }

    /// Marks or unmarks pages. Durable after [`PageMap::sync`].
    pub(crate) fn set(&self, pages: &Range<u64>, written: bool) -> io::Result<()> {
        if pages.is_empty() {
            return Ok(());
        }
        let (first, last) = (pages.start / 8, (pages.end - 1) / 8);
        for at in [first, last] {
            let mask = mask(at, pages);
            let mut byte = [0];
            self.file.read_exact_at(&mut byte, at)?;
            byte[0] = if written { byte[0] | mask } else { byte[0] & !mask };
            self.file.write_all_at(&byte, at)?;
        }
        let between = first + 1..last.max(first + 1);
        if written { self.fill(between, 0xff) } else { self.punch(between) }
    }

    /// Whole bytes of zeros, as a hole where the file system can make one.
    fn punch(&self, bytes: Range<u64>) -> io::Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        match rustix::fs::fallocate(&self.file, hole, bytes.start, bytes.end - bytes.start) {
            Err(Errno::OPNOTSUPP) => self.fill(bytes, 0),
            punched => Ok(punched?),
        }
    }

    fn fill(&self, bytes: Range<u64>, fill: u8) -> io::Result<()> {
        let whole = [fill; READ_BYTES as usize];
        let mut at = bytes.start;
        while at < bytes.end {
            let length = (bytes.end - at).min(READ_BYTES);
            self.file.write_all_at(&whole[..length as usize], at)?;
            at += length;
        }
        Ok(())
    }

    /// Makes what was set durable.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// The runs of written pages, ascending, none touching the next, at most `most`; the last one then reaches to the
    /// end of the upload, which has `pages` pages.
    pub(crate) fn runs(&self, pages: u64, most: usize) -> io::Result<Vec<Range<u64>>> {
        let mut runs: Vec<Range<u64>> = Vec::new();
        let mut at = 0;
        while let Some(data) = self.next_data(at)? {
            let end = data.end.min(data.start + READ_BYTES);
            let mut bytes = vec![0; usize::try_from(end - data.start).map_err(io::Error::other)?];
            self.file.read_exact_at(&mut bytes, data.start)?;
            for (index, byte) in (data.start..).zip(bytes) {
                push_byte(&mut runs, index * 8, byte);
            }
            if runs.len() > most {
                runs.truncate(most);
                runs.last_mut().expect("most is not 0").end = pages;
                break;
            }
            at = end;
        }
        Ok(runs)
    }

    fn next_data(&self, at: u64) -> io::Result<Option<Range<u64>>> {
        let start = match rustix::fs::seek(&self.file, SeekFrom::Data(at)) {
            Ok(start) => start,
            Err(Errno::NXIO) => return Ok(None),
            Err(e) => return Err(e.into()),
        };
        let end = rustix::fs::seek(&self.file, SeekFrom::Hole(start))?;
        Ok(Some(start..end))
    }
}

/// The bits of the byte at `at` that stand for `pages`.
fn mask(at: u64, pages: &Range<u64>) -> u8 {
    (0..8).filter(|bit| pages.contains(&(at * 8 + bit))).fold(0, |mask, bit| mask | 1 << bit)
}

fn push_byte(runs: &mut Vec<Range<u64>>, first_page: u64, byte: u8) {
    for page in (0..8).filter(|bit| byte >> bit & 1 == 1).map(|bit| first_page + bit) {
        match runs.last_mut() {
            Some(last) if last.end == page => last.end += 1,
            _ => runs.push(page..page + 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PAGES: u64 = 80_000;

    proptest! {
        #[test]
        fn runs_are_what_a_list_of_pages_says(
            changes in proptest::collection::vec((0..PAGES, 0..30_000_u64, any::<bool>()), 0..12)
        ) {
            let file = tempfile::tempfile().expect("a file");
            file.set_len(PageMap::length_bytes(PAGES)).expect("a length");
            let map = PageMap::new(file);
            let mut model = vec![false; PAGES as usize];
            for (start, length, written) in changes {
                let pages = start..(start + length).min(PAGES);
                map.set(&pages, written).expect("set");
                model[pages.start as usize..pages.end as usize].fill(written);
            }
            let mut expected: Vec<Range<u64>> = Vec::new();
            for page in (0..PAGES).filter(|page| model[*page as usize]) {
                match expected.last_mut() {
                    Some(last) if last.end == page => last.end += 1,
                    _ => expected.push(page..page + 1),
                }
            }
            prop_assert_eq!(map.runs(PAGES, usize::MAX).expect("runs"), expected);
        }
    }

    #[test]
    fn the_last_of_too_many_runs_reaches_to_the_end() {
        let file = tempfile::tempfile().expect("a file");
        file.set_len(PageMap::length_bytes(100)).expect("a length");
        let map = PageMap::new(file);
        for page in [1, 3, 5, 7] {
            map.set(&(page..page + 1), true).expect("set");
        }
        assert_eq!(map.runs(100, 2).expect("runs"), vec![1..2, 3..100]);
    }

    /// Regression: clearing all of an upload wrote its whole map, 8 GiB for 32 TiB, and every list of ranges read it.
    #[test]
    fn clearing_everything_writes_next_to_nothing() {
        use std::os::unix::fs::MetadataExt;
        let pages = (1 << 40) / 512;
        let file = tempfile::tempfile().expect("a file");
        file.set_len(PageMap::length_bytes(pages)).expect("a length");
        let map = PageMap::new(file);
        map.set(&(5..6), true).expect("set");
        map.set(&(900_000..1_000_000), true).expect("set");
        map.set(&(0..pages), false).expect("clear");
        assert_eq!(map.runs(pages, 10).expect("runs"), Vec::<Range<u64>>::new());
        // Blocks of 512 bytes; the first and the last byte are still written.
        let blocks = map.file.metadata().expect("metadata").blocks();
        assert!(blocks <= 1024, "{blocks} blocks");
    }
}
