//! The actions that there are: what this server asks for, and what Azure has beside it on the types that galleries'
//! users meet. A custom role may name these only, so that a misspelt action is told, and not silently worth nothing.

use super::{action_pattern::ActionPattern, built_in_roles::BUILT_IN_ROLES};

/// Of the control plane.
const ACTIONS: &[&str] = &[
    "Microsoft.Authorization/classicAdministrators/read",
    "Microsoft.Authorization/denyAssignments/read",
    "Microsoft.Authorization/elevateAccess/action",
    "Microsoft.Authorization/locks/delete",
    "Microsoft.Authorization/locks/read",
    "Microsoft.Authorization/locks/write",
    "Microsoft.Authorization/permissions/read",
    "Microsoft.Authorization/policyAssignments/delete",
    "Microsoft.Authorization/policyAssignments/read",
    "Microsoft.Authorization/policyAssignments/write",
    "Microsoft.Authorization/providerOperations/read",
    "Microsoft.Authorization/roleAssignments/delete",
    "Microsoft.Authorization/roleAssignments/read",
    "Microsoft.Authorization/roleAssignments/write",
    "Microsoft.Authorization/roleDefinitions/delete",
    "Microsoft.Authorization/roleDefinitions/read",
    "Microsoft.Authorization/roleDefinitions/write",
    "Microsoft.Compute/disks/beginGetAccess/action",
    "Microsoft.Compute/disks/delete",
    "Microsoft.Compute/disks/endGetAccess/action",
    "Microsoft.Compute/disks/read",
    "Microsoft.Compute/disks/write",
    "Microsoft.Compute/galleries/applications/delete",
    "Microsoft.Compute/galleries/applications/read",
    "Microsoft.Compute/galleries/applications/versions/delete",
    "Microsoft.Compute/galleries/applications/versions/read",
    "Microsoft.Compute/galleries/applications/versions/write",
    "Microsoft.Compute/galleries/applications/write",
    "Microsoft.Compute/galleries/delete",
    "Microsoft.Compute/galleries/images/delete",
    "Microsoft.Compute/galleries/images/read",
    "Microsoft.Compute/galleries/images/versions/delete",
    "Microsoft.Compute/galleries/images/versions/read",
    "Microsoft.Compute/galleries/images/versions/write",
    "Microsoft.Compute/galleries/images/write",
    "Microsoft.Compute/galleries/inVMAccessControlProfiles/delete",
    "Microsoft.Compute/galleries/inVMAccessControlProfiles/read",
    "Microsoft.Compute/galleries/inVMAccessControlProfiles/versions/delete",
    "Microsoft.Compute/galleries/inVMAccessControlProfiles/versions/read",
    "Microsoft.Compute/galleries/inVMAccessControlProfiles/versions/write",
    "Microsoft.Compute/galleries/inVMAccessControlProfiles/write",
    "Microsoft.Compute/galleries/read",
    "Microsoft.Compute/galleries/scripts/delete",
    "Microsoft.Compute/galleries/scripts/read",
    "Microsoft.Compute/galleries/scripts/versions/delete",
    "Microsoft.Compute/galleries/scripts/versions/read",
    "Microsoft.Compute/galleries/scripts/versions/write",
    "Microsoft.Compute/galleries/scripts/write",
    "Microsoft.Compute/galleries/share/action",
    "Microsoft.Compute/galleries/softDeletedArtifactTypes/artifacts/versions/delete",
    "Microsoft.Compute/galleries/softDeletedArtifactTypes/artifacts/versions/read",
    "Microsoft.Compute/galleries/write",
    "Microsoft.Compute/images/delete",
    "Microsoft.Compute/images/read",
    "Microsoft.Compute/images/write",
    "Microsoft.Compute/locations/capsOperations/read",
    "Microsoft.Compute/locations/communityGalleries/images/read",
    "Microsoft.Compute/locations/communityGalleries/images/versions/read",
    "Microsoft.Compute/locations/communityGalleries/read",
    "Microsoft.Compute/locations/diskOperations/read",
    "Microsoft.Compute/locations/operations/read",
    "Microsoft.Compute/locations/sharedGalleries/images/read",
    "Microsoft.Compute/locations/sharedGalleries/images/versions/read",
    "Microsoft.Compute/locations/sharedGalleries/read",
    "Microsoft.Compute/locations/sharedGallerySubscriptions/sharedGalleries/accept/action",
    "Microsoft.Compute/locations/sharedGallerySubscriptions/sharedGalleries/reject/action",
    "Microsoft.Compute/locations/tenantLevelSharedGallerySubscriptions/sharedGalleries/accept/action",
    "Microsoft.Compute/locations/tenantLevelSharedGallerySubscriptions/sharedGalleries/reject/action",
    "Microsoft.Compute/locations/usages/read",
    "Microsoft.Compute/locations/vmSizes/read",
    "Microsoft.Compute/operations/read",
    "Microsoft.Compute/register/action",
    "Microsoft.Compute/skus/read",
    "Microsoft.Compute/snapshots/beginGetAccess/action",
    "Microsoft.Compute/snapshots/delete",
    "Microsoft.Compute/snapshots/endGetAccess/action",
    "Microsoft.Compute/snapshots/read",
    "Microsoft.Compute/snapshots/write",
    "Microsoft.Compute/virtualMachines/capture/action",
    "Microsoft.Compute/virtualMachines/deallocate/action",
    "Microsoft.Compute/virtualMachines/delete",
    "Microsoft.Compute/virtualMachines/extensions/delete",
    "Microsoft.Compute/virtualMachines/extensions/read",
    "Microsoft.Compute/virtualMachines/extensions/write",
    "Microsoft.Compute/virtualMachines/generalize/action",
    "Microsoft.Compute/virtualMachines/instanceView/read",
    "Microsoft.Compute/virtualMachines/powerOff/action",
    "Microsoft.Compute/virtualMachines/read",
    "Microsoft.Compute/virtualMachines/restart/action",
    "Microsoft.Compute/virtualMachines/runCommand/action",
    "Microsoft.Compute/virtualMachines/start/action",
    "Microsoft.Compute/virtualMachines/vmSizes/read",
    "Microsoft.Compute/virtualMachines/write",
    "Microsoft.Features/providers/features/read",
    "Microsoft.Features/providers/features/register/action",
    "Microsoft.Insights/alertRules/delete",
    "Microsoft.Insights/alertRules/read",
    "Microsoft.Insights/alertRules/write",
    "Microsoft.Insights/eventtypes/values/read",
    "Microsoft.Resources/deployments/delete",
    "Microsoft.Resources/deployments/read",
    "Microsoft.Resources/deployments/validate/action",
    "Microsoft.Resources/deployments/write",
    "Microsoft.Resources/subscriptions/locations/read",
    "Microsoft.Resources/subscriptions/operationresults/read",
    "Microsoft.Resources/subscriptions/providers/read",
    "Microsoft.Resources/subscriptions/read",
    "Microsoft.Resources/subscriptions/resourceGroups/delete",
    "Microsoft.Resources/subscriptions/resourceGroups/read",
    "Microsoft.Resources/subscriptions/resourceGroups/write",
    "Microsoft.Resources/subscriptions/resourcegroups/resources/read",
    "Microsoft.Resources/subscriptions/resources/read",
    "Microsoft.Subscription/aliases/delete",
    "Microsoft.Subscription/aliases/read",
    "Microsoft.Subscription/aliases/write",
    "Microsoft.Subscription/cancel/action",
    "Microsoft.Subscription/enable/action",
    "Microsoft.Support/supportTickets/read",
    "Microsoft.Support/supportTickets/write",
];
/// Of the bytes behind resources.
const DATA_ACTIONS: &[&str] = &[
    "Microsoft.Compute/disks/download/action",
    "Microsoft.Compute/disks/upload/action",
    "Microsoft.Compute/snapshots/download/action",
    "Microsoft.Compute/snapshots/upload/action",
    "Microsoft.Compute/virtualMachines/login/action",
    "Microsoft.Compute/virtualMachines/loginAsAdmin/action",
];

