//! The rules of a profile's versions: what they enforce, and where they are.

use galerie_arm::{ArmError, ReplicationState, VersionName, timestamp};

use super::rules;
use crate::{
    replication_status::{self, ReplicaView},
    resource::{
        document::{list, required_text, set, set_default},
        plan::{Plan, Write},
    },
    target_regions::{self, Defaults},
};

const TARGETS: &str = "properties.targetLocations";
/// What a location has that says nothing about it.
const DEFAULTS: Defaults<'static> = Defaults { count: 1, storage_account_type: "Standard_LRS" };

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
    let locations = target_regions::fill_in(&mut document, TARGETS, &write, DEFAULTS)?;
    // The catalogue is one: what is stored is everywhere at once.
    let views = locations.into_iter().map(|target| ReplicaView {
        region: target.region,
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

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

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
        let twice = planned("1.0.0", with("targetLocations", json!([{ "name": "eastus" }, { "name": "East US" }])));
        let target = "galleryInVMAccessControlProfileVersion.properties.targetLocations";
        assert_eq!(twice.unwrap_err().target.as_deref(), Some(target));
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
