//! Packages: the bytes of a version of a gallery application or script, and how they come here.
//!
//! A body names them by a link. A URL is fetched by the version's own region, whose replica that makes (`operations::fetch`);
//! a disk or snapshot of this gallery gives its bytes at once, as it does to an image version: that is how `galerie
//! application version publish` hands over a file. Other target regions get their replicas when the bytes are there, and from
//! then on a package is what an image is: a manifest that a row holds, and replicas.
//!
//! What a link names never changes. Only while nothing could be fetched may another one be said.

pub(crate) mod fetch;
pub(crate) mod link;

use galerie_arm::{ArmError, Location, ProvisioningState, ReplicationState, VersionName, timestamp};
use serde_json::Value;

use self::link::Link;
use crate::{
    image_definition::check_end_of_life,
    image_version::{
        storage_profile::{Fit, Wanted},
        target_regions,
    },
    replica_changes::{self, ReplicaChanges, noun},
    resource::{
        document::{self, keep, set, set_default, text},
        plan::{Effect, HeldImage, PackageLink, Plan, Write},
    },
    source::Source,
};

const REPLICATION_MODE: &str = "properties.publishingProfile.replicationMode";

/// A property that names bytes, and which of the version's images they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) lun: i64,
    /// As a path in the document.
    pub(crate) property: &'static str,
}

/// The state beside the version's own that its rules need.
#[derive(Debug, Clone, Default)]
pub(crate) struct Surroundings {
    /// What the body's links to disks and snapshots name.
    pub(crate) sources: Vec<Source>,
    /// The replicas of an existing version.
    pub(crate) replicas: Vec<(Location, ReplicationState)>,
    /// The parts that are still to be fetched.
    pub(crate) awaited: Vec<i64>,
}

/// Whether a write may say what a version's bytes are: it is new, or they could not be fetched.
pub(crate) fn is_open(write: &Write<'_>, is_awaited: bool) -> bool {
    write.existing.is_none_or(|existing| is_awaited && existing.state == ProvisioningState::Failed)
}

/// The disks and snapshots that a body names.
///
/// # Errors
/// A link that names nothing.
pub(crate) fn wanted(write: &Write<'_>, parts: &[Part]) -> Result<Vec<Wanted>, ArmError> {
    let mut wanted = Vec::new();
    for part in parts {
        let Some(sent) = text(&write.document, part.property) else { continue };
        let target = write.target(part.property);
        if stored_link(write, part).is_some_and(|stored| link::is_same(stored, sent)) {
            // It is held already.
            continue;
        }
        if let Link::Disk(id) = Link::parse(sent, &target)? {
            wanted.push(Wanted { id: id.to_owned(), target, fit: Fit::OneDisk, lun: part.lun });
        }
    }
    Ok(wanted)
}

/// Decides about a write to a version of an application or script. `parts` begins with the one that must be there.
///
/// # Errors
/// A broken name, a link that is missing, names nothing or changed; what image versions are refused for.
pub(crate) fn plan(write: Write<'_>, parts: &[Part], around: &Surroundings) -> Result<Plan, ArmError> {
    check_name(&write)?;
    let mut document = write.document.clone();
    let mut effects = Vec::new();
    let mut is_awaited = !around.awaited.is_empty();
    if is_open(&write, is_awaited) {
        let chosen = choose(&mut document, &write, parts, around)?;
        is_awaited |= !chosen.links.is_empty();
        if !chosen.images.is_empty() {
            effects.push(Effect::HoldImages(chosen.images));
        }
        if !chosen.links.is_empty() {
            effects.push(Effect::AwaitPackages(chosen.links));
        }
    } else {
        hold_still(&mut document, &write, parts)?;
    }
    if let Some(stored) = write.stored() {
        document::hold_still(&mut document, stored, write.resource_type.body_parameter(), &[REPLICATION_MODE])?;
    }
    set(&mut document, "properties.publishingProfile.publishedDate", timestamp::format_ms(write.created_ms()));
    set_default(&mut document, "properties.publishingProfile.excludeFromLatest", false);
    check_end_of_life(&write, &document, "properties.publishingProfile.endOfLifeDate")?;
    let mut targets = target_regions::fill_in(&mut document, &write)?;
    replica_changes::check_shallow(&write, &document, &targets)?;
    if is_awaited {
        // There is nothing to copy yet. Whoever fetches it reads the document for the other regions.
        targets.retain(|target| target.region == *write.location);
    }
    let is_here = write.existing.is_none() && !is_awaited;
    let changes = replica_changes::decide(&write, &around.replicas, &targets, is_here)?;
    let ReplicaChanges { effects: in_regions, state, work } = changes;
    effects.extend(in_regions);
    Ok(Plan { document, state, unique: None, effects, work })
}

