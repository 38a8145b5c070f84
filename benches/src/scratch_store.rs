//! Stores that a measurement makes, uses and throws away.

use std::{fs::File, path::Path, sync::Arc};

use galerie_disk::{Format, open};
use galerie_store::{
    Compression, CondemnedPacks, Domain, GuestBytes, Identity, ImportOptions, ImportProgress, ManifestId, RegionStore,
    StoreOptions,
    backend::{Backend, LocalBackend},
    import,
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::Result;

/// A store in a folder, and the one tenant that uses it.
pub(crate) struct ScratchStore {
    /// The tenant's domain.
    pub(crate) domain: Arc<Domain>,
    _store: Arc<RegionStore>,
}

impl ScratchStore {
    /// Opens the store below `folder`, or makes it.
    pub(crate) async fn open(folder: &Path, compression: Compression) -> Result<Self> {
        Self::open_on(Arc::new(LocalBackend::open(folder.join("store")).await?), &folder.join("index"), compression)
            .await
    }

    /// Opens the store on a backend, or makes it, with an index of its own.
    pub(crate) async fn open_on(backend: Arc<dyn Backend>, index: &Path, compression: Compression) -> Result<Self> {
        let identity =
            Identity { catalogue_id: Uuid::nil(), region: "bench".into(), expected_store_id: None, epoch: 1 };
        let options = StoreOptions { compression, ..StoreOptions::default() };
        let store = RegionStore::open_or_create(backend, identity, index, options).await?;
        let domain = store.domain(&"bench".parse()?).await?;
        Ok(Self { domain, _store: store })
    }

    /// Imports a raw image, as a region does.
    pub(crate) async fn import(&self, image: &Path, progress: &Arc<ImportProgress>) -> Result<ManifestId> {
        let writer = self.domain.writer(CondemnedPacks::none()).await?;
        let (options, cancel) = (ImportOptions::default(), CancellationToken::new());
        let imported = import(guest(image)?, writer, options, Arc::clone(progress), cancel).await?;
        Ok(imported.manifest_id)
    }

    /// What all packs take.
    pub(crate) fn pack_bytes(&self) -> u64 {
        self.domain.stats().pack_bytes
    }
}

/// The guest bytes of a raw image.
pub(crate) fn guest(image: &Path) -> Result<Arc<dyn GuestBytes>> {
    let file = File::open(image).map_err(|error| format!("open {}: {error}", image.display()))?;
    Ok(open(file, Some(Format::Raw))?.guest)
}
