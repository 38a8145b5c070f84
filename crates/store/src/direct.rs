//! Writing large files past the page cache.
//!
//! A pack is written once and may not be read for long, and so may an exported image. Through the page cache, its bytes would be
//! copied, take the place of what guests read, and cost a processor several times what handing them to the disk costs: 392 MiB
//! took 0.2 to 1.9 s of processor time that way, by how many of the cache's pages were new, and 0.05 s directly. Who compresses
//! or decompresses on all processors has none to spare.
//!
//! Memory, offset and length of such writes are multiples of a page, so bytes are gathered in a buffer. What is short
//! or begins elsewhere, and the end of a stretch, goes through the page cache after all. So does everything on a file system that
//! does not know such writes, which some say only at the first one. Nothing written is durable before the file is synced.

use std::{borrow::Borrow, fs::File, io, os::unix::fs::FileExt};

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

/// Files from this size on are worth it.
pub(crate) const WORTHWHILE_BYTES: usize = 1 << 20;
/// What the file systems and disks of our time ask for at most: a page.
const ALIGNMENT_BYTES: usize = 4096;
/// How much is handed over at once.
const BUFFER_BYTES: usize = 4 << 20;
/// Shorter stretches go through the page cache, which gathers them: each direct write waits for the disk.
const STRETCH_MIN_BYTES: usize = 128 << 10;

/// Writes to a file, past the page cache where that can be done. Nobody else may write to the same open file meanwhile.
#[derive(Debug)]
pub struct DirectWriter<F> {
    file: F,
    buffer: Buffer,
    /// Where the buffer's first byte goes.
    start_bytes: u64,
    /// Whether the file system takes such writes, for all we know.
    can: bool,
    /// Whether the open file is switched to them now.
    is_on: bool,
}

impl<F: Borrow<File>> DirectWriter<F> {
    /// A writer to an open file.
    pub fn new(file: F) -> Self {
        Self { file, buffer: Buffer::new(), start_bytes: 0, can: true, is_on: false }
    }

    /// Writes `bytes` at this offset. What follows what was written before is gathered with it.
    ///
    /// # Errors
    /// The file's, perhaps about bytes that were taken before.
    pub fn write_at(&mut self, bytes: &[u8], offset_bytes: u64) -> io::Result<()> {
        if offset_bytes != self.start_bytes + self.buffer.length as u64 {
            self.flush()?;
            self.start_bytes = offset_bytes;
        }
        let mut rest = bytes;
        while !rest.is_empty() {
            rest = self.buffer.fill(rest);
            if self.buffer.length == BUFFER_BYTES {
                self.flush()?;
            }
        }
        Ok(())
    }

    /// Writes what is gathered, and leaves the open file as it was.
    ///
    /// # Errors
    /// The file's.
    pub fn finish(mut self) -> io::Result<()> {
        self.flush()?;
        self.switch(false)
    }

    fn flush(&mut self) -> io::Result<()> {
        let length = self.buffer.length;
        let is_worth_it = length >= STRETCH_MIN_BYTES && self.start_bytes.is_multiple_of(ALIGNMENT_BYTES as u64);
        let direct = if is_worth_it { length / ALIGNMENT_BYTES * ALIGNMENT_BYTES } else { 0 };
        for (within, direct) in [(0..direct, true), (direct..length, false)] {
            if !within.is_empty() {
                self.switch(direct)?;
                self.write(within)?;
            }
        }
        self.start_bytes += length as u64;
        self.buffer.length = 0;
        Ok(())
    }

    fn write(&mut self, within: std::ops::Range<usize>) -> io::Result<()> {
        let (file, start) = (self.file.borrow(), self.start_bytes + within.start as u64);
        let mut gave_up = false;
        let written = write_all(
            &self.buffer.filled()[within],
            |bytes, written| file.write_at(bytes, start + written),
            || {
                gave_up = true;
                switch(file, false)
            },
        );
        // Short of alignment, or never able to: what follows in the file would be refused as well.
        if gave_up {
            (self.can, self.is_on) = (false, false);
        }
        written
    }

