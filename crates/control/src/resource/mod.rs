//! What all resources share: the accepting transaction, lookup, lists, deletion, and how a row becomes an answer.
//!
//! A write is `write` (one transaction: authorize, look, plan, apply) around the pure rules of its type, which `rules` picks
//! and feeds. Promises: authorization before lookup; what is acknowledged is durable and visible at once; a document
//! holds what was asked for, defaults and constants, while states are put in when it is shown (`render`).

pub(crate) mod action;
pub(crate) mod delete;
pub(crate) mod document;
pub(crate) mod effects;
mod expand;
pub(crate) mod page;
pub(crate) mod place;
pub(crate) mod plan;
pub(crate) mod read;
pub(crate) mod render;
pub(crate) mod rules;
#[cfg(test)]
pub(crate) mod testing;
pub(crate) mod write;

pub use expand::Expand;

pub(crate) use action::{Verb, action};

use galerie_arm::{ApiVersion, ArmError, ResourceId, ResourceType};

/// The types that are rows of `resources`.
pub(crate) const TRACKED: [ResourceType; 12] = [
    ResourceType::Gallery,
    ResourceType::ImageDefinition,
    ResourceType::ImageVersion,
    ResourceType::Application,
    ResourceType::ApplicationVersion,
    ResourceType::AccessControlProfile,
    ResourceType::AccessControlProfileVersion,
    ResourceType::Script,
    ResourceType::ScriptVersion,
    ResourceType::ManagedImage,
    ResourceType::Disk,
    ResourceType::Snapshot,
];

/// The type of a resource that is kept here.
///
/// # Errors
/// `InvalidResourceType`.
pub(crate) fn tracked_type(id: &ResourceId, api_version: ApiVersion) -> Result<ResourceType, ArmError> {
    id.resource_type().filter(|found| TRACKED.contains(found) && id.group().is_some()).ok_or_else(|| {
        let full_type = id.full_type();
        let (namespace, path) = full_type.split_once('/').unwrap_or((full_type.as_str(), ""));
        ArmError::invalid_resource_type(path, namespace, &api_version.to_string())
    })
}
