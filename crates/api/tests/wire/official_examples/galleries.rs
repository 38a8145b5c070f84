//! What each example of galleries asks, and what is there before.

use super::table::{Row, Tables, row};

/// All of it.
pub(super) const TABLES: Tables =
    Tables { rows: ROWS, not_served: NOT_SERVED, refused: REFUSED, absent_members: ABSENT_MEMBERS };

/// Examples of what is not served: (how their names begin, why). Without its line, each is replayed.
const NOT_SERVED: &[(&str, &str)] = &[];

/// Examples that are refused: (name, status, code, why).
const REFUSED: &[(&str, u16, &str, &str)] = &[
    ("GalleryImageVersion_Create_WithVHD", 400, "InvalidParameter", "the bytes of a URL are not fetched: uploads are"),
    ("GalleryImageVersion_Create_WithVHD_UefiSettings", 400, "InvalidParameter", "the same"),
    ("GalleryImageVersion_Create_WithVmAsSource", 404, "NotFound", "there are no virtual machines"),
    ("GalleryApplicationVersion_Create", 400, "InvalidParameter", "the example's end of life is past"),
    ("GalleryApplicationVersion_Update", 400, "InvalidParameter", "the same"),
    ("Gallery_Create_WithManagedIdentity", 400, "FailedIdentityOperation", "there are no user-assigned identities"),
    ("GalleryImageVersion_Create_WithAdditionalReplicaSets", 400, "BadRequest", "the example says 'PreviumV2_LRS'"),
];

/// Members that examples' answers have and ours have not: (how the examples' names begin, how the JSON pointer ends, why).
const ABSENT_MEMBERS: &[(&str, &str, &str)] = &[
    ("", "/nextLink", "the example is the first of several pages, ours is the only one"),
    ("GalleryImageVersion_", "/safetyProfile/policyViolations", "nobody reports an image here"),
    ("GalleryImageVersion_Get_WithValidation", "/validationsProfile", "nothing validates images here"),
    (
        "GalleryImageVersion_Get_WithVhdAsSource",
        "/osDiskImage/source",
        "made from a managed image: a VHD's URL is refused",
    ),
    ("GalleryImageVersion_Get_WithVhdAsSource", "/dataDiskImages/0/source", "the same"),
    ("Gallery_Get_WithManagedIdentity", "/userAssignedIdentities", "there are no user-assigned identities"),
    ("GalleryApplicationVersion_Get_", "/publishingProfile/settings", "what makes it in the examples sends none"),
    ("GalleryApplicationVersion_Get_", "/publishingProfile/advancedSettings", "the same"),
    ("Gallery_Get_WithSelectPermissions", "/sharingProfile/groups", "recordings have them for $expand only"),
    ("GalleryInVMAccessControlProfileVersion_", "/targetLocations/2", "the example's request has two"),
    ("SharedGallery", "/artifactTags", "which of the owner's tags a consumer sees is not published: none"),
    ("Community", "/artifactTags", "the same"),
    ("Community", "/disclaimer", "no property of the owner's says it"),
    ("CommunityGalleries_Get", "/communityMetadata/privacyStatementUri", "no property of the owner's says it"),
];

const GALLERIES: &str = "{s}/resourceGroups/{rg}/providers/Microsoft.Compute/galleries";
const GALLERIES_OF_SUBSCRIPTION: &str = "{s}/providers/Microsoft.Compute/galleries";
const GALLERY: &str = "{s}/resourceGroups/{rg}/providers/Microsoft.Compute/galleries/{galleryName}";
const SHARE: &str = "{s}/resourceGroups/{rg}/providers/Microsoft.Compute/galleries/{galleryName}/share";
const DEFINITIONS: &str = "{s}/resourceGroups/{rg}/providers/Microsoft.Compute/galleries/{galleryName}/images";
const DEFINITION: &str =
    "{s}/resourceGroups/{rg}/providers/Microsoft.Compute/galleries/{galleryName}/images/{galleryImageName}";
const VERSIONS: &str =
    "{s}/resourceGroups/{rg}/providers/Microsoft.Compute/galleries/{galleryName}/images/{galleryImageName}/versions";
