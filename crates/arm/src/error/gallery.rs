//! Errors of Compute: galleries, definitions, versions, managed images, disks, snapshots, and their groups.

use super::{ArmError, quoted};

impl ArmError {
    /// 400: most validation faults. `target` is the parameter or property.
    #[must_use]
    pub fn invalid_parameter(target: &str, message: impl Into<String>) -> Self {
        Self::new(400, "InvalidParameter", message).with_target(target)
    }

    /// 400: a required property is absent. `parameter` is its name or path.
    #[must_use]
    pub fn required_parameter_missing(parameter: &str) -> Self {
        Self::invalid_parameter(parameter, format!("Required parameter '{parameter}' is missing (null)."))
    }

    /// 400: a property or combination that is not allowed here.
    #[must_use]
    pub fn parameter_not_allowed(parameter: &str) -> Self {
        Self::invalid_parameter(parameter, format!("Parameter '{parameter}' is not allowed."))
    }

    /// 400: a number out of its bounds.
    #[must_use]
    pub fn out_of_range(parameter: &str, value: i64, least: i64, most: i64) -> Self {
        let message = format!(
            "The value {value} of parameter {parameter} is out of range. The value must be between {least} and {most}, \
             inclusive."
        );
        Self::invalid_parameter(parameter, message)
    }

    /// 400: a body that Compute cannot read; `path` is the member's path, `parameter` Compute's name of the body.
    #[must_use]
    pub fn bad_body(parameter: &str, path: &str, message: impl Into<String>) -> Self {
        let target = if path.is_empty() { parameter.to_owned() } else { format!("{parameter}.{path}") };
        Self::new(400, "BadRequest", message).with_target(target)
    }

    /// 404: `resource_type_and_name` as ARM joins them: `Microsoft.Compute/galleries/G/images/I`.
    #[must_use]
    pub fn resource_not_found(resource_type_and_name: &str, group: &str) -> Self {
        let message = format!(
            "The Resource '{}' under resource group '{}' was not found. For more details please go to \
             https://aka.ms/ARMResourceNotFoundFix",
            quoted(resource_type_and_name),
            quoted(group)
        );
        Self::new(404, "ResourceNotFound", message)
    }

    /// 404: no such resource group.
    #[must_use]
    pub fn resource_group_not_found(group: &str) -> Self {
        Self::new(404, "ResourceGroupNotFound", format!("Resource group '{}' could not be found.", quoted(group)))
    }

    /// 409: the group is going.
    #[must_use]
    pub fn resource_group_being_deleted(group: &str) -> Self {
        let message =
            format!("The resource group '{group}' is in deprovisioning state and cannot perform this operation.");
        Self::new(409, "ResourceGroupBeingDeleted", message)
    }

    /// 404: the gallery or definition above the named resource does not exist.
    #[must_use]
    pub fn parent_resource_not_found(parent: &str) -> Self {
        let message = format!(
            "Can not perform requested operation on nested resource. Parent resource '{}' not found.",
            quoted(parent)
        );
        Self::new(404, "ParentResourceNotFound", message)
    }

    /// 409: children exist. `nested` are some of them as `Microsoft.Compute/galleries/G/images/I`.
    #[must_use]
    pub fn cannot_delete_resource(nested: &[String]) -> Self {
        let message = format!(
            "Cannot delete resource while nested resources exist. Some existing nested resource IDs include: '{}'. Please \
             delete all nested resources before deleting this resource.",
            nested.join(", ")
        );
        Self::new(409, "CannotDeleteResource", message)
    }

    /// 409: a version of this name was deleted and can come back.
    #[must_use]
    pub fn name_is_soft_deleted(name: &str) -> Self {
        let message = format!(
            "The gallery image version '{name}' is soft-deleted. Restore it (a PATCH with 'restore': true, or a PUT without a \
             source), delete it for good (a DELETE with bypassSoftDelete=true), or use another name."
        );
        Self::new(409, "Conflict", message)
    }

