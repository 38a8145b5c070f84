//! What the index keeps of a blob and of a pack, in memory and in a run's page.

use crate::{
    BlobId, BlobKind, Codec, Result,
    pack::{PackEntry, PackId},
    wire::Fields,
};

/// A pack in the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IndexedPack {
    /// Its name.
    pub pack: PackId,
    /// How many blobs it holds.
    pub blobs: u32,
    /// Its size in bytes.
    pub size_bytes: u64,
}

/// A blob's place in a pack, without its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) slot: u32,
    offset_bytes: u32,
    stored_bytes: u32,
    length_bytes: u32,
    kind: BlobKind,
    codec: Codec,
}

/// Id, pack number and place.
pub(super) const ENTRY_BYTES: usize = 56;

impl Place {
    pub(super) fn new(slot: u32, entry: &PackEntry) -> Self {
        Self {
            slot,
            offset_bytes: entry.offset_bytes,
            stored_bytes: entry.stored_bytes,
            length_bytes: entry.length_bytes,
            kind: entry.kind,
            codec: entry.codec,
        }
    }

    pub(super) fn entry(&self, id: BlobId) -> PackEntry {
        PackEntry {
            id,
            kind: self.kind,
            codec: self.codec,
            offset_bytes: self.offset_bytes,
            stored_bytes: self.stored_bytes,
            length_bytes: self.length_bytes,
        }
    }
}

pub(super) fn encode(id: &BlobId, pack_number: u32, place: &Place) -> [u8; ENTRY_BYTES] {
    let mut bytes = [0; ENTRY_BYTES];
    bytes[..32].copy_from_slice(&id.0);
    let numbers = [pack_number, place.slot, place.offset_bytes, place.stored_bytes, place.length_bytes];
    for (number, bytes) in numbers.iter().zip(bytes[32..52].as_chunks_mut::<4>().0) {
        *bytes = number.to_le_bytes();
    }
    (bytes[52], bytes[53]) = (place.kind as u8, place.codec as u8);
    bytes
}

pub(super) fn decode(bytes: &[u8]) -> Result<(BlobId, u32, Place)> {
    let mut fields = Fields::new(bytes, "index entry");
    let id = BlobId(fields.take()?);
    let pack_number = fields.u32()?;
    let (slot, offset_bytes, stored_bytes, length_bytes) = (fields.u32()?, fields.u32()?, fields.u32()?, fields.u32()?);
    let (kind, codec) = (BlobKind::try_from(fields.u8()?)?, Codec::try_from(fields.u8()?)?);
    Ok((id, pack_number, Place { slot, offset_bytes, stored_bytes, length_bytes, kind, codec }))
}
