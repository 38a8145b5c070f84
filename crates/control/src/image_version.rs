//! The rules of image versions: what one is made from, where its replicas are, and what may change later.
//!
//! A version's bytes are where its source's were, so the home region's replica is complete at birth, unless the source is
//! another tenant's: then it, too, is copied. Other target regions start as replicas to be copied; the version is `Creating`
//! or `Updating` until each has ended.

pub(crate) mod storage_profile;
pub(crate) mod target_regions;

use galerie_arm::{ArmError, Location, ReplicationState, VersionName, timestamp};
use serde_json::Value;

use crate::{
    db::foreign_source::ForeignSource,
    image_definition::check_end_of_life,
    quota::azure,
    replica_changes::{self, ReplicaChanges},
    resource::{
        document::{self, set, set_default},
        plan::{Effect, Plan, Write},
    },
    source::Source,
};

const REPLICATION_MODE: &str = "properties.publishingProfile.replicationMode";
const SAFETY_PROFILE: &str = "properties.safetyProfile";

/// The state beside the version's own that its rules need.
#[derive(Debug, Clone, Default)]
pub(crate) struct Surroundings {
    /// The definition's document.
    pub(crate) definition: Value,
    /// What a new version is made from, as `storage_profile::wanted` asked for it, in that order.
    pub(crate) sources: Vec<Source>,
    /// The replicas of an existing version.
    pub(crate) replicas: Vec<(Location, ReplicationState)>,
    /// Whether Azure's limits hold.
    pub(crate) azure_limits: bool,
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
            if around.azure_limits {
                azure::check_sizes(&images, replica_changes::is_shallow(&document))?;
            }
            effects.push(Effect::HoldImages(images));
            effects.extend(foreign_source(around).cloned().map(Effect::AwaitCopy));
            effects.extend(around.sources.iter().find_map(|source| source.version.clone()).map(Effect::UseVersion));
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
    replica_changes::check_shallow(&write, &document, &targets)?;
    effects.push(Effect::Version {
        numbers: name.numbers(),
        exclude_from_latest: document::is_true(&document, "properties.publishingProfile.excludeFromLatest"),
        published_ms: write.created_ms(),
    });
    // Another tenant's bytes are in the region, but not in this tenant's domain.
    let is_here = write.existing.is_none() && foreign_source(around).is_none();
    let changes = replica_changes::decide(&write, &around.replicas, &targets, is_here)?;
    let ReplicaChanges { effects: in_regions, state, work } = changes;
    effects.extend(in_regions);
    Ok(Plan { document, state, unique: None, effects, work })
}

/// What a new version's bytes are copied from, when they are another tenant's.
fn foreign_source(around: &Surroundings) -> Option<&ForeignSource> {
    around.sources.iter().find_map(|source| source.foreign.as_ref())
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
