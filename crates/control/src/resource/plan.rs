//! What the rules of a resource type are given, and what they decide.
//!
//! Rules are pure: from a [`Write`] (the request and the state that it needs) to a [`Plan`] or an error. They read no
//! clock and no table; `resource::write` does what a plan says, in the transaction that gathered the state.

use galerie_arm::{ApiVersion, ArmError, Location, Locations, ProvisioningState, ResourceId, ResourceType};
use galerie_store::ManifestId;
use serde_json::Value;
use uuid::Uuid;

use crate::{db::foreign_source::ForeignSource, package::link};

/// The `lun` of an OS disk, and of a disk's or snapshot's only content.
pub(crate) const OS_LUN: i64 = -1;

/// A write as the rules see it.
#[derive(Debug, Clone)]
pub(crate) struct Write<'a> {
    /// The resource, in the spelling of creation.
    pub(crate) id: &'a ResourceId,
    /// Its type.
    pub(crate) resource_type: ResourceType,
    /// Its incarnation; a new one for a resource that is not there yet.
    pub(crate) uid: Uuid,
    /// What is stored.
    pub(crate) existing: Option<&'a Existing>,
    /// What will be stored, as far as schema and merging go: the rules fill in defaults and constants.
    pub(crate) document: Value,
    /// In which shape it was sent.
    pub(crate) api_version: ApiVersion,
    /// Where it lives.
    pub(crate) location: &'a Location,
    /// The regions there are.
    pub(crate) locations: &'a Locations,
    /// The present.
    pub(crate) now_ms: i64,
}

/// A stored resource, as far as rules ask.
#[derive(Debug, Clone)]
pub(crate) struct Existing {
    /// Its document.
    pub(crate) document: Value,
    /// Its state.
    pub(crate) state: ProvisioningState,
    /// When it was created.
    pub(crate) created_ms: i64,
}

impl Write<'_> {
    /// When the resource was created, in ms: now, for a new one.
    pub(crate) fn created_ms(&self) -> i64 {
        self.existing.map_or(self.now_ms, |existing| existing.created_ms)
    }

    /// The stored document.
    pub(crate) fn stored(&self) -> Option<&Value> {
        self.existing.map(|existing| &existing.document)
    }

    /// `galleryImageVersion.properties.x` for `properties.x`.
    pub(crate) fn target(&self, path: &str) -> String {
        format!("{}.{path}", self.resource_type.body_parameter())
    }
}

/// What to write.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Plan {
    /// The document to store.
    pub(crate) document: Value,
    /// The provisioning state until the work is done.
    pub(crate) state: ProvisioningState,
    /// What must be unique beside the id.
    pub(crate) unique: Option<Unique>,
    /// What else changes, in order.
    pub(crate) effects: Vec<Effect>,
    /// What is left to do after the transaction.
    pub(crate) work: Work,
}

impl Plan {
    /// A plan that is finished when its transaction is.
    pub(crate) fn immediate(document: Value) -> Self {
        Self { document, state: ProvisioningState::Succeeded, unique: None, effects: Vec::new(), work: Work::Nothing }
    }
}

/// A key that no other resource may have, and what the caller is told when one has it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Unique {
    /// The folded key.
    pub(crate) key: String,
    /// The refusal.
    pub(crate) taken: ArmError,
}

/// What remains to be done in a region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Work {
    /// Nothing.
    Nothing,
    /// Replicas are to be copied.
    Replicate,
    /// A disk's image is to be copied from another tenant's version.
    CopyImage {
        /// Its bytes, the same in both tenants' domains.
        manifest: ManifestId,
    },
    /// A disk of zeros is to be written.
    CreateEmptyDisk {
        /// What the guest will see.
        virtual_size_bytes: u64,
    },
}

/// One change beside the resource's own row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Effect {
    /// The resource keeps these images alive.
    HoldImages(Vec<HeldImage>),
    /// The resource's images are to be copied from another tenant's version.
    AwaitCopy(ForeignSource),
    /// The gallery gets an identity with this object id.
    AddIdentity(Uuid),
    /// The gallery's identity goes.
    RemoveIdentity(Uuid),
    /// The resource is made from an image version.
    UseVersion(UsedVersion),
    /// What these links name is to be fetched.
    AwaitPackages(Vec<PackageLink>),
    /// An image version's row: its number in its definition.
    Version {
        /// Major, minor, patch.
        numbers: [u32; 3],
        /// Whether it is never `latest`.
        exclude_from_latest: bool,
        /// When it was published.
        published_ms: i64,
    },
    /// A new replica.
    AddReplica {
        /// Where.
        region: Location,
        /// As asked for.
        terms: ReplicaTerms,
        /// Whether the bytes are there already.
        completed: bool,
    },
    /// A replica that stays.
    KeepReplica {
        /// Where.
        region: Location,
        /// As asked for now.
        terms: ReplicaTerms,
        /// Whether a failed copy starts over.
        retry: bool,
    },
    /// A replica that is not wanted any more.
    DropReplica {
        /// Where.
        region: Location,
    },
    /// A disk's or snapshot's own row.
    Disk {
        /// ARM's `diskState`.
        state: galerie_arm::disk::DiskState,
        /// Of a disk made for upload: footer included.
        upload_bytes: Option<u64>,
    },
}

/// The image version that a resource is made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UsedVersion {
    /// Its key.
    pub(crate) key: String,
    /// Its incarnation.
    pub(crate) uid: Uuid,
}

/// A link to bytes that are to be fetched. It may hold a signature, so it is not shown.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct PackageLink {
    /// Which of the version's images it becomes.
    pub(crate) lun: i64,
    /// The property that named it, as a path in the document.
    pub(crate) property: &'static str,
    /// Whole.
    pub(crate) url: String,
}

impl std::fmt::Debug for PackageLink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PackageLink")
            .field("lun", &self.lun)
            .field("url", &link::without_query(&self.url))
            .finish_non_exhaustive()
    }
}

/// What a target region asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ReplicaTerms {
    /// The regional replica count.
    pub(crate) count: u32,
    /// `Standard_LRS`, ...
    pub(crate) storage_account_type: String,
    /// Whether the version is never `latest` in this region.
    pub(crate) exclude_from_latest: bool,
}

/// An image that a resource keeps alive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HeldImage {
    /// The data disk's lun, or [`OS_LUN`].
    pub(crate) lun: i64,
    /// Its bytes.
    pub(crate) manifest: ManifestId,
    /// What the guest sees.
    pub(crate) virtual_size_bytes: u64,
}

impl HeldImage {
    /// Its size as ARM shows it: whole GiB, rounded up.
    pub(crate) fn size_gib(&self) -> u64 {
        gib(self.virtual_size_bytes)
    }
}

/// Bytes in whole GiB, rounded up.
pub(crate) fn gib(bytes: u64) -> u64 {
    bytes.div_ceil(1 << 30)
}