const VERSION: &str = "{s}/resourceGroups/{rg}/providers/Microsoft.Compute/galleries/{galleryName}/images/{galleryImageName}/versions/{galleryImageVersionName}";
const SOFT_DELETED: &str = "{s}/resourceGroups/{rg}/providers/Microsoft.Compute/galleries/{galleryName}/softDeletedArtifactTypes/{artifactType}/artifacts/{artifactName}/versions";
const APPLICATIONS: &str = "{s}/resourceGroups/{rg}/providers/Microsoft.Compute/galleries/{galleryName}/applications";
const APPLICATION: &str =
    "{s}/resourceGroups/{rg}/providers/Microsoft.Compute/galleries/{galleryName}/applications/{galleryApplicationName}";
const APPLICATION_VERSIONS: &str = "{s}/resourceGroups/{rg}/providers/Microsoft.Compute/galleries/{galleryName}/applications/{galleryApplicationName}/versions";
const APPLICATION_VERSION: &str = "{s}/resourceGroups/{rg}/providers/Microsoft.Compute/galleries/{galleryName}/applications/{galleryApplicationName}/versions/{galleryApplicationVersionName}";
const PROFILES: &str =
    "{s}/resourceGroups/{rg}/providers/Microsoft.Compute/galleries/{galleryName}/inVMAccessControlProfiles";
const PROFILE: &str = "{s}/resourceGroups/{rg}/providers/Microsoft.Compute/galleries/{galleryName}/inVMAccessControlProfiles/{inVMAccessControlProfileName}";
const PROFILE_VERSIONS: &str = "{s}/resourceGroups/{rg}/providers/Microsoft.Compute/galleries/{galleryName}/inVMAccessControlProfiles/{inVMAccessControlProfileName}/versions";
const PROFILE_VERSION: &str = "{s}/resourceGroups/{rg}/providers/Microsoft.Compute/galleries/{galleryName}/inVMAccessControlProfiles/{inVMAccessControlProfileName}/versions/{inVMAccessControlProfileVersionName}";
// The examples' `myLocation` and the names of what consumers see are those of what was made.
const SHARED_GALLERIES: &str = "{s}/providers/Microsoft.Compute/locations/westus/sharedGalleries";
const SHARED_GALLERY: &str = "{s}/providers/Microsoft.Compute/locations/westus/sharedGalleries/{galleryUniqueName}";
const SHARED_DEFINITIONS: &str =
    "{s}/providers/Microsoft.Compute/locations/westus/sharedGalleries/{galleryUniqueName}/images";
const SHARED_DEFINITION: &str =
    "{s}/providers/Microsoft.Compute/locations/westus/sharedGalleries/{galleryUniqueName}/images/{galleryImageName}";
const SHARED_VERSIONS: &str = "{s}/providers/Microsoft.Compute/locations/westus/sharedGalleries/{galleryUniqueName}/images/{galleryImageName}/versions";
const SHARED_VERSION: &str = "{s}/providers/Microsoft.Compute/locations/westus/sharedGalleries/{galleryUniqueName}/images/{galleryImageName}/versions/1.0.0";
const COMMUNITY_GALLERY: &str =
    "{s}/providers/Microsoft.Compute/locations/westus/communityGalleries/{publicGalleryName}";
const COMMUNITY_DEFINITIONS: &str =
    "{s}/providers/Microsoft.Compute/locations/westus/communityGalleries/{publicGalleryName}/images";
const COMMUNITY_DEFINITION: &str =
    "{s}/providers/Microsoft.Compute/locations/westus/communityGalleries/{publicGalleryName}/images/{galleryImageName}";
const COMMUNITY_VERSIONS: &str = "{s}/providers/Microsoft.Compute/locations/westus/communityGalleries/{publicGalleryName}/images/{galleryImageName}/versions";
const COMMUNITY_VERSION: &str = "{s}/providers/Microsoft.Compute/locations/westus/communityGalleries/{publicGalleryName}/images/{galleryImageName}/versions/1.0.0";

