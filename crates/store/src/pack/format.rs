//! The bytes of a pack's header, table and trailer.

use crate::{BlobId, BlobKind, Codec, Error, Result, pack::PackId, wire::Fields};

/// The first bytes of a pack.
pub const PACK_MAGIC: &[u8; 8] = b"GLRPACK\0";
/// The last bytes of a pack.
pub const PACK_END_MAGIC: &[u8; 8] = b"GLRPEND\0";
/// The version of the layout.
pub const PACK_VERSION: u16 = 1;
/// Magic, version, six reserved bytes, the pack's name.
pub const HEADER_BYTES: usize = 32;
/// One entry of the table.
pub const ENTRY_BYTES: usize = 48;
/// Count, table offset, the pack's name, checksum, magic.
pub const TRAILER_BYTES: usize = 64;
/// The end of the trailer, which the checksum does not cover.
const CHECKSUM_AND_MAGIC_BYTES: usize = 40;
/// The largest pack, all included: small enough to build in memory and to rewrite, large enough for any disk or
/// object store to move at full speed.
pub const PACK_MAX_BYTES: usize = 64 * 1024 * 1024;
/// The most entries; a blob has at least one byte.
const ENTRIES_MAX: usize = (PACK_MAX_BYTES - HEADER_BYTES - TRAILER_BYTES) / (ENTRY_BYTES + 1);

/// Where a blob lies in its pack, and what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PackEntry {
    /// The blob.
    pub id: BlobId,
    /// What its bytes are.
    pub kind: BlobKind,
    /// How they are encoded.
    pub codec: Codec,
    /// Where the encoded bytes begin, from the pack's first byte.
    pub offset_bytes: u32,
    /// How many encoded bytes there are.
    pub stored_bytes: u32,
    /// How many bytes they decode to.
    pub length_bytes: u32,
}

/// A pack's table: its entries, in the order of their offsets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackTable {
    /// The pack's name.
    pub pack: PackId,
    /// What it holds.
    pub entries: Vec<PackEntry>,
}

/// The fixed end of a pack, after its magic was checked.
pub(super) struct Trailer {
    pub(super) table_offset_bytes: usize,
    pub(super) count: usize,
    pub(super) pack: PackId,
    checksum: [u8; 32],
}

pub(super) fn header(pack: PackId) -> [u8; HEADER_BYTES] {
    let mut bytes = [0; HEADER_BYTES];
    bytes[..8].copy_from_slice(PACK_MAGIC);
    bytes[8..10].copy_from_slice(&PACK_VERSION.to_le_bytes());
    bytes[16..].copy_from_slice(&pack.0);
    bytes
}

pub(super) fn check_header(bytes: &[u8], pack: PackId) -> Result<()> {
    if bytes.get(..HEADER_BYTES) == Some(&header(pack)) {
        Ok(())
    } else {
        Err(Error::Corrupt(format!("pack {pack} has a wrong header")))
    }
}

