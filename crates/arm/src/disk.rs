//! The disk's document, and the body that grants access to one.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::document::Document;
use crate::error::ArmError;
use crate::image_definition::{Architecture, HyperVGeneration, OsType};
use crate::provisioning_state::ProvisioningState;
use crate::resource_id::{ResourceId, ResourceType, VersionReference};
use crate::wire_enum::wire_enum;

wire_enum! {
    /// What a disk is made from.
    CreateOption {
        Empty = "Empty",
        Attach = "Attach",
        FromImage = "FromImage",
        Import = "Import",
        Copy = "Copy",
        Restore = "Restore",
        Upload = "Upload",
        CopyStart = "CopyStart",
        ImportSecure = "ImportSecure",
        UploadPreparedSecure = "UploadPreparedSecure",
        CopyFromSanSnapshot = "CopyFromSanSnapshot",
    }
}

wire_enum! {
    /// What may be done with a disk now.
    ///
    /// ```text
    /// Upload: ReadyToUpload --(SAS granted)--> ActiveUpload --(ended)--> Unattached
    /// other:  Unattached <--(SAS granted / ended)--> ActiveSAS        Unattached <--> Attached, Reserved (by a machine)
    /// ```
    DiskState {
        Unattached = "Unattached",
        Attached = "Attached",
        Reserved = "Reserved",
        Frozen = "Frozen",
        ActiveSas = "ActiveSAS",
        ActiveSasFrozen = "ActiveSASFrozen",
        ReadyToUpload = "ReadyToUpload",
        ActiveUpload = "ActiveUpload",
    }
}

wire_enum! {
    /// What a shared access signature allows.
    Access {
        None = "None",
        Read = "Read",
        Write = "Write",
    }
}

wire_enum! {
    /// The file format that a download has.
    FileFormat {
        Vhd = "VHD",
        Vhdx = "VHDX",
    }
}

wire_enum! {
    /// How a host caches a disk.
    HostCaching {
        None = "None",
        ReadOnly = "ReadOnly",
        ReadWrite = "ReadWrite",
    }
}

wire_enum! {
    /// What a disk is stored on (`sku.name`).
    DiskSku {
        StandardLrs = "Standard_LRS",
        PremiumLrs = "Premium_LRS",
        StandardSsdLrs = "StandardSSD_LRS",
        UltraSsdLrs = "UltraSSD_LRS",
        PremiumZrs = "Premium_ZRS",
        StandardSsdZrs = "StandardSSD_ZRS",
        PremiumV2Lrs = "PremiumV2_LRS",
    }
}

impl DiskSku {
    /// What `sku.tier` shows beside it.
    #[must_use]
    pub const fn tier(self) -> &'static str {
        match self {
            Self::StandardLrs | Self::StandardSsdLrs | Self::StandardSsdZrs => "Standard",
            Self::PremiumLrs | Self::PremiumZrs | Self::PremiumV2Lrs => "Premium",
            Self::UltraSsdLrs => "Ultra",
        }
    }
}

/// Length of the footer at the end of a fixed VHD, which `uploadSizeBytes` counts.
pub const VHD_FOOTER_BYTES: u64 = 512;
/// Least `uploadSizeBytes`, as the specification has it: 20 MiB and the footer.
pub const LEAST_UPLOAD_SIZE_BYTES: u64 = 20 * 1024 * 1024 + VHD_FOOTER_BYTES;
/// Most `uploadSizeBytes`, as the specification has it: 32 TiB and the footer.
pub const MOST_UPLOAD_SIZE_BYTES: u64 = 32 * (1 << 40) + VHD_FOOTER_BYTES;
/// Largest disk, in GB (2^30 bytes).
pub const LARGEST_DISK_GB: i64 = 65_536;

/// A disk, as far as rules look at it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Disk {
    /// The region, in any spelling.
    pub location: Option<String>,
    /// Tags.
    pub tags: BTreeMap<String, String>,
    /// What it is stored on.
    pub sku: Sku<DiskSku>,
    /// The rest.
    pub properties: DiskProperties,
}

/// `sku`: its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Sku<N> {
    /// Absent means the type's default.
    pub name: Option<N>,
}

