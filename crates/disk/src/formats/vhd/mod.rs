//! Fixed VHD: the guest's bytes followed by a 512-byte footer. Azure's format for uploads.
//!
//! Source: "Virtual Hard Disk Image Format Specification", Microsoft, version 1.0, October 2006. Dynamic and
//! differencing VHDs are recognised and refused. The writer of footers is [`crate::export`].

mod header;
mod parser;
mod reader;

pub use reader::Reader;

pub(crate) use header::{COOKIE, DISK_TYPE_FIXED, FOOTER_BYTES, Footer};
pub(crate) use parser::parse_footer;
