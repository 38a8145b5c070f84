//! From a guest offset to where its bytes lie.

use super::{
    header::{Header, SUBCLUSTERS},
    l2_cache::{L2Cache, L2Table},
    parser::OFFSET_MASK,
};
use crate::{Result, formats::SourceFile};

const COMPRESSED: u64 = 1 << 62;
const READS_AS_ZEROS: u64 = 1 << 0;
/// Compressed data is counted in sectors of 512 bytes.
const SECTOR_BYTES: u64 = 512;

/// Where guest bytes lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// Nowhere: nothing was ever written there. Zeros, or what an overlay's base holds.
    Unallocated,
    /// Nowhere: they are zeros.
    Zero,
    /// In the file, as they are, from this offset.
    Data { host_offset_bytes: u64 },
    /// In a compressed cluster. The run is the rest of that cluster.
    Compressed { host_offset_bytes: u64, length_bytes: u64 },
}

/// A run of guest bytes that lie in one place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) place: Place,
    pub(crate) length_bytes: u64,
}

impl Run {
    /// Whether `next`, which follows in guest space, also follows in the file. Compressed clusters stay alone.
    pub(super) fn continues_into(&self, next: &Self) -> bool {
        match (self.place, next.place) {
            (Place::Zero, Place::Zero) | (Place::Unallocated, Place::Unallocated) => true,
            (Place::Data { host_offset_bytes: host }, Place::Data { host_offset_bytes: next_host }) => {
                host + self.length_bytes == next_host
            }
            _ => false,
        }
    }
}

/// The two tables of an image.
#[derive(Debug)]
pub(super) struct Map {
    l1: Vec<u64>,
    l2: L2Cache,
}

impl Map {
    pub(super) fn new(header: &Header, l1: Vec<u64>) -> Self {
        Self { l1, l2: L2Cache::new(header) }
    }

    /// The run that starts at `offset_bytes`, which is inside the disk. It ends with its L2 table at the latest, and is
    /// looked at only as far as `max_bytes` need; it may be longer than that, and reach past the disk's end.
    pub(super) fn run(&self, source: &SourceFile, header: &Header, offset_bytes: u64, max_bytes: u64) -> Result<Run> {
        let coverage = header.l2_coverage_bytes();
        let in_table_bytes = offset_bytes % coverage;
        let l2_offset_bytes = self.l1[(offset_bytes / coverage) as usize];
        if l2_offset_bytes == 0 {
            return Ok(Run { place: Place::Unallocated, length_bytes: coverage - in_table_bytes });
        }
        let table = self.l2.get(source, header, l2_offset_bytes)?;
        let run_at = |in_table_bytes: u64| {
            let index = in_table_bytes >> header.cluster_bits;
            L2Entry::new(source, header, &table, l2_offset_bytes, index).run(in_table_bytes % header.cluster_bytes())
        };
        let mut run = run_at(in_table_bytes)?;
        while run.length_bytes < max_bytes && in_table_bytes + run.length_bytes < coverage {
            let next = run_at(in_table_bytes + run.length_bytes)?;
            if !run.continues_into(&next) {
                break;
            }
            run.length_bytes += next.length_bytes;
        }
        Ok(run)
    }
}

/// What an extended entry's bits say about a subcluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Subcluster {
    Unallocated,
    Zero,
    Allocated,
}

/// One L2 entry and what it takes to check it.
struct L2Entry<'a> {
    source: &'a SourceFile,
    header: &'a Header,
    /// Where the entry lies in the file, for errors.
    at_bytes: u64,
    standard: u64,
    /// Allocation bits below, zero bits above; extended entries only.
    bitmap: u64,
}

impl<'a> L2Entry<'a> {
    fn new(source: &'a SourceFile, header: &'a Header, table: &L2Table, l2_offset_bytes: u64, index: u64) -> Self {
        let words = header.l2_entry_bytes() / 8;
        let first = (index * words) as usize;
        Self {
            source,
            header,
            at_bytes: l2_offset_bytes + index * header.l2_entry_bytes(),
            standard: table[first],
            bitmap: if header.extended_l2 { table[first + 1] } else { 0 },
        }
    }

    /// The run from `in_cluster_bytes` into this entry's cluster.
    fn run(&self, in_cluster_bytes: u64) -> Result<Run> {
        let rest_bytes = self.header.cluster_bytes() - in_cluster_bytes;
        if self.standard & COMPRESSED != 0 {
            return Ok(Run { place: self.compressed()?, length_bytes: rest_bytes });
        }
        let host = self.standard & OFFSET_MASK;
        if !host.is_multiple_of(self.header.cluster_bytes()) {
            return Err(self.corrupt(format!("the cluster's offset {host} is not the start of a cluster")));
        }
        if self.header.extended_l2 {
            return self.subcluster_run(host, in_cluster_bytes);
        }
        let zeros = self.standard & READS_AS_ZEROS != 0;
        if zeros && self.header.version < 3 {
            return Err(self.corrupt("it has a zero flag, which version 2 does not know".to_owned()));
        }
        let place = match (zeros, host) {
            (true, _) => Place::Zero,
            (false, 0) => Place::Unallocated,
            (false, _) => Place::Data { host_offset_bytes: host + in_cluster_bytes },
        };
        Ok(Run { place, length_bytes: rest_bytes })
    }

    fn compressed(&self) -> Result<Place> {
        let offset_bits = 62 - (self.header.cluster_bits - 8);
        let host = self.standard & ((1 << offset_bits) - 1);
        let more_sectors = (self.standard & (COMPRESSED - 1)) >> offset_bits;
        // At most two clusters: the count has cluster_bits - 8 bits.
        let length_bytes = (more_sectors + 1) * SECTOR_BYTES - host % SECTOR_BYTES;
        let left = self.source.length_bytes().saturating_sub(host);
        if host == 0 || left == 0 {
            return Err(self.corrupt(format!("the compressed cluster's offset {host} is outside the file")));
        }
        // The last sector may be cut off by the file's end; the stream ends before it or is found short.
        Ok(Place::Compressed { host_offset_bytes: host, length_bytes: length_bytes.min(left) })
    }

    fn subcluster_run(&self, host: u64, in_cluster_bytes: u64) -> Result<Run> {
        let size = self.header.subcluster_bytes();
        let first = in_cluster_bytes / size;
        let state = self.subcluster(host, first)?;
        let mut next = first + 1;
        while next < SUBCLUSTERS && self.subcluster(host, next)? == state {
            next += 1;
        }
        let place = match state {
            Subcluster::Unallocated => Place::Unallocated,
            Subcluster::Zero => Place::Zero,
            Subcluster::Allocated => Place::Data { host_offset_bytes: host + in_cluster_bytes },
        };
        Ok(Run { place, length_bytes: next * size - in_cluster_bytes })
    }

    fn subcluster(&self, host: u64, index: u64) -> Result<Subcluster> {
        let allocated = self.bitmap >> index & 1 != 0;
        let zero = self.bitmap >> (index + SUBCLUSTERS) & 1 != 0;
        match (allocated, zero) {
            (true, true) => Err(self.corrupt(format!("subcluster {index} is both allocated and zero"))),
            (true, false) if host == 0 => Err(self.corrupt(format!("subcluster {index} is allocated nowhere"))),
            (true, false) => Ok(Subcluster::Allocated),
            (false, true) => Ok(Subcluster::Zero),
            (false, false) => Ok(Subcluster::Unallocated),
        }
    }

    fn corrupt(&self, problem: String) -> crate::Error {
        self.source.corrupt("L2 entry", self.at_bytes, problem)
    }
}
