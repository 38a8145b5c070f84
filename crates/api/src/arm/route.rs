//! Which handler a path belongs to: one table of patterns, in order, the first that fits.
//!
//! The table is also what `access_table` is made from: each route with each method, asked by each role.

use galerie_arm::{ArmError, ResourceId, ResourceType};

use super::{
    Answer, activity_log, audit, authorization, backup, call::Call, clock, community_gallery, compute, feature,
    invitation, operation, processes, provider, quota, resource_graph, resource_group, resources, retention,
    shared_gallery, soft_deleted, store_admin, subscription, subscription_alias, tenant_admin, unsupported,
};

macro_rules! routes {
    ($($name:ident = $pattern:literal,)*) => {
        /// Something that a path can mean.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) enum Route {
            $(#[doc = $pattern] $name,)*
        }

        impl Route {
            /// All of them, in the order in which they are tried.
            pub(super) const ALL: &[Self] = &[$(Self::$name,)*];

            /// The paths that mean it: `{name}` stands for any segment, `{...}` at the end for any number of them, and
            /// `{scope}` at the beginning, too.
            pub(super) const fn pattern(self) -> &'static str {
                match self {
                    $(Self::$name => $pattern,)*
                }
            }
        }
    };
}

routes! {
    RoleDefinitions = "{scope}/providers/Microsoft.Authorization/roleDefinitions",
    RoleDefinition = "{scope}/providers/Microsoft.Authorization/roleDefinitions/{role}",
    RoleAssignments = "{scope}/providers/Microsoft.Authorization/roleAssignments",
    RoleAssignment = "{scope}/providers/Microsoft.Authorization/roleAssignments/{assignment}",
    Permissions = "{scope}/providers/Microsoft.Authorization/permissions",
    OtherAuthorization = "{scope}/providers/Microsoft.Authorization/{...}",
    Tenants = "/tenants",
    Subscriptions = "/subscriptions",
    Audit = "/galerie/audit/{action}",
    Backup = "/galerie/backup",
    Clock = "/galerie/clock/{action}",
    Processes = "/galerie/processes",
    Store = "/galerie/store/{region}/{action}",
    Quota = "/galerie/quota/{action}",
    RetentionPolicy = "/galerie/retention/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Compute/galleries/{gallery}/images/{image}",
    VersionPin = "/galerie/retention/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Compute/galleries/{gallery}/images/{image}/versions/{version}",
    TenantCreate = "/galerie/tenant/create",
    TenantUpdate = "/galerie/tenant/update",
    TenantList = "/galerie/tenant/list",
    TenantLink = "/galerie/tenant/link",
    SubscriptionCreate = "/galerie/subscription/create",
    RotateKeys = "/galerie/keys/rotate",
    Subscription = "/subscriptions/{subscription}",
    Locations = "/subscriptions/{subscription}/locations",
    Resources = "/subscriptions/{subscription}/resources",
    GroupResult = "/subscriptions/{subscription}/operationresults/{operation}",
    ResourceGroups = "/subscriptions/{subscription}/resourceGroups",
    ResourceGroup = "/subscriptions/{subscription}/resourceGroups/{group}",
    ResourcesInGroup = "/subscriptions/{subscription}/resourceGroups/{group}/resources",
    Galleries = "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Compute/galleries",
    Gallery = "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Compute/galleries/{gallery}",
    GalleryShare = "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Compute/galleries/{gallery}/share",
    ImageDefinitions = "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Compute/galleries/{gallery}/images",
    ImageDefinition = "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Compute/galleries/{gallery}/images/{image}",
    ImageVersions = "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Compute/galleries/{gallery}/images/{image}/versions",
    ImageVersion = "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Compute/galleries/{gallery}/images/{image}/versions/{version}",
    Applications = "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Compute/galleries/{gallery}/applications",
    Application = "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Compute/galleries/{gallery}/applications/{application}",
    ApplicationVersions = "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Compute/galleries/{gallery}/applications/{application}/versions",
    ApplicationVersion = "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Compute/galleries/{gallery}/applications/{application}/versions/{version}",
    Scripts = "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Compute/galleries/{gallery}/scripts",
    Script = "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Compute/galleries/{gallery}/scripts/{script}",
    ScriptVersions = "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Compute/galleries/{gallery}/scripts/{script}/versions",
    ScriptVersion = "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Compute/galleries/{gallery}/scripts/{script}/versions/{version}",
    AccessControlProfiles = "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Compute/galleries/{gallery}/inVMAccessControlProfiles",
    AccessControlProfile = "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Compute/galleries/{gallery}/inVMAccessControlProfiles/{profile}",
    AccessControlProfileVersions = "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Compute/galleries/{gallery}/inVMAccessControlProfiles/{profile}/versions",
    AccessControlProfileVersion = "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Compute/galleries/{gallery}/inVMAccessControlProfiles/{profile}/versions/{version}",
    SoftDeletedVersions = "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Compute/galleries/{gallery}/softDeletedArtifactTypes/{artifactType}/artifacts/{image}/versions",
    ManagedImages = "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Compute/images",
    ManagedImage = "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Compute/images/{managedImage}",
    Disks = "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Compute/disks",
    Disk = "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Compute/disks/{disk}",
    DiskBeginGetAccess = "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Compute/disks/{disk}/beginGetAccess",
    DiskEndGetAccess = "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Compute/disks/{disk}/endGetAccess",
    Snapshots = "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Compute/snapshots",
    Snapshot = "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Compute/snapshots/{snapshot}",
    SnapshotBeginGetAccess = "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Compute/snapshots/{snapshot}/beginGetAccess",
    SnapshotEndGetAccess = "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Compute/snapshots/{snapshot}/endGetAccess",
    VirtualMachine = "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Compute/virtualMachines/{machine}",
    OtherCompute = "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Compute/{...}",
    OtherInGroup = "/subscriptions/{subscription}/resourceGroups/{group}/providers/{namespace}/{...}",
    Providers = "/subscriptions/{subscription}/providers",
    Provider = "/subscriptions/{subscription}/providers/{namespace}",
    ProviderRegister = "/subscriptions/{subscription}/providers/{namespace}/register",
    Feature = "/subscriptions/{subscription}/providers/Microsoft.Features/providers/{namespace}/features/{feature}",
    FeatureRegister = "/subscriptions/{subscription}/providers/Microsoft.Features/providers/{namespace}/features/{feature}/register",
    ActivityLog = "/subscriptions/{subscription}/providers/Microsoft.Insights/eventtypes/management/values",
    CapsOperation = "/subscriptions/{subscription}/providers/Microsoft.Compute/locations/{location}/capsOperations/{operation}",
    DiskOperation = "/subscriptions/{subscription}/providers/Microsoft.Compute/locations/{location}/diskOperations/{operation}",
    Operation = "/subscriptions/{subscription}/providers/Microsoft.Compute/locations/{location}/operations/{operation}",
    SharedGalleries = "/subscriptions/{subscription}/providers/Microsoft.Compute/locations/{location}/sharedGalleries",
    SharedGallery = "/subscriptions/{subscription}/providers/Microsoft.Compute/locations/{location}/sharedGalleries/{uniqueName}",
    SharedImages = "/subscriptions/{subscription}/providers/Microsoft.Compute/locations/{location}/sharedGalleries/{uniqueName}/images",
    SharedImage = "/subscriptions/{subscription}/providers/Microsoft.Compute/locations/{location}/sharedGalleries/{uniqueName}/images/{image}",
    SharedVersions = "/subscriptions/{subscription}/providers/Microsoft.Compute/locations/{location}/sharedGalleries/{uniqueName}/images/{image}/versions",
    SharedVersion = "/subscriptions/{subscription}/providers/Microsoft.Compute/locations/{location}/sharedGalleries/{uniqueName}/images/{image}/versions/{version}",
    SharedGalleryAnswer = "/subscriptions/{subscription}/providers/Microsoft.Compute/locations/{location}/sharedGallerySubscriptions/{owner}/sharedGalleries/{sharedGallery}/{answer}",
    CommunityGallery = "/subscriptions/{subscription}/providers/Microsoft.Compute/locations/{location}/communityGalleries/{publicName}",
    CommunityImages = "/subscriptions/{subscription}/providers/Microsoft.Compute/locations/{location}/communityGalleries/{publicName}/images",
    CommunityImage = "/subscriptions/{subscription}/providers/Microsoft.Compute/locations/{location}/communityGalleries/{publicName}/images/{image}",
    CommunityVersions = "/subscriptions/{subscription}/providers/Microsoft.Compute/locations/{location}/communityGalleries/{publicName}/images/{image}/versions",
    CommunityVersion = "/subscriptions/{subscription}/providers/Microsoft.Compute/locations/{location}/communityGalleries/{publicName}/images/{image}/versions/{version}",
    ComputeInSubscription = "/subscriptions/{subscription}/providers/Microsoft.Compute/{collection}",
    OtherInSubscription = "/subscriptions/{subscription}/providers/{namespace}/{...}",
    ResourceGraph = "/providers/Microsoft.ResourceGraph/resources",
    SubscriptionAliases = "/providers/Microsoft.Subscription/aliases",
    SubscriptionAlias = "/providers/Microsoft.Subscription/aliases/{alias}",
    TenantSharedGalleryAnswer = "/providers/Microsoft.Compute/locations/{location}/tenantLevelSharedGallerySubscriptions/{owner}/sharedGalleries/{sharedGallery}/{answer}",
    OtherInTenant = "/providers/{namespace}/{...}",
}