    /// 409: an immutable property was changed. `path` as Compute writes it: `galleryImage.properties.osType`.
    #[must_use]
    pub fn property_change_not_allowed(path: &str) -> Self {
        let message = format!("Changing property '{path}' is not allowed.");
        Self::new(409, "PropertyChangeNotAllowed", message).with_target(path)
    }

    /// 404: an image reference that is not (or not here). `reference` is the id as the caller wrote it.
    #[must_use]
    pub fn gallery_image_not_found(reference: &str, region: &str) -> Self {
        let message = format!(
            "\"The gallery image {} is not available in {region} region. Please contact image owner to replicate to this \
             region, or change your requested region.\"",
            quoted(reference)
        );
        Self::new(404, "GalleryImageNotFound", message).with_target("imageReference")
    }

    /// 404: a definition without any version that `latest` could mean.
    #[must_use]
    pub fn no_latest_version(definition: &str) -> Self {
        let message = format!("There is no latest image version exists for \"{}\"", quoted(definition));
        Self::new(404, "GalleryImageNotFound", message).with_target("imageReference")
    }

    /// 409: deletion before the end of life, where the version forbids it.
    #[must_use]
    pub fn blocked_before_end_of_life(version: &str, end_of_life: &str) -> Self {
        let message = format!(
            "Deletion of gallery image version '{version}' is not allowed because 'blockDeletionBeforeEndOfLife' is set and \
             its endOfLifeDate '{end_of_life}' has not been reached."
        );
        Self::new(409, "DeleteGalleryImageVersionBlockedBeforeEndOfLife", message)
    }

    /// 400: `resource_type` is not offered in `location`. `available` lists the regions there are.
    #[must_use]
    pub fn location_not_available(location: &str, resource_type: &str, available: &[&str]) -> Self {
        let message = format!(
            "The provided location '{}' is not available for resource type '{resource_type}'. List of available regions for \
             the resource type is '{}'.",
            quoted(location),
            available.join(",")
        );
        Self::new(400, "LocationNotAvailableForResourceType", message)
    }

    /// 400: a tracked resource without a location.
    #[must_use]
    pub fn location_required() -> Self {
        let text = "The location property is required for this definition.";
        Self::new(400, "LocationRequired", text).with_target("location")
    }

    /// 409: the resource exists in another location.
    #[must_use]
    pub fn invalid_resource_location(name: &str, location: &str, group: &str, wanted: &str) -> Self {
        let message = format!(
            "The resource '{name}' already exists in location '{location}' in resource group '{group}'. A resource with the \
             same name cannot be created in location '{wanted}'. Please select a new resource name."
        );
        Self::new(409, "InvalidResourceLocation", message)
    }

    /// 409: a resource group exists in another location.
    #[must_use]
    pub fn invalid_resource_group_location(group: &str, location: &str, wanted: &str) -> Self {
        let message = format!(
            "Invalid resource group location '{wanted}'. The Resource group already exists in location '{location}'. Name: \
             '{group}'."
        );
        Self::new(409, "InvalidResourceGroupLocation", message)
    }

    /// 409: another gallery of the subscription has this name.
    #[must_use]
    pub fn gallery_name_not_unique(gallery: &str, subscription: &str) -> Self {
        let message = format!(
            "The gallery name '{gallery}' is not unique within the subscription '{subscription}'. Please pick another gallery \
             name."
        );
        Self::new(409, "Conflict", message).with_target("galleryName")
    }

    /// 409: another definition of the gallery has this publisher, offer and sku.
    #[must_use]
    pub fn identifier_not_unique(definition: &str, publisher: &str, offer: &str, sku: &str) -> Self {
        let message = format!(
            "Gallery image: '{definition}' identified by (publisher:{publisher}, offer:{offer}, sku:{sku}) already exists. \
             Choose a different publisher, offer, sku combination."
        );
        Self::new(409, "Conflict", message).with_target("galleryImage.properties.identifier")
    }

