//! Seeded faults: a backend that fails as storage does.
//!
//! The same seed gives the same faults for the same sequence of calls. Used by tests; nothing in production wires it.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use async_trait::async_trait;
use bytes::Bytes;

use super::{Backend, Key, Object};
use crate::{Error, Result};

/// How often what goes wrong, each in calls of a thousand.
#[derive(Debug, Clone, Copy, Default)]
pub struct FaultPlan {
    /// `put` fails and nothing was kept.
    pub put_lost_per_mille: u64,
    /// `put` fails although the object was kept.
    pub put_unanswered_per_mille: u64,
    /// A read fails.
    pub read_failed_per_mille: u64,
    /// A read answers with one bit flipped.
    pub read_flipped_per_mille: u64,
    /// `put` fails for want of space once this many bytes were kept.
    pub space_bytes: Option<u64>,
}

/// A backend around a backend that fails by plan.
#[derive(Debug)]
pub struct FaultyBackend {
    inner: Arc<dyn Backend>,
    plan: FaultPlan,
    state: AtomicU64,
    kept_bytes: AtomicU64,
}

impl FaultyBackend {
    /// Fails by `plan`; `seed` decides which calls.
    pub fn new(inner: Arc<dyn Backend>, plan: FaultPlan, seed: u64) -> Self {
        Self { inner, plan, state: AtomicU64::new(seed), kept_bytes: AtomicU64::new(0) }
    }

    /// The next number of SplitMix64 (Steele, Lea, Flood 2014).
    fn next(&self) -> u64 {
        const STEP: u64 = 0x9E37_79B9_7F4A_7C15;
        let mut z = self.state.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn happens(&self, per_mille: u64) -> bool {
        self.next() % 1000 < per_mille
    }

    fn read_fault(&self, key: &Key) -> Result<()> {
        if self.happens(self.plan.read_failed_per_mille) {
            return Err(Error::Unavailable(format!("injected fault: read {key}")));
        }
        Ok(())
    }

    fn flip(&self, bytes: Bytes) -> Bytes {
        if bytes.is_empty() || !self.happens(self.plan.read_flipped_per_mille) {
            return bytes;
        }
        let mut damaged = bytes.to_vec();
        let bit = self.next() % (damaged.len() as u64 * 8);
        damaged[(bit / 8) as usize] ^= 1 << (bit % 8);
        damaged.into()
    }
}

#[async_trait]
impl Backend for FaultyBackend {
    async fn put(&self, key: &Key, parts: Vec<Bytes>) -> Result<()> {
        let size_bytes: u64 = parts.iter().map(|part| part.len() as u64).sum();
        let kept_bytes = self.kept_bytes.load(Ordering::Relaxed);
        if self.plan.space_bytes.is_some_and(|space| kept_bytes + size_bytes > space) {
            return Err(Error::Full { action: format!("write {key}") });
        }
        if self.happens(self.plan.put_lost_per_mille) {
            return Err(Error::Unavailable(format!("injected fault: write {key}")));
        }
        self.inner.put(key, parts).await?;
        self.kept_bytes.fetch_add(size_bytes, Ordering::Relaxed);
        if self.happens(self.plan.put_unanswered_per_mille) {
            return Err(Error::Unavailable(format!("injected fault: no answer to write {key}")));
        }
        Ok(())
    }

    async fn get(&self, key: &Key, limit_bytes: u64) -> Result<Bytes> {
        self.read_fault(key)?;
        self.inner.get(key, limit_bytes).await.map(|bytes| self.flip(bytes))
    }

    async fn get_range(&self, key: &Key, offset_bytes: u64, length_bytes: u64) -> Result<Bytes> {
        self.read_fault(key)?;
        self.inner.get_range(key, offset_bytes, length_bytes).await.map(|bytes| self.flip(bytes))
    }

    async fn size_bytes(&self, key: &Key) -> Result<u64> {
        self.read_fault(key)?;
        self.inner.size_bytes(key).await
    }

    async fn delete(&self, key: &Key) -> Result<()> {
        self.inner.delete(key).await
    }

    async fn list(&self, prefix: &str, after: Option<&Key>, limit: usize) -> Result<Vec<Object>> {
        self.inner.list(prefix, after, limit).await
    }

    fn creates_only(&self) -> bool {
        self.inner.creates_only()
    }
}
