//! L2 tables in memory, within a bound.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};

use super::{header::Header, parser::big_endian};
use crate::{Result, formats::SourceFile};

/// What all cached tables together may take. With clusters of 64 KiB that is 512 tables, or 256 GiB of guest space.
const MAX_CACHED_BYTES: u64 = 32 << 20;

/// An L2 table: one number per entry, or two with extended entries.
pub(super) type L2Table = Arc<[u64]>;

/// The tables read last, oldest out first: an import reads each table once, from a few threads.
#[derive(Debug)]
pub(super) struct L2Cache {
    max_tables: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    tables: HashMap<u64, L2Table>,
    order: VecDeque<u64>,
}

impl L2Cache {
    pub(super) fn new(header: &Header) -> Self {
        // At least 16, since a cluster is at most 2 MiB.
        Self { max_tables: (MAX_CACHED_BYTES / header.cluster_bytes()) as usize, state: Mutex::default() }
    }

    /// The table at `offset_bytes`, which the L1 table's check found inside the file.
    pub(super) fn get(&self, source: &SourceFile, header: &Header, offset_bytes: u64) -> Result<L2Table> {
        if let Some(table) = self.lock().tables.get(&offset_bytes) {
            return Ok(Arc::clone(table));
        }
        let mut bytes = vec![0; header.cluster_bytes() as usize];
        source.read("L2 table", offset_bytes, &mut bytes)?;
        let table: L2Table = big_endian(&bytes).collect();
        let mut state = self.lock();
        if state.tables.insert(offset_bytes, Arc::clone(&table)).is_none() {
            state.order.push_back(offset_bytes);
        }
        if state.order.len() > self.max_tables
            && let Some(oldest) = state.order.pop_front()
        {
            state.tables.remove(&oldest);
        }
        Ok(table)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        // The cache holds only copies of what is on disk; a panic elsewhere leaves nothing half done that matters.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
