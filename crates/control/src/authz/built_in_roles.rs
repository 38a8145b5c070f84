//! The built-in roles, with Azure's ids, texts and whole action lists: also of what this server does not have, so that a
//! role reads the same here and there. Source: the "Azure built-in roles" pages of Azure's documentation, July 2026.

use std::sync::{Arc, LazyLock};

use uuid::{Uuid, uuid};

use super::{action_pattern::ActionPattern, evaluator::Role, permission_set::PermissionSet};

/// Everything, also giving access to others.
pub(crate) const OWNER: Uuid = uuid!("8e3af657-a8ff-443c-a75c-2fe8c4bcb635");

/// A role that every tenant has.
#[derive(Debug)]
pub(crate) struct BuiltInRole {
    pub(crate) name: &'static str,
    pub(crate) description: &'static str,
    pub(crate) role: Arc<Role>,
}

/// The built-in roles, by name.
pub(crate) static BUILT_IN_ROLES: LazyLock<Vec<BuiltInRole>> =
    LazyLock::new(|| LISTED.iter().map(Listed::compile).collect());

/// The built-in role with an id.
pub(crate) fn find(id: Uuid) -> Option<&'static BuiltInRole> {
    BUILT_IN_ROLES.iter().find(|built_in| built_in.role.id == id)
}

/// A role as it stands in the table below.
struct Listed {
    id: Uuid,
    name: &'static str,
    description: &'static str,
    actions: &'static [&'static str],
    not_actions: &'static [&'static str],
    data_actions: &'static [&'static str],
}

impl Listed {
    fn compile(&self) -> BuiltInRole {
        let patterns = |texts: &[&str]| texts.iter().map(|text| ActionPattern::new(*text)).collect();
        let set = PermissionSet {
            actions: patterns(self.actions),
            not_actions: patterns(self.not_actions),
            data_actions: patterns(self.data_actions),
            not_data_actions: Vec::new(),
        };
        let role = Arc::new(Role { id: self.id, permissions: vec![set] });
        BuiltInRole { name: self.name, description: self.description, role }
    }
}

