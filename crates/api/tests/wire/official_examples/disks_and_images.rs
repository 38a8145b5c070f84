//! What each example of disks, snapshots and managed images asks, and what is there before.

use super::table::{Row, Tables, row};

/// Disks.
pub(super) const DISKS: Tables =
    Tables { rows: ROWS, not_served: &[], refused: REFUSED_DISKS, absent_members: ABSENT_OF_DISKS };
/// Snapshots.
pub(super) const SNAPSHOTS: Tables =
    Tables { rows: ROWS, not_served: &[], refused: REFUSED_SNAPSHOTS, absent_members: ABSENT_OF_SNAPSHOTS };
/// Managed images.
pub(super) const IMAGES: Tables =
    Tables { rows: ROWS, not_served: &[], refused: REFUSED_IMAGES, absent_members: ABSENT_OF_IMAGES };

const REFUSED_DISKS: &[(&str, u16, &str, &str)] = &[
    ("Disk_BeginGetAccess_WithVMGuestState", 400, "InvalidParameter", "no guest state is kept"),
    ("Disk_Create_ByImportingBlobFromADifferentSubscription", 400, "InvalidParameter", "blobs are not fetched"),
    ("Disk_Create_ByImportingBlobFromTheSameSubscription", 400, "InvalidParameter", "the same"),
    ("Disk_Create_FromImportSecure", 400, "InvalidParameter", "the same"),
    (
        "Disk_Create_ConfidentialVMSupportedDiskEncryptedWithCMK",
        400,
        "InvalidParameter",
        "there are no platform images",
    ),
    ("Disk_Create_FromAPlatformImage", 400, "InvalidParameter", "the same"),
    ("Disk_Create_WithSecurityProfile", 400, "LocationNotAvailableForResourceType", "the same, in another region"),
    ("Disk_Create_FromAnAzureComputeGalleryDirectSharedImage", 400, "InvalidParameter", "the example names no image"),
    ("Disk_Create_FromAnElasticSanVolumeSnapshot", 400, "InvalidParameter", "there are no elastic SANs"),
    ("Disk_Create_FromUploadPreparedSecure", 400, "InvalidParameter", "there is no guest state to upload"),
    ("Disk_Create_PerformancePlus", 400, "InvalidParameter", "the example does not say how large the upload is"),
];

const ABSENT_OF_DISKS: &[(&str, &str, &str)] = &[
    ("Disk_Get", "", "the example shows what any disk may have"),
    (
        "Disk_Create_FromAnAzureComputeGallery",
        "/supportedCapabilities",
        "the example's image says more of itself than ours",
    ),
    ("Disk_Update_", "/creationData/imageReference", "what is changed was made empty: there are no platform images"),
    ("Disk_Update_", "/creationData/sourceUri", "what is changed was made empty: blobs are not fetched"),
    ("Disk_Update_ChangeTier", "/propertyUpdatesInProgress", "a change is done at once"),
];

const REFUSED_SNAPSHOTS: &[(&str, u16, &str, &str)] = &[
    (
        "Snapshot_Create_ByImportingAnUnmanagedBlobFromADifferentSubscription",
        400,
        "InvalidParameter",
        "blobs are not fetched",
    ),
    ("Snapshot_Create_ByImportingAnUnmanagedBlobFromTheSameSubscription", 400, "InvalidParameter", "the same"),
    ("Snapshot_BeginGetAccess", 400, "InvalidParameter", "a download is a fixed VHD, never a VHDX"),
    ("Snapshot_Create_FromAnElasticSanVolumeSnapshot", 400, "InvalidParameter", "there are no elastic SANs"),
    ("Snapshot_Create_EnhancedProvisionedBandwidthCopySpeed", 400, "InvalidParameter", "no copies between regions yet"),
    ("Snapshot_Create_FromAnExistingSnapshotInDifferentRegion", 400, "InvalidParameter", "the same"),
];

const ABSENT_OF_SNAPSHOTS: &[(&str, &str, &str)] =
    &[("Snapshot_Get", "", "the example shows what any snapshot may have")];

const REFUSED_IMAGES: &[(&str, u16, &str, &str)] = &[
    ("Image_CreateFromABlob", 400, "InvalidParameter", "blobs are not fetched"),
    ("Image_CreateFromABlobWithDiskEncryptionSet", 400, "InvalidParameter", "the same"),
    ("Image_Create_DataDiskFromABlobIncluded", 400, "InvalidParameter", "the same"),
    ("Image_CreateFromAVM", 404, "ResourceNotFound", "there are no virtual machines"),
];

