//! A bucket of an S3-compatible object store as a backend.
//!
//! Objects lie under `PREFIX/KEY`. Each is one PUT: there is no multipart upload that a crash could leave behind, and no
//! rename. What is asked of the server is little: whole PUTs, range GETs, HEAD, DELETE, ListObjectsV2 with `start-after`,
//! and that what one request did to an object is seen by the next one that names it. Listings may lag behind: see "Where
//! listings lag" in `docs/design/store.md`.
//!
//! - **Creating only.** A PUT carries `If-None-Match: *`, so a key is never overwritten. It also carries a mark of its own,
//!   as metadata: one whose answer was lost is sent again, finds the key taken, and knows by the mark that it was itself.
//!   A server that does not know the header is asked whether the key is free first; see [`crate::RegionStore`] for what
//!   that means for the one object where it matters.
//! - **Missing** is only what the server says in so many words (`NoSuchKey`). A bucket that is gone, or a proxy that answers
//!   404 for everything, makes the store unavailable, not empty.
//! - **Retries**: what may pass (5xx, 429, lost connections, timeouts) is sent again with growing pauses, a bounded number
//!   of times; then the store is unavailable. Every request may be sent twice.

mod credentials;
mod error;
mod http;
mod place;

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use object_store::{
    Attribute, Attributes, BackoffConfig, GetOptions, GetRange, GetResult, ObjectStore, ObjectStoreExt, PutMode,
    PutOptions, PutPayload, RetryConfig,
    aws::{AmazonS3, AmazonS3Builder},
    list::{PaginatedListOptions, PaginatedListStore},
    path::Path,
};

pub use credentials::S3Credentials;
pub use place::S3Place;

use self::error::Failure;
use super::{Backend, Key, LIST_LIMIT_MAX, Object, check_prefix};
use crate::{Error, Result};

/// The region that requests are signed for when none is said; what self-hosted servers take.
const DEFAULT_REGION: &str = "us-east-1";
/// The name of a PUT's mark among an object's metadata.
const PUT_MARK: &str = "galerie-put";
/// The most objects that servers list in one answer.
const PAGE_MAX: usize = 1000;

/// Where a bucket is and how it is talked to.
#[derive(Debug, Clone)]
pub struct S3Options {
    /// The bucket and the prefix in it.
    pub place: S3Place,
    /// The server's URL; Amazon's of the region by default. An `http://` URL is taken at its word.
    pub endpoint: Option<String>,
    /// What requests are signed for; `us-east-1` by default.
    pub region: Option<String>,
    /// Whether the bucket is named in the path, not in the host. By default it is when there is an endpoint.
    pub path_style: Option<bool>,
    /// Authorities (PEM) that are trusted in place of the system's.
    pub ca_file: Option<PathBuf>,
    /// Who asks.
    pub credentials: S3Credentials,
    /// How often, and after which pauses, what failed is sent again.
    pub retries: S3Retries,
}

/// How a request that failed in passing is repeated. The defaults are for production.
#[derive(Debug, Clone, Copy)]
pub struct S3Retries {
    /// How often a request is sent again.
    pub retries_max: usize,
    /// The pause before the first repetition; each next one is about twice as long.
    pub first_pause: Duration,
    /// The longest pause.
    pub longest_pause: Duration,
    /// After this long nothing is sent again: the signature of a request is good for a few minutes.
    pub total: Duration,
}

impl Default for S3Retries {
    fn default() -> Self {
        Self {
            retries_max: 8,
            first_pause: Duration::from_millis(100),
            longest_pause: Duration::from_secs(10),
            total: Duration::from_secs(120),
        }
    }
}

impl S3Retries {
    fn config(self) -> RetryConfig {
        let backoff = BackoffConfig { init_backoff: self.first_pause, max_backoff: self.longest_pause, base: 2. };
        RetryConfig { backoff, max_retries: self.retries_max, retry_timeout: self.total }
    }
}

/// Objects in a bucket, under a prefix.
pub struct S3Backend {
    place: S3Place,
    store: AmazonS3,
    /// Whether the server knows `If-None-Match`, as far as it has said.
    creates_only: AtomicBool,
}

impl std::fmt::Debug for S3Backend {
    /// Without the credentials that the client holds.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "S3Backend({})", self.place)
    }
}

