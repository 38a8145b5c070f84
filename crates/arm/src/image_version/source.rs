//! What a version is made from, typed. Exactly one style is allowed: one source of everything, or one for each disk.

use std::collections::BTreeSet;

use super::{ArtifactSource, DiskImage, StorageProfile};
use crate::disk::HostCaching;
use crate::error::ArmError;
use crate::resource_id::{ResourceId, ResourceType, VersionReference};

/// A version's source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// One resource that has every disk.
    Whole(WholeSource),
    /// Each disk on its own.
    Disks {
        /// The operating system's disk.
        os: DiskSource,
        /// How a host should cache it.
        os_caching: Option<HostCaching>,
        /// Data disks, in the order of their luns, which differ.
        data: Vec<DataDiskSource>,
    },
}

/// One resource that has every disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WholeSource {
    /// A managed image.
    ManagedImage(ResourceId),
    /// A virtual machine.
    VirtualMachine(ResourceId),
    /// Another version, of any gallery.
    Version(VersionReference),
}

/// What one disk is made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DiskSource {
    /// A managed disk.
    Disk(ResourceId),
    /// A snapshot.
    Snapshot(ResourceId),
    /// A VHD blob.
    Blob {
        /// Its address.
        uri: String,
        /// Its account, if given.
        storage_account: Option<String>,
    },
}

/// A data disk's source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataDiskSource {
    /// The disk's number.
    pub lun: u32,
    /// What it is made from.
    pub source: DiskSource,
    /// How a host should cache it.
    pub caching: Option<HostCaching>,
}

/// Highest lun of a data disk.
const HIGHEST_LUN: i64 = 63;
/// Where the profile is, in Compute's words.
const PROFILE: &str = "galleryImageVersion.properties.storageProfile";

pub(super) fn read(profile: &StorageProfile) -> Result<Option<Source>, ArmError> {
    let whole = profile.source.as_ref().filter(|source| !source.is_empty());
    let os = profile.os_disk_image.as_ref().and_then(DiskImage::given_source);
    let data: Vec<&DiskImage> =
        profile.data_disk_images.iter().flatten().filter(|disk| disk.given_source().is_some()).collect();
    match (whole, os) {
        (Some(_), Some(_)) => Err(ArmError::source_given_twice()),
        (Some(_), None) if !data.is_empty() => Err(ArmError::source_given_twice()),
        (Some(source), None) => read_whole(source).map(|whole| Some(Source::Whole(whole))),
        (None, Some(os)) => read_disks(profile, os, &data).map(Some),
        (None, None) if data.is_empty() => Ok(None),
        (None, None) => Err(ArmError::invalid_parameter(
            &format!("{PROFILE}.osDiskImage.source"),
            "Required parameter 'osDiskImage.source' is missing (null).",
        )),
    }
}

fn read_whole(source: &ArtifactSource) -> Result<WholeSource, ArmError> {
    let target = format!("{PROFILE}.source");
    let given = [&source.id, &source.virtual_machine_id, &source.community_gallery_image_id];
    if given.iter().filter(|text| is_given(text)).count() != 1 {
        let message = "Exactly one of 'id', 'virtualMachineId' and 'communityGalleryImageId' must be given.";
        return Err(ArmError::invalid_parameter(&target, message));
    }
    match source {
        ArtifactSource { virtual_machine_id: Some(id), .. } if !id.is_empty() => {
            let target = format!("{target}.virtualMachineId");
            let machine = ResourceId::parse(id, &target)?;
            match machine.resource_type() {
                Some(ResourceType::VirtualMachine) => Ok(WholeSource::VirtualMachine(machine)),
                _ => Err(ArmError::invalid_source_type(id)),
            }
        }
        ArtifactSource { community_gallery_image_id: Some(id), .. } if !id.is_empty() => {
            VersionReference::parse(id, &format!("{target}.communityGalleryImageId")).map(WholeSource::Version)
        }
        _ => read_whole_id(source.id.as_deref().unwrap_or_default(), &format!("{target}.id")),
    }
}

fn read_whole_id(text: &str, target: &str) -> Result<WholeSource, ArmError> {
    let is_proxy = |prefix: &str| text.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix));
    if is_proxy("/SharedGalleries/") || is_proxy("/CommunityGalleries/") {
        return VersionReference::parse(text, target).map(WholeSource::Version);
    }
    let id = ResourceId::parse(text, target)?;
    match id.resource_type() {
        Some(ResourceType::ManagedImage) => Ok(WholeSource::ManagedImage(id)),
        Some(ResourceType::VirtualMachine) => Ok(WholeSource::VirtualMachine(id)),
        Some(ResourceType::ImageVersion | ResourceType::ImageDefinition) => {
            VersionReference::from_id(&id, target).map(WholeSource::Version)
        }
        _ => Err(ArmError::invalid_source_type(text)),
    }
}

