//! The image version's document: what it is made from and where it goes.

mod source;

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};

pub use self::source::{DataDiskSource, DiskSource, Source, WholeSource};
use crate::disk::HostCaching;
use crate::document::Document;
use crate::error::ArmError;
use crate::provisioning_state::ProvisioningState;
use crate::resource_id::ResourceType;
use crate::wire_enum::wire_enum;

wire_enum! {
    /// What a version's copies are stored on.
    StorageAccountType {
        StandardLrs = "Standard_LRS",
        StandardZrs = "Standard_ZRS",
        PremiumLrs = "Premium_LRS",
        PremiumV2Lrs = "PremiumV2_LRS",
    }
}

wire_enum! {
    /// Whether a version's bytes are copied at all.
    ReplicationMode {
        Full = "Full",
        Shallow = "Shallow",
    }
}

/// Most replicas in one region.
pub const MOST_REPLICAS: i64 = 100;

/// A version, as far as rules look at it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ImageVersion {
    /// The home region, in any spelling.
    pub location: Option<String>,
    /// Tags.
    pub tags: BTreeMap<String, String>,
    /// The rest.
    pub properties: ImageVersionProperties,
}

/// A version's properties.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ImageVersionProperties {
    /// Where it goes.
    pub publishing_profile: PublishingProfile,
    /// What it is made from.
    pub storage_profile: StorageProfile,
    /// What protects it.
    pub safety_profile: SafetyProfile,
    /// Asks for a soft-deleted version back.
    pub restore: Option<bool>,
    /// Where the version is in its life.
    pub provisioning_state: Option<ProvisioningState>,
}

/// Where a version goes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PublishingProfile {
    /// `None` when not given: the home region.
    pub target_regions: Option<Vec<TargetRegion>>,
    /// For regions that name no count of their own.
    pub replica_count: Option<i32>,
    /// Keeps the version out of `latest` everywhere.
    pub exclude_from_latest: Option<bool>,
    /// For regions that name none of their own. Immutable.
    pub storage_account_type: Option<StorageAccountType>,
    /// Immutable.
    pub replication_mode: Option<ReplicationMode>,
    /// As given; see [`crate::timestamp::parse_ms`].
    pub end_of_life_date: Option<String>,
}

/// One region that a version goes to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TargetRegion {
    /// The region, in any spelling.
    pub name: String,
    /// How many replicas; absent means the version's `replica_count`.
    pub regional_replica_count: Option<i32>,
    /// Absent means the version's.
    pub storage_account_type: Option<StorageAccountType>,
    /// Keeps the version out of `latest` in this region.
    pub exclude_from_latest: Option<bool>,
}

/// What a version is made from, as written; [`ImageVersion::source`] makes sense of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StorageProfile {
    /// A managed image, a virtual machine or another version.
    pub source: Option<ArtifactSource>,
    /// The operating system's disk on its own.
    pub os_disk_image: Option<DiskImage>,
    /// Data disks on their own.
    pub data_disk_images: Option<Vec<DiskImage>>,
}

/// A reference to what something is made from, as written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ArtifactSource {
    /// An ARM id or a shared gallery's path.
    pub id: Option<String>,
    /// A virtual machine's id.
    pub virtual_machine_id: Option<String>,
    /// A community gallery's path.
    pub community_gallery_image_id: Option<String>,
    /// A VHD blob.
    pub uri: Option<String>,
    /// The account of that blob.
    pub storage_account_id: Option<String>,
}

/// One disk of a version.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DiskImage {
    /// A data disk's number; absent for the operating system's disk.
    pub lun: Option<i64>,
    /// Size in GB, rounded up; the server's.
    #[serde(rename = "sizeInGB")]
    pub size_in_gb: Option<i64>,
    /// How a host should cache it.
    pub host_caching: Option<HostCaching>,
    /// What it is made from.
    pub source: Option<ArtifactSource>,
}

/// What protects a version.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SafetyProfile {
    /// Whether target regions may be removed.
    pub allow_deletion_of_replicated_locations: Option<bool>,
    /// Whether it may be deleted before its end of life.
    pub block_deletion_before_end_of_life: Option<bool>,
}

impl Document for ImageVersion {
    const TYPE: ResourceType = ResourceType::ImageVersion;
}

impl ImageVersion {
    /// What the version is made from; `None` when the body says nothing (`storageProfile: {}`).
    ///
    /// # Errors
    /// `InvalidParameter` for both kinds at once, a wrong type of source, luns or sources twice; what is wrong with an id.
    pub fn source(&self) -> Result<Option<Source>, ArmError> {
        source::read(&self.properties.storage_profile)
    }
}

impl PublishingProfile {
    /// The replica count of a target region: its own, else the profile's, else 1.
    #[must_use]
    pub fn replica_count_in(&self, region: &TargetRegion) -> i32 {
        region.regional_replica_count.or(self.replica_count).unwrap_or(1)
    }

    /// Whether `latest` passes the version over in this target region.
    #[must_use]
    pub fn is_excluded_in(&self, region: &TargetRegion) -> bool {
        self.exclude_from_latest.unwrap_or(false) || region.exclude_from_latest.unwrap_or(false)
    }

    /// Checks the counts: 1 to [`MOST_REPLICAS`].
    ///
    /// # Errors
    /// `InvalidParameter`, out of range.
    pub fn check_replica_counts(&self) -> Result<(), ArmError> {
        let check = |parameter: &str, count: Option<i32>| match count.map(i64::from) {
            Some(count) if !(1..=MOST_REPLICAS).contains(&count) => {
                Err(ArmError::out_of_range(parameter, count, 1, MOST_REPLICAS))
            }
            _ => Ok(()),
        };
        check("replicaCount", self.replica_count)?;
        let mut regions = self.target_regions.iter().flatten();
        regions.try_for_each(|region| check("regionalReplicaCount", region.regional_replica_count))
    }
}

/// Gives a PUT on an existing version the stored `storageProfile` when its own is absent or empty: clients send what they read
/// without the source.
pub fn keep_stored_storage_profile(stored: &Value, incoming: &mut Value) {
    let Some(profile) = stored.pointer("/properties/storageProfile").cloned() else { return };
    let Some(document) = incoming.as_object_mut() else { return };
    let properties = document.entry("properties").or_insert_with(|| Value::Object(Map::new()));
    let Some(properties) = properties.as_object_mut() else { return };
    let is_empty = properties.get("storageProfile").is_none_or(|given| given.as_object().is_some_and(Map::is_empty));
    if is_empty {
        properties.insert("storageProfile".to_owned(), profile);
    }
}

#[cfg(test)]
mod tests;