    /// Turns direct writes on or off; not on where they were refused.
    fn switch(&mut self, on: bool) -> io::Result<()> {
        if self.is_on == on || (on && !self.can) {
            return Ok(());
        }
        match switch(self.file.borrow(), on) {
            Ok(()) => self.is_on = on,
            Err(_) if on => self.can = false,
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

fn switch(file: &File, direct: bool) -> io::Result<()> {
    let mut flags = fcntl_getfl(file)?;
    flags.set(OFlags::DIRECT, direct);
    Ok(fcntl_setfl(file, flags)?)
}

/// Writes all of it; `write` is told how much was written before. What is refused as invalid, at the first write or because an
/// earlier one ended short of alignment, goes on from there after `give_up`, which is called once.
fn write_all(
    bytes: &[u8],
    mut write: impl FnMut(&[u8], u64) -> io::Result<usize>,
    give_up: impl FnOnce() -> io::Result<()>,
) -> io::Result<()> {
    let (mut written, mut give_up) = (0, Some(give_up));
    while written < bytes.len() {
        match write(&bytes[written..], written as u64) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => written += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => match give_up.take() {
                Some(give_up) => give_up()?,
                None => return Err(error),
            },
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Memory that begins at a multiple of the alignment.
#[derive(Debug)]
struct Buffer {
    bytes: Vec<u8>,
    start: usize,
    length: usize,
}

impl Buffer {
    fn new() -> Self {
        let bytes = vec![0; BUFFER_BYTES + ALIGNMENT_BYTES];
        let start = bytes.as_ptr().align_offset(ALIGNMENT_BYTES).min(ALIGNMENT_BYTES);
        Self { bytes, start, length: 0 }
    }

    /// Takes as much as there is room for; answers the rest.
    fn fill<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let (taken, rest) = bytes.split_at(bytes.len().min(BUFFER_BYTES - self.length));
        let at = self.start + self.length;
        self.bytes[at..at + taken.len()].copy_from_slice(taken);
        self.length += taken.len();
        rest
    }

    fn filled(&self) -> &[u8] {
        &self.bytes[self.start..self.start + self.length]
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    /// A file that takes `limits[n]` bytes at most at the n-th write; -1 refuses it as invalid.
    fn check(limits: &[i64], expected: Result<u32, io::ErrorKind>) {
        let bytes: Vec<u8> = (0..100).collect();
        let (mut limits_left, mut out, mut given_up) = (limits.iter(), Vec::new(), 0);
        let written = write_all(
            &bytes,
            |rest, written| {
                assert_eq!(written, out.len() as u64);
                let limit = *limits_left.next().unwrap_or(&i64::MAX);
                let limit = usize::try_from(limit).map_err(|_| io::ErrorKind::InvalidInput)?;
                let count = rest.len().min(limit);
                out.extend_from_slice(&rest[..count]);
                Ok(count)
            },
            || {
                given_up += 1;
                Ok(())
            },
        );
        assert_eq!(written.map(|()| given_up).map_err(|error| error.kind()), expected, "{limits:?}");
        if expected.is_ok() {
            assert_eq!(out, bytes, "{limits:?}");
        }
    }

    #[test]
    fn goes_on_where_a_write_ended() {
        check(&[], Ok(0));
        check(&[10, 20, 1], Ok(0));
        check(&[-1], Ok(1));
        check(&[10, -1, 5], Ok(1));
        check(&[10, -1, -1], Err(io::ErrorKind::InvalidInput));
        check(&[10, 0], Err(io::ErrorKind::WriteZero));
    }

    /// Stretches of these lengths, each so many bytes after the one before.
    #[test]
    fn a_file_has_what_was_written_whatever_its_lengths_and_gaps() {
        let folder = tempfile::tempdir().unwrap();
        for (number, stretches) in [
            &[][..],
            &[(1, 0)],
            &[(4096, 0)],
            &[(4095, 0), (2, 0)],
            &[(BUFFER_BYTES, 0)],
            &[(BUFFER_BYTES - 1, 0), (2, 0)],
            &[(3, 0), (BUFFER_BYTES * 2, 0), (100, 0), (0, 0), (65_536, 0), (4096 - 103, 0)],
            &[(300_000, 8192), (300_000, 4096 * 7), (10, 3), (200_000, 5), (1 << 20, 4096)],
        ]
        .into_iter()
        .enumerate()
        {
            let path = folder.path().join(number.to_string());
            let mut file = File::create(&path).unwrap();
            let (mut expected, mut writer) = (Vec::new(), DirectWriter::new(&file));
            for ((length, gap), byte) in stretches.iter().zip(1..) {
                expected.resize(expected.len() + gap, 0);
                writer.write_at(&vec![byte; *length], expected.len() as u64).unwrap();
                // What was just handed over as a full buffer went past the page cache, where that can be done.
                let is_full = *length >= BUFFER_BYTES && writer.start_bytes.is_multiple_of(BUFFER_BYTES as u64);
                assert!(!is_full || writer.is_on || !writer.can, "{stretches:?}");
                expected.resize(expected.len() + length, byte);
            }
            writer.finish().unwrap();
            assert!(std::fs::read(&path).unwrap() == expected, "{stretches:?}");
            // The file is as it was.
            file.write_all(b"unaligned").unwrap();
        }
    }
}
