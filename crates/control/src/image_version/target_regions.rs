//! Target regions: filled in, checked, and shown by their display names.

use galerie_arm::{ArmError, Location, Locations};
use serde_json::{Value, json};

use crate::resource::{
    document::{self, integer, list, set, set_default, text},
    plan::ReplicaTerms,
};

const REPLICA_COUNT: &str = "properties.publishingProfile.replicaCount";
const STORAGE_TYPE: &str = "properties.publishingProfile.storageAccountType";
const TARGET_REGIONS: &str = "properties.publishingProfile.targetRegions";
const EXTENDED: &str = "properties.publishingProfile.targetExtendedLocations";

/// Most replicas of a version in one region.
const MOST_REPLICAS: i64 = 100;

/// A region that a version is wanted in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    /// Where.
    pub(crate) region: Location,
    /// As asked for.
    pub(crate) terms: ReplicaTerms,
}

/// Fills in and checks the target regions of `document`, and returns them.
///
/// Absent or empty, they are those that are stored, or the version's own location.
///
/// # Errors
/// Unknown and duplicate regions in any spelling, the home region missing, counts out of range, a changed storage type.
pub(crate) fn fill_in(
    document: &mut Value,
    stored: Option<&Value>,
    home: &Location,
    locations: &Locations,
) -> Result<Vec<Target>, ArmError> {
    if !list(document, EXTENDED).is_empty() {
        let message = "Target extended locations (edge zones) are not supported by this server.";
        return Err(ArmError::invalid_parameter(&format!("galleryImageVersion.{EXTENDED}"), message));
    }
    set_default(document, REPLICA_COUNT, 1);
    let default_count = check_count("replicaCount", integer(document, REPLICA_COUNT).unwrap_or(1))?;
    if let Some(stored) = stored {
        document::hold_still(document, stored, "galleryImageVersion", &[STORAGE_TYPE])?;
    }
    set_default(document, STORAGE_TYPE, "Standard_LRS");
    let default_type = text(document, STORAGE_TYPE).unwrap_or("Standard_LRS").to_owned();
    let mut entries = list(document, TARGET_REGIONS).to_vec();
    if entries.is_empty() {
        entries = stored.map(|stored| list(stored, TARGET_REGIONS).to_vec()).unwrap_or_default();
    }
    if entries.is_empty() {
        entries.push(json!({ "name": home.as_str() }));
    }
    let mut targets: Vec<Target> = Vec::with_capacity(entries.len());
    for entry in &mut entries {
        let region = region_of(entry, locations)?;
        if targets.iter().any(|target| target.region == region) {
            return Err(ArmError::duplicate_regions(locations.display_name(&region)));
        }
        let before = stored.and_then(|stored| stored_entry(stored, &region, locations));
        let defaults = (default_count, default_type.as_str());
        let terms = complete_entry(entry, before, defaults)?;
        set(entry, "name", locations.display_name(&region));
        targets.push(Target { region, terms });
    }
    if targets.iter().all(|target| target.region != *home) {
        let names: Vec<&str> = targets.iter().map(|target| locations.display_name(&target.region)).collect();
        return Err(ArmError::home_region_missing(&names, home.as_str()));
    }
    set(document, TARGET_REGIONS, entries);
    Ok(targets)
}

fn region_of(entry: &Value, locations: &Locations) -> Result<Location, ArmError> {
    let target = format!("galleryImageVersion.{TARGET_REGIONS}");
    let name = text(entry, "name").ok_or_else(|| ArmError::required_parameter_missing("targetRegion.name"))?;
    let found = locations.require(name, galerie_arm::ResourceType::ImageVersion.as_str());
    found.cloned().map_err(|error| error.with_target(target))
}

/// The stored entry of a region.
fn stored_entry<'a>(stored: &'a Value, region: &Location, locations: &Locations) -> Option<&'a Value> {
    list(stored, TARGET_REGIONS).iter().find(|entry| {
        let name = text(entry, "name").unwrap_or_default();
        locations.find(name).cloned().or_else(|| Location::normalise(name)).as_ref() == Some(region)
    })
}

fn complete_entry(
    entry: &mut Value,
    before: Option<&Value>,
    (default_count, default_type): (u32, &str),
) -> Result<ReplicaTerms, ArmError> {
    set_default(entry, "regionalReplicaCount", default_count);
    let count = check_count("regionalReplicaCount", integer(entry, "regionalReplicaCount").unwrap_or(1))?;
    let kept_type = before.and_then(|before| text(before, "storageAccountType"));
    if text(entry, "storageAccountType").is_none() {
        set(entry, "storageAccountType", kept_type.unwrap_or(default_type));
    }
    let storage_account_type = text(entry, "storageAccountType").unwrap_or(default_type).to_owned();
    if kept_type.is_some_and(|kept| !kept.eq_ignore_ascii_case(&storage_account_type)) {
        let path = format!("galleryImageVersion.{TARGET_REGIONS}.storageAccountType");
        return Err(ArmError::property_change_not_allowed(&path));
    }
    set_default(entry, "excludeFromLatest", false);
    Ok(ReplicaTerms { count, storage_account_type, exclude_from_latest: document::is_true(entry, "excludeFromLatest") })
}

fn check_count(parameter: &str, count: i64) -> Result<u32, ArmError> {
    match u32::try_from(count) {
        Ok(count @ 1..=100) => Ok(count),
        _ => Err(ArmError::out_of_range(parameter, count, 1, MOST_REPLICAS)),
    }
}
