use galerie_arm::ProvisioningState;
use galerie_store::{BlobId, ManifestId};
use serde_json::json;

use super::*;
use crate::{
    resource::{
        plan::{HeldImage, OS_LUN, ReplicaTerms, Work},
        testing::{Given, NOW_MS, VERSION, location},
    },
    source::{SourceDisk, SourceFacts},
};

const IMAGE_ID: &str =
    "/subscriptions/11111111-2222-3333-4444-555555555555/resourceGroups/g/providers/Microsoft.Compute/images/web";

fn body() -> Value {
    json!({ "location": "East US", "properties": {
        "storageProfile": { "source": { "id": IMAGE_ID } },
        "publishingProfile": { "targetRegions": [
            { "name": "eastus", "regionalReplicaCount": 2 }, { "name": "WEST EUROPE" } ] } } })
}

fn with(path: &str, value: Value) -> Value {
    let mut body = body();
    set(&mut body, path, value);
    body
}

fn source(luns: &[i64]) -> Source {
    let disk = |lun: &i64| SourceDisk {
        image: HeldImage {
            lun: *lun,
            manifest: ManifestId(BlobId::of(&lun.to_le_bytes())),
            virtual_size_bytes: (9 << 30) + 1,
        },
        host_caching: None,
    };
    Source {
        id: IMAGE_ID.to_owned(),
        unique_id: None,
        foreign: None,
        version: None,
        facts: SourceFacts::default(),
        disks: luns.iter().map(disk).collect(),
    }
}

fn around() -> Surroundings {
    let definition = json!({ "properties": { "osType": "Linux", "osState": "Generalized", "hyperVGeneration": "V1" } });
    Surroundings { definition, sources: vec![source(&[OS_LUN, 1])], replicas: Vec::new(), azure_limits: true }
}

fn create(sent: Value) -> Result<Plan, ArmError> {
    plan(Given::new(VERSION, sent).write(), &around())
}

fn update(sent: Value, replicas: &[(&str, ReplicationState)]) -> Result<Plan, ArmError> {
    let stored = create(body()).unwrap().document;
    let replicas = replicas.iter().map(|(name, state)| (location(name), *state)).collect();
    plan(Given::new(VERSION, sent).over(stored).write(), &Surroundings { replicas, sources: Vec::new(), ..around() })
}

fn terms(count: u32) -> ReplicaTerms {
    ReplicaTerms { count, storage_account_type: "Standard_LRS".to_owned(), exclude_from_latest: false }
}

#[test]
fn a_new_version_is_complete_at_home_and_to_be_copied_elsewhere() {
    let plan = create(body()).unwrap();
    assert_eq!((plan.state, plan.work.clone()), (ProvisioningState::Creating, Work::Replicate));
    let replicas: Vec<_> = plan.effects.iter().filter(|effect| matches!(effect, Effect::AddReplica { .. })).collect();
    assert_eq!(
        replicas,
        [
            &Effect::AddReplica { region: location("eastus"), terms: terms(2), completed: true },
            &Effect::AddReplica { region: location("westeurope"), terms: terms(1), completed: false },
        ]
    );
}

#[test]
fn the_service_fills_in_what_it_always_answers() {
    let properties = create(body()).unwrap().document["properties"].clone();
    assert_eq!(
        properties["publishingProfile"],
        json!({
            "targetRegions": [
                { "name": "East US", "regionalReplicaCount": 2, "storageAccountType": "Standard_LRS", "excludeFromLatest": false },
                { "name": "West Europe", "regionalReplicaCount": 1, "storageAccountType": "Standard_LRS", "excludeFromLatest": false },
            ],
            "replicationMode": "Full",
            "publishedDate": timestamp::format_ms(NOW_MS),
            "excludeFromLatest": false,
            "replicaCount": 1,
            "storageAccountType": "Standard_LRS",
        })
    );
    assert_eq!(
        properties["storageProfile"],
        json!({
            "source": { "id": IMAGE_ID },
            "osDiskImage": { "sizeInGB": 10, "hostCaching": "None" },
            "dataDiskImages": [{ "lun": 1, "sizeInGB": 10, "hostCaching": "None" }],
        })
    );
}

