//! The rules of managed images: the disks of a machine, held under one name.

use galerie_arm::{ArmError, ManagedImageName};
use serde_json::{Value, json};

use crate::{
    image_version::storage_profile::{Fit, Wanted},
    resource::{
        document::{self, list, required_text, set, set_default, text},
        plan::{Effect, OS_LUN, Plan, Write},
    },
    source::Source,
};

const PROFILE: &str = "properties.storageProfile";
const OS_DISK: &str = "properties.storageProfile.osDisk";
const DATA_DISKS: &str = "properties.storageProfile.dataDisks";
const GENERATION: &str = "properties.hyperVGeneration";

/// The disks and snapshots that a new managed image's body names, the OS disk first.
///
/// # Errors
/// Missing or double parts, a kind of source that this server does not have.
pub(crate) fn wanted(document: &Value) -> Result<Vec<Wanted>, ArmError> {
    if let Some(machine) = text(document, "properties.sourceVirtualMachine.id") {
        let id = galerie_arm::ResourceId::parse(machine, "image.properties.sourceVirtualMachine.id")?;
        return Err(id.not_found());
    }
    let os_disk = document::at(document, OS_DISK).ok_or_else(|| ArmError::required_parameter_missing("osDisk"))?;
    required_text(os_disk, "osType")?;
    required_text(os_disk, "osState")?;
    let mut wanted = vec![wanted_disk(os_disk, &format!("image.{OS_DISK}"), OS_LUN)?];
    for (index, data_disk) in list(document, DATA_DISKS).iter().enumerate() {
        let lun = document::integer(data_disk, "lun").ok_or_else(|| ArmError::required_parameter_missing("lun"))?;
        if !(0..=63).contains(&lun) {
            return Err(ArmError::out_of_range("lun", lun, 0, 63));
        }
        if wanted.iter().any(|other| other.lun == lun) {
            return Err(ArmError::duplicated_luns(&[lun]));
        }
        wanted.push(wanted_disk(data_disk, &format!("image.{DATA_DISKS}[{index}]"), lun)?);
    }
    Ok(wanted)
}

fn wanted_disk(disk: &Value, target: &str, lun: i64) -> Result<Wanted, ArmError> {
    let named: Vec<_> =
        ["managedDisk.id", "snapshot.id"].into_iter().filter_map(|path| Some((path, text(disk, path)?))).collect();
    match named[..] {
        [(path, id)] => Ok(Wanted { id: id.to_owned(), target: format!("{target}.{path}"), fit: Fit::OneDisk, lun }),
        [] if text(disk, "blobUri").is_some() => {
            let message = "A blob's URI as the source of an image is not supported by this server: upload it to a disk, and use \
                           the disk.";
            Err(ArmError::invalid_parameter(&format!("{target}.blobUri"), message))
        }
        [] => Err(ArmError::required_parameter_missing("managedDisk")),
        _ => {
            let message = "Only one of managedDisk, snapshot and blobUri can be specified for a disk of an image.";
            Err(ArmError::invalid_parameter(target, message))
        }
    }
}

/// Decides about a write to a managed image. `sources` answer [`wanted`], in its order.
///
/// # Errors
/// A broken name, a change of its disks.
pub(crate) fn plan(write: Write<'_>, sources: &[Source]) -> Result<Plan, ArmError> {
    write.id.name_at::<ManagedImageName>(0)?;
    let mut document = write.document.clone();
    if let Some(stored) = write.stored() {
        hold_still(&mut document, stored)?;
        return Ok(Plan::immediate(document));
    }
    let os_disk = document["properties"]["storageProfile"]["osDisk"].take();
    set(&mut document, OS_DISK, complete_disk(os_disk));
    let data_disks: Vec<Value> = list(&document, DATA_DISKS).iter().cloned().map(complete_disk).collect();
    set(&mut document, DATA_DISKS, data_disks);
    if let Some(generation) = sources.first().and_then(|source| source.facts.hyper_v_generation.as_deref()) {
        set_default(&mut document, GENERATION, generation);
    }
    let images = sources.iter().flat_map(|source| source.disks.iter().map(|disk| disk.image)).collect();
    let mut plan = Plan::immediate(document);
    plan.effects.push(Effect::HoldImages(images));
    Ok(plan)
}

/// The defaults that the service answers.
fn complete_disk(mut disk: Value) -> Value {
    set_default(&mut disk, "caching", "None");
    set_default(&mut disk, "storageAccountType", "Standard_LRS");
    disk
}

/// Only tags change.
fn hold_still(document: &mut Value, stored: &Value) -> Result<(), ArmError> {
    let paths = ["osType", "osState", "managedDisk.id", "snapshot.id", "blobUri", "caching"]
        .map(|name| format!("{OS_DISK}.{name}"));
    let paths: Vec<&str> = paths.iter().map(String::as_str).chain([GENERATION]).collect();
    document::hold_still(document, stored, "image", &paths)?;
    let named = |document: &Value| -> Vec<Value> {
        let of = |disk: &Value| json!([disk["lun"], disk["managedDisk"]["id"], disk["snapshot"]["id"]]);
        list(document, DATA_DISKS).iter().map(of).collect()
    };
    let (sent, kept) = (json!(named(document)), json!(named(stored)));
    if !named(document).is_empty() && !document::same(Some(&sent), Some(&kept)) {
        return Err(ArmError::property_change_not_allowed(&format!("image.{DATA_DISKS}")));
    }
    set(document, PROFILE, stored["properties"]["storageProfile"].clone());
    Ok(())
}

