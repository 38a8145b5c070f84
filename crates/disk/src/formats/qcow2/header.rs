//! The header's numbers and what they imply.

/// How compressed clusters are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compression {
    /// A raw deflate stream with a window of 4 KiB. The format calls it zlib.
    Deflate,
    /// One zstd frame.
    Zstd,
}

/// A checked header: every number is inside its bound and the L1 table is inside the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Header {
    /// 2 or 3.
    pub(crate) version: u32,
    /// 9 to 21.
    pub(crate) cluster_bits: u32,
    /// The disk's size.
    pub(crate) virtual_size_bytes: u64,
    /// Where the L1 table starts.
    pub(crate) l1_offset_bytes: u64,
    /// How many L1 entries the disk's size needs; the table may have more.
    pub(crate) l1_entries: u64,
    /// L2 entries carry bitmaps of 32 subclusters.
    pub(crate) extended_l2: bool,
    /// How compressed clusters are compressed.
    pub(crate) compression: Compression,
}

/// The smallest and largest `cluster_bits` that QEMU takes: 512 bytes to 2 MiB.
pub(crate) const CLUSTER_BITS: std::ops::RangeInclusive<u32> = 9..=21;
/// Subclusters of an extended L2 entry.
pub(crate) const SUBCLUSTERS: u64 = 32;

impl Header {
    /// A cluster's length.
    pub(crate) fn cluster_bytes(&self) -> u64 {
        1 << self.cluster_bits
    }

    /// The length of one L2 entry: 8 bytes, or 16 with a bitmap.
    pub(crate) fn l2_entry_bytes(&self) -> u64 {
        if self.extended_l2 { 16 } else { 8 }
    }

    /// Entries of an L2 table, which fills one cluster.
    pub(crate) fn l2_entries(&self) -> u64 {
        self.cluster_bytes() / self.l2_entry_bytes()
    }

    /// Guest space that one L1 entry stands for. At most 2 MiB * 256 Ki = 512 GiB.
    pub(crate) fn l2_coverage_bytes(&self) -> u64 {
        self.cluster_bytes() * self.l2_entries()
    }

    /// A subcluster's length; the cluster's when there are none.
    pub(crate) fn subcluster_bytes(&self) -> u64 {
        if self.extended_l2 { self.cluster_bytes() / SUBCLUSTERS } else { self.cluster_bytes() }
    }
}