const LISTED: &[Listed] = &[
    Listed {
        id: uuid!("85a2d0d9-2eba-4c9c-b355-11c2cc0788ab"),
        name: "Compute Gallery Artifacts Publisher",
        description: "This is the role for publishing gallery artifacts.",
        actions: &[
            "Microsoft.Compute/galleries/*",
            "Microsoft.Compute/locations/capsOperations/read",
            "Microsoft.Compute/locations/communityGalleries/*",
            "Microsoft.Compute/locations/sharedGalleries/*",
            "Microsoft.Compute/images/*",
            "Microsoft.Compute/virtualMachines/write",
            "Microsoft.Compute/disks/write",
            "Microsoft.Authorization/*/read",
            "Microsoft.Insights/alertRules/*",
            "Microsoft.Resources/deployments/*",
            "Microsoft.Resources/subscriptions/resourceGroups/read",
        ],
        not_actions: &["Microsoft.Compute/galleries/share/action"],
        data_actions: &[],
    },
    Listed {
        id: uuid!("cf7c76d2-98a3-4358-a134-615aa78bf44d"),
        name: "Compute Gallery Image Reader",
        description: "This is the role for reading gallery images.",
        actions: &["Microsoft.Compute/galleries/images/read", "Microsoft.Compute/galleries/images/versions/read"],
        not_actions: &[],
        data_actions: &[],
    },
    Listed {
        id: uuid!("1ef6a3be-d0ac-425d-8c01-acb62866290b"),
        name: "Compute Gallery Sharing Admin",
        description: "This role allows user to share gallery to another subscription/tenant or share it to the public.",
        actions: &["Microsoft.Compute/galleries/share/action"],
        not_actions: &[],
        data_actions: &[],
    },
    Listed {
        id: uuid!("b24988ac-6180-42a0-ab88-20f7382dd24c"),
        name: "Contributor",
        description: "Grants full access to manage all resources, but does not allow you to assign roles in Azure RBAC, \
                      manage assignments in Azure Blueprints, or share image galleries.",
        actions: &["*"],
        not_actions: &[
            "Microsoft.Authorization/*/Delete",
            "Microsoft.Authorization/*/Write",
            "Microsoft.Authorization/elevateAccess/Action",
            "Microsoft.Blueprint/blueprintAssignments/write",
            "Microsoft.Blueprint/blueprintAssignments/delete",
            "Microsoft.Compute/galleries/share/action",
            "Microsoft.Purview/consents/write",
            "Microsoft.Purview/consents/delete",
            "Microsoft.Resources/deploymentStacks/manageDenySetting/action",
            "Microsoft.Subscription/cancel/action",
            "Microsoft.Subscription/enable/action",
        ],
        data_actions: &[],
    },
    Listed {
        id: uuid!("959f8984-c045-4866-89c7-12bf9737be2e"),
        name: "Data Operator for Managed Disks",
        description: "Provides permissions to upload data to empty managed disks, read, or export data of managed disks \
                      (not attached to running VMs) and snapshots using SAS URIs and Azure AD authentication.",
        actions: &[],
        not_actions: &[],
        data_actions: &[
            "Microsoft.Compute/disks/download/action",
            "Microsoft.Compute/disks/upload/action",
            "Microsoft.Compute/snapshots/download/action",
            "Microsoft.Compute/snapshots/upload/action",
        ],
    },
    Listed {
        id: uuid!("7efff54f-a5b4-42b5-a1c5-5411624893ce"),
        name: "Disk Snapshot Contributor",
        description: "Provides permission to backup vault to manage disk snapshots.",
        actions: &[
            "Microsoft.Authorization/*/read",
            "Microsoft.Resources/subscriptions/resourceGroups/read",
            "Microsoft.Compute/snapshots/delete",
            "Microsoft.Compute/snapshots/write",
            "Microsoft.Compute/snapshots/read",
            "Microsoft.Compute/snapshots/beginGetAccess/action",
            "Microsoft.Compute/snapshots/endGetAccess/action",
            "Microsoft.Compute/disks/beginGetAccess/action",
            "Microsoft.Storage/storageAccounts/listkeys/action",
            "Microsoft.Storage/storageAccounts/write",
            "Microsoft.Storage/storageAccounts/read",
            "Microsoft.Storage/storageAccounts/delete",
        ],
        not_actions: &[],
        data_actions: &[],
    },
    Listed {
        id: OWNER,
        name: "Owner",
        description: "Grants full access to manage all resources, including the ability to assign roles in Azure RBAC.",
        actions: &["*"],
        not_actions: &[],
        data_actions: &[],
    },
    Listed {
        id: uuid!("acdd72a7-3385-48ef-bd42-f606fba81ae7"),
        name: "Reader",
        description: "View all resources, but does not allow you to make any changes.",
        actions: &["*/read"],
        not_actions: &[],
        data_actions: &[],
    },
    Listed {
        id: uuid!("f58310d9-a9f6-439a-9e8d-f62e7b41a168"),
        name: "Role Based Access Control Administrator",
        description: "Manage access to Azure resources by assigning roles using Azure RBAC. This role does not allow you \
                      to manage access using other ways, such as Azure Policy.",
        actions: &[
            "Microsoft.Authorization/roleAssignments/write",
            "Microsoft.Authorization/roleAssignments/delete",
            "*/read",
            "Microsoft.Support/*",
        ],
        not_actions: &[],
        data_actions: &[],
    },
    Listed {
        id: uuid!("18d7d88d-d35e-4fb5-a5c3-7773c20a72d9"),
        name: "User Access Administrator",
        description: "Lets you manage user access to Azure resources.",
        actions: &["*/read", "Microsoft.Authorization/*", "Microsoft.Support/*"],
        not_actions: &[],
        data_actions: &[],
    },
    Listed {
        id: uuid!("9980e02c-c2be-4d73-94e8-173b1dc7cf3c"),
        name: "Virtual Machine Contributor",
        description: "Lets you manage virtual machines, but not access to them, and not the virtual network or storage \
                      account they're connected to.",
        actions: &[
            "Microsoft.Authorization/*/read",
            "Microsoft.Compute/availabilitySets/*",
            "Microsoft.Compute/locations/*",
            "Microsoft.Compute/virtualMachines/*",
            "Microsoft.Compute/virtualMachineScaleSets/*",
            "Microsoft.Compute/cloudServices/*",
            "Microsoft.Compute/disks/write",
            "Microsoft.Compute/disks/read",
            "Microsoft.Compute/disks/delete",
            "Microsoft.Compute/hostgroups/write",
            "Microsoft.Compute/hostgroups/hosts/write",
            "Microsoft.DevTestLab/schedules/*",
            "Microsoft.Insights/alertRules/*",
            "Microsoft.Network/applicationGateways/backendAddressPools/join/action",
            "Microsoft.Network/loadBalancers/backendAddressPools/join/action",
            "Microsoft.Network/loadBalancers/inboundNatPools/join/action",
            "Microsoft.Network/loadBalancers/inboundNatRules/join/action",
            "Microsoft.Network/loadBalancers/probes/join/action",
            "Microsoft.Network/loadBalancers/read",
            "Microsoft.Network/locations/*",
            "Microsoft.Network/networkInterfaces/*",
            "Microsoft.Network/networkSecurityGroups/join/action",
            "Microsoft.Network/networkSecurityGroups/read",
            "Microsoft.Network/publicIPAddresses/join/action",
            "Microsoft.Network/publicIPAddresses/read",
            "Microsoft.Network/virtualNetworks/read",
            "Microsoft.Network/virtualNetworks/subnets/join/action",
            "Microsoft.RecoveryServices/locations/*",
            "Microsoft.RecoveryServices/Vaults/backupFabrics/backupProtectionIntent/write",
            "Microsoft.RecoveryServices/Vaults/backupFabrics/protectionContainers/protectedItems/*/read",
            "Microsoft.RecoveryServices/Vaults/backupFabrics/protectionContainers/protectedItems/read",
            "Microsoft.RecoveryServices/Vaults/backupFabrics/protectionContainers/protectedItems/write",
            "Microsoft.RecoveryServices/Vaults/backupPolicies/read",
            "Microsoft.RecoveryServices/Vaults/backupPolicies/write",
            "Microsoft.RecoveryServices/Vaults/read",
            "Microsoft.RecoveryServices/Vaults/usages/read",
            "Microsoft.RecoveryServices/Vaults/write",
            "Microsoft.ResourceHealth/availabilityStatuses/read",
            "Microsoft.Resources/deployments/*",
            "Microsoft.Resources/subscriptions/resourceGroups/read",
            "Microsoft.SerialConsole/serialPorts/connect/action",
            "Microsoft.SqlVirtualMachine/*",
            "Microsoft.Storage/storageAccounts/listKeys/action",
            "Microsoft.Storage/storageAccounts/read",
            "Microsoft.Support/*",
        ],
        not_actions: &[],
        data_actions: &[],
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_names_are_unique_and_in_order() {
        let names: Vec<&str> = BUILT_IN_ROLES.iter().map(|built_in| built_in.name).collect();
        assert!(names.is_sorted_by(|one, next| one < next), "{names:?}");
        for built_in in BUILT_IN_ROLES.iter() {
            assert_eq!(find(built_in.role.id).map(|found| found.name), Some(built_in.name));
        }
        assert_eq!(find(OWNER).map(|found| found.name), Some("Owner"));
    }

    #[test]
    fn what_the_roles_are_known_for() {
        let permits = |name: &str, action: &str| {
            let found = BUILT_IN_ROLES.iter().find(|built_in| built_in.name == name);
            found.is_some_and(|found| found.role.permits(action))
        };
        for (name, action, expected) in [
            ("Owner", "Microsoft.Authorization/roleAssignments/write", true),
            ("Contributor", "Microsoft.Authorization/roleAssignments/write", false),
            ("Contributor", "Microsoft.Authorization/roleAssignments/read", true),
            ("Contributor", "Microsoft.Compute/galleries/share/action", false),
            ("Contributor", "Microsoft.Compute/disks/beginGetAccess/action", true),
            ("Reader", "Microsoft.Compute/galleries/read", true),
            ("Reader", "Microsoft.Compute/disks/beginGetAccess/action", false),
            ("User Access Administrator", "Microsoft.Authorization/roleDefinitions/write", true),
            ("Role Based Access Control Administrator", "Microsoft.Authorization/roleDefinitions/write", false),
            ("Role Based Access Control Administrator", "Microsoft.Authorization/roleAssignments/delete", true),
            ("Compute Gallery Sharing Admin", "Microsoft.Compute/galleries/share/action", true),
            ("Compute Gallery Sharing Admin", "Microsoft.Compute/galleries/read", false),
            ("Compute Gallery Artifacts Publisher", "Microsoft.Compute/galleries/images/versions/write", true),
            ("Compute Gallery Artifacts Publisher", "Microsoft.Compute/galleries/share/action", false),
            ("Compute Gallery Artifacts Publisher", "Microsoft.Compute/snapshots/write", false),
            ("Compute Gallery Image Reader", "Microsoft.Compute/galleries/images/versions/read", true),
            ("Compute Gallery Image Reader", "Microsoft.Compute/galleries/read", false),
            ("Virtual Machine Contributor", "Microsoft.Compute/disks/write", true),
            ("Virtual Machine Contributor", "Microsoft.Compute/snapshots/write", false),
            ("Data Operator for Managed Disks", "Microsoft.Compute/disks/read", false),
            ("Disk Snapshot Contributor", "Microsoft.Compute/snapshots/beginGetAccess/action", true),
        ] {
            assert_eq!(permits(name, action), expected, "{name} {action}");
        }
    }
}