impl<N> Default for Sku<N> {
    fn default() -> Self {
        Self { name: None }
    }
}

/// A disk's properties; a snapshot has the same and one more.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DiskProperties {
    /// What it is made from, as written; [`DiskProperties::creation`] makes sense of it.
    pub creation_data: CreationData,
    /// The operating system, if it has one.
    pub os_type: Option<OsType>,
    /// The firmware.
    #[serde(rename = "hyperVGeneration")]
    pub hyper_v_generation: Option<HyperVGeneration>,
    /// What machines it fits.
    pub supported_capabilities: Option<SupportedCapabilities>,
    /// Size in GB (2^30 bytes).
    #[serde(rename = "diskSizeGB")]
    pub disk_size_gb: Option<i64>,
    /// What may be done with it now.
    pub disk_state: Option<DiskState>,
    /// Snapshots only: whether it was asked for as an incremental one.
    pub incremental: Option<bool>,
    /// Where it is in its life.
    pub provisioning_state: Option<ProvisioningState>,
}

/// What machines a disk fits.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SupportedCapabilities {
    /// The processor.
    pub architecture: Option<Architecture>,
}

/// What a disk or snapshot is made from, as written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CreationData {
    /// Required.
    pub create_option: Option<CreateOption>,
    /// For Copy: a disk or snapshot.
    pub source_resource_id: Option<String>,
    /// For Import: a VHD blob.
    pub source_uri: Option<String>,
    /// For Import: the blob's account.
    pub storage_account_id: Option<String>,
    /// For FromImage: a marketplace image, which nobody has here.
    pub image_reference: Option<ImageReference>,
    /// For FromImage: a version.
    pub gallery_image_reference: Option<ImageReference>,
    /// For Upload: the VHD's size, its footer included.
    pub upload_size_bytes: Option<i64>,
}

/// A version, in one of three ways, and which of its disks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ImageReference {
    /// An ARM id.
    pub id: Option<String>,
    /// A shared gallery's path.
    pub shared_gallery_image_id: Option<String>,
    /// A community gallery's path.
    pub community_gallery_image_id: Option<String>,
    /// A data disk's number; absent for the operating system's disk.
    pub lun: Option<i64>,
}

/// What a disk or snapshot is made from, typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Creation {
    /// Nothing: zeros of the given size.
    Empty {
        /// Size in GB (2^30 bytes).
        size_gb: u64,
    },
    /// What will be uploaded.
    Upload {
        /// The VHD's size, its footer included.
        upload_size_bytes: u64,
    },
    /// A disk of a version.
    FromImage {
        /// Which version.
        reference: VersionReference,
        /// The reference as it was written.
        text: String,
        /// A data disk's number; `None` for the operating system's disk.
        lun: Option<u32>,
    },
    /// A disk or snapshot.
    Copy {
        /// Its id.
        source: ResourceId,
    },
    /// A VHD blob.
    Import {
        /// Its address.
        uri: String,
        /// Its account, if given.
        storage_account: Option<String>,
    },
}

impl Document for Disk {
    const TYPE: ResourceType = ResourceType::Disk;
}