impl Route {
    /// What a path means.
    fn of(folded: &[&str]) -> Option<Self> {
        Self::ALL.iter().copied().find(|route| fits(route.pattern(), folded))
    }
}

/// What the segments of a path mean.
pub(super) fn of(segments: &[String]) -> Option<Route> {
    let folded: Vec<String> = segments.iter().map(|segment| segment.to_lowercase()).collect();
    Route::of(&folded.iter().map(String::as_str).collect::<Vec<_>>())
}

/// Whether a pattern stands for a path. The segments of the path are in small letters.
fn fits(pattern: &str, folded: &[&str]) -> bool {
    let (pattern, path) = match pattern.strip_prefix("{scope}/") {
        // Whatever is before the provider's last mention is the scope.
        Some(below) => match authorization::position(folded) {
            Some(at) => (below, &folded[at..]),
            None => return false,
        },
        None => (pattern, folded),
    };
    let mut left = path.iter();
    for segment in pattern.split('/').filter(|segment| !segment.is_empty()) {
        match (segment, left.next()) {
            ("{...}", _) => return true,
            (_, None) => return false,
            (wanted, Some(found)) if !wanted.starts_with('{') && !wanted.eq_ignore_ascii_case(found) => return false,
            _ => {}
        }
    }
    left.next().is_none()
}