const ABSENT_OF_IMAGES: &[(&str, &str, &str)] = &[
    ("Image_Get", "", "the example shows what any image may have"),
    ("Image_Update", "/blobUri", "what is changed was made from managed disks"),
    ("Image_Update", "/snapshot", "what is changed was made from managed disks"),
    ("Image_Update", "/osDisk/diskSizeGB", "the size is the managed disk's"),
];

const DISK: &str = "{s}/resourceGroups/{rg}/providers/Microsoft.Compute/disks/{diskName}";
const BEGIN_DISK: &str = "{s}/resourceGroups/{rg}/providers/Microsoft.Compute/disks/{diskName}/beginGetAccess";
const SNAPSHOT: &str = "{s}/resourceGroups/{rg}/providers/Microsoft.Compute/snapshots/{snapshotName}";
const BEGIN_SNAPSHOT: &str =
    "{s}/resourceGroups/{rg}/providers/Microsoft.Compute/snapshots/{snapshotName}/beginGetAccess";
const IMAGE: &str = "{s}/resourceGroups/{rg}/providers/Microsoft.Compute/images/{imageName}";

const DISK_MADE: &[&str] = &["Disk_Create_Empty"];
const WINDOWS_MADE: &[&str] = &["Disk_Create_Empty /properties/osType=Windows /properties/hyperVGeneration=V1"];
const SNAPSHOT_MADE: &[&str] = &["Snapshot_Create_FromAnExistingSnapshot"];
const IMAGE_MADE: &[&str] = &["Image_Create_DataDiskFromAManagedDiskIncluded"];

