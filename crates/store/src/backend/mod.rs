//! Backends: where a region store's objects lie.
//!
//! A backend keeps whole, immutable objects under validated keys. Its trait has only what every kind of storage can
//! honour; limits and fault injection are backends around backends. What a backend promises is written at each method
//! and checked by one conformance suite (`tests/store/backend_conformance.rs`).
//!
//! A backend knows nothing about packs or hashes; integrity is checked above it.

mod durable;
pub mod faulty;
mod key;
pub mod limited;
pub mod local;
pub mod memory;
pub mod s3;

use async_trait::async_trait;
use bytes::Bytes;

pub use faulty::{FaultPlan, FaultyBackend, Link};
pub use key::Key;
pub use limited::LimitedBackend;
pub use local::LocalBackend;
pub use memory::MemoryBackend;
pub use s3::{S3Backend, S3Credentials, S3Options, S3Place, S3Retries};

use crate::Result;

/// The most objects one [`Backend::list`] call answers.
pub const LIST_LIMIT_MAX: usize = 10_000;

/// An object in a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// Its key.
    pub key: Key,
    /// Its size in bytes.
    pub size_bytes: u64,
}

/// A place for immutable objects.
///
/// Every method may be called from many tasks at once. Dropping a future before it ends leaves either nothing or the
/// whole object behind, never a part.
#[async_trait]
pub trait Backend: Send + Sync + std::fmt::Debug {
    /// Keeps `parts`, one after the other, under `key`. When it returns `Ok` the object survives a power loss and
    /// everybody sees it whole; before that nobody sees anything of it.
    ///
    /// # Errors
    /// `AlreadyExists` when the key is taken (what is there stays as it was), `Full`, `Io`, `Unavailable`. After `Io`
    /// and `Unavailable` the object may exist, whole.
    async fn put(&self, key: &Key, parts: Vec<Bytes>) -> Result<()>;

    /// Reads a whole object of at most `limit_bytes`.
    ///
    /// # Errors
    /// `NotFound`, `Invalid` when the object is larger than the limit, `Io`, `Unavailable`.
    async fn get(&self, key: &Key, limit_bytes: u64) -> Result<Bytes>;

    /// Reads exactly `length_bytes` from `offset_bytes`.
    ///
    /// # Errors
    /// `NotFound`; `Corrupt` when the object ends before the range does; `Io`, `Unavailable`.
    async fn get_range(&self, key: &Key, offset_bytes: u64, length_bytes: u64) -> Result<Bytes>;

    /// The object's size in bytes.
    ///
    /// # Errors
    /// `NotFound`, `Io`, `Unavailable`.
    async fn size_bytes(&self, key: &Key) -> Result<u64>;

    /// Removes an object. Absent is fine.
    ///
    /// # Errors
    /// `Io`, `Unavailable`; the object may be gone all the same.
    async fn delete(&self, key: &Key) -> Result<()>;

    /// At most `limit` objects (and never more than [`LIST_LIMIT_MAX`]) whose keys begin with `prefix` and come after
    /// `after`, in the order of their bytes. `prefix` is empty or ends in `/`. An object that was put before the call
    /// and is not being deleted is in the answer, but for object stores whose listings lag behind: nothing is lost if it
    /// is not, nor if one that was deleted is (`docs/design/store.md`, "Where listings lag").
    ///
    /// # Errors
    /// `Invalid` for another prefix, `Io`, `Unavailable`.
    async fn list(&self, prefix: &str, after: Option<&Key>, limit: usize) -> Result<Vec<Object>>;

    /// Whether of two that put the same key at the same moment only one succeeds. Some object stores do not know how to do
    /// that, which their backend may find out at a `put`.
    fn creates_only(&self) -> bool {
        true
    }
}

/// All objects under a prefix, page by page.
///
/// # Errors
/// As [`Backend::list`].
pub(crate) async fn list_all(backend: &dyn Backend, prefix: &str) -> Result<Vec<Object>> {
    let mut all: Vec<Object> = Vec::new();
    loop {
        let after = all.last().map(|object| object.key.clone());
        let page = backend.list(prefix, after.as_ref(), LIST_LIMIT_MAX).await?;
        let more = page.len() == LIST_LIMIT_MAX;
        all.extend(page);
        if !more {
            return Ok(all);
        }
    }
}

/// Refuses a prefix that is neither empty nor a folder's.
fn check_prefix(prefix: &str) -> Result<()> {
    if prefix.is_empty() {
        return Ok(());
    }
    match prefix.strip_suffix('/') {
        Some(folder) => folder.parse::<Key>().map(|_| ()),
        None => Err(crate::Error::Invalid(format!("a listing's prefix ends in '/', '{prefix}' does not"))),
    }
}
