//! Azure Resource Manager's vocabulary: ids, names, api-versions, error bodies, documents. No I/O, no clock, no state.
//!
//! Promises: what is parsed here is bounded and typed, and every rule that Azure's clients can see (spellings, status
//! codes, message texts, property tables) is chosen once, here. Does not: look anything up, decide about permissions,
//! or know HTTP beyond status numbers and entity tags.
//!
//! Where to start: [`ResourceId`] and the [`names`], [`ArmError`] for everything that can go wrong, [`schema::Shape`]
//! for what a body may contain in a given [`ApiVersion`], and one module per resource document.

mod text_serde;
mod wire_enum;

pub mod api_version;
pub mod body;
pub mod disk;
pub mod document;
pub mod error;
pub mod etag;
pub mod gallery;
pub mod image_definition;
pub mod image_version;
pub mod location;
pub mod managed_image;
pub mod names;
pub mod operation;
pub mod paging;
pub mod provider;
pub mod provisioning_state;
pub mod resource_graph;
pub mod resource_group;
pub mod resource_id;
pub mod role_assignment;
pub mod role_definition;
pub mod schema;
pub mod sharing;
pub mod snapshot;
pub mod subscription;
pub mod tags;
pub mod tenant;
pub mod timestamp;

pub use api_version::ApiVersion;
pub use body::parse_body;
pub use document::Document;
pub use error::ArmError;
pub use etag::ETag;
pub use location::{Location, Locations};
pub use names::{
    AccessControlProfileName, ApplicationName, DefinitionName, DiskName, GalleryName, ManagedImageName,
    ResourceGroupName, ScriptName, SnapshotName, SubscriptionId, VersionName,
};
pub use provisioning_state::{AggregatedState, OperationStatus, ProvisioningState, ReplicationState};
pub use resource_id::{ResourceId, ResourceType, VersionReference, VersionSelector};