const GALLERY_MADE: &[&str] = &["Gallery_Create"];
const DEFINITION_MADE: &[&str] = &["Gallery_Create", "GalleryImage_Create"];
const VERSION_MADE: &[&str] = &["Gallery_Create", "GalleryImage_Create", "GalleryImageVersion_Create"];
const VERSION_SOFT_DELETED: &[&str] = &[
    "Gallery_Create_SoftDeletionEnabled",
    "GalleryImage_Create",
    "GalleryImageVersion_Create",
    "GalleryImageVersion_Delete",
];
const APPLICATION_MADE: &[&str] = &["Gallery_Create", "GalleryApplication_Create"];
const APPLICATION_VERSION_MADE: &[&str] = &[
    "Gallery_Create",
    "GalleryApplication_Create",
    "GalleryApplicationVersion_Create /properties/publishingProfile/endOfLifeDate=2099-01-01T00:00:00Z",
];
const PROFILE_MADE: &[&str] = &["Gallery_Create", "GalleryInVMAccessControlProfile_Create"];
const PROFILE_VERSION_MADE: &[&str] =
    &["Gallery_Create", "GalleryInVMAccessControlProfile_Create", "GalleryInVMAccessControlProfileVersion_Create"];
const SHARED: &[&str] = &[
    "Gallery_Create_WithSharingProfile",
    "GalleryImage_Create /properties/eula=https://example.com/eula /properties/privacyStatementUri=https://example.com/privacy",
    r#"GalleryImageVersion_Create /properties/publishingProfile/targetRegions=[{"name":"westus"}] /properties/publishingProfile/endOfLifeDate=2099-01-01T00:00:00Z"#,
    r#"Gallery_AddToSharingProfile /groups=[{"type":"AADTenants","ids":["{consumer}"]},{"type":"Subscriptions","ids":["{consumerSubscription}"]}]"#,
];
const PUBLISHED: &[&str] = &[
    "CommunityGallery_Create",
    "GalleryImage_Create /properties/eula=https://example.com/eula /properties/privacyStatementUri=https://example.com/privacy",
    r#"GalleryImageVersion_Create /properties/publishingProfile/targetRegions=[{"name":"westus"}] /properties/publishingProfile/endOfLifeDate=2099-01-01T00:00:00Z"#,
    "Gallery_EnableCommunityGallery",
];