#[test]
fn without_target_regions_it_is_at_home_and_done() {
    for sent in [json!(null), json!([])] {
        let plan = create(with("properties.publishingProfile.targetRegions", sent)).unwrap();
        assert_eq!((plan.state, plan.work), (ProvisioningState::Succeeded, Work::Nothing));
        assert_eq!(plan.document["properties"]["publishingProfile"]["targetRegions"][0]["name"], "East US");
    }
}

/// Regression: every data disk of a body was compared with every other, in the one transaction that may write; a body of
/// a few megabytes stopped the server for minutes.
#[test]
fn a_version_has_at_most_one_data_disk_for_each_lun() {
    let disks = |count: i64| {
        let disk = |index: i64| json!({ "lun": index % 64, "source": { "id": format!("/disk{index}") } });
        let disks: Vec<Value> = (0..count).map(disk).collect();
        let profile =
            json!({ "storageProfile": { "osDiskImage": { "source": { "id": "/os" } }, "dataDiskImages": disks } });
        storage_profile::wanted(&json!({ "properties": profile }))
    };
    assert_eq!(disks(64).unwrap().len(), 65);
    for count in [65, 400_000] {
        let error = disks(count).unwrap_err();
        let expected = format!(
            "The value {count} of parameter dataDiskImages is out of range. The value must be between 0 and 64, inclusive."
        );
        assert_eq!((error.status, error.message.as_ref()), (400, expected.as_str()));
    }
}

#[test]
fn bad_target_regions() {
    let regions = "properties.publishingProfile.targetRegions";
    for (sent, code, fragment) in [
        (
            with(regions, json!([{ "name": "westus" }])),
            "InvalidParameter",
            "must contain the location of image version 'eastus'",
        ),
        (with(regions, json!([{ "name": "eastus" }, { "name": "East US" }])), "InvalidParameter", "Duplicate regions"),
        (
            with(regions, json!([{ "name": "eastus" }, { "name": "mars" }])),
            "LocationNotAvailableForResourceType",
            "'mars'",
        ),
        (with(regions, json!([{}])), "InvalidParameter", "targetRegion.name"),
        (
            with(regions, json!([{ "name": "eastus", "regionalReplicaCount": 0 }])),
            "InvalidParameter",
            "between 1 and 100",
        ),
        (with("properties.publishingProfile.replicaCount", json!(101)), "InvalidParameter", "replicaCount"),
        (with("properties.publishingProfile.replicationMode", json!("Shallow")), "InvalidParameter", "Shallow"),
        (with("properties.publishingProfile.endOfLifeDate", json!("2001-01-01")), "InvalidParameter", "future"),
    ] {
        let error = create(sent.clone()).unwrap_err();
        assert_eq!((error.status, error.code.as_ref()), (400, code), "{sent}");
        assert!(error.message.contains(fragment), "{} / {fragment}", error.message);
    }
}

#[test]
fn bad_sources() {
    let os = json!({ "source": { "id": "/a" } });
    for (profile, fragment) in [
        (json!({}), "storageProfile.source"),
        (json!({ "source": { "id": "/x" }, "osDiskImage": os }), "either directly"),
        (json!({ "source": { "id": "/x", "virtualMachineId": "/y" } }), "Only one source"),
        (json!({ "dataDiskImages": [{ "lun": 0, "source": { "id": "/b" } }] }), "osDiskImage"),
        (
            json!({ "osDiskImage": os, "dataDiskImages": [{ "lun": 0, "source": { "id": "/A" } }] }),
            "Duplicated source ids",
        ),
        (
            json!({ "osDiskImage": os, "dataDiskImages": [{ "lun": 0, "source": { "id": "/b" } }, { "lun": 0, "source": { "id": "/c" } }] }),
            "Duplicated lun",
        ),
        (json!({ "osDiskImage": os, "dataDiskImages": [{ "source": { "id": "/b" } }] }), "'lun'"),
        (json!({ "osDiskImage": os, "dataDiskImages": [{ "lun": 64, "source": { "id": "/b" } }] }), "between 0 and 63"),
        (json!({ "osDiskImage": { "source": { "uri": "https://x" } } }), "upload it"),
    ] {
        let error = storage_profile::wanted(&json!({ "properties": { "storageProfile": profile } })).unwrap_err();
        assert!(error.status == 400 && error.message.contains(fragment), "{} / {fragment}", error.message);
    }
}

