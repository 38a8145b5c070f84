//! From a file's length to a raw image's facts.

use super::header::Header;
use crate::{
    Result,
    formats::{SourceFile, check_virtual_size},
};

/// Any file is a raw image as long as its size is one a disk may have.
pub(crate) fn parse(source: &SourceFile) -> Result<Header> {
    let virtual_size_bytes = source.length_bytes();
    check_virtual_size("raw", virtual_size_bytes)?;
    Ok(Header { virtual_size_bytes })
}