    /// 400: the home region is not among the target regions.
    #[must_use]
    pub fn home_region_missing(target_regions: &[&str], location: &str) -> Self {
        let message = format!(
            "Gallery image version publishing profile regions '{}' must contain the location of image version '{location}'.",
            target_regions.join(", ")
        );
        Self::invalid_parameter("galleryImageVersion.properties.publishingProfile.targetRegions", message)
    }

    /// 400: a region is named twice.
    #[must_use]
    pub fn duplicate_regions(region: &str) -> Self {
        let message = format!("Duplicate regions are not allowed in target publishing regions: '{}'.", quoted(region));
        Self::invalid_parameter("galleryImageVersion.properties.publishingProfile.targetRegions", message)
    }

    /// 404: the source of a version is not there, or elsewhere.
    #[must_use]
    pub fn source_not_found(source: &str, target: &str) -> Self {
        let message = format!(
            "Source {} is not found. Please check source exists, and is in the same region as gallery image version being \
             created.",
            quoted(source)
        );
        Self::new(404, "NotFound", message).with_target(target)
    }

    /// 400: a user-assigned identity that is not there; there are none here.
    #[must_use]
    pub fn user_assigned_identity_not_found(resource: &str, identity: &str) -> Self {
        let message = format!(
            "Identity operation for resource '{}' failed with error 'Failed to perform resource identity operation. Resource '{}' \
             was not found.'. User-assigned identities are not supported by this server: use the type 'SystemAssigned'.",
            quoted(resource),
            quoted(identity)
        );
        Self::new(400, "FailedIdentityOperation", message).with_target("gallery.identity.userAssignedIdentities")
    }

    /// 400: a disk of a version's source is larger than a version's may be.
    #[must_use]
    pub fn gallery_source_too_large(size_gib: u64, most_gib: u64) -> Self {
        let message = format!(
            "The GalleryImageVersion source resource size {size_gib} exceeds the max size {most_gib} supported."
        );
        Self::new(400, "GallerySourceResourceExceedsMaxSize", message)
    }

    /// 400: a link that names nothing that could be fetched. The text is the real service's.
    #[must_use]
    pub fn source_uri_not_absolute(uri: &str, target: &str) -> Self {
        Self::invalid_parameter(target, format!("Source uri: '{}' must be an absolute uri.", quoted(uri)))
    }

    /// 400: `storageProfile.source.id` of a type that cannot be a source.
    #[must_use]
    pub fn invalid_source_type(source: &str) -> Self {
        let message = format!(
            "The source id: {} must either be a managed image, virtual machine or another gallery image version.",
            quoted(source)
        );
        Self::invalid_parameter("galleryImageVersion.properties.storageProfile.source.id", message)
    }

    /// 400: a disk image's `source.id` that is neither disk nor snapshot. `target` is the property's path.
    #[must_use]
    pub fn invalid_disk_source_type(source: &str, target: &str) -> Self {
        let message = format!("The source id: {} must be a managed disk or snapshot.", quoted(source));
        Self::invalid_parameter(target, message)
    }

    /// 400: both kinds of source.
    #[must_use]
    pub fn source_given_twice() -> Self {
        let message = "The gallery artifact version source can only be specified either directly under storageProfile or \
                       within individual OS or data disks.";
        Self::invalid_parameter("galleryImageVersion.properties.storageProfile", message)
    }

    /// 400: the source's OS state is not the definition's.
    #[must_use]
    pub fn source_os_state_differs(source: &str, definition_state: &str, source_state: &str) -> Self {
        let message = format!(
            "Cannot create Gallery Image Version from: {} since the OS State in the parent gallery image \
             ('{definition_state}') is not '{source_state}'.",
            quoted(source)
        );
        Self::invalid_parameter("galleryImageVersion.properties.storageProfile", message)
    }

