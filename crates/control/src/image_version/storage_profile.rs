//! What an image version is made from.
//!
//! One source under `storageProfile.source` (a managed image or another version; `arm::schema` moves the older shape's
//! `publishingProfile.source` there), or one for each disk under `osDiskImage` and `dataDiskImages` (disks and snapshots).
//! Chosen at creation; later an empty storage profile means the stored one.

use galerie_arm::ArmError;
use serde_json::{Value, json};

use crate::{
    resource::{
        document::{self, list, set, set_default, text},
        plan::{HeldImage, OS_LUN},
    },
    source::Source,
};

const PROFILE: &str = "properties.storageProfile";
const SOURCE_ID: &str = "properties.storageProfile.source.id";
const OS_IMAGE: &str = "properties.storageProfile.osDiskImage";
const DATA_IMAGES: &str = "properties.storageProfile.dataDiskImages";

/// Highest lun.
const MOST_LUN: i64 = 63;
/// Most data disks: one for each lun.
const MOST_DATA_DISKS: usize = 64;

/// What may stand at one place of a storage profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fit {
    /// A managed image or an image version: every disk at once.
    Whole,
    /// A disk or a snapshot: one disk.
    OneDisk,
}

/// A source that a body names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// As the client wrote it.
    pub(crate) id: String,
    /// The property that held it.
    pub(crate) target: String,
    /// What it may be.
    pub(crate) fit: Fit,
    /// Which disk it becomes, for one disk.
    pub(crate) lun: i64,
}

/// The sources that a new version's body names.
///
/// # Errors
/// Both styles at once, none, luns or disks twice, a kind of source that this server does not have.
pub(crate) fn wanted(document: &Value) -> Result<Vec<Wanted>, ArmError> {
    let per_disk = wanted_disks(document)?;
    let whole = wanted_whole(document)?;
    match (whole, per_disk.is_empty()) {
        (Some(whole), true) => Ok(vec![whole]),
        (None, false) => Ok(per_disk),
        (Some(_), false) => Err(ArmError::source_given_twice()),
        (None, true) => {
            Err(ArmError::required_parameter_missing("galleryImageVersion.properties.storageProfile.source"))
        }
    }
}

fn wanted_whole(document: &Value) -> Result<Option<Wanted>, ArmError> {
    let source = "properties.storageProfile.source";
    let named: Vec<(&str, &str)> = ["id", "virtualMachineId", "communityGalleryImageId"]
        .into_iter()
        .filter_map(|name| Some((name, text(document, &format!("{source}.{name}"))?)))
        .collect();
    let Some((name, id)) = named.first().copied() else { return Ok(None) };
    if named.len() > 1 {
        let message = "Only one source of the gallery image version can be specified.";
        return Err(ArmError::invalid_parameter(&format!("galleryImageVersion.{source}"), message));
    }
    let target = format!("galleryImageVersion.{source}.{name}");
    Ok(Some(Wanted { id: id.to_owned(), target, fit: Fit::Whole, lun: OS_LUN }))
}

fn wanted_disks(document: &Value) -> Result<Vec<Wanted>, ArmError> {
    let mut wanted: Vec<Wanted> = Vec::new();
    if let Some(image) = document::at(document, OS_IMAGE) {
        wanted.extend(wanted_disk(image, &format!("galleryImageVersion.{OS_IMAGE}"), OS_LUN)?);
    }
    check_count(document)?;
    let mut luns = Vec::new();
    for (index, image) in list(document, DATA_IMAGES).iter().enumerate() {
        let lun = document::integer(image, "lun").ok_or_else(|| ArmError::required_parameter_missing("lun"))?;
        if !(0..=MOST_LUN).contains(&lun) {
            return Err(ArmError::out_of_range("lun", lun, 0, MOST_LUN));
        }
        luns.push(lun);
        wanted.extend(wanted_disk(image, &format!("galleryImageVersion.{DATA_IMAGES}[{index}]"), lun)?);
    }
    luns.sort_unstable();
    let mut twice: Vec<i64> = luns.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0]).collect();
    twice.dedup();
    if !twice.is_empty() {
        return Err(ArmError::duplicated_luns(&twice));
    }
    for (index, one) in wanted.iter().enumerate() {
        if wanted[..index].iter().any(|other| other.id.eq_ignore_ascii_case(&one.id)) {
            return Err(ArmError::duplicated_sources(&[&one.id]));
        }
    }
    if !wanted.is_empty() && wanted[0].lun != OS_LUN {
        return Err(ArmError::required_parameter_missing("galleryImageVersion.properties.storageProfile.osDiskImage"));
    }
    Ok(wanted)
}

/// What follows compares the disks with each other, so a body must not name any number of them.
fn check_count(document: &Value) -> Result<(), ArmError> {
    let count = list(document, DATA_IMAGES).len();
    if count > MOST_DATA_DISKS {
        let most = i64::try_from(MOST_DATA_DISKS).unwrap_or(i64::MAX);
        return Err(ArmError::out_of_range("dataDiskImages", i64::try_from(count).unwrap_or(i64::MAX), 0, most));
    }
    Ok(())
}