#[test]
fn a_source_must_fit_its_definition() {
    for (facts, fragment) in [
        (SourceFacts { os_type: Some("Windows".into()), ..SourceFacts::default() }, "OS type"),
        (SourceFacts { os_state: Some("Specialized".into()), ..SourceFacts::default() }, "OS State"),
        (SourceFacts { hyper_v_generation: Some("V2".into()), ..SourceFacts::default() }, "Hypervisor generation"),
    ] {
        let around = Surroundings { sources: vec![Source { facts, ..source(&[OS_LUN]) }], ..around() };
        let error = plan(Given::new(VERSION, body()).write(), &around).unwrap_err();
        assert!(error.message.contains(fragment), "{}", error.message);
    }
}

#[test]
fn an_update_adds_removes_and_retries_regions() {
    use ReplicationState::{Completed, Failed, Replicating};
    let to = |names: &[&str]| {
        let regions: Vec<Value> = names.iter().map(|name| json!({ "name": name })).collect();
        with("properties.publishingProfile.targetRegions", json!(regions))
    };
    for (sent, replicas, state, fragment) in [
        (to(&["eastus", "westeurope"]), vec![("eastus", Completed), ("westeurope", Completed)], "Succeeded", ""),
        (to(&["eastus"]), vec![("eastus", Completed), ("westeurope", Completed)], "Succeeded", "DropReplica"),
        (to(&["eastus", "westus"]), vec![("eastus", Completed)], "Updating", "AddReplica"),
        (to(&["eastus", "westeurope"]), vec![("eastus", Completed), ("westeurope", Failed)], "Updating", "retry: true"),
        (
            to(&["eastus", "westeurope"]),
            vec![("eastus", Completed), ("westeurope", Replicating)],
            "Updating",
            "KeepReplica",
        ),
        (to(&["eastus"]), vec![("eastus", Completed), ("westeurope", Replicating)], "Succeeded", "DropReplica"),
        (to(&[]), vec![("eastus", Completed), ("westeurope", Completed)], "Succeeded", "KeepReplica"),
    ] {
        let plan = update(sent.clone(), &replicas).unwrap();
        assert_eq!(plan.state.as_str(), state, "{sent} {replicas:?}");
        assert!(format!("{:?}", plan.effects).contains(fragment), "{:?}", plan.effects);
        assert!(!plan.effects.iter().any(|effect| matches!(effect, Effect::HoldImages(_))));
    }
}

#[test]
fn an_empty_storage_profile_keeps_the_source() {
    for profile in [json!(null), json!({}), json!({ "source": { "id": IMAGE_ID.to_uppercase() } })] {
        let plan =
            update(with("properties.storageProfile", profile), &[("eastus", ReplicationState::Completed)]).unwrap();
        assert_eq!(plan.document["properties"]["storageProfile"]["source"]["id"], IMAGE_ID);
        assert_eq!(plan.document["properties"]["storageProfile"]["osDiskImage"]["sizeInGB"], 10);
    }
}