/// Whether ARM serves anything at this path's beginning; only then a token is asked for.
pub(super) fn is_known_root(segments: &[String]) -> bool {
    let roots = ["subscriptions", "tenants", "providers", "galerie"];
    segments.first().is_some_and(|first| roots.iter().any(|root| first.eq_ignore_ascii_case(root)))
}

/// Hands the call to its handler.
pub(super) async fn route(call: Call) -> Answer {
    let folded: Vec<String> = call.segments.iter().map(|segment| segment.to_lowercase()).collect();
    let folded: Vec<&str> = folded.iter().map(String::as_str).collect();
    let Some(route) = Route::of(&folded) else { return Err(ArmError::path_not_found(&call.path()).into()) };
    // A pattern has as many segments as its handler asks for.
    let segment = |at: usize| folded.get(at).copied().unwrap_or_default();
    match route {
        Route::RoleDefinitions
        | Route::RoleDefinition
        | Route::RoleAssignments
        | Route::RoleAssignment
        | Route::Permissions
        | Route::OtherAuthorization => authorization::answer(call, &folded).await,
        Route::Tenants => subscription::tenants(call).await,
        Route::Subscriptions => subscription::list(call).await,
        Route::Audit => audit::act(call, segment(2)).await,
        Route::Backup => backup::create(call).await,
        Route::Clock => clock::act(call, segment(2)).await,
        Route::Processes => processes::list(call).await,
        Route::Store => store_admin::act(call, segment(2), segment(3)).await,
        Route::Quota => quota::act(call, segment(2)).await,
        Route::RetentionPolicy => retention::policy(call).await,
        Route::VersionPin => retention::pin(call).await,
        Route::TenantCreate => tenant_admin::create(call).await,
        Route::TenantUpdate => tenant_admin::update(call).await,
        Route::TenantList => tenant_admin::list(call).await,
        Route::TenantLink => tenant_admin::link(call).await,
        Route::SubscriptionCreate => tenant_admin::subscription(call).await,
        Route::RotateKeys => tenant_admin::rotate_keys(call).await,
        Route::Subscription => subscription::get(call).await,
        Route::Locations => subscription::locations(call).await,
        Route::Resources => resources::in_subscription(call).await,
        Route::GroupResult => operation::group_result(call, segment(3)).await,
        Route::ResourceGroups => resource_group::list(call).await,
        Route::ResourceGroup => resource_group::answer(call).await,
        Route::ResourcesInGroup => resources::in_group(call).await,
        Route::Galleries
        | Route::Gallery
        | Route::GalleryShare
        | Route::ImageDefinitions
        | Route::ImageDefinition
        | Route::ImageVersions
        | Route::ImageVersion
        | Route::Applications
        | Route::Application
        | Route::ApplicationVersions
        | Route::ApplicationVersion
        | Route::Scripts
        | Route::Script
        | Route::ScriptVersions
        | Route::ScriptVersion
        | Route::AccessControlProfiles
        | Route::AccessControlProfile
        | Route::AccessControlProfileVersions
        | Route::AccessControlProfileVersion
        | Route::ManagedImages
        | Route::ManagedImage
        | Route::Disks
        | Route::Disk
        | Route::DiskBeginGetAccess
        | Route::DiskEndGetAccess
        | Route::Snapshots
        | Route::Snapshot
        | Route::SnapshotBeginGetAccess
        | Route::SnapshotEndGetAccess
        | Route::VirtualMachine
        | Route::OtherCompute => in_group(call, &folded[6..]).await,
        Route::SoftDeletedVersions => soft_deleted::list(call, segment(9)).await,
        Route::OtherInGroup => unsupported::answer(&call, segment(5), &folded[6..]),
        Route::Providers => provider::list(call).await,
        Route::Provider => provider::get(call, segment(3)).await,
        Route::ProviderRegister => provider::register(call, segment(3)).await,
        Route::Feature => feature::get(call, segment(5), segment(7)).await,
        Route::FeatureRegister => feature::register(call, segment(5), segment(7)).await,
        Route::ActivityLog => activity_log::list(call).await,
        Route::CapsOperation | Route::DiskOperation | Route::Operation => operation::answer(call, segment(7)).await,
        Route::SharedGalleries
        | Route::SharedGallery
        | Route::SharedImages
        | Route::SharedImage
        | Route::SharedVersions
        | Route::SharedVersion => shared_gallery::answer(call).await,
        Route::SharedGalleryAnswer => invitation::of_subscription(call, segment(10)).await,
        Route::CommunityGallery
        | Route::CommunityImages
        | Route::CommunityImage
        | Route::CommunityVersions
        | Route::CommunityVersion => community_gallery::answer(call).await,
        Route::ComputeInSubscription => compute::in_subscription(call, segment(4)).await,
        Route::OtherInSubscription => unsupported::answer(&call, segment(3), &folded[4..]),
        Route::ResourceGraph => resource_graph::answer(call).await,
        Route::SubscriptionAliases => subscription_alias::list(call).await,
        Route::SubscriptionAlias => subscription_alias::answer(call).await,
        Route::TenantSharedGalleryAnswer => invitation::of_tenant(call, segment(8)).await,
        Route::OtherInTenant => unsupported::answer(&call, segment(1), &folded[2..]),
    }
}

