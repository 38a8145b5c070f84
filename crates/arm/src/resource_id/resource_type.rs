//! The resource types that we know, in the specification's spelling.

use crate::wire_enum::wire_enum;

wire_enum! {
    /// A type of resource.
    ResourceType {
        Subscription = "Microsoft.Resources/subscriptions",
        ResourceGroup = "Microsoft.Resources/resourceGroups",
        Gallery = "Microsoft.Compute/galleries",
        ImageDefinition = "Microsoft.Compute/galleries/images",
        ImageVersion = "Microsoft.Compute/galleries/images/versions",
        SoftDeletedVersion = "Microsoft.Compute/galleries/softDeletedArtifactTypes/artifacts/versions",
        Application = "Microsoft.Compute/galleries/applications",
        ApplicationVersion = "Microsoft.Compute/galleries/applications/versions",
        AccessControlProfile = "Microsoft.Compute/galleries/inVMAccessControlProfiles",
        AccessControlProfileVersion = "Microsoft.Compute/galleries/inVMAccessControlProfiles/versions",
        Script = "Microsoft.Compute/galleries/scripts",
        ScriptVersion = "Microsoft.Compute/galleries/scripts/versions",
        ManagedImage = "Microsoft.Compute/images",
        Disk = "Microsoft.Compute/disks",
        Snapshot = "Microsoft.Compute/snapshots",
        VirtualMachine = "Microsoft.Compute/virtualMachines",
    }
}

impl ResourceType {
    /// What Compute calls the request's body, which begins an error's target: `galleryImageVersion.properties...`.
    #[must_use]
    pub const fn body_parameter(self) -> &'static str {
        match self {
            Self::Subscription => "subscription",
            Self::ResourceGroup => "resourceGroup",
            Self::Gallery => "gallery",
            Self::ImageDefinition => "galleryImage",
            Self::ImageVersion | Self::SoftDeletedVersion => "galleryImageVersion",
            Self::Application => "galleryApplication",
            Self::ApplicationVersion => "galleryApplicationVersion",
            Self::AccessControlProfile => "galleryInVMAccessControlProfile",
            Self::AccessControlProfileVersion => "galleryInVMAccessControlProfileVersion",
            Self::Script => "galleryScript",
            Self::ScriptVersion => "galleryScriptVersion",
            Self::ManagedImage => "image",
            Self::Disk => "disk",
            Self::Snapshot => "snapshot",
            Self::VirtualMachine => "vm",
        }
    }

    /// The type without its namespace: `galleries/images`.
    #[must_use]
    pub fn path(self) -> &'static str {
        self.as_str().split_once('/').map_or("", |(_, path)| path)
    }
}
