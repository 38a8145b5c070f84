//! The actions of role-based access, by type: `Microsoft.Compute/galleries/images/versions/read`.

use galerie_arm::ResourceType;

/// What is done to a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    /// GET, and lists.
    Read,
    /// PUT and PATCH.
    Write,
    /// DELETE.
    Delete,
    /// POST beginGetAccess: whoever turns a disk into bytes needs this.
    BeginGetAccess,
    /// POST endGetAccess.
    EndGetAccess,
    /// POST share: with whom a gallery is shared.
    Share,
}

/// The action of a verb on a type.
pub(crate) const fn action(resource_type: ResourceType, verb: Verb) -> &'static str {
    macro_rules! actions {
        ($base:literal) => {
            match verb {
                Verb::Read => concat!($base, "/read"),
                Verb::Write => concat!($base, "/write"),
                Verb::Delete => concat!($base, "/delete"),
                Verb::BeginGetAccess => concat!($base, "/beginGetAccess/action"),
                Verb::EndGetAccess => concat!($base, "/endGetAccess/action"),
                Verb::Share => concat!($base, "/share/action"),
            }
        };
    }
    match resource_type {
        ResourceType::Subscription => actions!("Microsoft.Resources/subscriptions"),
        ResourceType::ResourceGroup => actions!("Microsoft.Resources/subscriptions/resourceGroups"),
        ResourceType::Gallery => actions!("Microsoft.Compute/galleries"),
        ResourceType::ImageDefinition => actions!("Microsoft.Compute/galleries/images"),
        ResourceType::ImageVersion => actions!("Microsoft.Compute/galleries/images/versions"),
        ResourceType::SoftDeletedVersion => {
            actions!("Microsoft.Compute/galleries/softDeletedArtifactTypes/artifacts/versions")
        }
        ResourceType::ManagedImage => actions!("Microsoft.Compute/images"),
        ResourceType::Disk => actions!("Microsoft.Compute/disks"),
        ResourceType::Snapshot => actions!("Microsoft.Compute/snapshots"),
        ResourceType::Application => actions!("Microsoft.Compute/galleries/applications"),
        ResourceType::ApplicationVersion => actions!("Microsoft.Compute/galleries/applications/versions"),
        ResourceType::AccessControlProfile => actions!("Microsoft.Compute/galleries/inVMAccessControlProfiles"),
        ResourceType::AccessControlProfileVersion => {
            actions!("Microsoft.Compute/galleries/inVMAccessControlProfiles/versions")
        }
        ResourceType::Script => actions!("Microsoft.Compute/galleries/scripts"),
        ResourceType::ScriptVersion => actions!("Microsoft.Compute/galleries/scripts/versions"),
        ResourceType::VirtualMachine => actions!("Microsoft.Compute/virtualMachines"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_action_is_its_type_and_a_verb() {
        for resource_type in crate::resource::TRACKED {
            assert_eq!(action(resource_type, Verb::Read), format!("{}/read", resource_type.as_str()));
        }
        assert_eq!(action(ResourceType::Disk, Verb::BeginGetAccess), "Microsoft.Compute/disks/beginGetAccess/action");
    }
}
