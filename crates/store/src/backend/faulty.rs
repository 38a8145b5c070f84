//! Seeded faults: a backend that fails as storage, and the way to it, do.
//!
//! The same seed gives the same faults for the same sequence of calls. Used by tests; nothing in production wires it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::{sync::watch, time};

use super::{Backend, Key, Object};
use crate::{Error, Result};

/// How often what goes wrong, each in calls of a thousand.
#[derive(Debug, Clone, Copy, Default)]
pub struct FaultPlan {
    /// `put` fails and nothing was kept.
    pub put_lost_per_mille: u64,
    /// `put` fails although the object was kept.
    pub put_unanswered_per_mille: u64,
    /// A read or a listing fails.
    pub read_failed_per_mille: u64,
    /// A read answers with one bit flipped.
    pub read_flipped_per_mille: u64,
    /// `delete` fails, every other time although the object is gone.
    pub delete_failed_per_mille: u64,
    /// `put` fails for want of space once this many bytes were kept.
    pub space_bytes: Option<u64>,
    /// The longest that a call takes by tokio's clock, in ms; each takes a part of it.
    pub latency_max_ms: u64,
    /// Whether calls come through.
    pub link: Link,
}

/// The way to a store.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Link {
    /// Calls come through.
    #[default]
    Up,
    /// Every call fails at once.
    Refused,
    /// Calls wait until the way is another, or fail after a while.
    Silent,
}

/// How long a call waits for an answer, as a client of object stores does.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// A backend around a backend that fails by plan.
#[derive(Debug)]
pub struct FaultyBackend {
    inner: Arc<dyn Backend>,
    plan: watch::Sender<FaultPlan>,
    state: AtomicU64,
    kept_bytes: AtomicU64,
}

impl FaultyBackend {
    /// Fails by `plan`; `seed` decides which calls.
    pub fn new(inner: Arc<dyn Backend>, plan: FaultPlan, seed: u64) -> Self {
        let plan = watch::Sender::new(plan);
        Self { inner, plan, state: AtomicU64::new(seed), kept_bytes: AtomicU64::new(0) }
    }

    /// Fails by another plan from now on, calls that wait in silence included.
    pub fn set_plan(&self, plan: FaultPlan) {
        self.plan.send_replace(plan);
    }

    fn plan(&self) -> FaultPlan {
        *self.plan.borrow()
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

    /// The way there, or back.
    async fn travel(&self, what: &str) -> Result<()> {
        let latency_max_ms = self.plan().latency_max_ms;
        if latency_max_ms > 0 {
            time::sleep(Duration::from_millis(self.next() % latency_max_ms)).await;
        }
        let mut plan = self.plan.subscribe();
        let heard = time::timeout(SILENCE_MAX, plan.wait_for(|plan| plan.link != Link::Silent)).await;
        match heard {
            Ok(Ok(plan)) if plan.link == Link::Up => Ok(()),
            _ => Err(Error::Unavailable(format!("injected fault: no way to the store to {what}"))),
        }
    }

    fn read_fault(&self, what: &str) -> Result<()> {
        if self.happens(self.plan().read_failed_per_mille) {
            return Err(Error::Unavailable(format!("injected fault: read {what}")));
        }
        Ok(())
    }

    fn flip(&self, bytes: Bytes) -> Bytes {
        if bytes.is_empty() || !self.happens(self.plan().read_flipped_per_mille) {
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
        self.travel("write").await?;
        let size_bytes: u64 = parts.iter().map(|part| part.len() as u64).sum();
        let (plan, kept_bytes) = (self.plan(), self.kept_bytes.load(Ordering::Relaxed));
        if plan.space_bytes.is_some_and(|space| kept_bytes + size_bytes > space) {
            return Err(Error::Full { action: format!("write {key}") });
        }
        if self.happens(plan.put_lost_per_mille) {
            return Err(Error::Unavailable(format!("injected fault: write {key}")));
        }
        self.inner.put(key, parts).await?;
        self.kept_bytes.fetch_add(size_bytes, Ordering::Relaxed);
        if self.happens(plan.put_unanswered_per_mille) {
            return Err(Error::Unavailable(format!("injected fault: no answer to write {key}")));
        }
        Ok(())
    }

    async fn get(&self, key: &Key, limit_bytes: u64) -> Result<Bytes> {
        self.travel("read").await?;
        self.read_fault(key.as_str())?;
        self.inner.get(key, limit_bytes).await.map(|bytes| self.flip(bytes))
    }

    async fn get_range(&self, key: &Key, offset_bytes: u64, length_bytes: u64) -> Result<Bytes> {
        self.travel("read").await?;
        self.read_fault(key.as_str())?;
        self.inner.get_range(key, offset_bytes, length_bytes).await.map(|bytes| self.flip(bytes))
    }

    async fn size_bytes(&self, key: &Key) -> Result<u64> {
        self.travel("read").await?;
        self.read_fault(key.as_str())?;
        self.inner.size_bytes(key).await
    }

    async fn delete(&self, key: &Key) -> Result<()> {
        self.travel("delete").await?;
        let fails = self.happens(self.plan().delete_failed_per_mille);
        if !fails || self.happens(500) {
            self.inner.delete(key).await?;
        }
        if fails {
            return Err(Error::Unavailable(format!("injected fault: delete {key}")));
        }
        Ok(())
    }

    async fn list(&self, prefix: &str, after: Option<&Key>, limit: usize) -> Result<Vec<Object>> {
        self.travel("list").await?;
        self.read_fault(prefix)?;
        self.inner.list(prefix, after, limit).await
    }

    fn creates_only(&self) -> bool {
        self.inner.creates_only()
    }
}