fn check_name(write: &Write<'_>) -> Result<(), ArmError> {
    let named = write.id.name_at::<VersionName>(2).map(|_| ());
    named.map_err(|error| {
        let noun = noun(write.resource_type).trim_start_matches("gallery ").to_owned();
        let message = error.message.replace("image version", &noun);
        ArmError::invalid_parameter(&format!("{}Name", write.resource_type.body_parameter()), message)
    })
}

/// What a version's bytes are to be.
#[derive(Debug, Default)]
struct Chosen {
    images: Vec<HeldImage>,
    links: Vec<PackageLink>,
}

fn choose(document: &mut Value, write: &Write<'_>, parts: &[Part], around: &Surroundings) -> Result<Chosen, ArmError> {
    let mut chosen = Chosen::default();
    for (index, part) in parts.iter().enumerate() {
        let stored = stored_link(write, part);
        if let Some(stored) = write.stored() {
            // What was said once stays said: a version whose configuration could not be fetched still has one.
            keep(document, stored, part.property);
        }
        let Some(sent) = text(document, part.property).map(str::to_owned) else {
            match index {
                0 => return Err(ArmError::required_parameter_missing(document::last_name(part.property))),
                _ => continue,
            }
        };
        let target = write.target(part.property);
        let link = Link::parse(&sent, &target)?;
        match (link, stored) {
            (Link::Url(url), _) => {
                let shown = link::shown(url);
                // Clients that read, modify and write send what was shown, without the signature.
                let is_as_before = stored == Some(shown) && shown == url;
                if !is_as_before || write.existing.is_none() {
                    chosen.links.push(PackageLink { lun: part.lun, property: part.property, url: url.to_owned() });
                }
                set(document, part.property, shown);
            }
            (Link::Disk(_), Some(stored)) if link::is_same(stored, &sent) => set(document, part.property, stored),
            (Link::Disk(_), Some(_)) => return Err(ArmError::property_change_not_allowed(&target)),
            (Link::Disk(id), None) => {
                let disks = around.sources.iter().flat_map(|source| &source.disks);
                let image = disks.map(|disk| disk.image).find(|image| image.lun == part.lun);
                chosen.images.push(image.ok_or_else(|| ArmError::source_not_found(id, &target))?);
            }
        }
    }
    Ok(chosen)
}

/// What is there stays what it is; a signature in a link is not part of what it names.
fn hold_still(document: &mut Value, write: &Write<'_>, parts: &[Part]) -> Result<(), ArmError> {
    let Some(document_before) = write.stored() else { return Ok(()) };
    for part in parts {
        if let (Some(stored), Some(sent)) = (stored_link(write, part), text(document, part.property)) {
            if !link::is_same(stored, sent) {
                return Err(ArmError::property_change_not_allowed(&write.target(part.property)));
            }
            set(document, part.property, stored);
        }
    }
    let properties: Vec<&str> = parts.iter().map(|part| part.property).collect();
    document::hold_still(document, document_before, write.resource_type.body_parameter(), &properties)
}

/// What an existing version says of a part.
fn stored_link<'a>(write: &'a Write<'_>, part: &Part) -> Option<&'a str> {
    text(write.stored()?, part.property)
}

/// Checks that texts are no longer than they may be, in characters.
///
/// # Errors
/// `InvalidParameter` that names the first that is.
pub(crate) fn check_lengths(write: &Write<'_>, paths: &[&str], most: usize) -> Result<(), ArmError> {
    for path in paths {
        let length = text(&write.document, path).map_or(0, |text| text.chars().count());
        if length > most {
            let message = format!(
                "The value of '{}' has {length} characters. It can have {most} at most.",
                document::last_name(path)
            );
            return Err(ArmError::invalid_parameter(&write.target(path), message));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
