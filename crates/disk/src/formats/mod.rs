//! Image files: what they are and the guest bytes in them.
//!
//! The format is decided once by [`inspect`] and passed on explicitly from then on, because a guest can write any
//! header it likes into its own disk: a raw image must never be asked again what it is. Each format is a folder of a
//! *header* (what the bytes on disk mean), a *parser* (from bytes to a checked header) and a *reader* (guest bytes).

mod inspect;
pub mod qcow2;
pub mod raw;
mod source;
pub mod vhd;

use std::{fmt, fs::File, str::FromStr, sync::Arc};

use galerie_store::GuestBytes;

pub use inspect::inspect;
pub(crate) use source::SourceFile;

use crate::{Error, Result};

/// The largest disk we take: 64 TiB, Azure's largest (Ultra) disk and VHDX's limit.
pub const MAX_VIRTUAL_SIZE_BYTES: u64 = 64 << 40;

/// A disk image format that can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// The guest's bytes and nothing else.
    Raw,
    /// Fixed VHD: the guest's bytes and a footer. Azure's upload format.
    Vhd,
    /// QEMU's copy-on-write format, versions 2 and 3, without backing or data file.
    Qcow2,
}

impl Format {
    /// The format's name, as users write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Vhd => "vhd",
            Self::Qcow2 => "qcow2",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Format {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "raw" => Ok(Self::Raw),
            "vhd" | "vpc" => Ok(Self::Vhd),
            "qcow2" => Ok(Self::Qcow2),
            other => Err(Error::Invalid(format!(
                "'{}' is not a format: use raw, vhd or qcow2",
                other.chars().take(40).collect::<String>()
            ))),
        }
    }
}

/// An image file, opened.
#[derive(Clone)]
pub struct OpenImage {
    /// What it is.
    pub format: Format,
    /// What its guest sees.
    pub guest: Arc<dyn GuestBytes>,
}

impl fmt::Debug for OpenImage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenImage")
            .field("format", &self.format)
            .field("virtual_size_bytes", &self.guest.virtual_size_bytes())
            .finish_non_exhaustive()
    }
}

/// Opens an image file. Without a format it is inspected; with one it is taken at its word and not inspected.
///
/// Blocks on disk reads; call it from a thread that may.
///
/// # Errors
/// `Refused` for what we do not take, `Corrupt` for what is damaged, `Invalid` for an empty disk or something that is
/// not a regular file, `Io` when it cannot be read.
pub fn open(file: File, format: Option<Format>) -> Result<OpenImage> {
    let format = match format {
        Some(format) => format,
        None => inspect(&file)?,
    };
    let source = SourceFile::new(file, format.name())?;
    let guest: Arc<dyn GuestBytes> = match format {
        Format::Raw => Arc::new(raw::Reader::open(source)?),
        Format::Vhd => Arc::new(vhd::Reader::open(source)?),
        Format::Qcow2 => Arc::new(qcow2::Reader::open(source)?),
    };
    Ok(OpenImage { format, guest })
}

/// Checks the bounds every disk keeps, whatever its format.
pub(crate) fn check_virtual_size(format: &str, size_bytes: u64) -> Result<()> {
    if size_bytes == 0 {
        return Err(Error::Invalid(format!("the {format} image is empty: it holds a disk of 0 bytes")));
    }
    if size_bytes > MAX_VIRTUAL_SIZE_BYTES {
        let reason = format!("its disk of {size_bytes} bytes is larger than 64 TiB");
        return Err(Error::refused(format, reason, "shrink it, for example with qemu-img resize --shrink"));
    }
    Ok(())
}
