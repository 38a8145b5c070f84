//! What the tests of rules share: a write made from a body.

use galerie_arm::{ApiVersion, Location, Locations, ProvisioningState, ResourceId};
use serde_json::Value;
use uuid::Uuid;

use super::plan::{Existing, Write};

pub(crate) const SUBSCRIPTION: &str = "11111111-2222-3333-4444-555555555555";
pub(crate) const GALLERY: &str = "/subscriptions/11111111-2222-3333-4444-555555555555/resourceGroups/myGalleryRG/providers/Microsoft.Compute/galleries/myGallery";
pub(crate) const DEFINITION: &str = "/subscriptions/11111111-2222-3333-4444-555555555555/resourceGroups/myGalleryRG/providers/Microsoft.Compute/galleries/myGallery/images/web";
pub(crate) const VERSION: &str = "/subscriptions/11111111-2222-3333-4444-555555555555/resourceGroups/myGalleryRG/providers/Microsoft.Compute/galleries/myGallery/images/web/versions/1.0.0";
pub(crate) const DISK: &str = "/subscriptions/11111111-2222-3333-4444-555555555555/resourceGroups/myGalleryRG/providers/Microsoft.Compute/disks/disk";
pub(crate) const SNAPSHOT: &str = "/subscriptions/11111111-2222-3333-4444-555555555555/resourceGroups/myGalleryRG/providers/Microsoft.Compute/snapshots/snap";
pub(crate) const IMAGE: &str = "/subscriptions/11111111-2222-3333-4444-555555555555/resourceGroups/myGalleryRG/providers/Microsoft.Compute/images/image";

/// 2024-01-01T00:00:00Z: the present of these tests.
pub(crate) const NOW_MS: i64 = 1_704_067_200_000;

/// A write in the making: to eastus, of three regions, in the api-version that a test chooses.
pub(crate) struct Given {
    id: ResourceId,
    document: Value,
    existing: Option<Existing>,
    api_version: ApiVersion,
    location: Location,
    locations: Locations,
}

pub(crate) fn location(name: &str) -> Location {
    Location::normalise(name).expect("a region's name")
}

impl Given {
    pub(crate) fn new(id: &str, document: Value) -> Self {
        Self {
            id: id.parse().expect("an id"),
            document,
            existing: None,
            api_version: ApiVersion::stable(2024, 3, 3),
            location: location("eastus"),
            locations: Locations::new(["eastus", "westus", "westeurope"].map(|name| (location(name), None))),
        }
    }

    pub(crate) fn over(mut self, document: Value) -> Self {
        self.existing = Some(Existing { document, state: ProvisioningState::Succeeded, created_ms: NOW_MS - 1000 });
        self
    }

    pub(crate) fn state(mut self, state: ProvisioningState) -> Self {
        if let Some(existing) = &mut self.existing {
            existing.state = state;
        }
        self
    }

    pub(crate) fn version(mut self, text: &str) -> Self {
        self.api_version = text.parse().expect("an api-version");
        self
    }

    pub(crate) fn write(&self) -> Write<'_> {
        Write {
            id: &self.id,
            resource_type: self.id.resource_type().expect("a type of ours"),
            uid: Uuid::from_u128(7),
            existing: self.existing.as_ref(),
            document: self.document.clone(),
            api_version: self.api_version,
            location: &self.location,
            locations: &self.locations,
            now_ms: NOW_MS,
        }
    }
}
