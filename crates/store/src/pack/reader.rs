//! Reading packs: the table by range reads from the end, or everything at once.

use bytes::Bytes;

use super::{
    PackEntry, PackId, PackTable,
    format::{ENTRY_BYTES, HEADER_BYTES, PACK_MAX_BYTES, TRAILER_BYTES, Trailer, check_header, header},
};
use crate::{
    Error, Result, StoredBlob,
    backend::{Backend, Key},
};

/// What is read from a pack's end at first: the trailer and the table of most packs.
const FIRST_READ_BYTES: u64 = 128 * 1024;

/// Reads a pack's table, without its blobs.
///
/// # Errors
/// `Corrupt` when the object is no complete pack; `NotFound`, `Io`, `Unavailable`.
pub async fn read_table(backend: &dyn Backend, key: &Key, pack: PackId, size_bytes: u64) -> Result<PackTable> {
    if size_bytes < (HEADER_BYTES + TRAILER_BYTES) as u64 || size_bytes > PACK_MAX_BYTES as u64 {
        return Err(Error::Corrupt(format!("pack {pack} has an impossible size of {size_bytes} bytes")));
    }
    let first = size_bytes.min(FIRST_READ_BYTES);
    let end = backend.get_range(key, size_bytes - first, first).await?;
    let trailer = Trailer::decode(&end[end.len() - TRAILER_BYTES..], pack, size_bytes)?;
    let table_bytes = trailer.count * ENTRY_BYTES + TRAILER_BYTES;
    if table_bytes <= end.len() {
        return PackTable::decode(&end[end.len() - table_bytes..], &trailer);
    }
    let whole = backend.get_range(key, trailer.table_offset_bytes as u64, table_bytes as u64).await?;
    PackTable::decode(&whole, &trailer)
}

/// The table of a pack that is in memory as a whole.
///
/// # Errors
/// `Corrupt` when the bytes are no complete pack.
pub fn split_pack(bytes: &Bytes, pack: PackId) -> Result<PackTable> {
    if bytes.len() < HEADER_BYTES + TRAILER_BYTES {
        return Err(Error::Corrupt(format!("pack {pack} ends early")));
    }
    check_header(bytes, pack)?;
    let trailer = Trailer::decode(&bytes[bytes.len() - TRAILER_BYTES..], pack, bytes.len() as u64)?;
    PackTable::decode(&bytes[trailer.table_offset_bytes..], &trailer)
}

/// A pack whose table is known, as whole as its medium gives it back: zeros stand where a blob does not read.
///
/// # Errors
/// `NotFound`, `Io`, `Unavailable`; a blob that does not read is no error.
pub async fn salvage(backend: &dyn Backend, key: &Key, table: &PackTable) -> Result<Bytes> {
    let mut bytes = header(table.pack).to_vec();
    for entry in &table.entries {
        let length = u64::from(entry.stored_bytes);
        match backend.get_range(key, u64::from(entry.offset_bytes), length).await {
            Ok(blob) => bytes.extend_from_slice(&blob),
            Err(error) if error.is_damage() => bytes.resize(bytes.len() + entry.stored_bytes as usize, 0),
            Err(error) => return Err(error),
        }
    }
    bytes.extend_from_slice(&table.encode(table.offset_bytes()));
    Ok(bytes.into())
}

/// A blob out of bytes that begin at `base_bytes` of its pack and reach past it.
///
/// # Errors
/// `Corrupt` when they do not.
pub fn blob_at(bytes: &Bytes, base_bytes: u64, entry: &PackEntry) -> Result<StoredBlob> {
    let start = u64::from(entry.offset_bytes).checked_sub(base_bytes).and_then(|start| usize::try_from(start).ok());
    let range = start.map(|start| start..start.saturating_add(entry.stored_bytes as usize));
    let Some(range) = range.filter(|range| range.end <= bytes.len()) else {
        return Err(Error::Corrupt(format!("blob {} lies outside its pack", entry.id)));
    };
    Ok(StoredBlob {
        id: entry.id,
        kind: entry.kind,
        codec: entry.codec,
        length_bytes: entry.length_bytes,
        bytes: bytes.slice(range),
    })
}
