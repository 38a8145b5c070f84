//! The snapshot's document. Its properties are a disk's.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::disk::{DiskProperties, Sku};
use crate::document::Document;
use crate::resource_id::ResourceType;
use crate::wire_enum::wire_enum;

wire_enum! {
    /// What a snapshot is stored on (`sku.name`).
    SnapshotSku {
        StandardLrs = "Standard_LRS",
        PremiumLrs = "Premium_LRS",
        StandardZrs = "Standard_ZRS",
    }
}

impl SnapshotSku {
    /// What `sku.tier` shows beside it.
    #[must_use]
    pub const fn tier(self) -> &'static str {
        match self {
            Self::StandardLrs | Self::StandardZrs => "Standard",
            Self::PremiumLrs => "Premium",
        }
    }
}

/// A snapshot, as far as rules look at it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Snapshot {
    /// The region, in any spelling.
    pub location: Option<String>,
    /// Tags.
    pub tags: BTreeMap<String, String>,
    /// What it is stored on.
    pub sku: Sku<SnapshotSku>,
    /// The rest.
    pub properties: DiskProperties,
}

impl Document for Snapshot {
    const TYPE: ResourceType = ResourceType::Snapshot;
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::disk::Creation;

    #[test]
    fn reads() {
        let id =
            "/subscriptions/f4662c1d-e072-46af-8700-b8ca2968ccab/resourceGroups/RG/providers/Microsoft.Compute/disks/D";
        let snapshot = Snapshot::read(&json!({
            "location": "eastus", "sku": { "name": "Standard_ZRS" },
            "properties": { "incremental": true, "creationData": { "createOption": "Copy", "sourceResourceId": id } }
        }))
        .unwrap();
        assert_eq!(snapshot.sku.name, Some(SnapshotSku::StandardZrs));
        assert!(matches!(snapshot.properties.creation(ResourceType::Snapshot), Ok(Creation::Copy { .. })));
    }
}
