//! The rules of a profile's versions: what they enforce, and where they are.

use galerie_arm::{ArmError, Location, ReplicationState, VersionName, timestamp};
use serde_json::{Value, json};

use super::rules;
use crate::{
    replication_status::{self, ReplicaView},
    resource::{
        document::{integer, list, required_text, set, set_default, text},
        plan::{Plan, Write},
    },
};

const TARGETS: &str = "properties.targetLocations";
/// Most replicas in one region, as of images.
const MOST_REPLICAS: i64 = 100;

/// Decides about a write to a profile's version.
///
/// # Errors
/// A broken name, a missing mode or default access, rules that refer to what is not there, unknown or double locations, the
/// home location missing.
pub(crate) fn plan(write: Write<'_>) -> Result<Plan, ArmError> {
    let _: VersionName = write.id.name_at(2)?;
    let mut document = write.document.clone();
    required_text(&document, "properties.mode")?;
    required_text(&document, "properties.defaultAccess")?;
    rules::check(&document)?;
    set_default(&mut document, "properties.excludeFromLatest", false);
    set(&mut document, "properties.publishedDate", timestamp::format_ms(write.created_ms()));
    let locations = fill_in_locations(&mut document, &write)?;
    // The catalogue is one: what is stored is everywhere at once.
    let views = locations.into_iter().map(|region| ReplicaView {
        region,
        state: ReplicationState::Completed,
        details: String::new(),
        total_bytes: 0,
        copied_bytes: 0,
    });
    let targets = list(&document, TARGETS).to_vec();
    let status = replication_status::show(&views.collect::<Vec<_>>(), &targets, write.locations);
    set(&mut document, "properties.replicationStatus", status);
    Ok(Plan::immediate(document))
}

fn fill_in_locations(document: &mut Value, write: &Write<'_>) -> Result<Vec<Location>, ArmError> {
    let mut entries = list(document, TARGETS).to_vec();
    if entries.is_empty() {
        entries = write.stored().map(|stored| list(stored, TARGETS).to_vec()).unwrap_or_default();
    }
    if entries.is_empty() {
        entries.push(json!({ "name": write.location.as_str() }));
    }
    let mut found: Vec<Location> = Vec::with_capacity(entries.len());
    for entry in &mut entries {
        let name = text(entry, "name").ok_or_else(|| ArmError::required_parameter_missing("targetLocation.name"))?;
        let region = write.locations.require(name, write.resource_type.as_str())?.clone();
        if found.contains(&region) {
            return Err(ArmError::duplicate_regions(write.locations.display_name(&region)));
        }
        set_default(entry, "regionalReplicaCount", 1);
        let count = integer(entry, "regionalReplicaCount").unwrap_or(1);
        if !(1..=MOST_REPLICAS).contains(&count) {
            return Err(ArmError::out_of_range("regionalReplicaCount", count, 1, MOST_REPLICAS));
        }
        set_default(entry, "storageAccountType", "Standard_LRS");
        set_default(entry, "excludeFromLatest", false);
        set(entry, "name", write.locations.display_name(&region));
        found.push(region);
    }
    if !found.contains(write.location) {
        let names: Vec<&str> = found.iter().map(|region| write.locations.display_name(region)).collect();
        return Err(ArmError::home_region_missing(&names, write.location.as_str()));
    }
    set(document, TARGETS, entries);
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::testing::{GALLERY, Given};

    fn planned(name: &str, properties: Value) -> Result<Value, ArmError> {
        let id = format!("{GALLERY}/inVMAccessControlProfiles/p/versions/{name}");
        Ok(plan(Given::new(&id, json!({ "location": "eastus", "properties": properties })).write())?.document)
    }

    #[test]
    fn a_version_is_filled_in() {
        let locations = json!([{ "name": "westus" }, { "name": "East US", "regionalReplicaCount": 2 }]);
        let properties = json!({ "mode": "Audit", "defaultAccess": "Allow", "targetLocations": locations });
        let document = planned("1.0.0", properties).unwrap();
        let shown = &document["properties"];
        assert_eq!(shown["targetLocations"][0]["name"], "West US");
        assert_eq!(shown["targetLocations"][0]["storageAccountType"], "Standard_LRS");
        assert_eq!(shown["replicationStatus"]["aggregatedState"], "Completed");
        assert_eq!(shown["replicationStatus"]["summary"][1]["region"], "East US");
        assert!(shown["publishedDate"].is_string());
        let alone = planned("1.0.0", json!({ "mode": "Enforce", "defaultAccess": "Deny" })).unwrap();
        assert_eq!(alone["properties"]["targetLocations"][0]["name"], "East US");
    }

    #[test]
    fn what_is_wrong_is_refused() {
        let good = json!({ "mode": "Audit", "defaultAccess": "Allow" });
        let with = |name: &str, value: Value| {
            let mut properties = good.clone();
            properties[name] = value;
            properties
        };
        for (name, properties) in [
            ("1.0", good.clone()),
            ("1.0.0", json!({ "mode": "Audit" })),
            ("1.0.0", json!({ "defaultAccess": "Allow" })),
            ("1.0.0", with("targetLocations", json!([{ "name": "westus" }]))),
            ("1.0.0", with("targetLocations", json!([{ "name": "eastus" }, { "name": "East US" }]))),
            ("1.0.0", with("targetLocations", json!([{ "name": "eastus", "regionalReplicaCount": 0 }]))),
            ("1.0.0", with("rules", json!({ "roles": [{ "name": "r", "privileges": ["nothing"] }] }))),
        ] {
            let error = planned(name, properties.clone()).unwrap_err();
            assert_eq!((error.status, error.code.as_ref()), (400, "InvalidParameter"), "{properties}");
        }
    }
}
