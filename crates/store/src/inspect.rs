//! Looking into a domain: a pack's table, an image's segments and what it takes.

use std::collections::HashSet;

use crate::{
    ChunkId, Error, ManifestId, PackId, Result, SegmentId,
    domain::Domain,
    pack::{PackTable, read_table},
};

/// What an image takes in a domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageAnatomy {
    /// The size the guest sees.
    pub virtual_size_bytes: u64,
    /// Bytes of guest space that are not zeros, as chunked.
    pub data_bytes: u64,
    /// What its distinct blobs take, encoded: chunks, segments and the manifest.
    pub stored_bytes: u64,
    /// How many distinct chunks it has.
    pub chunks: u64,
    /// Each segment that is not all zeros.
    pub segments: Vec<SegmentAnatomy>,
}

/// One segment of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentAnatomy {
    /// Its place in the image.
    pub index: u32,
    /// Its id.
    pub id: SegmentId,
    /// How many pieces it has, zero runs counted.
    pub entries: u64,
    /// Bytes that are not zeros.
    pub data_bytes: u64,
}

/// Reads a pack's table.
///
/// # Errors
/// `NotFound`, `Corrupt`, `Io`, `Unavailable`.
pub async fn inspect_pack(domain: &Domain, pack: PackId) -> Result<PackTable> {
    let key = pack.key(domain.tenant());
    let size_bytes = domain.backend().size_bytes(&key).await?;
    read_table(&**domain.backend(), &key, pack, size_bytes).await
}

/// Walks an image's segments.
///
/// # Errors
/// `NotFound`, `Corrupt`, `Io`, `Unavailable`.
pub async fn inspect_image(domain: &Domain, id: ManifestId) -> Result<ImageAnatomy> {
    let manifest = domain.manifest(id).await?;
    let mut anatomy = ImageAnatomy {
        virtual_size_bytes: manifest.virtual_size_bytes(),
        data_bytes: 0,
        stored_bytes: stored_bytes(domain, &id.0)?,
        chunks: 0,
        segments: Vec::new(),
    };
    let (mut seen_chunks, mut seen_segments) = (HashSet::<ChunkId>::new(), HashSet::new());
    for (index, id) in manifest.segments() {
        let segment = domain.segment(*id).await?;
        if seen_segments.insert(*id) {
            anatomy.stored_bytes += stored_bytes(domain, &id.0)?;
        }
        for chunk in segment.entries().iter().filter_map(|entry| entry.chunk) {
            if seen_chunks.insert(chunk) {
                anatomy.stored_bytes += stored_bytes(domain, &chunk.0)?;
            }
        }
        let (entries, data_bytes) = (segment.entries().len() as u64, segment.data_bytes());
        anatomy.data_bytes += data_bytes;
        anatomy.segments.push(SegmentAnatomy { index: *index, id: *id, entries, data_bytes });
    }
    anatomy.chunks = seen_chunks.len() as u64;
    Ok(anatomy)
}

fn stored_bytes(domain: &Domain, id: &crate::BlobId) -> Result<u64> {
    let location = domain.index().locations(id)?.first().copied();
    location.map(|location| u64::from(location.entry.stored_bytes)).ok_or_else(|| Error::NotFound(format!("blob {id}")))
}
