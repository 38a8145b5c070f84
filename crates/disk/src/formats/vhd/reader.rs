//! Guest bytes of a fixed VHD: the file's own, up to the footer.

use std::ops::Range;

use galerie_store::GuestBytes;

use super::{
    header::{FOOTER_BYTES, Footer},
    parser,
};
use crate::{Result, device::check_range, formats::SourceFile};

/// An open fixed VHD.
#[derive(Debug)]
pub struct Reader {
    source: SourceFile,
    footer: Footer,
}

impl Reader {
    /// Opens a fixed VHD by its footer.
    pub(crate) fn open(source: SourceFile) -> Result<Self> {
        let mut bytes = [0; FOOTER_BYTES];
        source.read("footer", source.length_bytes().saturating_sub(FOOTER_BYTES as u64), &mut bytes)?;
        let footer = parser::parse_footer(&bytes, source.length_bytes())?;
        Ok(Self { source, footer })
    }
}

impl GuestBytes for Reader {
    fn virtual_size_bytes(&self) -> u64 {
        self.footer.current_size_bytes
    }

    fn read_at(&self, offset_bytes: u64, buf: &mut [u8]) -> galerie_store::Result<()> {
        check_range(self.footer.current_size_bytes, offset_bytes, buf.len() as u64)?;
        Ok(self.source.read("guest data", offset_bytes, buf)?)
    }

    fn next_data(&self, offset_bytes: u64) -> galerie_store::Result<Option<Range<u64>>> {
        Ok(self.source.next_data(offset_bytes..self.footer.current_size_bytes)?)
    }
}
