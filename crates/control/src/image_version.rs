//! The rules of image versions: what one is made from, where its replicas are, and what may change later.
//!
//! A version's bytes are where its source's were, so the home region's replica is complete at birth, unless the source is
//! another tenant's: then it, too, is copied. Other target regions start as replicas to be copied; the version is `Creating`
//! or `Updating` until each has ended.

pub(crate) mod storage_profile;
pub(crate) mod target_regions;

use galerie_arm::{ArmError, Location, ProvisioningState, ReplicationState, VersionName, timestamp};
use serde_json::Value;

use crate::{
    db::foreign_source::ForeignSource,
    image_definition::check_end_of_life,
    resource::{
        document::{self, set, set_default},
        plan::{Effect, Plan, Work, Write},
    },
    source::Source,
    target_regions::Target,
};

const PROFILE: &str = "properties.publishingProfile";
const REPLICATION_MODE: &str = "properties.publishingProfile.replicationMode";
const SAFETY_PROFILE: &str = "properties.safetyProfile";
const ALLOW_REMOVAL: &str = "properties.safetyProfile.allowDeletionOfReplicatedLocations";

/// The state beside the version's own that its rules need.
#[derive(Debug, Clone, Default)]
pub(crate) struct Surroundings {
    /// The definition's document.
    pub(crate) definition: Value,
    /// What a new version is made from, as `storage_profile::wanted` asked for it, in that order.
    pub(crate) sources: Vec<Source>,
    /// The replicas of an existing version.
    pub(crate) replicas: Vec<(Location, ReplicationState)>,
}

/// Decides about a write to an image version.
///
/// # Errors
/// As Azure: names, sources that do not fit the definition, target regions without home or twice, immutable properties.
pub(crate) fn plan(write: Write<'_>, around: &Surroundings) -> Result<Plan, ArmError> {
    let name: VersionName = write.id.name_at(2)?;
    let mut document = write.document.clone();
    let mut effects = Vec::new();
    match write.stored() {
        Some(stored) => {
            storage_profile::hold_still(&mut document, stored)?;
            document::hold_still(&mut document, stored, "galleryImageVersion", &[REPLICATION_MODE])?;
        }
        None => {
            set_default(&mut document, REPLICATION_MODE, "Full");
            let images = storage_profile::fill_in(&mut document, &around.definition, &around.sources)?;
            effects.push(Effect::HoldImages(images));
            effects.extend(foreign_source(around).cloned().map(Effect::AwaitCopy));
        }
    }
    set(&mut document, "properties.publishingProfile.publishedDate", timestamp::format_ms(write.created_ms()));
    set_default(&mut document, "properties.publishingProfile.excludeFromLatest", false);
    if document::at(&document, SAFETY_PROFILE)
        .is_some_and(|profile| profile.as_object().is_some_and(|it| !it.is_empty()))
    {
        // Nobody reports an image here.
        set(&mut document, "properties.safetyProfile.reportedForPolicyViolation", false);
    }
    check_end_of_life(&write, &document, "properties.publishingProfile.endOfLifeDate")?;
    let targets = target_regions::fill_in(&mut document, &write)?;
    check_shallow(&document, &targets)?;
    effects.push(Effect::Version {
        numbers: name.numbers(),
        exclude_from_latest: document::is_true(&document, "properties.publishingProfile.excludeFromLatest"),
        published_ms: write.created_ms(),
    });
    let changes = replica_changes(&write, around, &targets);
    if changes.iter().any(|change| matches!(change, Effect::DropReplica { .. })) {
        check_removal_allowed(&write)?;
    }
    let busy = changes.iter().any(is_unfinished) || still_copying(&around.replicas, &targets);
    effects.extend(changes);
    let state = match write.existing {
        _ if !busy => ProvisioningState::Succeeded,
        None => ProvisioningState::Creating,
        Some(existing) if existing.state == ProvisioningState::Creating => ProvisioningState::Creating,
        Some(_) => ProvisioningState::Updating,
    };
    let work = if busy { Work::Replicate } else { Work::Nothing };
    Ok(Plan { document, state, unique: None, effects, work })
}

/// What happens to each region: the home region first, so that a version is never without a replica.
fn replica_changes(write: &Write<'_>, around: &Surroundings, targets: &[Target]) -> Vec<Effect> {
    let replicas = &around.replicas;
    // Another tenant's bytes are in the region, but not in this tenant's domain.
    let is_here = write.existing.is_none() && foreign_source(around).is_none();
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

/// What a new version's bytes are copied from, when they are another tenant's.
fn foreign_source(around: &Surroundings) -> Option<&ForeignSource> {
    around.sources.iter().find_map(|source| source.foreign.as_ref())
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

/// `Shallow` versions live in their home region only, once.
fn check_shallow(document: &Value, targets: &[Target]) -> Result<(), ArmError> {
    let shallow = document::text(document, REPLICATION_MODE).is_some_and(|mode| mode.eq_ignore_ascii_case("Shallow"));
    if !shallow || (targets.len() == 1 && targets[0].terms.count == 1) {
        return Ok(());
    }
    let message =
        "A gallery image version with replicationMode 'Shallow' can only be in its own location, with one replica.";
    Err(ArmError::invalid_parameter(&format!("galleryImageVersion.{PROFILE}.targetRegions"), message))
}

/// Only a version that says so in so many words holds on to its regions.
fn check_removal_allowed(write: &Write<'_>) -> Result<(), ArmError> {
    let said = write.stored().and_then(|stored| document::at(stored, ALLOW_REMOVAL)).and_then(Value::as_bool);
    if said != Some(false) {
        return Ok(());
    }
    let message = "Removing a target region is not allowed because 'allowDeletionOfReplicatedLocations' of the gallery image \
                   version's safetyProfile is false.";
    Err(ArmError::operation_not_allowed(message).with_target(format!("galleryImageVersion.{ALLOW_REMOVAL}")))
}

/// Whether a version may be deleted: one that blocks deletion before its end of life may not, before it.
///
/// # Errors
/// `DeleteGalleryImageVersionBlockedBeforeEndOfLife`.
pub(crate) fn check_delete(name: &str, document: &Value, now_ms: i64) -> Result<(), ArmError> {
    let Some(date) = document::text(document, "properties.publishingProfile.endOfLifeDate") else { return Ok(()) };
    let blocked = document::is_true(document, "properties.safetyProfile.blockDeletionBeforeEndOfLife");
    match timestamp::parse_ms(date) {
        Some(moment) if blocked && moment > now_ms => Err(ArmError::blocked_before_end_of_life(name, date)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
