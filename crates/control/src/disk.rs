//! The rules of disks: how one comes to be, and the little that may change.
//!
//! ```text
//! Upload:     ReadyToUpload --beginGetAccess(Write)--> ActiveUpload --endGetAccess--> Unattached
//! the others: Unattached <--beginGetAccess(Read) / endGetAccess--> ActiveSAS
//! ```
//! `access` moves a disk between these states. A disk made from a version, a disk or a snapshot moves no bytes: it names
//! the same manifest. A disk of zeros has work to do, in its region, and one from another tenant's version, which is copied.

pub(crate) mod creation_data;

use galerie_arm::{ArmError, DiskName, ProvisioningState, disk::DiskState, timestamp};
use serde_json::{Value, json};
use uuid::Uuid;

use self::creation_data::Creation;
use crate::{
    resource::{
        document::{self, integer, keep, set, set_default, text},
        plan::{Effect, HeldImage, OS_LUN, Plan, Work, Write, gib},
    },
    source::Source,
};

const SIZE_GB: &str = "properties.diskSizeGB";

/// The 512 bytes that end a fixed VHD.
pub(crate) const VHD_FOOTER_BYTES: u64 = 512;

/// Decides about a write to a disk. `source` is what the `creationData` of a new disk names, when it names something, or of
/// one whose image never came.
///
/// # Errors
/// Sizes out of bounds, options that this server does not have, a change of what the disk was made from or of its size.
pub(crate) fn plan(write: Write<'_>, source: Option<&Source>) -> Result<Plan, ArmError> {
    write.id.name_at::<DiskName>(0)?;
    let mut document = write.document.clone();
    if let Some(existing) = write.existing {
        hold_still(&mut document, &existing.document, "disk")?;
        let has_failed = existing.state == ProvisioningState::Failed;
        let is_empty = text(&document, creation_data::OPTION) == Some("Empty");
        let mut plan = Plan::immediate(document);
        if has_failed && is_empty {
            start_empty(&mut plan)?;
        } else if has_failed && source.is_some() {
            hold_source(&mut plan, source)?;
        } else if existing.state != ProvisioningState::Failed {
            plan.state = existing.state;
        }
        return Ok(plan);
    }
    let creation = creation_data::wanted(&document, "disk")?;
    fill_in(&mut document, &write, source);
    let mut plan = Plan::immediate(document);
    let (state, upload_bytes) = match &creation {
        Creation::Upload { upload_bytes } => (DiskState::ReadyToUpload, Some(*upload_bytes)),
        _ => (DiskState::Unattached, None),
    };
    plan.effects.push(Effect::Disk { state, upload_bytes });
    match &creation {
        Creation::Empty { .. } => start_empty(&mut plan)?,
        Creation::Upload { upload_bytes } => {
            let size_bytes = upload_bytes - VHD_FOOTER_BYTES;
            content_arrived(&mut plan.document, size_bytes);
        }
        Creation::FromImage { .. } | Creation::Copy { .. } => hold_source(&mut plan, source)?,
    }
    Ok(plan)
}

/// Sets what follows from the size of a disk's or snapshot's content.
pub(crate) fn content_arrived(document: &mut Value, virtual_size_bytes: u64) {
    set(document, "properties.diskSizeBytes", virtual_size_bytes);
    set(document, SIZE_GB, gib(virtual_size_bytes));
}

fn start_empty(plan: &mut Plan) -> Result<(), ArmError> {
    let Creation::Empty { virtual_size_bytes } = creation_data::wanted(&plan.document, "disk")? else {
        return Ok(());
    };
    content_arrived(&mut plan.document, virtual_size_bytes);
    plan.state = ProvisioningState::Creating;
    plan.work = Work::CreateEmptyDisk { virtual_size_bytes };
    Ok(())
}

