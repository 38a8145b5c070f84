use galerie_store::{BlobId, ManifestId};
use serde_json::json;

use super::*;
use crate::{
    resource::testing::{DISK, Given},
    source::{SourceDisk, SourceFacts},
};

fn disk(creation_data: Value) -> Value {
    json!({ "location": "eastus", "properties": { "creationData": creation_data } })
}

fn with(mut body: Value, path: &str, value: Value) -> Value {
    set(&mut body, path, value);
    body
}

fn source() -> Source {
    Source {
        id: "/source".to_owned(),
        unique_id: Some(Uuid::from_u128(9)),
        foreign: None,
        version: None,
        facts: SourceFacts {
            os_type: Some("Linux".into()),
            hyper_v_generation: Some("V2".into()),
            ..SourceFacts::default()
        },
        disks: vec![SourceDisk {
            image: HeldImage { lun: 3, manifest: ManifestId(BlobId::of(b"x")), virtual_size_bytes: 5 << 30 },
            host_caching: None,
        }],
    }
}

fn create(body: Value) -> Result<Plan, ArmError> {
    plan(Given::new(DISK, body).write(), Some(&source()))
}

#[test]
fn an_empty_disk_is_work() {
    let plan = create(with(disk(json!({ "createOption": "Empty" })), SIZE_GB, json!(200))).unwrap();
    assert_eq!(plan.work, Work::CreateEmptyDisk { virtual_size_bytes: 200 << 30 });
    assert_eq!(plan.state, ProvisioningState::Creating);
    assert_eq!(plan.document["properties"]["diskSizeBytes"], 200_u64 << 30);
}

#[test]
fn an_upload_disk_is_ready_at_once() {
    let plan = create(disk(json!({ "createOption": "Upload", "uploadSizeBytes": 20_972_032 }))).unwrap();
    assert_eq!((plan.state, plan.work), (ProvisioningState::Succeeded, Work::Nothing));
    assert_eq!(plan.effects, [Effect::Disk { state: DiskState::ReadyToUpload, upload_bytes: Some(20_972_032) }]);
    assert_eq!(plan.document["properties"]["diskSizeBytes"], 20 << 20);
    assert_eq!(plan.document["properties"]["diskSizeGB"], 1);
}

#[test]
fn a_copy_names_the_same_bytes() {
    for creation_data in [
        json!({ "createOption": "Copy", "sourceResourceId": "/source" }),
        json!({ "createOption": "FromImage", "galleryImageReference": { "id": "/source" } }),
    ] {
        let plan = create(disk(creation_data)).unwrap();
        let expected = HeldImage { lun: OS_LUN, ..source().disks[0].image };
        assert!(plan.effects.contains(&Effect::HoldImages(vec![expected])));
        let properties = &plan.document["properties"];
        assert_eq!((&properties["osType"], &properties["hyperVGeneration"]), (&json!("Linux"), &json!("V2")));
        assert_eq!(properties["creationData"]["sourceUniqueId"], Uuid::from_u128(9).to_string());
        assert_eq!(plan.document["sku"], json!({ "name": "Standard_LRS", "tier": "Standard" }));
    }
}

#[test]
fn bad_creation_data() {
    let upload = |bytes: i64| disk(json!({ "createOption": "Upload", "uploadSizeBytes": bytes }));
    let copy = disk(json!({ "createOption": "Copy", "sourceResourceId": "/source" }));
    for (body, status, fragment) in [
        (disk(json!({})), 400, "'createOption'"),
        (disk(json!({ "createOption": "Import" })), 400, "not supported by this server"),
        (disk(json!({ "createOption": "Empty" })), 400, "diskSizeGB"),
        (with(disk(json!({ "createOption": "Empty" })), SIZE_GB, json!(0)), 400, "between 1 and 65536"),
        (disk(json!({ "createOption": "Upload" })), 400, "uploadSizeBytes"),
        (upload(20_972_031), 400, "between 20972032 and 35183298347520"),
        (upload(35_183_298_347_521), 400, "out of range"),
        (upload(20_972_033), 400, "multiple of 512"),
        (with(upload(20_972_032), SIZE_GB, json!(1)), 400, "not allowed"),
        (disk(json!({ "createOption": "Copy" })), 400, "sourceResourceId"),
        (disk(json!({ "createOption": "FromImage" })), 400, "galleryImageReference"),
        (disk(json!({ "createOption": "FromImage", "imageReference": { "id": "/x" } })), 400, "Platform images"),
        (with(copy, SIZE_GB, json!(6)), 409, "not supported"),
    ] {
        let error = create(body.clone()).unwrap_err();
        assert_eq!(error.status, status, "{body}");
        assert!(error.message.contains(fragment), "{} / {fragment}", error.message);
    }
}

#[test]
fn what_a_disk_was_made_from_never_changes() {
    let body = disk(json!({ "createOption": "Copy", "sourceResourceId": "/source" }));
    let stored = create(body.clone()).unwrap().document;
    for (sent, expected) in [
        (stored.clone(), Ok(())),
        (json!({ "tags": { "a": "b" } }), Ok(())),
        (with(body.clone(), "sku.name", json!("Premium_LRS")), Ok(())),
        (with(body.clone(), SIZE_GB, json!(5)), Ok(())),
        (with(body.clone(), SIZE_GB, json!(6)), Err("OperationNotAllowed")),
        (
            with(body.clone(), "properties.creationData.sourceResourceId", json!("/other")),
            Err("PropertyChangeNotAllowed"),
        ),
        (with(body, "properties.creationData.createOption", json!("Empty")), Err("PropertyChangeNotAllowed")),
    ] {
        let answer = plan(Given::new(DISK, sent.clone()).over(stored.clone()).write(), None);
        assert_eq!(answer.as_ref().map(|_| ()).map_err(|error| error.code.as_ref()), expected, "{sent}");
        if let Ok(plan) = answer {
            assert_eq!(plan.document["properties"]["uniqueId"], stored["properties"]["uniqueId"]);
            assert_eq!(plan.document["properties"]["creationData"], stored["properties"]["creationData"]);
            assert!(plan.effects.is_empty());
        }
    }
}

#[test]
fn a_failed_empty_disk_is_tried_again() {
    let body = with(disk(json!({ "createOption": "Empty" })), SIZE_GB, json!(2));
    let stored = create(body.clone()).unwrap().document;
    let given = Given::new(DISK, body).over(stored).state(ProvisioningState::Failed);
    assert_eq!(plan(given.write(), None).unwrap().work, Work::CreateEmptyDisk { virtual_size_bytes: 2 << 30 });
}