impl PackTable {
    /// The table and the trailer, as they follow the blobs at `table_offset_bytes`.
    pub(super) fn encode(&self, table_offset_bytes: u32) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.entries.len() * ENTRY_BYTES + TRAILER_BYTES);
        for entry in &self.entries {
            bytes.extend_from_slice(&entry.id.0);
            bytes.extend_from_slice(&[entry.kind as u8, entry.codec as u8, 0, 0]);
            bytes.extend_from_slice(&entry.offset_bytes.to_le_bytes());
            bytes.extend_from_slice(&entry.stored_bytes.to_le_bytes());
            bytes.extend_from_slice(&entry.length_bytes.to_le_bytes());
        }
        bytes.extend_from_slice(&u32::try_from(self.entries.len()).expect("bounded by the pack's size").to_le_bytes());
        bytes.extend_from_slice(&table_offset_bytes.to_le_bytes());
        bytes.extend_from_slice(&self.pack.0);
        let checksum = blake3::hash(&bytes);
        bytes.extend_from_slice(checksum.as_bytes());
        bytes.extend_from_slice(PACK_END_MAGIC);
        bytes
    }

    /// Where the table begins: right after the last blob.
    pub(super) fn offset_bytes(&self) -> u32 {
        self.entries.last().map_or(HEADER_BYTES as u32, |entry| entry.offset_bytes + entry.stored_bytes)
    }

    /// The checksum that the pack carries of it. It commits to every blob: the table names each by its hash.
    pub fn checksum(&self) -> blake3::Hash {
        let bytes = self.encode(self.offset_bytes());
        blake3::hash(&bytes[..bytes.len() - CHECKSUM_AND_MAGIC_BYTES])
    }

    /// Reads the table that `trailer` announces. `bytes` begin at the table's offset and go to the pack's end.
    pub(super) fn decode(bytes: &[u8], trailer: &Trailer) -> Result<Self> {
        let corrupt = |why: &str| Error::Corrupt(format!("table of pack {} {why}", trailer.pack));
        let checked = bytes.len().checked_sub(CHECKSUM_AND_MAGIC_BYTES).ok_or_else(|| corrupt("ends early"))?;
        if blake3::hash(&bytes[..checked]) != trailer.checksum {
            return Err(corrupt("does not match its checksum"));
        }
        let mut fields = Fields::new(&bytes[..trailer.count * ENTRY_BYTES], "pack table");
        let mut entries = Vec::with_capacity(trailer.count);
        let mut next_offset = HEADER_BYTES;
        for _ in 0..trailer.count {
            let entry = decode_entry(&mut fields)?;
            if entry.offset_bytes as usize != next_offset || entry.stored_bytes == 0 {
                return Err(corrupt("has blobs that do not follow each other"));
            }
            next_offset = next_offset.saturating_add(entry.stored_bytes as usize);
            entries.push(entry);
        }
        if next_offset != trailer.table_offset_bytes {
            return Err(corrupt("does not begin where the blobs end"));
        }
        Ok(Self { pack: trailer.pack, entries })
    }
}

fn decode_entry(fields: &mut Fields<'_>) -> Result<PackEntry> {
    let id = BlobId(fields.take()?);
    let kind = BlobKind::try_from(fields.u8()?)?;
    let codec = Codec::try_from(fields.u8()?)?;
    fields.expect(&[0; 2], "reserved field")?;
    let (offset_bytes, stored_bytes, length_bytes) = (fields.u32()?, fields.u32()?, fields.u32()?);
    if length_bytes == 0 || length_bytes as usize > kind.max_bytes() {
        return Err(fields.corrupt("has a blob longer than its kind allows"));
    }
    Ok(PackEntry { id, kind, codec, offset_bytes, stored_bytes, length_bytes })
}

impl Trailer {
    /// Reads the last bytes of a pack of `size_bytes`.
    pub(super) fn decode(bytes: &[u8], pack: PackId, size_bytes: u64) -> Result<Self> {
        let corrupt = |why: &str| Error::Corrupt(format!("pack {pack} {why}"));
        let mut fields = Fields::new(bytes, "pack trailer");
        let count = fields.u32()? as usize;
        let table_offset_bytes = fields.u32()? as usize;
        let found = PackId(fields.take()?);
        let checksum = fields.take()?;
        fields.expect(PACK_END_MAGIC, "magic")?;
        fields.end()?;
        if found != pack {
            return Err(corrupt("carries another pack's name"));
        }
        if count > ENTRIES_MAX || size_bytes > PACK_MAX_BYTES as u64 {
            return Err(corrupt("is larger than a pack may be"));
        }
        if (table_offset_bytes + count * ENTRY_BYTES + TRAILER_BYTES) as u64 != size_bytes {
            return Err(corrupt("does not add up to its size"));
        }
        Ok(Self { table_offset_bytes, count, pack, checksum })
    }
}
