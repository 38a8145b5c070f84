//! Lists of the regions that something is wanted in: filled in, checked, and shown by their display names.

use galerie_arm::{ArmError, Location, Locations};
use serde_json::{Value, json};

use crate::resource::{
    document::{self, integer, list, set, set_default, text},
    plan::{ReplicaTerms, Write},
};

/// Most replicas in one region.
const MOST_REPLICAS: i64 = 100;

/// A region that something is wanted in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    /// Where.
    pub(crate) region: Location,
    /// As asked for.
    pub(crate) terms: ReplicaTerms,
}

/// What an entry has that says nothing about it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Defaults<'a> {
    /// Replicas.
    pub(crate) count: u32,
    /// `Standard_LRS`, ...
    pub(crate) storage_account_type: &'a str,
}

/// Fills in and checks the regions at `path` of `document`, and returns them.
///
/// Absent or empty, they are those that are stored, or the resource's own location.
///
/// # Errors
/// Unknown and duplicate regions in any spelling, the home region missing, counts out of range, a changed storage type or encryption.
pub(crate) fn fill_in(
    document: &mut Value,
    path: &str,
    write: &Write<'_>,
    defaults: Defaults<'_>,
) -> Result<Vec<Target>, ArmError> {
    let (stored, locations, parameter) = (write.stored(), write.locations, write.target(path));
    let mut entries = list(document, path).to_vec();
    if entries.is_empty() {
        entries = stored.map(|stored| list(stored, path).to_vec()).unwrap_or_default();
    }
    if entries.is_empty() {
        entries.push(json!({ "name": write.location.as_str() }));
    }
    let mut targets: Vec<Target> = Vec::with_capacity(entries.len());
    for entry in &mut entries {
        let name = text(entry, "name").ok_or_else(|| ArmError::required_parameter_missing("targetRegion.name"))?;
        let region = locations.require(name, write.resource_type.as_str());
        let region = region.cloned().map_err(|error| error.with_target(parameter.as_str()))?;
        if targets.iter().any(|target| target.region == region) {
            return Err(ArmError::duplicate_regions(locations.display_name(&region)).with_target(parameter));
        }
        let before = stored.and_then(|stored| stored_entry(stored, path, &region, locations));
        let terms = complete(entry, before, defaults, &parameter)?;
        set(entry, "name", locations.display_name(&region));
        targets.push(Target { region, terms });
    }
    if targets.iter().all(|target| target.region != *write.location) {
        let names: Vec<&str> = targets.iter().map(|target| locations.display_name(&target.region)).collect();
        return Err(ArmError::home_region_missing(&names, write.location.as_str()).with_target(parameter));
    }
    set(document, path, entries);
    Ok(targets)
}

/// The regions at `path` of a stored document, which were checked when it was written.
pub(crate) fn stored(document: &Value, path: &str, locations: &Locations) -> Vec<Target> {
    let target = |entry: &Value| {
        let name = text(entry, "name")?;
        let region = locations.find(name).cloned().or_else(|| Location::normalise(name))?;
        let count = integer(entry, "regionalReplicaCount").and_then(|count| u32::try_from(count).ok()).unwrap_or(1);
        let storage_account_type = text(entry, "storageAccountType").unwrap_or("Standard_LRS").to_owned();
        let exclude_from_latest = document::is_true(entry, "excludeFromLatest");
        Some(Target { region, terms: ReplicaTerms { count, storage_account_type, exclude_from_latest } })
    };
    list(document, path).iter().filter_map(target).collect()
}

/// The stored entry of a region.
fn stored_entry<'a>(stored: &'a Value, path: &str, region: &Location, locations: &Locations) -> Option<&'a Value> {
    list(stored, path).iter().find(|entry| {
        let name = text(entry, "name").unwrap_or_default();
        locations.find(name).cloned().or_else(|| Location::normalise(name)).as_ref() == Some(region)
    })
}

fn complete(
    entry: &mut Value,
    before: Option<&Value>,
    defaults: Defaults<'_>,
    parameter: &str,
) -> Result<ReplicaTerms, ArmError> {
    set_default(entry, "regionalReplicaCount", defaults.count);
    let count = check_count("regionalReplicaCount", integer(entry, "regionalReplicaCount").unwrap_or(1))?;
    let kept_type = before.and_then(|before| text(before, "storageAccountType"));
    if text(entry, "storageAccountType").is_none() {
        set(entry, "storageAccountType", kept_type.unwrap_or(defaults.storage_account_type));
    }
    let storage_account_type = text(entry, "storageAccountType").unwrap_or(defaults.storage_account_type).to_owned();
    if kept_type.is_some_and(|kept| !kept.eq_ignore_ascii_case(&storage_account_type)) {
        return Err(ArmError::property_change_not_allowed(&format!("{parameter}.storageAccountType")));
    }
    if let Some(before) = before {
        // How a replica is encrypted never changes; who does not mention it does not mean to give it up.
        document::hold_still(entry, before, parameter, &["encryption"])?;
    }
    set_default(entry, "excludeFromLatest", false);
    Ok(ReplicaTerms { count, storage_account_type, exclude_from_latest: document::is_true(entry, "excludeFromLatest") })
}

/// A count of replicas, or Azure's complaint about one.
///
/// # Errors
/// `InvalidParameter`: 1 to 100.
pub(crate) fn check_count(parameter: &str, count: i64) -> Result<u32, ArmError> {
    match u32::try_from(count) {
        Ok(count @ 1..=100) => Ok(count),
        _ => Err(ArmError::out_of_range(parameter, count, 1, MOST_REPLICAS)),
    }
}
