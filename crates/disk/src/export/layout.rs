//! Which bytes of an exported file come from where.

use galerie_store::ManifestId;
use uuid::Uuid;

use crate::{
    Result,
    formats::{
        check_virtual_size,
        vhd::{DISK_TYPE_FIXED, FOOTER_BYTES, Footer},
    },
};

/// Azure takes only VHDs whose disk is a whole number of MiB
/// ("Prepare a Windows VHD or VHDX to upload to Azure", section on sizes).
const VHD_ALIGNMENT_BYTES: u64 = 1 << 20;

/// The namespace of the unique ids that are derived from manifest ids; any fixed random number would do.
const UNIQUE_ID_NAMESPACE: Uuid = Uuid::from_u128(0x6c1f_9d54_5b0e_4f7a_9a3d_2f6e_8c41_07b5);

/// The largest geometry. QEMU takes the disk's size from the geometry of any creator it does not know, *except* when
/// it is this one; every other reader we know takes the size field. A geometry computed by the specification's
/// appendix is nearly always smaller than the disk, and QEMU would cut the disk off there.
const GEOMETRY_USE_SIZE: (u16, u8, u8) = (65535, 16, 255);

/// A kind of exported file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ExportFormat {
    /// The disk's bytes.
    Raw,
    /// The disk's bytes, zeros up to a whole MiB, a footer.
    FixedVhd,
}

/// An exported file's shape: the disk, then padding zeros, then a footer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportLayout {
    format: ExportFormat,
    disk_size_bytes: u64,
    body_bytes: u64,
    footer: Option<Box<[u8; FOOTER_BYTES]>>,
}

impl ExportLayout {
    /// The file of this format for the disk that `manifest` names, which is `disk_size_bytes` long.
    ///
    /// # Errors
    /// `Invalid` or `Refused` for a disk that is empty or larger than 64 TiB.
    pub fn new(format: ExportFormat, disk_size_bytes: u64, manifest: &ManifestId) -> Result<Self> {
        check_virtual_size("exported", disk_size_bytes)?;
        Ok(match format {
            ExportFormat::Raw => Self { format, disk_size_bytes, body_bytes: disk_size_bytes, footer: None },
            ExportFormat::FixedVhd => {
                let body_bytes = disk_size_bytes.next_multiple_of(VHD_ALIGNMENT_BYTES);
                let footer = Some(Box::new(footer(body_bytes, manifest).encode()));
                Self { format, disk_size_bytes, body_bytes, footer }
            }
        })
    }

    /// The kind of file.
    pub fn format(&self) -> ExportFormat {
        self.format
    }

    /// The file's length, in bytes.
    pub fn length_bytes(&self) -> u64 {
        self.body_bytes + self.footer().len() as u64
    }

    /// Where the disk's own bytes end and padding begins.
    pub(super) fn disk_size_bytes(&self) -> u64 {
        self.disk_size_bytes
    }

    /// Where padding ends and the footer begins.
    pub(super) fn body_bytes(&self) -> u64 {
        self.body_bytes
    }

    /// The footer; empty for a raw file.
    pub(super) fn footer(&self) -> &[u8] {
        self.footer.as_deref().map_or(&[], |footer| footer.as_slice())
    }
}

/// The footer of a disk of `body_bytes`, the same wherever and whenever it is made.
fn footer(body_bytes: u64, manifest: &ManifestId) -> Footer {
    Footer {
        timestamp_s: 0,
        creator_app: *b"glre",
        creator_version: 0x0001_0000,
        creator_host: *b"Wi2k",
        original_size_bytes: body_bytes,
        current_size_bytes: body_bytes,
        geometry: GEOMETRY_USE_SIZE,
        disk_type: DISK_TYPE_FIXED,
        unique_id: Uuid::new_v5(&UNIQUE_ID_NAMESPACE, &manifest.0.0).into_bytes(),
    }
}

#[cfg(test)]
mod tests {
    use galerie_store::BlobId;

    use super::*;

    fn check(format: ExportFormat, disk_size_bytes: u64, expected_length_bytes: u64) {
        let layout = ExportLayout::new(format, disk_size_bytes, &ManifestId(BlobId([7; 32]))).unwrap();
        assert_eq!(layout.length_bytes(), expected_length_bytes);
    }

    #[test]
    fn a_raw_file_is_as_long_as_its_disk() {
        check(ExportFormat::Raw, 1, 1);
        check(ExportFormat::Raw, 1 << 40, 1 << 40);
    }

    #[test]
    fn a_vhd_is_whole_mebibytes_and_a_footer() {
        check(ExportFormat::FixedVhd, 1, (1 << 20) + 512);
        check(ExportFormat::FixedVhd, 1 << 20, (1 << 20) + 512);
        check(ExportFormat::FixedVhd, (1 << 20) + 1, (2 << 20) + 512);
        check(ExportFormat::FixedVhd, 64 << 40, (64 << 40) + 512);
    }

    #[test]
    fn sizes_no_disk_has_are_refused() {
        for size in [0, (64 << 40) + 1, u64::MAX] {
            assert!(ExportLayout::new(ExportFormat::FixedVhd, size, &ManifestId(BlobId([7; 32]))).is_err());
        }
    }

    #[test]
    fn the_footer_never_changes() {
        let layout = ExportLayout::new(ExportFormat::FixedVhd, 3 << 20, &ManifestId(BlobId([7; 32]))).unwrap();
        assert_eq!(blake3_of(layout.footer()), GOLDEN_FOOTER);
    }

    /// Of the footer above; a change breaks every published hash of an exported VHD.
    const GOLDEN_FOOTER: &str = "053a4f4cf3682d22a5e2336c4e3cb3f8694f4ded839fcebc3021c162d1f6c6b5";

    fn blake3_of(bytes: &[u8]) -> String {
        BlobId::of(bytes).to_string()
    }
}
