//! What a write to a version does to its replicas: which are added, kept, started over and dropped, and what that makes of the
//! version. The same for versions of images, applications and scripts.

use galerie_arm::{ArmError, Location, ProvisioningState, ReplicationState, ResourceType};
use serde_json::Value;

use crate::{
    resource::{
        document,
        plan::{Effect, Work, Write},
    },
    target_regions::Target,
};

const TARGETS: &str = "properties.publishingProfile.targetRegions";
const REPLICATION_MODE: &str = "properties.publishingProfile.replicationMode";
const ALLOW_REMOVAL: &str = "properties.safetyProfile.allowDeletionOfReplicatedLocations";

/// What was decided.
#[derive(Debug)]
pub(crate) struct ReplicaChanges {
    /// In order.
    pub(crate) effects: Vec<Effect>,
    /// The version's state until they are done.
    pub(crate) state: ProvisioningState,
    /// What is left to do.
    pub(crate) work: Work,
}

/// Decides what happens in each region. `is_here`: the version is new, and its bytes are where it lives.
///
/// # Errors
/// A region that the version's safety profile holds on to.
pub(crate) fn decide(
    write: &Write<'_>,
    replicas: &[(Location, ReplicationState)],
    targets: &[Target],
    is_here: bool,
) -> Result<ReplicaChanges, ArmError> {
    let effects = changes(write, replicas, targets, is_here);
    if effects.iter().any(|change| matches!(change, Effect::DropReplica { .. })) {
        check_removal_allowed(write)?;
    }
    let is_busy = effects.iter().any(is_unfinished) || still_copying(replicas, targets);
    let state = match write.existing {
        _ if !is_busy => ProvisioningState::Succeeded,
        None => ProvisioningState::Creating,
        Some(existing) if existing.state == ProvisioningState::Creating => ProvisioningState::Creating,
        Some(_) => ProvisioningState::Updating,
    };
    let work = if is_busy { Work::Replicate } else { Work::Nothing };
    Ok(ReplicaChanges { effects, state, work })
}

/// What happens to each region: the home region first, so that a version is never without a replica.
fn changes(
    write: &Write<'_>,
    replicas: &[(Location, ReplicationState)],
    targets: &[Target],
    is_here: bool,
) -> Vec<Effect> {
    let mut changes = Vec::with_capacity(targets.len() + replicas.len());
    for target in targets {
        let (region, terms) = (target.region.clone(), target.terms.clone());
        changes.push(match replicas.iter().find(|(there, _)| *there == region) {
            Some((_, state)) => Effect::KeepReplica { region, terms, retry: *state == ReplicationState::Failed },
            None => {
                let completed = is_here && region == *write.location;
                Effect::AddReplica { region, terms, completed }
            }
        });
    }
    changes.sort_by_key(|change| !is_of(change, write.location));
    let dropped = replicas.iter().filter(|(there, _)| targets.iter().all(|target| target.region != *there));
    changes.extend(dropped.map(|(region, _)| Effect::DropReplica { region: region.clone() }));
    changes
}

fn is_of(change: &Effect, location: &Location) -> bool {
    matches!(change, Effect::AddReplica { region, .. } | Effect::KeepReplica { region, .. } if region == location)
}

fn is_unfinished(change: &Effect) -> bool {
    matches!(change, Effect::AddReplica { completed: false, .. } | Effect::KeepReplica { retry: true, .. })
}

fn still_copying(replicas: &[(Location, ReplicationState)], targets: &[Target]) -> bool {
    replicas.iter().any(|(region, state)| {
        matches!(state, ReplicationState::Replicating | ReplicationState::Unknown)
            && targets.iter().any(|target| target.region == *region)
    })
}

/// Whether a version is used from where it was made, and not copied.
pub(crate) fn is_shallow(document: &Value) -> bool {
    document::text(document, REPLICATION_MODE).is_some_and(|mode| mode.eq_ignore_ascii_case("Shallow"))
}

/// `Shallow` versions live in their home region only, once.
///
/// # Errors
/// `InvalidParameter`.
pub(crate) fn check_shallow(write: &Write<'_>, document: &Value, targets: &[Target]) -> Result<(), ArmError> {
    if !is_shallow(document) || (targets.len() == 1 && targets[0].terms.count == 1) {
        return Ok(());
    }
    let message = format!(
        "A {} with replicationMode 'Shallow' can only be in its own location, with one replica.",
        noun(write.resource_type)
    );
    Err(ArmError::invalid_parameter(&write.target(TARGETS), message))
}

/// Only a version that says so in so many words holds on to its regions.
fn check_removal_allowed(write: &Write<'_>) -> Result<(), ArmError> {
    let said = write.stored().and_then(|stored| document::at(stored, ALLOW_REMOVAL)).and_then(Value::as_bool);
    if said != Some(false) {
        return Ok(());
    }
    let message = format!(
        "Removing a target region is not allowed because 'allowDeletionOfReplicatedLocations' of the {}'s safetyProfile is \
         false.",
        noun(write.resource_type)
    );
    Err(ArmError::operation_not_allowed(&message).with_target(write.target(ALLOW_REMOVAL)))
}

/// What messages call a version.
pub(crate) const fn noun(resource_type: ResourceType) -> &'static str {
    match resource_type {
        ResourceType::ApplicationVersion => "gallery application version",
        ResourceType::ScriptVersion => "gallery script version",
        _ => "gallery image version",
    }
}