#[test]
fn what_a_version_is_never_changes() {
    let data = "properties.storageProfile.dataDiskImages";
    for (sent, target) in [
        (
            with("properties.storageProfile.source.id", json!("/other")),
            "galleryImageVersion.properties.storageProfile.source.id",
        ),
        (with(data, json!([{ "lun": 2 }])), "galleryImageVersion.properties.storageProfile.dataDiskImages"),
        (
            with("properties.publishingProfile.storageAccountType", json!("Standard_ZRS")),
            "galleryImageVersion.properties.publishingProfile.storageAccountType",
        ),
        (
            with(
                "properties.publishingProfile.targetRegions",
                json!([{ "name": "eastus", "storageAccountType": "Standard_ZRS" }]),
            ),
            "galleryImageVersion.properties.publishingProfile.targetRegions.storageAccountType",
        ),
        (
            with(
                "properties.publishingProfile.targetRegions",
                json!([{ "name": "eastus", "encryption": { "osDiskImage": { "diskEncryptionSetId": "/x" } } }]),
            ),
            "galleryImageVersion.properties.publishingProfile.targetRegions.encryption",
        ),
        (
            with("properties.publishingProfile.replicationMode", json!("Shallow")),
            "galleryImageVersion.properties.publishingProfile.replicationMode",
        ),
    ] {
        let error = update(sent.clone(), &[("eastus", ReplicationState::Completed)]).unwrap_err();
        assert_eq!((error.status, error.code.as_ref()), (409, "PropertyChangeNotAllowed"), "{sent}");
        assert_eq!(error.target.as_deref(), Some(target));
    }
}

#[test]
fn what_a_region_does_not_repeat_of_its_encryption_stays() {
    let regions = "properties.publishingProfile.targetRegions";
    let encryption = json!({ "osDiskImage": { "diskEncryptionSetId": "/x" } });
    let stored = create(with(regions, json!([{ "name": "eastus", "encryption": encryption }]))).unwrap().document;
    let sent = with(regions, json!([{ "name": "East US", "regionalReplicaCount": 3 }]));
    let replicas = vec![(location("eastus"), ReplicationState::Completed)];
    let plan = plan(Given::new(VERSION, sent).over(stored).write(), &Surroundings { replicas, ..around() }).unwrap();
    let region = &plan.document["properties"]["publishingProfile"]["targetRegions"][0];
    assert_eq!((&region["encryption"], &region["regionalReplicaCount"]), (&encryption, &json!(3)));
}

#[test]
fn a_safety_profile_says_that_nobody_reported_the_image() {
    let reported = |profile: Value| {
        let plan = create(with("properties.safetyProfile", profile)).unwrap();
        plan.document["properties"]["safetyProfile"].get("reportedForPolicyViolation").cloned()
    };
    assert_eq!(reported(json!({ "allowDeletionOfReplicatedLocations": true })), Some(json!(false)));
    assert_eq!(reported(json!({})), None);
}

#[test]
fn regions_may_be_held_on_to() {
    let mut stored = create(body()).unwrap().document;
    set(&mut stored, "properties.safetyProfile.allowDeletionOfReplicatedLocations", false);
    let sent = with("properties.publishingProfile.targetRegions", json!([{ "name": "eastus" }]));
    let replicas =
        vec![(location("eastus"), ReplicationState::Completed), (location("westeurope"), ReplicationState::Completed)];
    let answer = plan(Given::new(VERSION, sent).over(stored).write(), &Surroundings { replicas, ..around() });
    assert_eq!(answer.unwrap_err().code, "OperationNotAllowed");
}

#[test]
fn deletion_waits_for_the_end_of_life_where_the_version_says_so() {
    let blocked = |date: &str, blocked: bool| {
        let document = json!({ "properties": { "publishingProfile": { "endOfLifeDate": date },
            "safetyProfile": { "blockDeletionBeforeEndOfLife": blocked } } });
        check_delete("1.0.0", &document, NOW_MS).is_err()
    };
    assert!(blocked("2030-01-01", true));
    assert!(!blocked("2030-01-01", false));
    assert!(!blocked("2020-01-01", true));
}