fn wanted_disk(image: &Value, target: &str, lun: i64) -> Result<Option<Wanted>, ArmError> {
    if text(image, "source.uri").is_some() {
        let message = "A VHD's URI as the source of a gallery image version is not supported by this server: upload it to a \
                       disk, and use the disk.";
        return Err(ArmError::invalid_parameter(&format!("{target}.source.uri"), message));
    }
    let target = format!("{target}.source.id");
    Ok(text(image, "source.id").map(|id| Wanted { id: id.to_owned(), target, fit: Fit::OneDisk, lun }))
}

/// Fills in the storage profile of a new version, and returns the images that it holds.
///
/// # Errors
/// A source of another OS type, state or generation than the definition's.
pub(crate) fn fill_in(
    document: &mut Value,
    definition: &Value,
    sources: &[Source],
) -> Result<Vec<HeldImage>, ArmError> {
    for source in sources {
        check_fits(source, definition)?;
    }
    let images: Vec<HeldImage> = sources.iter().flat_map(|source| source.disks.iter().map(|disk| disk.image)).collect();
    for disk in sources.iter().flat_map(|source| &source.disks) {
        let caching = disk.host_caching.as_deref().unwrap_or("None");
        if disk.image.lun == OS_LUN {
            set(document, "properties.storageProfile.osDiskImage.sizeInGB", disk.image.size_gib());
            set_default(document, "properties.storageProfile.osDiskImage.hostCaching", caching);
        } else {
            fill_in_data_disk(document, disk.image, caching);
        }
    }
    Ok(images)
}

fn fill_in_data_disk(document: &mut Value, image: HeldImage, caching: &str) {
    let mut entries = list(document, DATA_IMAGES).to_vec();
    let of_lun = |entry: &Value| document::integer(entry, "lun") == Some(image.lun);
    if !entries.iter().any(of_lun) {
        entries.push(json!({ "lun": image.lun }));
    }
    for entry in entries.iter_mut().filter(|entry| of_lun(entry)) {
        set(entry, "sizeInGB", image.size_gib());
        set_default(entry, "hostCaching", caching);
    }
    set(document, DATA_IMAGES, entries);
}

fn check_fits(source: &Source, definition: &Value) -> Result<(), ArmError> {
    let differs = |path: &str, of_source: &Option<String>| {
        let wanted = text(definition, path).unwrap_or_default();
        let of_source = of_source.as_deref().unwrap_or(wanted);
        (!wanted.eq_ignore_ascii_case(of_source)).then(|| (wanted.to_owned(), of_source.to_owned()))
    };
    if let Some((wanted, actual)) = differs("properties.osType", &source.facts.os_type) {
        return Err(ArmError::source_os_type_differs(&source.id, &wanted, &actual));
    }
    if let Some((wanted, actual)) = differs("properties.osState", &source.facts.os_state) {
        return Err(ArmError::source_os_state_differs(&source.id, &wanted, &actual));
    }
    if let Some((wanted, actual)) = differs("properties.hyperVGeneration", &source.facts.hyper_v_generation) {
        return Err(ArmError::source_generation_differs(&source.id, &wanted, &actual));
    }
    Ok(())
}

/// Keeps the stored storage profile of an existing version; what the body says must agree with it.
///
/// # Errors
/// `PropertyChangeNotAllowed`.
pub(crate) fn hold_still(document: &mut Value, stored: &Value) -> Result<(), ArmError> {
    let paths = [
        SOURCE_ID,
        "properties.storageProfile.source.virtualMachineId",
        "properties.storageProfile.source.communityGalleryImageId",
        "properties.storageProfile.osDiskImage.source.id",
        "properties.storageProfile.osDiskImage.source.uri",
        "properties.storageProfile.osDiskImage.hostCaching",
    ];
    document::hold_still(document, stored, "galleryImageVersion", &paths)?;
    hold_data_disks_still(document, stored)?;
    set(document, PROFILE, document::at(stored, PROFILE).cloned().unwrap_or_default());
    Ok(())
}

fn hold_data_disks_still(document: &Value, stored: &Value) -> Result<(), ArmError> {
    let (sent, kept) = (list(document, DATA_IMAGES), list(stored, DATA_IMAGES));
    if sent.is_empty() {
        return Ok(());
    }
    if sent.len() != kept.len() {
        return Err(ArmError::data_disks_changed());
    }
    for entry in sent {
        let lun = document::integer(entry, "lun");
        let Some(before) = kept.iter().find(|before| document::integer(before, "lun") == lun) else {
            return Err(ArmError::data_disks_changed());
        };
        document::hold_still(
            &mut entry.clone(),
            before,
            "galleryImageVersion.properties.storageProfile.dataDiskImages",
            &["source.id", "hostCaching"],
        )?;
    }
    Ok(())
}