impl DiskProperties {
    /// What it is made from. `body` is `disk` or `snapshot`, for errors.
    ///
    /// # Errors
    /// `InvalidParameter` for what is missing, out of range or not offered; what is wrong with an id.
    pub fn creation(&self, body: ResourceType) -> Result<Creation, ArmError> {
        let data = &self.creation_data;
        let target = |property: &str| format!("{}.properties.{property}", body.body_parameter());
        let missing = |property: &str| {
            let name = property.rsplit('.').next().unwrap_or(property);
            let message = format!("Required parameter '{name}' is missing (null).");
            ArmError::invalid_parameter(&target(property), message)
        };
        match data.create_option.ok_or_else(|| missing("creationData.createOption"))? {
            CreateOption::Empty => {
                let size_gb = self.checked_size_gb(&target("diskSizeGB"))?.ok_or_else(|| missing("diskSizeGB"))?;
                Ok(Creation::Empty { size_gb })
            }
            CreateOption::Upload => {
                let size = data.upload_size_bytes.ok_or_else(|| missing("creationData.uploadSizeBytes"))?;
                let upload_size_bytes = check_upload_size(size, &target("creationData.uploadSizeBytes"))?;
                Ok(Creation::Upload { upload_size_bytes })
            }
            CreateOption::FromImage => {
                let reference = data.gallery_image_reference.as_ref();
                let reference = reference.ok_or_else(|| missing("creationData.galleryImageReference"))?;
                reference.read(&target("creationData.galleryImageReference"))
            }
            CreateOption::Copy | CreateOption::CopyStart => {
                let path = "creationData.sourceResourceId";
                let source = data.source_resource_id.as_deref().ok_or_else(|| missing(path))?;
                read_copy_source(source, &target(path))
            }
            CreateOption::Import => {
                let uri = data.source_uri.clone().ok_or_else(|| missing("creationData.sourceUri"))?;
                Ok(Creation::Import { uri, storage_account: data.storage_account_id.clone() })
            }
            other => {
                let message = format!("The create option '{other}' is not supported.");
                Err(ArmError::invalid_parameter(&target("creationData.createOption"), message))
            }
        }
    }

    /// `diskSizeGB`, if given: 1 to [`LARGEST_DISK_GB`].
    ///
    /// # Errors
    /// `InvalidParameter`, out of range.
    pub fn checked_size_gb(&self, target: &str) -> Result<Option<u64>, ArmError> {
        let Some(size_gb) = self.disk_size_gb else { return Ok(None) };
        let in_range = u64::try_from(size_gb).ok().filter(|_| (1..=LARGEST_DISK_GB).contains(&size_gb));
        in_range.map(Some).ok_or_else(|| ArmError::out_of_range(target, size_gb, 1, LARGEST_DISK_GB))
    }
}

/// An upload's size is a VHD's: whole sectors, the footer included.
fn check_upload_size(size: i64, target: &str) -> Result<u64, ArmError> {
    let (least, most) = (LEAST_UPLOAD_SIZE_BYTES, MOST_UPLOAD_SIZE_BYTES);
    let Some(bytes) = u64::try_from(size).ok().filter(|bytes| (least..=most).contains(bytes)) else {
        return Err(ArmError::out_of_range(target, size, least.cast_signed(), most.cast_signed()));
    };
    if bytes % VHD_FOOTER_BYTES != 0 {
        let message =
            format!("The value {size} of parameter uploadSizeBytes must be a multiple of {VHD_FOOTER_BYTES}.");
        return Err(ArmError::invalid_parameter(target, message));
    }
    Ok(bytes)
}

fn read_copy_source(text: &str, target: &str) -> Result<Creation, ArmError> {
    let source = ResourceId::parse(text, target)?;
    match source.resource_type() {
        Some(ResourceType::Disk | ResourceType::Snapshot) => Ok(Creation::Copy { source }),
        _ => Err(ArmError::invalid_disk_source_type(text, target)),
    }
}

impl ImageReference {
    fn read(&self, target: &str) -> Result<Creation, ArmError> {
        let given = [
            ("id", &self.id),
            ("sharedGalleryImageId", &self.shared_gallery_image_id),
            ("communityGalleryImageId", &self.community_gallery_image_id),
        ];
        let mut given =
            given.into_iter().filter_map(|(name, id)| Some((name, id.as_ref().filter(|id| !id.is_empty())?)));
        let (Some((name, text)), None) = (given.next(), given.next()) else {
            let message = "Exactly one of 'id', 'sharedGalleryImageId' and 'communityGalleryImageId' must be given.";
            return Err(ArmError::invalid_parameter(target, message));
        };
        let reference = VersionReference::parse(text, &format!("{target}.{name}"))?;
        let lun = match self.lun {
            None => None,
            Some(lun) => {
                Some(u32::try_from(lun).map_err(|_| ArmError::out_of_range(&format!("{target}.lun"), lun, 0, 63))?)
            }
        };
        Ok(Creation::FromImage { reference, text: text.clone(), lun })
    }
}

/// The body of `beginGetAccess`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GrantAccess {
    /// What to allow.
    pub access: Access,
    /// For how long.
    pub duration_in_seconds: i64,
    /// Absent means VHD.
    #[serde(default)]
    pub file_format: Option<FileFormat>,
}