    /// 400: the source's generation is not the definition's.
    #[must_use]
    pub fn source_generation_differs(source: &str, definition: &str, source_generation: &str) -> Self {
        let message = format!(
            "The resource '{}' has a different Hypervisor generation ['{source_generation}'] than the parent gallery image \
             Hypervisor generation ['{definition}'].",
            quoted(source)
        );
        Self::invalid_parameter("galleryImageVersion.properties.storageProfile", message)
    }

    /// 400: the source's OS type is not the definition's.
    #[must_use]
    pub fn source_os_type_differs(source: &str, definition: &str, source_type: &str) -> Self {
        let message = format!(
            "The resource '{}' has a different OS type ['{source_type}'] than the parent gallery image OS type ['{definition}'].",
            quoted(source)
        );
        Self::invalid_parameter("galleryImageVersion.properties.storageProfile", message)
    }

    /// 400: the same lun twice.
    #[must_use]
    pub fn duplicated_luns(luns: &[i64]) -> Self {
        let list = luns.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let message = format!("Duplicated lun numbers {list} exist in the data disk images.");
        Self::invalid_parameter("galleryImageVersion.properties.storageProfile.dataDiskImages", message)
    }

    /// 400: the same disk twice.
    #[must_use]
    pub fn duplicated_sources(ids: &[&str]) -> Self {
        let message = format!("Duplicated source ids {} exist in the disk images.", quoted(&ids.join(", ")));
        Self::invalid_parameter("galleryImageVersion.properties.storageProfile", message)
    }

    /// 409: a change of the data disks of an existing version.
    #[must_use]
    pub fn data_disks_changed() -> Self {
        let message = "Adding new Data Disks or changing the LUN of a Data Disk in an existing Image is not allowed.";
        Self::new(409, "PropertyChangeNotAllowed", message)
            .with_target("galleryImageVersion.properties.storageProfile.dataDiskImages")
    }

    /// 400: an end of life that is over.
    #[must_use]
    pub fn end_of_life_in_the_past(target: &str) -> Self {
        Self::invalid_parameter(target, "EndOfLifeDate must be set to a future date.")
    }

    /// 409: anything but a delete on something marked for deletion. `operation` as in `Update Gallery Image Version`.
    #[must_use]
    pub fn marked_for_deletion(operation: &str, resource: &str) -> Self {
        let message = format!(
            "Operation '{operation}' is not allowed on {resource} since it is marked for deletion. You can only retry the \
             Delete operation (or wait for an ongoing one to complete)."
        );
        Self::new(409, "OperationNotAllowed", message)
    }

    /// What a version's operation ends with when copies failed: (region, why) of each.
    #[must_use]
    pub fn replication_failed(failed: &[(&str, &str)]) -> Self {
        let details: Vec<_> = failed.iter().map(|(region, why)| format!("{{region:{region}, detail:{why}}}")).collect();
        let message = format!(
            "Gallery replication jobs failed in one or more regions. The failing regions' details are as follows: '{}'",
            details.join(", ")
        );
        Self::new(409, "GalleryReplicationFailed", message)
    }

    /// What a version's, disk's or snapshot's operation ends with when the source's bytes are no readable disk image.
    #[must_use]
    pub fn invalid_disk_image(what: &str, reason: &str) -> Self {
        Self::new(400, "InvalidDiskImage", format!("{what} is not a disk image that can be used: {reason}"))
    }

    /// 409: the disk or snapshot has an active shared access signature.
    #[must_use]
    pub fn access_already_granted(kind: &str, name: &str) -> Self {
        let message = format!(
            "Access to the {kind} {name} is already granted: it has an active shared access signature outstanding. Call \
             EndGetAccess to revoke it first."
        );
        Self::new(409, "OperationNotAllowed", message)
    }

    /// 409: the disk's state does not allow `operation`.
    #[must_use]
    pub fn invalid_disk_state(operation: &str, disk: &str, state: &str) -> Self {
        let message = format!("Cannot perform operation '{operation}' on disk '{disk}' in state '{state}'.");
        Self::new(409, "OperationNotAllowed", message)
    }
}
