//! Guest bytes of a qcow2 image.

use std::{
    collections::VecDeque,
    fmt,
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
};

use galerie_store::GuestBytes;

use super::{
    decompress::Decompressor,
    header::Header,
    map::{Map, Place, Run},
    parser,
};
use crate::{Result, device::check_range, formats::SourceFile};

/// Decompressed clusters kept for readers that take less than a cluster at a time: at most 8 * 2 MiB.
const MAX_CACHED_CLUSTERS: usize = 8;
/// The longest run that `next_data` looks for before it answers: a segment, since that is what an import reads at a
/// time.
pub(crate) const MAX_RUN_BYTES: u64 = 64 << 20;

/// An open qcow2 image.
pub struct Reader {
    source: SourceFile,
    header: Header,
    map: Map,
    decompressor: Decompressor,
    clusters: Mutex<VecDeque<(u64, Arc<[u8]>)>>,
}

impl Reader {
    /// Opens an image: checks its header and its L1 table.
    pub(crate) fn open(source: SourceFile) -> Result<Self> {
        let header = parser::parse(&source)?;
        let l1 = parser::read_l1(&source, &header)?;
        let map = Map::new(&header, l1);
        let decompressor = Decompressor::new(header.compression);
        Ok(Self { source, header, map, decompressor, clusters: Mutex::default() })
    }

    /// The run at `offset_bytes`, at most `max_bytes` long and not reaching past the disk's end.
    pub(crate) fn run(&self, offset_bytes: u64, max_bytes: u64) -> Result<Run> {
        let max_bytes = max_bytes.min(self.header.virtual_size_bytes - offset_bytes);
        let run = self.map.run(&self.source, &self.header, offset_bytes, max_bytes)?;
        Ok(Run { length_bytes: run.length_bytes.min(max_bytes), ..run })
    }

    fn fill(&self, mut offset_bytes: u64, mut buffer: &mut [u8]) -> Result<()> {
        while !buffer.is_empty() {
            let run = self.run(offset_bytes, buffer.len() as u64)?;
            let (part, rest) = buffer.split_at_mut(run.length_bytes as usize);
            match run.place {
                Place::Unallocated | Place::Zero => part.fill(0),
                Place::Data { host_offset_bytes } => self.source.read("data cluster", host_offset_bytes, part)?,
                Place::Compressed { host_offset_bytes, length_bytes } => {
                    self.fill_compressed(host_offset_bytes, length_bytes, offset_bytes, part)?;
                }
            }
            offset_bytes += run.length_bytes;
            buffer = rest;
        }
        Ok(())
    }

    /// Fills `part` from the compressed cluster that holds guest offset `offset_bytes`.
    fn fill_compressed(&self, host: u64, length_bytes: u64, offset_bytes: u64, part: &mut [u8]) -> Result<()> {
        if part.len() as u64 == self.header.cluster_bytes() {
            return self.decompress(host, length_bytes, part);
        }
        let cached = self.lock_clusters().iter().find(|(at, _)| *at == host).map(|(_, bytes)| Arc::clone(bytes));
        let cluster = match cached {
            Some(cluster) => cluster,
            None => {
                let mut bytes = vec![0; self.header.cluster_bytes() as usize];
                self.decompress(host, length_bytes, &mut bytes)?;
                self.remember(host, bytes.into())
            }
        };
        let start = (offset_bytes % self.header.cluster_bytes()) as usize;
        part.copy_from_slice(&cluster[start..start + part.len()]);
        Ok(())
    }

    fn decompress(&self, host: u64, length_bytes: u64, output: &mut [u8]) -> Result<()> {
        let mut input = vec![0; length_bytes as usize];
        self.source.read("compressed cluster", host, &mut input)?;
        self.decompressor
            .run(&input, output)
            .map_err(|problem| self.source.corrupt("compressed cluster", host, problem))
    }

    fn remember(&self, host: u64, cluster: Arc<[u8]>) -> Arc<[u8]> {
        let mut clusters = self.lock_clusters();
        if clusters.len() == MAX_CACHED_CLUSTERS {
            clusters.pop_front();
        }
        clusters.push_back((host, Arc::clone(&cluster)));
        cluster
    }

    fn lock_clusters(&self) -> std::sync::MutexGuard<'_, VecDeque<(u64, Arc<[u8]>)>> {
        // Whole clusters go in and out; a panic elsewhere cannot leave half of one.
        self.clusters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next_run(&self, mut offset_bytes: u64) -> Result<Option<Range<u64>>> {
        let end = self.header.virtual_size_bytes;
        while offset_bytes < end {
            let run = self.run(offset_bytes, MAX_RUN_BYTES)?;
            if let Some(data) = self.data_in(offset_bytes, run)? {
                return self.extend(data).map(Some);
            }
            offset_bytes += run.length_bytes;
        }
        Ok(None)
    }

    /// The part of a run that may hold data. Clusters that were preallocated and never written are holes in the file.
    fn data_in(&self, offset_bytes: u64, run: Run) -> Result<Option<Range<u64>>> {
        match run.place {
            Place::Unallocated | Place::Zero => Ok(None),
            Place::Compressed { .. } => Ok(Some(offset_bytes..offset_bytes + run.length_bytes)),
            Place::Data { host_offset_bytes: host } => {
                self.source.check_inside("data cluster", host, run.length_bytes)?;
                let found = self.source.next_data(host..host + run.length_bytes)?;
                Ok(found.map(|data| offset_bytes + (data.start - host)..offset_bytes + (data.end - host)))
            }
        }
    }

    /// Joins the runs that follow `data` without a gap, up to a bound.
    fn extend(&self, mut data: Range<u64>) -> Result<Range<u64>> {
        let end = self.header.virtual_size_bytes.min(data.start.saturating_add(MAX_RUN_BYTES));
        while data.end < end {
            let run = self.run(data.end, end - data.end)?;
            match self.data_in(data.end, run)? {
                Some(next) if next.start == data.end => data.end = next.end,
                _ => break,
            }
        }
        Ok(data)
    }
}

impl GuestBytes for Reader {
    fn virtual_size_bytes(&self) -> u64 {
        self.header.virtual_size_bytes
    }

    fn read_at(&self, offset_bytes: u64, buf: &mut [u8]) -> galerie_store::Result<()> {
        check_range(self.header.virtual_size_bytes, offset_bytes, buf.len() as u64)?;
        Ok(self.fill(offset_bytes, buf)?)
    }

    fn next_data(&self, offset_bytes: u64) -> galerie_store::Result<Option<Range<u64>>> {
        Ok(self.next_run(offset_bytes)?)
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").field("header", &self.header).finish_non_exhaustive()
    }
}