impl S3Backend {
    /// Sets up a client. Nothing is sent yet.
    ///
    /// # Errors
    /// `Invalid` for an endpoint that is no URL, credentials or authorities that cannot be used; `Io` when a file cannot be
    /// read.
    pub fn new(options: S3Options) -> Result<Self> {
        let S3Options { place, endpoint, region, path_style, ca_file, credentials, retries } = options;
        let region = region.unwrap_or_else(|| DEFAULT_REGION.to_owned());
        let path_style = path_style.unwrap_or(endpoint.is_some());
        let endpoint = place::endpoint(endpoint.as_deref(), &region, place.bucket(), path_style)?;
        let connector = http::Connector::new(&endpoint, place.bucket(), ca_file.as_deref())?;
        let builder = AmazonS3Builder::new()
            .with_bucket_name(place.bucket())
            .with_region(region)
            .with_endpoint(endpoint.as_str().trim_end_matches('/'))
            .with_virtual_hosted_style_request(!path_style)
            .with_http_connector(connector)
            .with_retry(retries.config())
            // One request an object, which every server has; the other one answers errors within a success.
            .with_disable_bulk_delete(true);
        let store = credentials.apply(builder)?.build().map_err(|error| Error::Invalid(format!("{place}: {error}")))?;
        Ok(Self { place, store, creates_only: AtomicBool::new(true) })
    }

    /// The bucket and the prefix in it.
    pub fn place(&self) -> &S3Place {
        &self.place
    }

    fn path(&self, key: &Key) -> Path {
        Path::parse(self.place.name_of(key)).expect("a prefix and a key make a path")
    }

    fn failed(&self, action: &str, key: &Key, error: object_store::Error) -> Error {
        Failure::new(error).into_error(&format!("{action} {key} in {}", self.place))
    }

    /// What reading answered. It is missing only if the server says so of the key.
    fn read<T>(&self, key: &Key, read: Result<T, object_store::Error>) -> Result<T> {
        read.map_err(|error| {
            let failure = Failure::new(error);
            match failure.is_missing_key() {
                true => Error::NotFound(key.to_string()),
                false => failure.into_error(&format!("read {key} in {}", self.place)),
            }
        })
    }

    async fn get_part(&self, key: &Key, range: Option<GetRange>) -> Result<GetResult, object_store::Error> {
        self.store.get_opts(&self.path(key), GetOptions { range, ..GetOptions::default() }).await
    }

    async fn head(&self, key: &Key) -> Result<GetResult, object_store::Error> {
        self.store.get_opts(&self.path(key), GetOptions { head: true, ..GetOptions::default() }).await
    }

    /// What a HEAD that answered 404 meant: its answer has no words, that of a GET has.
    async fn size_of_missing(&self, key: &Key) -> Result<u64> {
        let first_byte = Some(GetRange::Bounded(0..1));
        self.read(key, self.get_part(key, first_byte).await).map(|result| result.meta.size)
    }

    async fn put_marked(&self, key: &Key, payload: PutPayload, mark: &str, mode: PutMode) -> Result<(), Failure> {
        let attributes = Attributes::from_iter([(Attribute::Metadata(PUT_MARK.into()), mark.to_owned())]);
        let options = PutOptions { mode, attributes, ..PutOptions::default() };
        self.store.put_opts(&self.path(key), payload, options).await.map(|_| ()).map_err(Failure::new)
    }

    /// Whether the object that is there was put with this mark.
    async fn is_marked(&self, key: &Key, mark: &str) -> Result<bool> {
        let kept = match self.head(key).await {
            Ok(kept) => kept,
            // Something else was deleting it at that moment.
            Err(object_store::Error::NotFound { .. }) => {
                return Err(Error::Unavailable(format!("{key} in {} comes and goes", self.place)));
            }
            Err(error) => return Err(self.failed("look at", key, error)),
        };
        let found = kept.attributes.get(&Attribute::Metadata(PUT_MARK.into()));
        Ok(found.is_some_and(|found| found.as_ref() == mark))
    }

    /// For a server that cannot create only: looks whether the key is free, then puts. Two that do so at the same moment both
    /// succeed, and the later one's bytes stay.
    async fn put_if_free(&self, key: &Key, payload: PutPayload, mark: &str) -> Result<()> {
        match self.size_bytes(key).await {
            Ok(_) => return Err(Error::AlreadyExists(key.to_string())),
            Err(Error::NotFound(_)) => {}
            Err(error) => return Err(error),
        }
        let put = self.put_marked(key, payload, mark, PutMode::Overwrite).await;
        put.map_err(|failure| failure.into_error(&format!("write {key} in {}", self.place)))
    }

    /// The object's key, if it is one of ours.
    fn object(&self, meta: &object_store::ObjectMeta) -> Option<Object> {
        let key = self.place.key_of(meta.location.as_ref())?;
        Some(Object { key, size_bytes: meta.size })
    }
}

fn ends_early(key: &Key, offset_bytes: u64, length_bytes: u64) -> Error {
    Error::Corrupt(format!("{key} ends before the {length_bytes} bytes at {offset_bytes}"))
}

