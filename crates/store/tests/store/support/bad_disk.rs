//! A disk whose sectors go bad, and get well again.

use std::{
    ops::Range,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use bytes::Bytes;
use galerie_store::{
    Error, ManifestId, PackId, Result,
    backend::{Backend, Key, MemoryBackend, Object},
    inspect::inspect_pack,
    pack::PackEntry,
};

use super::{TestStore, tenant};

/// A disk with bad sectors.
#[derive(Debug, Default)]
pub(crate) struct BadDisk {
    pub(crate) inner: MemoryBackend,
    bad: Mutex<Vec<(Key, Range<u64>)>>,
    /// Reads of packs that answer with a flipped bit, from now on.
    pub(crate) flips: AtomicU64,
}

impl BadDisk {
    pub(crate) fn spoil(&self, pack: PackId, range: Range<u64>) {
        self.bad.lock().unwrap().push((pack.key(&tenant()), range));
    }

    /// Spoils the end of a pack, where its table is.
    pub(crate) async fn spoil_table(&self, pack: PackId) {
        let size_bytes = self.inner.size_bytes(&pack.key(&tenant())).await.unwrap();
        self.spoil(pack, size_bytes - 64..size_bytes);
    }

    /// Spoils the first bytes of an image, wherever they were put: which pack gets them is a matter of who was first.
    pub(crate) async fn spoil_start_of(&self, test: &TestStore, image: ManifestId) {
        let (_, segment) = test.domain.manifest(image).await.unwrap().segments()[0];
        let chunk = test.domain.segment(segment).await.unwrap().entries()[0].chunk.unwrap();
        self.spoil_where(test, |entry| entry.id == chunk.0).await;
    }

    pub(crate) async fn spoil_where(&self, test: &TestStore, is_wanted: impl Fn(&PackEntry) -> bool) {
        for pack in test.domain.packs() {
            let table = inspect_pack(&test.domain, pack.pack).await.unwrap();
            for entry in table.entries.iter().filter(|entry| is_wanted(entry)) {
                let start = u64::from(entry.offset_bytes);
                self.spoil(pack.pack, start..start + u64::from(entry.stored_bytes));
            }
        }
    }

    pub(crate) fn mend(&self) {
        self.bad.lock().unwrap().clear();
    }

    fn read(&self, key: &Key, range: Range<u64>, bytes: Bytes) -> Result<Bytes> {
        let overlaps = |(bad, at): &(Key, Range<u64>)| bad == key && at.start < range.end && range.start < at.end;
        if self.bad.lock().unwrap().iter().any(overlaps) {
            let source = std::io::Error::from_raw_os_error(rustix::io::Errno::IO.raw_os_error());
            return Err(Error::Io { action: format!("read {key}"), source });
        }
        let is_pack = key.as_str().contains("/packs/");
        let less = |left: u64| left.checked_sub(1);
        if is_pack && self.flips.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less).is_ok() {
            let mut bytes = bytes.to_vec();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            return Ok(bytes.into());
        }
        Ok(bytes)
    }
}

#[async_trait]
impl Backend for BadDisk {
    async fn put(&self, key: &Key, parts: Vec<Bytes>) -> Result<()> {
        self.inner.put(key, parts).await
    }

    async fn get(&self, key: &Key, limit_bytes: u64) -> Result<Bytes> {
        let bytes = self.inner.get(key, limit_bytes).await?;
        self.read(key, 0..bytes.len() as u64, bytes)
    }

    async fn get_range(&self, key: &Key, offset_bytes: u64, length_bytes: u64) -> Result<Bytes> {
        let bytes = self.inner.get_range(key, offset_bytes, length_bytes).await?;
        self.read(key, offset_bytes..offset_bytes + length_bytes, bytes)
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
