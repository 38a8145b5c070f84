//! Memory as a backend, for tests and trials.

use std::{
    collections::BTreeMap,
    ops::Bound,
    sync::{Mutex, PoisonError},
};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};

use super::{Backend, Key, LIST_LIMIT_MAX, Object, check_prefix};
use crate::{Error, Result};

/// Objects in a map. Durable as long as the process.
#[derive(Debug, Default)]
pub struct MemoryBackend {
    objects: Mutex<BTreeMap<Key, Bytes>>,
}

impl MemoryBackend {
    /// An empty backend.
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts bytes in an object's place, as a failing disk would. For tests of damage.
    pub fn overwrite(&self, key: &Key, bytes: Bytes) {
        self.objects().insert(key.clone(), bytes);
    }

    fn objects(&self) -> std::sync::MutexGuard<'_, BTreeMap<Key, Bytes>> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn object(&self, key: &Key) -> Result<Bytes> {
        self.objects().get(key).cloned().ok_or_else(|| Error::NotFound(key.to_string()))
    }
}

#[async_trait]
impl Backend for MemoryBackend {
    async fn put(&self, key: &Key, parts: Vec<Bytes>) -> Result<()> {
        let mut whole = BytesMut::with_capacity(parts.iter().map(Bytes::len).sum());
        parts.iter().for_each(|part| whole.extend_from_slice(part));
        match self.objects().entry(key.clone()) {
            std::collections::btree_map::Entry::Occupied(_) => Err(Error::AlreadyExists(key.to_string())),
            std::collections::btree_map::Entry::Vacant(place) => {
                place.insert(whole.freeze());
                Ok(())
            }
        }
    }

    async fn get(&self, key: &Key, limit_bytes: u64) -> Result<Bytes> {
        let bytes = self.object(key)?;
        if bytes.len() as u64 > limit_bytes {
            return Err(Error::Invalid(format!("{key} has {} bytes, more than {limit_bytes}", bytes.len())));
        }
        Ok(bytes)
    }

    async fn get_range(&self, key: &Key, offset_bytes: u64, length_bytes: u64) -> Result<Bytes> {
        let bytes = self.object(key)?;
        let range = usize::try_from(offset_bytes)
            .ok()
            .zip(offset_bytes.checked_add(length_bytes).and_then(|end| usize::try_from(end).ok()))
            .filter(|(_, end)| *end <= bytes.len());
        match range {
            Some((start, end)) => Ok(bytes.slice(start..end)),
            None => Err(Error::Corrupt(format!("{key} ends before the {length_bytes} bytes at {offset_bytes}"))),
        }
    }

    async fn size_bytes(&self, key: &Key) -> Result<u64> {
        Ok(self.object(key)?.len() as u64)
    }

    async fn delete(&self, key: &Key) -> Result<()> {
        self.objects().remove(key);
        Ok(())
    }

    async fn list(&self, prefix: &str, after: Option<&Key>, limit: usize) -> Result<Vec<Object>> {
        check_prefix(prefix)?;
        let from = after.map_or(Bound::Unbounded, |key| Bound::Excluded(key.clone()));
        let page = self
            .objects()
            .range((from, Bound::Unbounded))
            .filter(|(key, _)| key.as_str().starts_with(prefix))
            .take(limit.min(LIST_LIMIT_MAX))
            .map(|(key, bytes)| Object { key: key.clone(), size_bytes: bytes.len() as u64 })
            .collect();
        Ok(page)
    }
}