#[async_trait]
impl Backend for S3Backend {
    async fn put(&self, key: &Key, parts: Vec<Bytes>) -> Result<()> {
        let payload: PutPayload = parts.into_iter().filter(|part| !part.is_empty()).collect();
        let mark = uuid::Uuid::new_v4().simple().to_string();
        match self.put_marked(key, payload.clone(), &mark, PutMode::Create).await {
            Ok(()) => Ok(()),
            Err(failure) if failure.is_taken() => match self.is_marked(key, &mark).await? {
                true => Ok(()),
                false => Err(Error::AlreadyExists(key.to_string())),
            },
            Err(failure) if failure.is_not_implemented() => {
                if self.creates_only.swap(false, Ordering::Relaxed) {
                    tracing::warn!(place = %self.place, "the object store cannot create only (If-None-Match)");
                }
                self.put_if_free(key, payload, &mark).await
            }
            Err(failure) => Err(failure.into_error(&format!("write {key} in {}", self.place))),
        }
    }

    async fn get(&self, key: &Key, limit_bytes: u64) -> Result<Bytes> {
        let result = self.read(key, self.get_part(key, None).await)?;
        if result.meta.size > limit_bytes {
            return Err(Error::Invalid(format!("{key} has {} bytes, more than {limit_bytes}", result.meta.size)));
        }
        self.read(key, result.bytes().await)
    }

    async fn get_range(&self, key: &Key, offset_bytes: u64, length_bytes: u64) -> Result<Bytes> {
        let early = || ends_early(key, offset_bytes, length_bytes);
        let end_bytes = offset_bytes.checked_add(length_bytes).ok_or_else(early)?;
        if length_bytes == 0 {
            // There is no request for nothing.
            return if self.size_bytes(key).await? < offset_bytes { Err(early()) } else { Ok(Bytes::new()) };
        }
        let result = match self.get_part(key, Some(GetRange::Bounded(offset_bytes..end_bytes))).await {
            Err(error) if Failure::is_past_the_end(&error) => return Err(early()),
            other => self.read(key, other)?,
        };
        if result.range.end - result.range.start != length_bytes {
            return Err(early());
        }
        let bytes = self.read(key, result.bytes().await)?;
        if bytes.len() as u64 == length_bytes { Ok(bytes) } else { Err(early()) }
    }

    async fn size_bytes(&self, key: &Key) -> Result<u64> {
        match self.head(key).await {
            Ok(result) => Ok(result.meta.size),
            Err(object_store::Error::NotFound { .. }) => self.size_of_missing(key).await,
            Err(error) => Err(self.failed("look at", key, error)),
        }
    }

    async fn delete(&self, key: &Key) -> Result<()> {
        match self.store.delete(&self.path(key)).await {
            Ok(()) => Ok(()),
            Err(error) => {
                let failure = Failure::new(error);
                match failure.is_missing_key() {
                    true => Ok(()),
                    false => Err(failure.into_error(&format!("delete {key} in {}", self.place))),
                }
            }
        }
    }

    async fn list(&self, prefix: &str, after: Option<&Key>, limit: usize) -> Result<Vec<Object>> {
        check_prefix(prefix)?;
        let limit = limit.min(LIST_LIMIT_MAX);
        let full_prefix = self.place.name_under(prefix);
        let mut objects: Vec<Object> = Vec::new();
        let mut page_token = None;
        while objects.len() < limit {
            let options = PaginatedListOptions {
                offset: after.map(|after| self.place.name_of(after)),
                max_keys: Some((limit - objects.len()).min(PAGE_MAX)),
                page_token,
                ..PaginatedListOptions::default()
            };
            let page = self.store.list_paginated(Some(full_prefix.as_str()).filter(|text| !text.is_empty()), options);
            let page = page
                .await
                .map_err(|error| Failure::new(error).into_error(&format!("list '{prefix}' in {}", self.place)))?;
            for object in page.result.objects.iter().filter_map(|meta| self.object(meta)) {
                if after.is_some_and(|after| object.key <= *after) {
                    continue;
                }
                if objects.last().is_some_and(|last| object.key <= last.key) {
                    return Err(Error::Unavailable(format!("{} lists its keys in no order", self.place)));
                }
                objects.push(object);
            }
            page_token = page.page_token;
            if page_token.is_none() {
                break;
            }
        }
        objects.truncate(limit);
        Ok(objects)
    }

    fn creates_only(&self) -> bool {
        self.creates_only.load(Ordering::Relaxed)
    }
}

/// A bucket as a region uses it: a bound on what is under way, around the client.
///
/// # Errors
/// As [`S3Backend::new`].
pub fn bounded(options: S3Options) -> Result<Arc<dyn Backend>> {
    /// How many calls one region has under way; a server that is busy is not helped by more.
    const CALLS_MAX: usize = 64;
    Ok(Arc::new(super::LimitedBackend::new(Arc::new(S3Backend::new(options)?), CALLS_MAX)))
}
