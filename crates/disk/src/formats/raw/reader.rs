//! Guest bytes of a raw image: the file's own; its holes are zeros.

use std::ops::Range;

use galerie_store::GuestBytes;

use super::{header::Header, parser};
use crate::{Result, device::check_range, formats::SourceFile};

/// An open raw image.
#[derive(Debug)]
pub struct Reader {
    source: SourceFile,
    header: Header,
}

impl Reader {
    /// Opens a raw image.
    pub(crate) fn open(source: SourceFile) -> Result<Self> {
        let header = parser::parse(&source)?;
        Ok(Self { source, header })
    }
}

impl GuestBytes for Reader {
    fn virtual_size_bytes(&self) -> u64 {
        self.header.virtual_size_bytes
    }

    fn read_at(&self, offset_bytes: u64, buf: &mut [u8]) -> galerie_store::Result<()> {
        check_range(self.header.virtual_size_bytes, offset_bytes, buf.len() as u64)?;
        Ok(self.source.read("guest data", offset_bytes, buf)?)
    }

    fn next_data(&self, offset_bytes: u64) -> galerie_store::Result<Option<Range<u64>>> {
        Ok(self.source.next_data(offset_bytes..self.header.virtual_size_bytes)?)
    }
}
