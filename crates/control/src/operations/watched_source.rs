//! A copy's source that remembers whether it was to blame.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use async_trait::async_trait;
use galerie_store::{BlobId, BlobSource, Error, Result, StoredBlob};

/// Passes reads on, and remembers when a blob was not there or had no good copy.
pub(super) struct WatchedSource {
    inner: Arc<dyn BlobSource>,
    is_damaged: AtomicBool,
}

impl WatchedSource {
    pub(super) fn new(inner: Arc<dyn BlobSource>) -> Self {
        Self { inner, is_damaged: AtomicBool::new(false) }
    }

    /// Whether something that was asked for is lost there.
    pub(super) fn is_damaged(&self) -> bool {
        self.is_damaged.load(Ordering::Relaxed)
    }

    fn watch<T>(&self, read: Result<T>) -> Result<T> {
        if let Err(Error::NotFound(_) | Error::Corrupt(_)) = &read {
            self.is_damaged.store(true, Ordering::Relaxed);
        }
        read
    }
}

#[async_trait]
impl BlobSource for WatchedSource {
    async fn fetch(&self, ids: &[BlobId], listed_by: Option<BlobId>) -> Result<Vec<StoredBlob>> {
        self.watch(self.inner.fetch(ids, listed_by).await)
    }

    fn cache_scope(&self) -> u64 {
        self.inner.cache_scope()
    }

    async fn replace_corrupt(&self, id: BlobId, listed_by: Option<BlobId>) -> Result<StoredBlob> {
        self.watch(self.inner.replace_corrupt(id, listed_by).await)
    }
}