const ROWS: &[Row] = &[
    row("Disk_BeginGetAccess", "POST", BEGIN_DISK, "grantAccessData", DISK_MADE),
    row("Disk_BeginGetAccess_WithVMGuestState", "POST", BEGIN_DISK, "grantAccessData", DISK_MADE),
    row(
        "Disk_CreateOrUpdate_BurstingEnabled",
        "PATCH",
        DISK,
        "disk",
        &["Disk_Create_Empty /properties/diskSizeGB=1024"],
    ),
    row("Disk_Create_ByCopyingASnapshot", "PUT", DISK, "disk", &[]),
    row("Disk_Create_ByImportingBlobFromADifferentSubscription", "PUT", DISK, "disk", &[]),
    row("Disk_Create_ByImportingBlobFromTheSameSubscription", "PUT", DISK, "disk", &[]),
    row("Disk_Create_ConfidentialVMSupportedDiskEncryptedWithCMK", "PUT", DISK, "disk", &[]),
    row("Disk_Create_Empty", "PUT", DISK, "disk", &[]),
    row("Disk_Create_FromAPlatformImage", "PUT", DISK, "disk", &[]),
    row("Disk_Create_FromAnAzureComputeGalleryCommunityImage", "PUT", DISK, "disk", &[]),
    row("Disk_Create_FromAnAzureComputeGalleryDirectSharedImage", "PUT", DISK, "disk", &[]),
    row("Disk_Create_FromAnAzureComputeGalleryImage", "PUT", DISK, "disk", &[]),
    row("Disk_Create_FromAnElasticSanVolumeSnapshot", "PUT", DISK, "disk", &[]),
    row("Disk_Create_FromAnExistingManagedDisk", "PUT", DISK, "disk", &[]),
    row("Disk_Create_FromImportSecure", "PUT", DISK, "disk", &[]),
    row("Disk_Create_FromUploadPreparedSecure", "PUT", DISK, "disk", &[]),
    row("Disk_Create_InExtendedLocation", "PUT", DISK, "disk", &[]),
    row("Disk_Create_PerformancePlus", "PUT", DISK, "disk", &[]),
    row("Disk_Create_UploadDisk", "PUT", DISK, "disk", &[]),
    row("Disk_Create_WithDataAccessAuthMode", "PUT", DISK, "disk", &[]),
    row("Disk_Create_WithDiskAccess", "PUT", DISK, "disk", &[]),
    row("Disk_Create_WithDiskEncryptionSet", "PUT", DISK, "disk", &[]),
    row("Disk_Create_WithLogicalSectorSize", "PUT", DISK, "disk", &[]),
    row("Disk_Create_WithOptimizedForFrequentAttach", "PUT", DISK, "disk", &[]),
    row("Disk_Create_WithPremiumV2_LRSAccountType", "PUT", DISK, "disk", &[]),
    row("Disk_Create_WithSSDZRSAccountType", "PUT", DISK, "disk", &[]),
    row("Disk_Create_WithSecurityProfile", "PUT", DISK, "disk", &[]),
    row("Disk_Create_WithUltraSSD_ReadOnly", "PUT", DISK, "disk", &[]),
    row("Disk_Get", "GET", DISK, "", DISK_MADE),
    row("Disk_Update_AddAcceleratedNetworking", "PATCH", DISK, "disk", WINDOWS_MADE),
    row("Disk_Update_AddDiskControllerTypes", "PATCH", DISK, "disk", WINDOWS_MADE),
    row("Disk_Update_AddPurchasePlan", "PATCH", DISK, "disk", WINDOWS_MADE),
    row("Disk_Update_AddSupportsHibernation", "PATCH", DISK, "disk", WINDOWS_MADE),
    row("Disk_Update_ChangeTier", "PATCH", DISK, "disk", DISK_MADE),
    row("Disk_Update_DisableBursting", "PATCH", DISK, "disk", DISK_MADE),
    row("Disk_Update_DisableOptimizedForFrequentAttach", "PATCH", DISK, "disk", DISK_MADE),
    row("Disk_Update_RemoveDiskAccess", "PATCH", DISK, "disk", DISK_MADE),
    row("Disk_Update_ToAddArchitecture", "PATCH", DISK, "disk", WINDOWS_MADE),
    row("Snapshot_BeginGetAccess", "POST", BEGIN_SNAPSHOT, "grantAccessData", SNAPSHOT_MADE),
    row("Snapshot_Create_ByImportingAnUnmanagedBlobFromADifferentSubscription", "PUT", SNAPSHOT, "snapshot", &[]),
    row("Snapshot_Create_ByImportingAnUnmanagedBlobFromTheSameSubscription", "PUT", SNAPSHOT, "snapshot", &[]),
    row("Snapshot_Create_EnhancedProvisionedBandwidthCopySpeed", "PUT", SNAPSHOT, "snapshot", &[]),
    row("Snapshot_Create_FromAnElasticSanVolumeSnapshot", "PUT", SNAPSHOT, "snapshot", &[]),
    row("Snapshot_Create_FromAnExistingSnapshot", "PUT", SNAPSHOT, "snapshot", &[]),
    row("Snapshot_Create_FromAnExistingSnapshotInDifferentRegion", "PUT", SNAPSHOT, "snapshot", &[]),
    row("Snapshot_Get", "GET", SNAPSHOT, "", SNAPSHOT_MADE),
    row(
        "Snapshot_GetIncrementalSnapshot",
        "GET",
        SNAPSHOT,
        "",
        &["Snapshot_Create_FromAnExistingSnapshot /properties/incremental=true"],
    ),
    row("Snapshot_Update", "PATCH", SNAPSHOT, "snapshot", SNAPSHOT_MADE),
    row("Snapshot_Update_WithAcceleratedNetwork", "PATCH", SNAPSHOT, "snapshot", SNAPSHOT_MADE),
    row("Image_CreateFromABlob", "PUT", IMAGE, "parameters", &[]),
    row("Image_CreateFromABlobWithDiskEncryptionSet", "PUT", IMAGE, "parameters", &[]),
    row("Image_CreateFromAManagedDisk", "PUT", IMAGE, "parameters", &[]),
    row("Image_CreateFromAManagedDiskWithDiskEncryptionSet", "PUT", IMAGE, "parameters", &[]),
    row("Image_CreateFromASnapshot", "PUT", IMAGE, "parameters", &[]),
    row("Image_CreateFromASnapshotWithDiskEncryptionSet", "PUT", IMAGE, "parameters", &[]),
    row("Image_CreateFromAVM", "PUT", IMAGE, "parameters", &[]),
    row("Image_Create_DataDiskFromABlobIncluded", "PUT", IMAGE, "parameters", &[]),
    row("Image_Create_DataDiskFromAManagedDiskIncluded", "PUT", IMAGE, "parameters", &[]),
    row("Image_Create_DataDiskFromASnapshotIncluded", "PUT", IMAGE, "parameters", &[]),
    row("Image_Get", "GET", IMAGE, "", IMAGE_MADE),
    row("Image_Update", "PATCH", IMAGE, "parameters", IMAGE_MADE),
];
