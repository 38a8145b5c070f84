//! The way to what users' links name. Everything that a user has this server fetch goes through one [`Fetch`].
//!
//! Whoever implements it decides where this server may be led: a link is a stranger's wish that a machine inside asks
//! something for him.

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;

/// Fetches.
#[async_trait]
pub trait Fetch: Send + Sync + std::fmt::Debug {
    /// Opens what a URL names. Dropping it ends it.
    ///
    /// # Errors
    /// Why it cannot be had; the message names the URL without its query, and says what to do.
    async fn open(&self, url: &str) -> Result<Fetched, FetchError>;
}

/// What a URL names, on its way.
pub struct Fetched {
    /// How much it says that it is.
    pub length_bytes: Option<u64>,
    /// The bytes; after an error nothing more. An end without one is the end of all of it.
    pub body: BoxStream<'static, Result<Bytes, FetchError>>,
}

/// Why something cannot be fetched.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// Trying again soon may help.
    #[error("{0}")]
    Passing(String),
    /// It is refused, or not there.
    #[error("{0}")]
    Final(String),
}

/// Nothing is fetched.
#[derive(Debug, Clone, Copy)]
pub struct NoFetch;

#[async_trait]
impl Fetch for NoFetch {
    async fn open(&self, _url: &str) -> Result<Fetched, FetchError> {
        Err(FetchError::Final("this server fetches nothing: name a disk or snapshot".to_owned()))
    }
}