#[cfg(test)]
mod tests {
    use galerie_store::{BlobId, ManifestId};

    use super::*;
    use crate::{
        resource::{
            plan::HeldImage,
            testing::{Given, IMAGE},
        },
        source::{SourceDisk, SourceFacts},
    };

    fn body() -> Value {
        json!({ "location": "eastus", "properties": { "storageProfile": {
            "osDisk": { "osType": "Linux", "osState": "Generalized", "managedDisk": { "id": "/disk" } },
            "dataDisks": [{ "lun": 1, "snapshot": { "id": "/snapshot" }, "caching": "ReadOnly" }] } } })
    }

    fn sources() -> Vec<Source> {
        let source = |lun: i64| Source {
            id: "/x".to_owned(),
            unique_id: None,
            foreign: None,
            version: None,
            facts: SourceFacts { hyper_v_generation: Some("V2".into()), ..SourceFacts::default() },
            disks: vec![SourceDisk {
                image: HeldImage {
                    lun,
                    manifest: ManifestId(BlobId::of(&lun.to_le_bytes())),
                    virtual_size_bytes: 1 << 30,
                },
                host_caching: None,
            }],
        };
        vec![source(OS_LUN), source(1)]
    }

    #[test]
    fn the_service_fills_in_what_it_always_answers() {
        let plan = plan(Given::new(IMAGE, body()).write(), &sources()).unwrap();
        assert_eq!(
            plan.document["properties"],
            json!({
                "storageProfile": {
                    "osDisk": { "osType": "Linux", "managedDisk": { "id": "/disk" }, "osState": "Generalized", "caching": "None",
                        "storageAccountType": "Standard_LRS" },
                    "dataDisks": [{ "lun": 1, "snapshot": { "id": "/snapshot" }, "caching": "ReadOnly",
                        "storageAccountType": "Standard_LRS" }],
                },
                "hyperVGeneration": "V2",
            })
        );
        assert!(matches!(&plan.effects[..], [Effect::HoldImages(images)] if images.len() == 2));
    }

    #[test]
    fn without_data_disks_the_list_is_empty() {
        let mut sent = body();
        document::remove(&mut sent, DATA_DISKS);
        let plan = plan(Given::new(IMAGE, sent).write(), &sources()[..1]).unwrap();
        assert_eq!(plan.document["properties"]["storageProfile"]["dataDisks"], json!([]));
    }

    #[test]
    fn bad_sources() {
        let machine = "/subscriptions/11111111-2222-3333-4444-555555555555/resourceGroups/g/providers/Microsoft.Compute/virtualMachines/v";
        for (path, value, status, fragment) in [
            (OS_DISK, json!(null), 400, "osDisk"),
            ("properties.storageProfile.osDisk.osType", json!(null), 400, "osType"),
            ("properties.storageProfile.osDisk.osState", json!(null), 400, "osState"),
            ("properties.storageProfile.osDisk.managedDisk", json!(null), 400, "managedDisk"),
            ("properties.storageProfile.osDisk.snapshot", json!({ "id": "/s" }), 400, "Only one"),
            (
                "properties.storageProfile.osDisk",
                json!({ "osType": "Linux", "osState": "Generalized", "blobUri": "https://x" }),
                400,
                "upload it",
            ),
            (DATA_DISKS, json!([{ "snapshot": { "id": "/s" } }]), 400, "lun"),
            (
                DATA_DISKS,
                json!([{ "lun": 1, "snapshot": { "id": "/s" } }, { "lun": 1, "snapshot": { "id": "/t" } }]),
                400,
                "Duplicated",
            ),
            ("properties.sourceVirtualMachine", json!({ "id": machine }), 404, "virtualMachines/v"),
        ] {
            let mut sent = body();
            set(&mut sent, path, value);
            let error = wanted(&sent).unwrap_err();
            assert_eq!(error.status, status, "{sent}");
            assert!(error.message.contains(fragment), "{} / {fragment}", error.message);
        }
    }

    #[test]
    fn only_tags_change() {
        let stored = plan(Given::new(IMAGE, body()).write(), &sources()).unwrap().document;
        let update = |sent: Value| plan(Given::new(IMAGE, sent).over(stored.clone()).write(), &[]);
        assert_eq!(update(stored.clone()).unwrap().document, stored);
        assert_eq!(update(body()).unwrap().document, stored);
        assert!(update(json!({ "tags": { "a": "b" } })).is_ok());
        let mut sent = body();
        set(&mut sent, "properties.storageProfile.osDisk.managedDisk.id", "/other");
        assert_eq!(update(sent).unwrap_err().code, "PropertyChangeNotAllowed");
        let mut sent = body();
        set(&mut sent, DATA_DISKS, json!([{ "lun": 2, "snapshot": { "id": "/snapshot" } }]));
        assert_eq!(update(sent).unwrap_err().code, "PropertyChangeNotAllowed");
    }
}
