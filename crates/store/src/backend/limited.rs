//! A bound on how many calls a backend has under way.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::{Backend, Key, Object};
use crate::{Error, Result};

/// Passes calls on, no more than a given number at a time; the others wait in the order of their arrival.
#[derive(Debug)]
pub struct LimitedBackend {
    inner: Arc<dyn Backend>,
    permits: Semaphore,
}

impl LimitedBackend {
    /// At most `calls_max` calls reach `inner` at a time.
    pub fn new(inner: Arc<dyn Backend>, calls_max: usize) -> Self {
        Self { inner, permits: Semaphore::new(calls_max.max(1)) }
    }

    async fn permit(&self) -> Result<SemaphorePermit<'_>> {
        self.permits.acquire().await.map_err(|_| Error::Cancelled)
    }
}

#[async_trait]
impl Backend for LimitedBackend {
    async fn put(&self, key: &Key, parts: Vec<Bytes>) -> Result<()> {
        let _permit = self.permit().await?;
        self.inner.put(key, parts).await
    }

    async fn get(&self, key: &Key, limit_bytes: u64) -> Result<Bytes> {
        let _permit = self.permit().await?;
        self.inner.get(key, limit_bytes).await
    }

    async fn get_range(&self, key: &Key, offset_bytes: u64, length_bytes: u64) -> Result<Bytes> {
        let _permit = self.permit().await?;
        self.inner.get_range(key, offset_bytes, length_bytes).await
    }

    async fn size_bytes(&self, key: &Key) -> Result<u64> {
        let _permit = self.permit().await?;
        self.inner.size_bytes(key).await
    }

    async fn delete(&self, key: &Key) -> Result<()> {
        let _permit = self.permit().await?;
        self.inner.delete(key).await
    }

    async fn list(&self, prefix: &str, after: Option<&Key>, limit: usize) -> Result<Vec<Object>> {
        let _permit = self.permit().await?;
        self.inner.list(prefix, after, limit).await
    }

    fn creates_only(&self) -> bool {
        self.inner.creates_only()
    }
}