/// Compute's resources: pairs of type and name; an odd number of segments names a collection or an action.
async fn in_group(call: Call, rest: &[&str]) -> Answer {
    // A resource that extends another.
    if let Some(at) = rest.iter().step_by(2).position(|segment| *segment == "providers") {
        let (namespace, below) = rest[at * 2 + 1..].split_first().unwrap_or((&"", &[]));
        return unsupported::answer(&call, namespace, below);
    }
    if rest.len().is_multiple_of(2) && !rest.is_empty() {
        return compute::resource(call).await;
    }
    let Some((last, above)) = rest.split_last() else {
        return Err(ArmError::path_not_found(&call.path()).into());
    };
    let types: Vec<&str> = above.iter().step_by(2).copied().collect();
    if let Some(resource_type) = compute_type(&types)
        && compute::is_action(resource_type, last)
    {
        return compute::action(call, last).await;
    }
    compute::collection(call).await
}

/// The resource type of a chain of type segments.
pub(super) fn compute_type(types: &[&str]) -> Option<ResourceType> {
    ResourceType::parse(&format!("Microsoft.Compute/{}", types.join("/")))
}

/// The id that the call's path is, without the last `dropped` segments.
///
/// # Errors
/// What is wrong with the path as an id.
pub(super) fn id_of(call: &Call, dropped: usize) -> Result<ResourceId, ArmError> {
    let kept = call.segments.len().saturating_sub(dropped);
    let path = format!("/{}", call.segments[..kept].join("/"));
    ResourceId::parse(&path, "path")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route_of(path: &str) -> Option<Route> {
        let folded = path.to_lowercase();
        Route::of(&folded.split('/').filter(|segment| !segment.is_empty()).collect::<Vec<_>>())
    }

    /// A pattern that an earlier one takes everything from would be dead.
    #[test]
    fn every_pattern_is_reached() {
        for route in Route::ALL {
            let path = route.pattern().replace("{scope}", "").replace("{...}", "widgets/w/x");
            assert_eq!(route_of(&path.replace(['{', '}'], "")), Some(*route), "{path}");
        }
    }

    #[test]
    fn scopes_are_what_is_before_the_provider() {
        let below = "providers/Microsoft.Authorization/roleAssignments";
        for scope in [
            "",
            "/subscriptions/s",
            "/subscriptions/s/resourceGroups/g",
            "/subscriptions/s/resourceGroups/providers",
            "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/galleries/x/images/i",
        ] {
            assert_eq!(route_of(&format!("{scope}/{below}")), Some(Route::RoleAssignments), "{scope}");
            assert_eq!(route_of(&format!("{scope}/{below}/n")), Some(Route::RoleAssignment), "{scope}");
        }
        assert_eq!(route_of("/subscriptions/s/resourceGroups/providers"), Some(Route::ResourceGroup));
        assert_eq!(route_of("/nothing/here"), None);
        assert_eq!(route_of("/subscriptions/s/nothing"), None);
    }
}
