//! The managed image's document: a machine's disks without the machine.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::disk::{DiskSku, HostCaching};
use crate::document::Document;
use crate::error::ArmError;
use crate::image_definition::{HyperVGeneration, OsState, OsType};
use crate::image_version::DiskSource;
use crate::provisioning_state::ProvisioningState;
use crate::resource_id::{ResourceId, ResourceType};

/// A managed image, as far as rules look at it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ManagedImage {
    /// The region, in any spelling.
    pub location: Option<String>,
    /// Tags.
    pub tags: BTreeMap<String, String>,
    /// The rest.
    pub properties: ManagedImageProperties,
}

/// A managed image's properties.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ManagedImageProperties {
    /// The machine that it is made from.
    pub source_virtual_machine: Option<SubResource>,
    /// The disks that it is made from.
    pub storage_profile: ManagedImageStorageProfile,
    /// The firmware; absent means V1.
    #[serde(rename = "hyperVGeneration")]
    pub hyper_v_generation: Option<HyperVGeneration>,
    /// Where the image is in its life.
    pub provisioning_state: Option<ProvisioningState>,
}

/// The disks of a managed image.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ManagedImageStorageProfile {
    /// The operating system's disk.
    pub os_disk: Option<ManagedImageDisk>,
    /// Data disks.
    pub data_disks: Option<Vec<ManagedImageDisk>>,
    /// Whether copies are kept in every zone.
    pub zone_resilient: Option<bool>,
}

/// One disk of a managed image.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ManagedImageDisk {
    /// A data disk's number.
    pub lun: Option<i64>,
    /// The operating system's disk: required.
    pub os_type: Option<OsType>,
    /// The operating system's disk: required.
    pub os_state: Option<OsState>,
    /// Made from this snapshot.
    pub snapshot: Option<SubResource>,
    /// Made from this disk.
    pub managed_disk: Option<SubResource>,
    /// Made from this VHD blob.
    pub blob_uri: Option<String>,
    /// How a host should cache it.
    pub caching: Option<HostCaching>,
    /// Size in GB, if it should differ from the source's.
    #[serde(rename = "diskSizeGB")]
    pub disk_size_gb: Option<i64>,
    /// What it is stored on.
    pub storage_account_type: Option<DiskSku>,
}

/// `{"id": ...}`
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct SubResource {
    /// The id, as written.
    pub id: Option<String>,
}

/// What a managed image is made from, typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ManagedImageSource {
    /// A virtual machine.
    VirtualMachine(ResourceId),
    /// Disks of their own.
    Disks {
        /// The operating system.
        os_type: OsType,
        /// Whether it is generalized.
        os_state: OsState,
        /// The operating system's disk.
        os: DiskSource,
        /// Data disks by their luns, in order.
        data: BTreeMap<u32, DiskSource>,
    },
}

impl Document for ManagedImage {
    const TYPE: ResourceType = ResourceType::ManagedImage;
}

impl ManagedImage {
    /// What it is made from.
    ///
    /// # Errors
    /// `InvalidParameter` for what is missing, given twice or of a wrong type; what is wrong with an id.
    pub fn source(&self) -> Result<ManagedImageSource, ArmError> {
        let properties = &self.properties;
        let machine = properties.source_virtual_machine.as_ref().and_then(|machine| machine.id.as_deref());
        match (machine, &properties.storage_profile.os_disk) {
            (Some(id), None) => read_machine(id),
            (Some(_), Some(_)) => Err(ArmError::parameter_not_allowed("image.properties.storageProfile.osDisk")),
            (None, Some(os_disk)) => properties.storage_profile.read_disks(os_disk),
            (None, None) => Err(ArmError::required_parameter_missing("storageProfile.osDisk")),
        }
    }
}

fn read_machine(id: &str) -> Result<ManagedImageSource, ArmError> {
    let target = "image.properties.sourceVirtualMachine.id";
    let machine = ResourceId::parse(id, target)?;
    match machine.resource_type() {
        Some(ResourceType::VirtualMachine) => Ok(ManagedImageSource::VirtualMachine(machine)),
        _ => {
            let message = format!("The id '{machine}' is not the id of a virtual machine.");
            Err(ArmError::invalid_parameter(target, message))
        }
    }
}

