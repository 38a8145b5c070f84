//! Manifests: the segments of one disk image.
//!
//! A manifest lists the segments that are not all zeros. Its encoding is canonical, so its id names the disk's bytes:
//! equal bytes, equal id.

use bytes::Bytes;

use crate::{
    BlobId, Error, ManifestId, Result, SegmentId,
    chunking::{SEGMENT_SIZE_BYTES, segment_count},
    wire::Fields,
};

/// The first bytes of an encoded manifest.
pub const MANIFEST_MAGIC: &[u8; 4] = b"GMAN";
/// The version of the encoding and of the chunking behind it.
pub const MANIFEST_VERSION: u16 = 1;
/// The largest disk; the largest that the cloud offers.
pub const VIRTUAL_SIZE_MAX_BYTES: u64 = 64 << 40;
const HEADER_BYTES: usize = 24;
const ENTRY_BYTES: usize = 36;
/// The longest encoded manifest.
pub const MANIFEST_ENCODED_MAX_BYTES: usize =
    HEADER_BYTES + (VIRTUAL_SIZE_MAX_BYTES / SEGMENT_SIZE_BYTES) as usize * ENTRY_BYTES;

/// The segments of a disk image, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    virtual_size_bytes: u64,
    segments: Vec<(u32, SegmentId)>,
}

impl Manifest {
    /// A disk of that size, all zeros so far.
    ///
    /// # Errors
    /// `Invalid` when the disk is larger than [`VIRTUAL_SIZE_MAX_BYTES`].
    pub fn new(virtual_size_bytes: u64) -> Result<Self> {
        if virtual_size_bytes > VIRTUAL_SIZE_MAX_BYTES {
            return Err(Error::Invalid(format!(
                "a disk of {virtual_size_bytes} bytes is larger than {VIRTUAL_SIZE_MAX_BYTES} bytes (64 TiB)"
            )));
        }
        Ok(Self { virtual_size_bytes, segments: Vec::new() })
    }

    /// Adds the next segment that is not all zeros.
    ///
    /// # Errors
    /// `Corrupt` when it does not follow the last one or lies past the disk's end.
    pub fn push(&mut self, index: u32, segment: SegmentId) -> Result<()> {
        let follows = self.segments.last().is_none_or(|(last, _)| *last < index);
        if !follows || u64::from(index) >= segment_count(self.virtual_size_bytes) {
            return Err(Error::Corrupt(format!("manifest has segment {index} out of place")));
        }
        self.segments.push((index, segment));
        Ok(())
    }

    /// The size the guest sees.
    pub fn virtual_size_bytes(&self) -> u64 {
        self.virtual_size_bytes
    }

    /// Index and id of each segment that is not all zeros, in order.
    pub fn segments(&self) -> &[(u32, SegmentId)] {
        &self.segments
    }

    /// The segment at an index; `None` when it is all zeros.
    pub fn segment(&self, index: u32) -> Option<SegmentId> {
        let at = self.segments.binary_search_by_key(&index, |(index, _)| *index).ok()?;
        Some(self.segments[at].1)
    }

    /// The canonical encoding.
    pub fn encode(&self) -> Bytes {
        let mut bytes = Vec::with_capacity(HEADER_BYTES + self.segments.len() * ENTRY_BYTES);
        bytes.extend_from_slice(MANIFEST_MAGIC);
        bytes.extend_from_slice(&MANIFEST_VERSION.to_le_bytes());
        bytes.extend_from_slice(&[0; 2]);
        bytes.extend_from_slice(&self.virtual_size_bytes.to_le_bytes());
        bytes.extend_from_slice(&u32::try_from(SEGMENT_SIZE_BYTES).expect("64 MiB").to_le_bytes());
        bytes.extend_from_slice(&u32::try_from(self.segments.len()).expect("bounded by push").to_le_bytes());
        for (index, segment) in &self.segments {
            bytes.extend_from_slice(&index.to_le_bytes());
            bytes.extend_from_slice(&segment.0.0);
        }
        bytes.into()
    }

    /// The id of the encoding.
    pub fn id(&self) -> ManifestId {
        ManifestId(BlobId::of(&self.encode()))
    }

    /// Reads an encoding.
    ///
    /// # Errors
    /// `Corrupt`, saying what is wrong.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let mut fields = Fields::new(bytes, "manifest");
        fields.expect(MANIFEST_MAGIC, "magic")?;
        fields.version(MANIFEST_VERSION)?;
        fields.expect(&[0; 2], "reserved field")?;
        let virtual_size_bytes = fields.u64()?;
        if u64::from(fields.u32()?) != SEGMENT_SIZE_BYTES {
            return Err(fields.corrupt("has another segment size than this version fixes"));
        }
        let count = fields.u32()? as usize;
        if count != fields.left() / ENTRY_BYTES {
            return Err(fields.corrupt("counts other entries than it holds"));
        }
        let mut manifest = Self::new(virtual_size_bytes).map_err(|error| Error::Corrupt(error.to_string()))?;
        manifest.segments.reserve_exact(count);
        for _ in 0..count {
            let index = fields.u32()?;
            manifest.push(index, SegmentId(BlobId(fields.take()?)))?;
        }
        fields.end()?;
        Ok(manifest)
    }
}
