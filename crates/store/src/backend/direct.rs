//! Writing a large file past the page cache.
//!
//! A pack is written once and may not be read for long. Through the page cache, its bytes would be copied, take the place of
//! what guests read, and cost a processor several times what handing them to the disk costs: 392 MiB took 0.2 to 1.9 s of
//! processor time that way, by how many of the cache's pages were new, and 0.05 s directly. An import that compresses on all
//! processors has none to spare.
//!
//! Memory, offset and length of such writes are multiples of [`ALIGNMENT_BYTES`], so bytes are gathered in a buffer, and the
//! end of a file goes through the page cache after all. So does everything on a file system that does not know such writes,
//! which some say only at the first one. Nothing written is durable before the file is synced.

use std::{
    fs::File,
    io::{self, Write},
};

use bytes::Bytes;
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

/// Files from this size on are worth it.
pub(super) const WORTHWHILE_BYTES: usize = 1 << 20;
/// What the file systems and disks of our time ask for at most: a page.
const ALIGNMENT_BYTES: usize = 4096;
/// How much is handed over at once.
const BUFFER_BYTES: usize = 4 << 20;

/// Writes `parts`, one after the other, to an empty file; `false`, and nothing is written, where that cannot be done.
pub(super) fn write_parts(file: &File, parts: &[Bytes]) -> io::Result<bool> {
    if switch(file, true).is_err() {
        return Ok(false);
    }
    let (mut out, mut buffer) = (file, Buffer::new());
    for part in parts {
        let mut rest = part.as_ref();
        while !rest.is_empty() {
            rest = buffer.fill(rest);
            if buffer.is_full() {
                write_all(&mut out, buffer.filled(), || switch(file, false))?;
                buffer.clear();
            }
        }
    }
    let (aligned, end) = buffer.filled().split_at(buffer.filled().len() / ALIGNMENT_BYTES * ALIGNMENT_BYTES);
    write_all(&mut out, aligned, || switch(file, false))?;
    switch(file, false)?;
    out.write_all(end)?;
    Ok(true)
}

fn switch(file: &File, direct: bool) -> io::Result<()> {
    let mut flags = fcntl_getfl(file)?;
    flags.set(OFlags::DIRECT, direct);
    Ok(fcntl_setfl(file, flags)?)
}

/// Writes all of it. What is refused as invalid, at the first write or because an earlier one ended short of alignment, goes
/// on from there after `give_up`, which is called once.
fn write_all(out: &mut impl Write, bytes: &[u8], give_up: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
    let (mut rest, mut give_up) = (bytes, Some(give_up));
    while !rest.is_empty() {
        match out.write(rest) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => rest = &rest[count..],
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

    fn is_full(&self) -> bool {
        self.length == BUFFER_BYTES
    }

    fn filled(&self) -> &[u8] {
        &self.bytes[self.start..self.start + self.length]
    }

    fn clear(&mut self) {
        self.length = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes `limits[n]` bytes at most at the n-th write; -1 refuses it as invalid.
    struct Moody {
        limits: Vec<i64>,
        written: Vec<u8>,
    }

    impl Write for Moody {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let limit = if self.limits.is_empty() { i64::MAX } else { self.limits.remove(0) };
            let limit = usize::try_from(limit).map_err(|_| io::ErrorKind::InvalidInput)?;
            let count = bytes.len().min(limit);
            self.written.extend_from_slice(&bytes[..count]);
            Ok(count)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn check(limits: &[i64], expected: Result<u32, io::ErrorKind>) {
        let mut out = Moody { limits: limits.to_vec(), written: Vec::new() };
        let bytes: Vec<u8> = (0..100).collect();
        let mut given_up = 0;
        let written = write_all(&mut out, &bytes, || {
            given_up += 1;
            Ok(())
        });
        assert_eq!(written.map(|()| given_up).map_err(|error| error.kind()), expected, "{limits:?}");
        if expected.is_ok() {
            assert_eq!(out.written, bytes, "{limits:?}");
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

    #[test]
    fn a_file_has_the_parts_bytes_whatever_their_lengths() {
        let folder = tempfile::tempdir().unwrap();
        for (at, lengths) in [
            &[][..],
            &[1],
            &[4096],
            &[4095, 2],
            &[BUFFER_BYTES],
            &[BUFFER_BYTES - 1, 2],
            &[3, BUFFER_BYTES * 2, 100, 0, 65_536, 4096 - 103],
        ]
        .into_iter()
        .enumerate()
        {
            let parts: Vec<Bytes> = lengths.iter().zip(1..).map(|(length, byte)| vec![byte; *length].into()).collect();
            let path = folder.path().join(at.to_string());
            let mut file = File::create(&path).unwrap();
            if !write_parts(&file, &parts).unwrap() {
                // This file system does not know such writes; then nothing may be there.
                assert_eq!(std::fs::metadata(&path).unwrap().len(), 0);
                continue;
            }
            assert!(std::fs::read(&path).unwrap() == parts.concat(), "{lengths:?}");
            // The file is as it was.
            file.write_all(b"unaligned").unwrap();
        }
    }
}
