//! Images that were opened lately.
//!
//! A download is hundreds of requests, and each opens its image: the manifest of a disk of terabytes has tens of
//! megabytes, which are fetched and decoded once.

use std::sync::Arc;

use galerie_store::{ImageReader, ManifestId};
use quick_cache::{DefaultHashBuilder, OptionsBuilder, Weighter, sync::Cache, sync::DefaultLifecycle};
use uuid::Uuid;

use crate::Result;

/// What the manifests of all readers that are kept may take; the largest possible one has 36 MiB.
const READERS_MAX_BYTES: u64 = 128 << 20;
/// What a reader takes beside its manifest.
const READER_BYTES: u64 = 512;
const TYPICAL_READERS: usize = 1024;

/// An image of a tenant.
type Key = (Uuid, ManifestId);

/// A bounded set of open images.
#[derive(Debug)]
pub(crate) struct OpenReaders {
    readers: Cache<Key, Arc<ImageReader>, ReaderWeight>,
}

#[derive(Debug, Clone)]
struct ReaderWeight;

impl Weighter<Key, Arc<ImageReader>> for ReaderWeight {
    fn weight(&self, _: &Key, reader: &Arc<ImageReader>) -> u64 {
        READER_BYTES + size_of_val(reader.manifest().segments()) as u64
    }
}

impl Default for OpenReaders {
    fn default() -> Self {
        // One shard: a shard keeps nothing that is larger than its own share.
        let options = OptionsBuilder::new()
            .shards(1)
            .estimated_items_capacity(TYPICAL_READERS)
            .weight_capacity(READERS_MAX_BYTES)
            .build()
            .expect("both capacities are given");
        let (hasher, lifecycle) = (DefaultHashBuilder::default(), DefaultLifecycle::default());
        Self { readers: Cache::with_options(options, ReaderWeight, hasher, lifecycle) }
    }
}

impl OpenReaders {
    /// The reader of an image: the one that is kept, or what `open` answers.
    ///
    /// # Errors
    /// Of `open`.
    pub(crate) async fn get_or_open(
        &self,
        tenant: Uuid,
        manifest: ManifestId,
        open: impl Future<Output = Result<Arc<ImageReader>>>,
    ) -> Result<Arc<ImageReader>> {
        self.readers.get_or_insert_async(&(tenant, manifest), open).await
    }
}
