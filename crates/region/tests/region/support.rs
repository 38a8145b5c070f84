//! What tests of regions share.

use std::path::Path;

use galerie_region::{Compression, LocalRegionOptions};
use uuid::Uuid;

pub(crate) const TENANT: Uuid = Uuid::from_u128(7);
pub(crate) const MIB: usize = 1 << 20;

/// A region of this name below a folder.
pub(crate) fn options(root: &Path, name: &str) -> LocalRegionOptions {
    LocalRegionOptions {
        name: name.to_owned(),
        root: root.join(name),
        catalogue_id: Uuid::from_u128(1),
        expected_store_id: None,
        epoch: 1,
        index_dir: root.join("index").join(name),
        cache_bytes: 16 << 20,
        compression: Compression::default(),
    }
}
