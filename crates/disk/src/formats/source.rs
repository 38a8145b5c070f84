//! The file under a reader: positional reads that name what they were for.

use std::{fs::File, io::ErrorKind, ops::Range, os::unix::fs::FileExt};

use rustix::{fs::SeekFrom, io::Errno};

use crate::{Error, Result};

/// An image file whose length was taken once. Reads may come from several threads at once.
#[derive(Debug)]
pub(crate) struct SourceFile {
    file: File,
    format: &'static str,
    length_bytes: u64,
}

impl SourceFile {
    /// Takes a regular file; directories, pipes and devices are not images.
    pub(crate) fn new(file: File, format: &'static str) -> Result<Self> {
        let length_bytes = regular_length(&file)?;
        Ok(Self { file, format, length_bytes })
    }

    /// The file's length when it was opened.
    pub(crate) fn length_bytes(&self) -> u64 {
        self.length_bytes
    }

    /// An error about a part of this file.
    pub(crate) fn corrupt(&self, structure: &'static str, offset_bytes: u64, problem: impl Into<String>) -> Error {
        Error::Corrupt { format: self.format, structure, offset_bytes, problem: problem.into() }
    }

    /// Checks that `length_bytes` at `offset_bytes` are inside the file; call it before allocating for them.
    pub(crate) fn check_inside(&self, structure: &'static str, offset_bytes: u64, length_bytes: u64) -> Result<()> {
        match offset_bytes.checked_add(length_bytes) {
            Some(end) if end <= self.length_bytes => Ok(()),
            _ => Err(self.corrupt(
                structure,
                offset_bytes,
                format!("its {length_bytes} bytes reach past the file's end at {}", self.length_bytes),
            )),
        }
    }

    /// Fills `buffer` from `offset_bytes`.
    pub(crate) fn read(&self, structure: &'static str, offset_bytes: u64, buffer: &mut [u8]) -> Result<()> {
        self.check_inside(structure, offset_bytes, buffer.len() as u64)?;
        self.file.read_exact_at(buffer, offset_bytes).map_err(|error| match error.kind() {
            ErrorKind::UnexpectedEof => self.corrupt(structure, offset_bytes, "the file became shorter while in use"),
            _ => Error::io(format!("read {} {structure} at offset {offset_bytes}", self.format), error),
        })
    }

    /// The first run in `range_bytes` that the file system says may hold something other than zeros.
    pub(crate) fn next_data(&self, range_bytes: Range<u64>) -> Result<Option<Range<u64>>> {
        if range_bytes.is_empty() {
            return Ok(None);
        }
        let start = match rustix::fs::seek(&self.file, SeekFrom::Data(range_bytes.start)) {
            Ok(start) => start.max(range_bytes.start),
            Err(Errno::NXIO) => return Ok(None),
            // A file system that cannot tell: everything may be data.
            Err(Errno::INVAL | Errno::NOTSUP) => return Ok(Some(range_bytes)),
            Err(error) => return Err(Error::io("look for data in the image file", error.into())),
        };
        if start >= range_bytes.end {
            return Ok(None);
        }
        let end = match rustix::fs::seek(&self.file, SeekFrom::Hole(start)) {
            Ok(end) if end > start => end.min(range_bytes.end),
            Ok(_) | Err(Errno::NXIO | Errno::INVAL | Errno::NOTSUP) => range_bytes.end,
            Err(error) => return Err(Error::io("look for holes in the image file", error.into())),
        };
        Ok(Some(start..end))
    }
}

/// The length of a regular file.
pub(crate) fn regular_length(file: &File) -> Result<u64> {
    let metadata = file.metadata().map_err(|error| Error::io("look at the image file", error))?;
    if !metadata.is_file() {
        return Err(Error::Invalid("an image must be a regular file".to_owned()));
    }
    Ok(metadata.len())
}