fn read_disks(profile: &StorageProfile, os: &ArtifactSource, data: &[&DiskImage]) -> Result<Source, ArmError> {
    let os_source = DiskSource::read(os, &format!("{PROFILE}.osDiskImage.source"))?;
    let mut disks = Vec::with_capacity(data.len());
    for (index, disk) in data.iter().enumerate() {
        let target = format!("{PROFILE}.dataDiskImages[{index}]");
        let lun = read_lun(disk.lun, &target)?;
        let source = disk.given_source().expect("only disks with a source are listed");
        let source = DiskSource::read(source, &format!("{target}.source"))?;
        disks.push(DataDiskSource { lun, source, caching: disk.host_caching });
    }
    disks.sort_by_key(|disk| disk.lun);
    check_distinct(&os_source, &disks)?;
    let os_caching = profile.os_disk_image.as_ref().and_then(|disk| disk.host_caching);
    Ok(Source::Disks { os: os_source, os_caching, data: disks })
}

fn read_lun(lun: Option<i64>, target: &str) -> Result<u32, ArmError> {
    let Some(lun) = lun else {
        return Err(ArmError::invalid_parameter(
            &format!("{target}.lun"),
            "Required parameter 'lun' is missing (null).",
        ));
    };
    let in_range = u32::try_from(lun).ok().filter(|_| lun <= HIGHEST_LUN);
    in_range.ok_or_else(|| ArmError::out_of_range(&format!("{target}.lun"), lun, 0, HIGHEST_LUN))
}

fn check_distinct(os: &DiskSource, data: &[DataDiskSource]) -> Result<(), ArmError> {
    let twice: BTreeSet<i64> =
        data.windows(2).filter(|pair| pair[0].lun == pair[1].lun).map(|pair| i64::from(pair[0].lun)).collect();
    if !twice.is_empty() {
        return Err(ArmError::duplicated_luns(&twice.into_iter().collect::<Vec<_>>()));
    }
    let mut seen = BTreeSet::new();
    for source in std::iter::once(os).chain(data.iter().map(|disk| &disk.source)) {
        if !seen.insert(source.key()) {
            return Err(ArmError::duplicated_sources(&[source.text()]));
        }
    }
    Ok(())
}

impl DiskSource {
    fn read(source: &ArtifactSource, target: &str) -> Result<Self, ArmError> {
        if let Some(uri) = source.uri.as_ref().filter(|uri| !uri.is_empty()) {
            // Before 2022-03-03 the account stood in `id`.
            let storage_account = source.storage_account_id.clone().or_else(|| source.id.clone());
            return Ok(Self::Blob { uri: uri.clone(), storage_account });
        }
        let text = source.id.as_deref().unwrap_or_default();
        let target = format!("{target}.id");
        let id = ResourceId::parse(text, &target)?;
        match id.resource_type() {
            Some(ResourceType::Disk) => Ok(Self::Disk(id)),
            Some(ResourceType::Snapshot) => Ok(Self::Snapshot(id)),
            _ => Err(ArmError::invalid_disk_source_type(text, &target)),
        }
    }

    /// As it was written.
    #[must_use]
    pub fn text(&self) -> &str {
        match self {
            Self::Disk(id) | Self::Snapshot(id) => id.as_str(),
            Self::Blob { uri, .. } => uri,
        }
    }

    fn key(&self) -> &str {
        match self {
            Self::Disk(id) | Self::Snapshot(id) => id.key(),
            Self::Blob { uri, .. } => uri,
        }
    }
}

impl ArtifactSource {
    fn is_empty(&self) -> bool {
        let parts = [&self.id, &self.virtual_machine_id, &self.community_gallery_image_id, &self.uri];
        !parts.iter().any(|text| is_given(text))
    }
}

impl DiskImage {
    fn given_source(&self) -> Option<&ArtifactSource> {
        self.source.as_ref().filter(|source| !source.is_empty())
    }
}

fn is_given(text: &Option<String>) -> bool {
    text.as_ref().is_some_and(|text| !text.is_empty())
}
