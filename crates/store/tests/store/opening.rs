//! Stores that several processes open at the same time.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use async_trait::async_trait;
use bytes::Bytes;
use galerie_store::{
    RegionStore, Result, StoreOptions,
    backend::{Backend, Key, MemoryBackend, Object},
};

use crate::support::{TestStore, identity};

/// Between two requests of one process, another one makes the store.
#[derive(Debug)]
struct MadeMeanwhile {
    objects: Arc<MemoryBackend>,
    is_made: AtomicBool,
}

#[async_trait]
impl Backend for MadeMeanwhile {
    async fn put(&self, key: &Key, parts: Vec<Bytes>) -> Result<()> {
        self.objects.put(key, parts).await
    }
    async fn get(&self, key: &Key, limit_bytes: u64) -> Result<Bytes> {
        self.objects.get(key, limit_bytes).await
    }
    async fn get_range(&self, key: &Key, offset_bytes: u64, length_bytes: u64) -> Result<Bytes> {
        self.objects.get_range(key, offset_bytes, length_bytes).await
    }
    async fn size_bytes(&self, key: &Key) -> Result<u64> {
        self.objects.size_bytes(key).await
    }
    async fn delete(&self, key: &Key) -> Result<()> {
        self.objects.delete(key).await
    }
    async fn list(&self, prefix: &str, after: Option<&Key>, limit: usize) -> Result<Vec<Object>> {
        if !self.is_made.swap(true, Ordering::SeqCst) {
            TestStore::on(self.objects.clone()).await;
        }
        self.objects.list(prefix, after, limit).await
    }
}

/// Regression: what the other process had just made was taken for a foreign thing, and the start failed.
#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_another_process_makes_meanwhile_is_taken() {
    let objects = Arc::new(MemoryBackend::new());
    let backend = Arc::new(MadeMeanwhile { objects: objects.clone(), is_made: AtomicBool::new(false) });
    let folder = tempfile::tempdir().unwrap();
    let opened = RegionStore::open_or_create(backend, identity(), folder.path(), StoreOptions::default()).await;
    assert_eq!(opened.unwrap().store_id(), TestStore::on(objects).await.store.store_id());
}
