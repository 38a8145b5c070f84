//! A backend that counts what is read from it: what a region's store is asked for.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use async_trait::async_trait;
use bytes::Bytes;
use galerie_store::{
    Result,
    backend::{Backend, Key, Object},
};

/// Passes everything on, and counts reads.
#[derive(Debug)]
pub(crate) struct CountedOrigin {
    inner: Arc<dyn Backend>,
    requests: AtomicU64,
    read_bytes: AtomicU64,
}

/// What was read so far.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OriginLoad {
    pub(crate) requests: u64,
    pub(crate) read_bytes: u64,
}

impl CountedOrigin {
    pub(crate) fn new(inner: Arc<dyn Backend>) -> Self {
        Self { inner, requests: AtomicU64::new(0), read_bytes: AtomicU64::new(0) }
    }

    /// What was read since the last time this was asked.
    pub(crate) fn take(&self) -> OriginLoad {
        OriginLoad {
            requests: self.requests.swap(0, Ordering::Relaxed),
            read_bytes: self.read_bytes.swap(0, Ordering::Relaxed),
        }
    }

    fn count(&self, read: Result<Bytes>) -> Result<Bytes> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        let length_bytes = read.as_ref().map_or(0, Bytes::len) as u64;
        self.read_bytes.fetch_add(length_bytes, Ordering::Relaxed);
        read
    }
}

#[async_trait]
impl Backend for CountedOrigin {
    async fn put(&self, key: &Key, parts: Vec<Bytes>) -> Result<()> {
        self.inner.put(key, parts).await
    }

    async fn get(&self, key: &Key, limit_bytes: u64) -> Result<Bytes> {
        let read = self.inner.get(key, limit_bytes).await;
        self.count(read)
    }

    async fn get_range(&self, key: &Key, offset_bytes: u64, length_bytes: u64) -> Result<Bytes> {
        let read = self.inner.get_range(key, offset_bytes, length_bytes).await;
        self.count(read)
    }

    async fn size_bytes(&self, key: &Key) -> Result<u64> {
        self.inner.size_bytes(key).await
    }

    async fn delete(&self, key: &Key) -> Result<()> {
        self.inner.delete(key).await
    }

    async fn list(&self, prefix: &str, after: Option<&Key>, limit: usize) -> Result<Vec<Object>> {
        self.inner.list(prefix, after, limit).await
    }
}