/// Every example of both versions.
const ROWS: &[Row] = &[
    row("Gallery_Create", "PUT", GALLERY, "gallery", &[]),
    row("Gallery_Create_SoftDeletionEnabled", "PUT", GALLERY, "gallery", &[]),
    row("Gallery_Create_WithManagedIdentity", "PUT", GALLERY, "gallery", &[]),
    row("Gallery_Create_WithSharingProfile", "PUT", GALLERY, "gallery", &[]),
    row("CommunityGallery_Create", "PUT", GALLERY, "gallery", &[]),
    row("Gallery_Update", "PATCH", GALLERY, "gallery", GALLERY_MADE),
    row("Gallery_Get", "GET", GALLERY, "", GALLERY_MADE),
    row(
        "Gallery_Get_WithManagedIdentity",
        "GET",
        GALLERY,
        "",
        &[r#"Gallery_Create_WithManagedIdentity /identity={"type":"SystemAssigned"}"#],
    ),
    row(
        "Gallery_Get_WithExpandSharingProfileGroups",
        "GET",
        GALLERY,
        "",
        &["Gallery_Create_WithSharingProfile", "Gallery_AddToSharingProfile"],
    ),
    row(
        "Gallery_Get_WithSelectPermissions",
        "GET",
        GALLERY,
        "",
        &["Gallery_Create_WithSharingProfile", "Gallery_AddToSharingProfile"],
    ),
    row("CommunityGallery_Get", "GET", GALLERY, "", &["CommunityGallery_Create", "Gallery_EnableCommunityGallery"]),
    row("Gallery_Delete", "DELETE", GALLERY, "", GALLERY_MADE),
    row("Gallery_ListByResourceGroup", "GET", GALLERIES, "", GALLERY_MADE),
    row("Gallery_ListBySubscription", "GET", GALLERIES_OF_SUBSCRIPTION, "", GALLERY_MADE),
    row("Gallery_AddToSharingProfile", "POST", SHARE, "sharingUpdate", &["Gallery_Create_WithSharingProfile"]),
    row(
        "Gallery_ResetSharingProfile",
        "POST",
        SHARE,
        "sharingUpdate",
        &["Gallery_Create_WithSharingProfile", "Gallery_AddToSharingProfile"],
    ),
    row("Gallery_EnableCommunityGallery", "POST", SHARE, "sharingUpdate", &["CommunityGallery_Create"]),
    row("GalleryImage_Create", "PUT", DEFINITION, "galleryImage", GALLERY_MADE),
    row("GalleryImage_Update", "PATCH", DEFINITION, "galleryImage", DEFINITION_MADE),
    row(
        "GalleryImage_UpdateFeatures",
        "PATCH",
        DEFINITION,
        "galleryImage",
        &["Gallery_Create", "GalleryImage_Create /properties/hyperVGeneration=V2"],
    ),
    row("GalleryImage_Get", "GET", DEFINITION, "", DEFINITION_MADE),
    row("GalleryImage_Delete", "DELETE", DEFINITION, "", DEFINITION_MADE),
    row("GalleryImage_ListByGallery", "GET", DEFINITIONS, "", DEFINITION_MADE),
    row("GalleryImageVersion_Create", "PUT", VERSION, "galleryImageVersion", DEFINITION_MADE),
    row(
        "GalleryImageVersion_Create_WithCommunityImageVersionAsSource",
        "PUT",
        VERSION,
        "galleryImageVersion",
        DEFINITION_MADE,
    ),
    row("GalleryImageVersion_Create_WithImageVersionAsSource", "PUT", VERSION, "galleryImageVersion", DEFINITION_MADE),
    row(
        "GalleryImageVersion_Create_WithShallowReplicationMode",
        "PUT",
        VERSION,
        "galleryImageVersion",
        DEFINITION_MADE,
    ),
    row("GalleryImageVersion_Create_WithSnapshotsAsSource", "PUT", VERSION, "galleryImageVersion", DEFINITION_MADE),
    row(
        "GalleryImageVersion_Create_WithTargetExtendedLocations",
        "PUT",
        VERSION,
        "galleryImageVersion",
        DEFINITION_MADE,
    ),
    row("GalleryImageVersion_Create_WithVHD", "PUT", VERSION, "galleryImageVersion", DEFINITION_MADE),
    row("GalleryImageVersion_Create_WithVHD_UefiSettings", "PUT", VERSION, "galleryImageVersion", DEFINITION_MADE),
    row("GalleryImageVersion_Create_WithVmAsSource", "PUT", VERSION, "galleryImageVersion", DEFINITION_MADE),
    row("GalleryImageVersion_Create_WithAdditionalReplicaSets", "PUT", VERSION, "galleryImageVersion", DEFINITION_MADE),
    row("GalleryImageVersion_Update", "PATCH", VERSION, "galleryImageVersion", VERSION_MADE),
    row("GalleryImageVersion_Update_WithoutSourceId", "PATCH", VERSION, "galleryImageVersion", VERSION_MADE),
    row("GalleryImageVersion_Update_RestoreSoftDeleted", "PATCH", VERSION, "galleryImageVersion", VERSION_SOFT_DELETED),
    row("GalleryImageVersion_Get", "GET", VERSION, "", VERSION_MADE),
    row("GalleryImageVersion_Get_WithReplicationStatus", "GET", VERSION, "", VERSION_MADE),
    row("GalleryImageVersion_Get_WithValidationProfile", "GET", VERSION, "", VERSION_MADE),
    row("GalleryImageVersion_Get_WithValidationProfileAndReplicationStatus", "GET", VERSION, "", VERSION_MADE),
    row("GalleryImageVersion_Get_WithVhdAsSource", "GET", VERSION, "", VERSION_MADE),
    row(
        "GalleryImageVersion_Get_WithSnapshotsAsSource",
        "GET",
        VERSION,
        "",
        &["Gallery_Create", "GalleryImage_Create", "GalleryImageVersion_Create_WithSnapshotsAsSource"],
    ),
    row("GalleryImageVersion_Delete", "DELETE", VERSION, "", VERSION_MADE),
    row("GalleryImageVersion_ListByGalleryImage", "GET", VERSIONS, "", VERSION_MADE),
    row("GallerySoftDeletedResource_ListByArtifactName", "GET", SOFT_DELETED, "", VERSION_SOFT_DELETED),
    row("GalleryApplication_Create", "PUT", APPLICATION, "galleryApplication", GALLERY_MADE),
    row("GalleryApplication_Update", "PATCH", APPLICATION, "galleryApplication", APPLICATION_MADE),
    row("GalleryApplication_Get", "GET", APPLICATION, "", APPLICATION_MADE),
    row("GalleryApplication_Delete", "DELETE", APPLICATION, "", APPLICATION_MADE),
    row("GalleryApplication_ListByGallery", "GET", APPLICATIONS, "", APPLICATION_MADE),
    row("GalleryApplicationVersion_Create", "PUT", APPLICATION_VERSION, "galleryApplicationVersion", APPLICATION_MADE),
    row(
        "GalleryApplicationVersion_Update",
        "PATCH",
        APPLICATION_VERSION,
        "galleryApplicationVersion",
        APPLICATION_VERSION_MADE,
    ),
    row("GalleryApplicationVersion_Get", "GET", APPLICATION_VERSION, "", APPLICATION_VERSION_MADE),
    row(
        "GalleryApplicationVersion_Get_WithReplicationStatus",
        "GET",
        APPLICATION_VERSION,
        "",
        APPLICATION_VERSION_MADE,
    ),
    row("GalleryApplicationVersion_Delete", "DELETE", APPLICATION_VERSION, "", APPLICATION_VERSION_MADE),
    row(
        "GalleryApplicationVersion_ListByGalleryApplication",
        "GET",
        APPLICATION_VERSIONS,
        "",
        APPLICATION_VERSION_MADE,
    ),
    row("GalleryInVMAccessControlProfile_Create", "PUT", PROFILE, "galleryInVMAccessControlProfile", GALLERY_MADE),
    row("GalleryInVMAccessControlProfile_Update", "PATCH", PROFILE, "galleryInVMAccessControlProfile", PROFILE_MADE),
    row("GalleryInVMAccessControlProfile_Get", "GET", PROFILE, "", PROFILE_MADE),
    row("GalleryInVMAccessControlProfile_Delete", "DELETE", PROFILE, "", PROFILE_MADE),
    row("GalleryInVMAccessControlProfile_ListByGallery", "GET", PROFILES, "", PROFILE_MADE),
    row(
        "GalleryInVMAccessControlProfileVersion_Create",
        "PUT",
        PROFILE_VERSION,
        "galleryInVMAccessControlProfileVersion",
        PROFILE_MADE,
    ),
    row(
        "GalleryInVMAccessControlProfileVersion_Update",
        "PATCH",
        PROFILE_VERSION,
        "galleryInVMAccessControlProfileVersion",
        PROFILE_VERSION_MADE,
    ),
    row("GalleryInVMAccessControlProfileVersion_Get", "GET", PROFILE_VERSION, "", PROFILE_VERSION_MADE),
    row("GalleryInVMAccessControlProfileVersion_Delete", "DELETE", PROFILE_VERSION, "", PROFILE_VERSION_MADE),
    row(
        "GalleryInVMAccessControlProfileVersion_ListByGalleryInVMAccessControlProfile",
        "GET",
        PROFILE_VERSIONS,
        "",
        PROFILE_VERSION_MADE,
    ),
    row("SharedGallery_Get", "GET", SHARED_GALLERY, "", SHARED),
    row("SharedGallery_List", "GET", SHARED_GALLERIES, "", SHARED),
    row("SharedGalleryImage_Get", "GET", SHARED_DEFINITION, "", SHARED),
    row("SharedGalleryImages_List", "GET", SHARED_DEFINITIONS, "", SHARED),
    row("SharedGalleryImageVersion_Get", "GET", SHARED_VERSION, "", SHARED),
    row("SharedGalleryImageVersions_List", "GET", SHARED_VERSIONS, "", SHARED),
    row("CommunityGalleries_Get", "GET", COMMUNITY_GALLERY, "", PUBLISHED),
    row("CommunityGalleryImage_Get", "GET", COMMUNITY_DEFINITION, "", PUBLISHED),
    row("CommunityGalleryImage_List", "GET", COMMUNITY_DEFINITIONS, "", PUBLISHED),
    row("CommunityGalleryImageVersion_Get", "GET", COMMUNITY_VERSION, "", PUBLISHED),
    row("CommunityGalleryImageVersion_List", "GET", COMMUNITY_VERSIONS, "", PUBLISHED),
];
