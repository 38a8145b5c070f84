//! The footer: where its fields lie, and its checksum.

use std::ops::Range;

/// A footer's length.
pub(crate) const FOOTER_BYTES: usize = 512;
/// The first eight bytes of a footer.
pub(crate) const COOKIE: &[u8] = b"conectix";
/// `Disk Type` of a fixed disk.
pub(crate) const DISK_TYPE_FIXED: u32 = 2;
/// `Disk Type` of a dynamic disk.
pub(crate) const DISK_TYPE_DYNAMIC: u32 = 3;
/// `Disk Type` of a differencing disk.
pub(crate) const DISK_TYPE_DIFFERENCING: u32 = 4;
/// `File Format Version` 1.0, the only one there is.
pub(crate) const VERSION_1_0: u32 = 0x0001_0000;

const FEATURES: Range<usize> = 8..12;
const VERSION: Range<usize> = 12..16;
const DATA_OFFSET: Range<usize> = 16..24;
const TIMESTAMP: Range<usize> = 24..28;
const CREATOR_APP: Range<usize> = 28..32;
const CREATOR_VERSION: Range<usize> = 32..36;
const CREATOR_HOST: Range<usize> = 36..40;
const ORIGINAL_SIZE: Range<usize> = 40..48;
const CURRENT_SIZE: Range<usize> = 48..56;
const GEOMETRY: Range<usize> = 56..60;
const DISK_TYPE: Range<usize> = 60..64;
const CHECKSUM: Range<usize> = 64..68;
const UNIQUE_ID: Range<usize> = 68..84;

/// A footer's fields, as far as anyone uses them. Numbers are big-endian on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Footer {
    /// Seconds since 2000-01-01 00:00:00 UTC.
    pub(crate) timestamp_s: u32,
    /// Four letters naming the program that wrote it.
    pub(crate) creator_app: [u8; 4],
    /// The version of that program.
    pub(crate) creator_version: u32,
    /// Four letters naming the operating system it ran on.
    pub(crate) creator_host: [u8; 4],
    /// The disk's size when it was made.
    pub(crate) original_size_bytes: u64,
    /// The disk's size.
    pub(crate) current_size_bytes: u64,
    /// Cylinders, heads, sectors per track.
    pub(crate) geometry: (u16, u8, u8),
    /// Fixed, dynamic or differencing.
    pub(crate) disk_type: u32,
    /// The disk's identity.
    pub(crate) unique_id: [u8; 16],
}

impl Footer {
    /// The footer's bytes, checksum included.
    pub(crate) fn encode(&self) -> [u8; FOOTER_BYTES] {
        let mut bytes = [0; FOOTER_BYTES];
        bytes[..8].copy_from_slice(COOKIE);
        // Bit 1 is reserved and always set.
        bytes[FEATURES].copy_from_slice(&2_u32.to_be_bytes());
        bytes[VERSION].copy_from_slice(&VERSION_1_0.to_be_bytes());
        // Fixed disks have no further header.
        bytes[DATA_OFFSET].copy_from_slice(&u64::MAX.to_be_bytes());
        bytes[TIMESTAMP].copy_from_slice(&self.timestamp_s.to_be_bytes());
        bytes[CREATOR_APP].copy_from_slice(&self.creator_app);
        bytes[CREATOR_VERSION].copy_from_slice(&self.creator_version.to_be_bytes());
        bytes[CREATOR_HOST].copy_from_slice(&self.creator_host);
        bytes[ORIGINAL_SIZE].copy_from_slice(&self.original_size_bytes.to_be_bytes());
        bytes[CURRENT_SIZE].copy_from_slice(&self.current_size_bytes.to_be_bytes());
        let (cylinders, heads, sectors) = self.geometry;
        bytes[GEOMETRY][..2].copy_from_slice(&cylinders.to_be_bytes());
        bytes[GEOMETRY][2..].copy_from_slice(&[heads, sectors]);
        bytes[DISK_TYPE].copy_from_slice(&self.disk_type.to_be_bytes());
        bytes[UNIQUE_ID].copy_from_slice(&self.unique_id);
        let sum = checksum(&bytes);
        bytes[CHECKSUM].copy_from_slice(&sum.to_be_bytes());
        bytes
    }

    /// The fields of a footer whose cookie, version and checksum were checked.
    pub(super) fn decode(bytes: &[u8; FOOTER_BYTES]) -> Self {
        let [high, low, heads, sectors] = array(bytes, GEOMETRY);
        Self {
            timestamp_s: u32::from_be_bytes(array(bytes, TIMESTAMP)),
            creator_app: array(bytes, CREATOR_APP),
            creator_version: u32::from_be_bytes(array(bytes, CREATOR_VERSION)),
            creator_host: array(bytes, CREATOR_HOST),
            original_size_bytes: u64::from_be_bytes(array(bytes, ORIGINAL_SIZE)),
            current_size_bytes: u64::from_be_bytes(array(bytes, CURRENT_SIZE)),
            geometry: (u16::from_be_bytes([high, low]), heads, sectors),
            disk_type: u32::from_be_bytes(array(bytes, DISK_TYPE)),
            unique_id: array(bytes, UNIQUE_ID),
        }
    }
}

/// The version field.
pub(super) fn version(bytes: &[u8; FOOTER_BYTES]) -> u32 {
    u32::from_be_bytes(array(bytes, VERSION))
}

/// The checksum field.
pub(super) fn stored_checksum(bytes: &[u8; FOOTER_BYTES]) -> u32 {
    u32::from_be_bytes(array(bytes, CHECKSUM))
}

/// One's complement of the sum of all bytes except the checksum's own.
pub(super) fn checksum(bytes: &[u8; FOOTER_BYTES]) -> u32 {
    let sum: u32 = bytes.iter().enumerate().filter(|(at, _)| !CHECKSUM.contains(at)).map(|(_, b)| u32::from(*b)).sum();
    !sum
}

fn array<const N: usize>(bytes: &[u8; FOOTER_BYTES], range: Range<usize>) -> [u8; N] {
    bytes[range].try_into().expect("the field's range is as long as its type")
}
