//! A pack that is being filled, in memory.

use bytes::Bytes;

use super::{
    PackEntry, PackId, PackTable,
    format::{ENTRY_BYTES, HEADER_BYTES, TRAILER_BYTES, header},
};
use crate::{BlobKind, StoredBlob};

/// Collects blobs until they are sealed into a pack.
#[derive(Debug)]
pub struct PackBuilder {
    table: PackTable,
    blobs: Vec<Bytes>,
    stored_bytes: usize,
}

/// A complete pack that lies nowhere yet.
#[derive(Debug, Clone)]
pub struct SealedPack {
    /// What it holds.
    pub table: PackTable,
    /// Its bytes, in order.
    pub parts: Vec<Bytes>,
    /// Its size in bytes.
    pub size_bytes: u64,
}

impl SealedPack {
    /// Whether a manifest is in it, so that it must become visible last.
    pub fn has_manifest(&self) -> bool {
        self.table.entries.iter().any(|entry| entry.kind == BlobKind::Manifest)
    }
}

impl PackBuilder {
    /// An empty pack.
    pub fn new(pack: PackId) -> Self {
        Self { table: PackTable { pack, entries: Vec::new() }, blobs: Vec::new(), stored_bytes: 0 }
    }

    /// The pack's size in bytes were `more` bytes added to it as one blob.
    pub fn size_with_bytes(&self, more: usize) -> usize {
        HEADER_BYTES + self.stored_bytes + more + (self.blobs.len() + 1) * ENTRY_BYTES + TRAILER_BYTES
    }

    /// Whether nothing was added.
    pub fn is_empty(&self) -> bool {
        self.blobs.is_empty()
    }

    /// Adds a blob.
    ///
    /// # Panics
    /// When the pack would grow past what an offset can say; the caller asks [`PackBuilder::size_with_bytes`] before.
    pub fn push(&mut self, blob: StoredBlob) {
        let offset = HEADER_BYTES + self.stored_bytes;
        self.table.entries.push(PackEntry {
            id: blob.id,
            kind: blob.kind,
            codec: blob.codec,
            offset_bytes: u32::try_from(offset).expect("a pack is at most 64 MiB"),
            stored_bytes: u32::try_from(blob.bytes.len()).expect("a blob is smaller than a pack"),
            length_bytes: blob.length_bytes,
        });
        self.stored_bytes += blob.bytes.len();
        self.blobs.push(blob.bytes);
    }

    /// Finishes the pack.
    pub fn seal(self) -> SealedPack {
        let table_offset = u32::try_from(HEADER_BYTES + self.stored_bytes).expect("a pack is at most 64 MiB");
        let mut parts = Vec::with_capacity(self.blobs.len() + 2);
        parts.push(Bytes::copy_from_slice(&header(self.table.pack)));
        parts.extend(self.blobs);
        parts.push(self.table.encode(table_offset).into());
        let size_bytes = parts.iter().map(|part| part.len() as u64).sum();
        SealedPack { table: self.table, parts, size_bytes }
    }
}