/// Whether a pattern stands for any action of the control plane, or names one as a built-in role does.
pub(crate) fn has_action(pattern: &ActionPattern) -> bool {
    let is_built_in = |known: &ActionPattern| known.as_str().eq_ignore_ascii_case(pattern.as_str());
    let mut sets = BUILT_IN_ROLES.iter().flat_map(|built_in| &built_in.role.permissions);
    ACTIONS.iter().any(|action| pattern.matches(action))
        || sets.any(|set| set.actions.iter().chain(&set.not_actions).any(is_built_in))
}

/// Whether a pattern stands for any action on bytes.
pub(crate) fn has_data_action(pattern: &ActionPattern) -> bool {
    DATA_ACTIONS.iter().any(|action| pattern.matches(action))
}

/// Whether an action is one of the table's: what is asked for in code must be, or no custom role could give it.
pub(crate) fn is_listed(action: &str) -> bool {
    ACTIONS.iter().any(|listed| listed.eq_ignore_ascii_case(action))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::{TRACKED, Verb, action};

    #[test]
    fn the_tables_are_in_order() {
        assert!(ACTIONS.is_sorted() && DATA_ACTIONS.is_sorted());
    }

    #[test]
    fn what_is_asked_for_can_be_given() {
        for resource_type in TRACKED {
            for verb in [Verb::Read, Verb::Write, Verb::Delete] {
                assert!(is_listed(action(resource_type, verb)), "{resource_type:?} {verb:?}");
            }
        }
    }

    #[test]
    fn patterns_that_mean_nothing_are_found() {
        for (pattern, expected) in [
            ("*", true),
            ("*/read", true),
            ("Microsoft.Compute/galleries/*", true),
            ("microsoft.compute/GALLERIES/read", true),
            ("Microsoft.Network/networkInterfaces/*", true),
            ("Microsoft.Compute/galeries/read", false),
            ("Microsoft.Compute/galleries/reed", false),
            ("Microsoft.Compute/disks/download/action", false),
            ("", false),
            ("read", false),
        ] {
            assert_eq!(has_action(&ActionPattern::new(pattern)), expected, "{pattern}");
        }
        assert!(has_data_action(&ActionPattern::new("Microsoft.Compute/disks/*")));
        assert!(!has_data_action(&ActionPattern::new("Microsoft.Compute/galleries/read")));
    }
}