impl ManagedImageStorageProfile {
    fn read_disks(&self, os_disk: &ManagedImageDisk) -> Result<ManagedImageSource, ArmError> {
        let path = "image.properties.storageProfile.osDisk";
        let os_type = os_disk.os_type.ok_or_else(|| ArmError::required_parameter_missing("osDisk.osType"))?;
        let os_state = os_disk.os_state.ok_or_else(|| ArmError::required_parameter_missing("osDisk.osState"))?;
        let os = os_disk.source(path)?;
        let mut data = BTreeMap::new();
        for (index, disk) in self.data_disks.iter().flatten().enumerate() {
            let path = format!("image.properties.storageProfile.dataDisks[{index}]");
            let lun = disk.lun.ok_or_else(|| ArmError::required_parameter_missing("dataDisks.lun"))?;
            let number = u32::try_from(lun).ok().filter(|lun| *lun <= HIGHEST_LUN);
            let number = number.ok_or_else(|| ArmError::out_of_range("lun", lun, 0, i64::from(HIGHEST_LUN)))?;
            if data.insert(number, disk.source(&path)?).is_some() {
                let message = format!("A disk at LUN {lun} already exists.");
                return Err(ArmError::invalid_parameter(&format!("{path}.lun"), message));
            }
        }
        Ok(ManagedImageSource::Disks { os_type, os_state, os, data })
    }
}

/// Highest lun of a data disk.
const HIGHEST_LUN: u32 = 63;

impl ManagedImageDisk {
    /// What the disk is made from; `path` is where it stands, for errors.
    ///
    /// # Errors
    /// `InvalidParameter` unless exactly one of snapshot, managed disk and blob is given, each of its type.
    pub fn source(&self, path: &str) -> Result<DiskSource, ArmError> {
        let id = |resource: &Option<SubResource>| resource.as_ref().and_then(|resource| resource.id.clone());
        let blob = self.blob_uri.clone().filter(|uri| !uri.is_empty());
        match (id(&self.snapshot), id(&self.managed_disk), blob) {
            (Some(id), None, None) => {
                let id = read_as(&id, ResourceType::Snapshot, &format!("{path}.snapshot.id"))?;
                Ok(DiskSource::Snapshot(id))
            }
            (None, Some(id), None) => {
                let id = read_as(&id, ResourceType::Disk, &format!("{path}.managedDisk.id"))?;
                Ok(DiskSource::Disk(id))
            }
            (None, None, Some(uri)) => Ok(DiskSource::Blob { uri, storage_account: None }),
            (None, None, None) => Err(ArmError::required_parameter_missing(&format!("{path}.managedDisk"))),
            _ => {
                let message = "Exactly one of 'snapshot', 'managedDisk' and 'blobUri' must be given.";
                Err(ArmError::invalid_parameter(path, message))
            }
        }
    }
}

fn read_as(text: &str, resource_type: ResourceType, target: &str) -> Result<ResourceId, ArmError> {
    let id = ResourceId::parse(text, target)?;
    if id.resource_type() == Some(resource_type) {
        return Ok(id);
    }
    Err(ArmError::invalid_parameter(target, format!("The id '{id}' is not the id of a '{resource_type}'.")))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const GROUP: &str =
        "/subscriptions/f4662c1d-e072-46af-8700-b8ca2968ccab/resourceGroups/RG/providers/Microsoft.Compute";

    fn source(properties: Value) -> Result<ManagedImageSource, ArmError> {
        ManagedImage::read(&json!({ "location": "eastus", "properties": properties })).unwrap().source()
    }

    #[test]
    fn sources() {
        let os =
            json!({ "osType": "Linux", "osState": "Generalized", "managedDisk": { "id": format!("{GROUP}/disks/D") } });
        let data = |lun: i64| json!({ "lun": lun, "snapshot": { "id": format!("{GROUP}/snapshots/S") } });
        let disks = source(json!({ "storageProfile": { "osDisk": os, "dataDisks": [data(1)] } }));
        assert!(
            matches!(disks, Ok(ManagedImageSource::Disks { os: DiskSource::Disk(_), data, .. }) if data.len() == 1)
        );
        let machine = json!({ "sourceVirtualMachine": { "id": format!("{GROUP}/virtualMachines/V") } });
        assert!(matches!(source(machine), Ok(ManagedImageSource::VirtualMachine(_))));
        for bad in [
            json!({}),
            json!({ "storageProfile": { "osDisk": os, "dataDisks": [data(1), data(1)] } }),
            json!({ "storageProfile": { "osDisk": { "osType": "Linux", "osState": "Generalized" } } }),
            json!({ "storageProfile": { "osDisk": { "osType": "Linux", "managedDisk": { "id": "x" } } } }),
            json!({ "sourceVirtualMachine": { "id": format!("{GROUP}/disks/D") } }),
        ] {
            assert_eq!(source(bad.clone()).unwrap_err().code, "InvalidParameter", "{bad}");
        }
    }
}