impl GrantAccess {
    /// Longest grant: what fits the property (2^31 - 1 seconds).
    pub const LONGEST_DURATION_SECONDS: i64 = i32::MAX as i64;

    /// Reads an accepted body ([`crate::schema::ActionBody::GrantAccess`]) and checks its duration.
    ///
    /// # Errors
    /// `InvalidParameter` for what is missing, a duration under a second and access `None`.
    pub fn read(body: &serde_json::Value) -> Result<Self, ArmError> {
        for name in ["access", "durationInSeconds"] {
            if body.get(name).is_none() {
                return Err(ArmError::required_parameter_missing(name));
            }
        }
        let grant =
            Self::deserialize(body).map_err(|error| ArmError::bad_body("grantAccessData", "", error.to_string()))?;
        if !(1..=Self::LONGEST_DURATION_SECONDS).contains(&grant.duration_in_seconds) {
            let (value, most) = (grant.duration_in_seconds, Self::LONGEST_DURATION_SECONDS);
            return Err(ArmError::out_of_range("durationInSeconds", value, 1, most));
        }
        if grant.access == Access::None {
            return Err(ArmError::invalid_parameter("access", "The access must be 'Read' or 'Write'."));
        }
        Ok(grant)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const GROUP: &str =
        "/subscriptions/f4662c1d-e072-46af-8700-b8ca2968ccab/resourceGroups/RG/providers/Microsoft.Compute";

    fn creation(properties: Value) -> Result<Creation, ArmError> {
        Disk::read(&json!({ "location": "eastus", "properties": properties }))
            .unwrap()
            .properties
            .creation(ResourceType::Disk)
    }

    #[test]
    fn creations() {
        let empty = json!({ "creationData": { "createOption": "empty" }, "diskSizeGB": 4 });
        assert_eq!(creation(empty), Ok(Creation::Empty { size_gb: 4 }));
        let upload =
            |bytes: i64| creation(json!({ "creationData": { "createOption": "Upload", "uploadSizeBytes": bytes } }));
        assert_eq!(upload(20_972_032), Ok(Creation::Upload { upload_size_bytes: 20_972_032 }));
        for bytes in [-1, 20_971_520, 20_972_033, i64::MAX] {
            assert_eq!(
                upload(bytes).unwrap_err().target.as_deref(),
                Some("disk.properties.creationData.uploadSizeBytes")
            );
        }
        let copy = |id: &str| creation(json!({ "creationData": { "createOption": "Copy", "sourceResourceId": id } }));
        assert!(matches!(copy(&format!("{GROUP}/snapshots/S")), Ok(Creation::Copy { .. })));
        assert!(copy(&format!("{GROUP}/images/I")).is_err());
        let version = format!("{GROUP}/galleries/G/images/I/versions/1.0.0");
        let from = |reference: Value| {
            creation(json!({ "creationData": { "createOption": "FromImage", "galleryImageReference": reference } }))
        };
        assert!(matches!(from(json!({ "id": version, "lun": 2 })), Ok(Creation::FromImage { lun: Some(2), .. })));
        assert!(from(json!({ "id": version, "sharedGalleryImageId": "/SharedGalleries/U/Images/I" })).is_err());
        assert!(from(json!({})).is_err());
        for missing in [json!({}), json!({ "creationData": { "createOption": "Empty" } })] {
            assert!(creation(missing).unwrap_err().message.ends_with("is missing (null)."));
        }
    }

    #[test]
    fn grants() {
        let grant = GrantAccess::read(&json!({ "access": "read", "durationInSeconds": 300 })).unwrap();
        assert_eq!((grant.access, grant.file_format), (Access::Read, None));
        for bad in [
            json!({ "access": "Read" }),
            json!({ "durationInSeconds": 1 }),
            json!({ "access": "Read", "durationInSeconds": 0 }),
            json!({ "access": "None", "durationInSeconds": 1 }),
        ] {
            assert_eq!(GrantAccess::read(&bad).unwrap_err().code, "InvalidParameter");
        }
    }
}
