//! A region's blobs as they are read from outside: what is asked for is believed to be there.

use std::sync::Arc;

use async_trait::async_trait;
use galerie_store::{BlobId, BlobSource, DamageNotes, Domain, Error, Result, StoredBlob};

/// Passes reads on, and notes that the tenant's images are to be looked into when a blob is missing or has no good copy.
pub(crate) struct WatchedBlobs {
    domain: Arc<Domain>,
    damage: Arc<DamageNotes>,
}

impl WatchedBlobs {
    pub(crate) fn new(domain: Arc<Domain>, damage: Arc<DamageNotes>) -> Self {
        Self { domain, damage }
    }

    fn watch<T>(&self, read: Result<T>) -> Result<T> {
        if let Err(Error::NotFound(_) | Error::Corrupt(_)) = &read {
            self.damage.note(self.domain.tenant());
        }
        read
    }
}

#[async_trait]
impl BlobSource for WatchedBlobs {
    async fn fetch(&self, ids: &[BlobId], listed_by: Option<BlobId>) -> Result<Vec<StoredBlob>> {
        self.watch(self.domain.fetch(ids, listed_by).await)
    }

    fn cache_scope(&self) -> u64 {
        self.domain.cache_scope()
    }

    async fn replace_corrupt(&self, id: BlobId, listed_by: Option<BlobId>) -> Result<StoredBlob> {
        self.watch(self.domain.replace_corrupt(id, listed_by).await)
    }
}