/// Makes the content of `source` the plan's own; a size may be named, but not another one. What is another tenant's is to be
/// copied first.
pub(crate) fn hold_source(plan: &mut Plan, source: Option<&Source>) -> Result<(), ArmError> {
    let Some(image) = source.and_then(|source| source.disks.first()).map(|disk| disk.image) else {
        return Err(ArmError::required_parameter_missing("creationData"));
    };
    if let Some(wanted) = integer(&plan.document, SIZE_GB) {
        check_size(wanted, image.size_gib())?;
    }
    content_arrived(&mut plan.document, image.virtual_size_bytes);
    plan.effects.extend(source.and_then(|source| source.version.clone()).map(Effect::UseVersion));
    match source.and_then(|source| source.foreign.clone()) {
        None => plan.effects.push(Effect::HoldImages(vec![HeldImage { lun: OS_LUN, ..image }])),
        Some(foreign) => {
            plan.effects.push(Effect::AwaitCopy(foreign));
            plan.state = ProvisioningState::Creating;
            plan.work = Work::CopyImage { manifest: image.manifest };
        }
    }
    Ok(())
}

/// Sizes never change: a guest's disk is as large as its image says.
fn check_size(wanted_gib: i64, actual_gib: u64) -> Result<(), ArmError> {
    if u64::try_from(wanted_gib) == Ok(actual_gib) {
        return Ok(());
    }
    let message = format!(
        "Changing the size of a disk is not supported by this server: diskSizeGB is {actual_gib}, and {wanted_gib} was asked \
         for. Leave diskSizeGB out, or create an Empty disk of the size that you need."
    );
    Err(ArmError::operation_not_allowed(&message).with_target(SIZE_GB))
}

/// What every new disk and snapshot has: identity, sku, access policies, and what it takes over from its source.
pub(crate) fn fill_in(document: &mut Value, write: &Write<'_>, source: Option<&Source>) {
    fill_in_sku(document);
    set(document, "properties.uniqueId", write.uid.as_hyphenated().to_string());
    set(document, "properties.timeCreated", timestamp::format_ms(write.created_ms()));
    set_default(document, "properties.encryption", json!({ "type": "EncryptionAtRestWithPlatformKey" }));
    set_default(document, "properties.networkAccessPolicy", "AllowAll");
    set_default(document, "properties.publicNetworkAccess", "Enabled");
    let Some(source) = source else { return };
    let facts = [("osType", &source.facts.os_type), ("hyperVGeneration", &source.facts.hyper_v_generation)];
    for (name, fact) in facts {
        if let Some(fact) = fact {
            set_default(document, &format!("properties.{name}"), fact.as_str());
        }
    }
    if let Some(unique_id) = source.unique_id {
        set(document, "properties.creationData.sourceUniqueId", Uuid::as_hyphenated(&unique_id).to_string());
    }
}

fn fill_in_sku(document: &mut Value) {
    set_default(document, "sku.name", "Standard_LRS");
    let name = text(document, "sku.name").unwrap_or("Standard_LRS").to_owned();
    let tier = match name.as_str() {
        "UltraSSD_LRS" => "Ultra",
        name if name.starts_with("Premium") => "Premium",
        _ => "Standard",
    };
    set(document, "sku.tier", tier);
}

/// What never changes in a disk or snapshot.
pub(crate) fn hold_still(document: &mut Value, stored: &Value, parameter: &str) -> Result<(), ArmError> {
    document::hold_still(
        document,
        stored,
        parameter,
        &[
            creation_data::OPTION,
            creation_data::SOURCE_ID,
            creation_data::UPLOAD_BYTES,
            creation_data::IMAGE_ID,
            creation_data::SHARED_IMAGE_ID,
            creation_data::COMMUNITY_IMAGE_ID,
            creation_data::IMAGE_LUN,
        ],
    )?;
    set(document, creation_data::PATH, stored["properties"]["creationData"].clone());
    if let (Some(wanted), Some(actual)) = (integer(document, SIZE_GB), integer(stored, SIZE_GB)) {
        check_size(wanted, actual.unsigned_abs())?;
    }
    let kept = ["sku", "properties.osType", "properties.hyperVGeneration", "properties.encryption"];
    let constant = ["properties.uniqueId", "properties.timeCreated", "properties.diskSizeBytes", SIZE_GB];
    let defaults = ["properties.networkAccessPolicy", "properties.publicNetworkAccess"];
    for path in kept.iter().chain(&constant).chain(&defaults) {
        keep(document, stored, path);
    }
    fill_in_sku(document);
    Ok(())
}

#[cfg(test)]
mod tests;
