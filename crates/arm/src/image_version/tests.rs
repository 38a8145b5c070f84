use serde_json::json;

use super::*;
use crate::api_version::ApiVersion;
use crate::schema::Shape;

const GROUP: &str = "/subscriptions/f4662c1d-e072-46af-8700-b8ca2968ccab/resourceGroups/RG/providers/Microsoft.Compute";

fn source(profile: Value) -> Result<Option<Source>, ArmError> {
    ImageVersion::read(&json!({ "location": "eastus", "properties": { "storageProfile": profile } })).unwrap().source()
}

#[test]
fn whole_sources() {
    let of = |id: &str| source(json!({ "source": { "id": id } }));
    assert!(matches!(of(&format!("{GROUP}/images/I")), Ok(Some(Source::Whole(WholeSource::ManagedImage(_))))));
    assert!(matches!(
        of(&format!("{GROUP}/virtualMachines/V")),
        Ok(Some(Source::Whole(WholeSource::VirtualMachine(_))))
    ));
    let version = format!("{GROUP}/galleries/G/images/I/versions/1.0.0");
    assert!(matches!(of(&version), Ok(Some(Source::Whole(WholeSource::Version(_))))));
    assert!(matches!(
        of("/SharedGalleries/U/Images/I/Versions/1.0.0"),
        Ok(Some(Source::Whole(WholeSource::Version(_))))
    ));
    assert_eq!(of(&format!("{GROUP}/disks/D")).unwrap_err().code, "InvalidParameter");
    assert_eq!(of("nonsense").unwrap_err().code, "LinkedInvalidPropertyId");
    let machine = json!({ "source": { "virtualMachineId": format!("{GROUP}/virtualMachines/V") } });
    assert!(matches!(source(machine), Ok(Some(Source::Whole(WholeSource::VirtualMachine(_))))));
    let community = json!({ "source": { "communityGalleryImageId": "/CommunityGalleries/p/Images/I" } });
    assert!(matches!(source(community), Ok(Some(Source::Whole(WholeSource::Version(_))))));
}

#[test]
fn disks_of_their_own() {
    let (disk, snapshot) = (format!("{GROUP}/disks/D"), format!("{GROUP}/snapshots/S"));
    let data = |lun: i64, id: &str| json!({ "lun": lun, "source": { "id": id } });
    let read = source(json!({
        "osDiskImage": { "source": { "id": snapshot }, "hostCaching": "ReadWrite" },
        "dataDiskImages": [data(3, &format!("{disk}3")), data(1, &format!("{disk}1"))]
    }));
    let Ok(Some(Source::Disks { os: DiskSource::Snapshot(_), os_caching, data: disks })) = read else {
        panic!("{read:?}")
    };
    assert_eq!(os_caching, Some(HostCaching::ReadWrite));
    assert_eq!(disks.iter().map(|disk| disk.lun).collect::<Vec<_>>(), [1, 3]);

    let os = json!({ "source": { "id": snapshot } });
    for profile in [
        json!({ "osDiskImage": os, "dataDiskImages": [data(1, &disk), data(1, &format!("{disk}2"))] }),
        json!({ "osDiskImage": os, "dataDiskImages": [data(1, &disk), data(2, &disk.to_uppercase())] }),
        json!({ "osDiskImage": os, "dataDiskImages": [data(64, &disk)] }),
        json!({ "osDiskImage": os, "source": { "id": format!("{GROUP}/images/I") } }),
        json!({ "dataDiskImages": [data(1, &disk)] }),
        json!({ "osDiskImage": { "source": { "id": format!("{GROUP}/images/I") } } }),
    ] {
        assert_eq!(source(profile.clone()).map_err(|error| error.code), Err("InvalidParameter".into()), "{profile}");
    }
    let blob = source(json!({ "osDiskImage": { "source": { "uri": "https://h/c/b.vhd", "id": "/account" } } }));
    let Ok(Some(Source::Disks { os: DiskSource::Blob { storage_account, .. }, .. })) = blob else { panic!("{blob:?}") };
    assert_eq!(storage_account.as_deref(), Some("/account"));
}

#[test]
fn nothing_given_is_no_source() {
    for profile in
        [json!({}), json!({ "source": {} }), json!({ "osDiskImage": { "hostCaching": "None", "sizeInGB": 30 } })]
    {
        assert_eq!(source(profile), Ok(None));
    }
}

#[test]
fn the_source_of_2019_is_read_and_shown() {
    let id = format!("{GROUP}/images/I");
    let body = json!({
        "location": "eastus",
        "properties": { "publishingProfile": { "replicaCount": 1, "source": { "managedImage": { "id": id } } } }
    });
    let old = Shape::of(ResourceType::ImageVersion, ApiVersion::stable(2019, 3, 1));
    let document = old.accept(body.clone()).unwrap();
    assert!(document.pointer("/properties/publishingProfile/source").is_none());
    let read = ImageVersion::read(&document).unwrap().source();
    assert!(matches!(read, Ok(Some(Source::Whole(WholeSource::ManagedImage(_))))));
    assert_eq!(
        old.project(document.clone()).pointer("/properties/publishingProfile"),
        body.pointer("/properties/publishingProfile")
    );
    let new = Shape::of(ResourceType::ImageVersion, ApiVersion::stable(2023, 7, 3)).project(document.clone());
    assert_eq!(new.pointer("/properties/storageProfile/source/id"), Some(&json!(id)));
    assert!(new.pointer("/properties/publishingProfile/source").is_none());
}

#[test]
fn an_empty_storage_profile_keeps_the_stored_one() {
    let stored = json!({ "properties": { "storageProfile": { "source": { "id": "x" } } } });
    for incoming in [json!({}), json!({ "properties": {} }), json!({ "properties": { "storageProfile": {} } })] {
        let mut incoming = incoming;
        keep_stored_storage_profile(&stored, &mut incoming);
        assert_eq!(incoming.pointer("/properties/storageProfile/source/id"), Some(&json!("x")));
    }
    let mut other = json!({ "properties": { "storageProfile": { "source": { "id": "y" } } } });
    keep_stored_storage_profile(&stored, &mut other);
    assert_eq!(other.pointer("/properties/storageProfile/source/id"), Some(&json!("y")));
}

#[test]
fn counts() {
    let profile = |count: i32| PublishingProfile {
        replica_count: Some(2),
        target_regions: Some(vec![TargetRegion { regional_replica_count: Some(count), ..TargetRegion::default() }]),
        ..PublishingProfile::default()
    };
    assert!(profile(100).check_replica_counts().is_ok());
    assert!(profile(0).check_replica_counts().is_err() && profile(101).check_replica_counts().is_err());
    assert_eq!(profile(1).replica_count_in(&TargetRegion::default()), 2);
}
