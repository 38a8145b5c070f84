//! `creationData`: what a disk or snapshot is made from.

use galerie_arm::ArmError;
use serde_json::Value;

use crate::resource::document::{integer, required_text, text};

pub(crate) const PATH: &str = "properties.creationData";
pub(crate) const OPTION: &str = "properties.creationData.createOption";
pub(crate) const SOURCE_ID: &str = "properties.creationData.sourceResourceId";
pub(crate) const UPLOAD_BYTES: &str = "properties.creationData.uploadSizeBytes";
pub(crate) const IMAGE_ID: &str = "properties.creationData.galleryImageReference.id";
pub(crate) const SHARED_IMAGE_ID: &str = "properties.creationData.galleryImageReference.sharedGalleryImageId";
pub(crate) const COMMUNITY_IMAGE_ID: &str = "properties.creationData.galleryImageReference.communityGalleryImageId";
pub(crate) const IMAGE_LUN: &str = "properties.creationData.galleryImageReference.lun";

/// Sizes of an upload, footer included: 20 MiB to 32 TiB. The specification's bounds of `uploadSizeBytes`.
const UPLOAD_BOUNDS: (i64, i64) = (20_972_032, 35_183_298_347_520);
/// Sizes of an empty disk, in GiB: up to the largest disk that Azure has.
const EMPTY_BOUNDS_GIB: (i64, i64) = (1, 65_536);
/// What a VHD's size is a multiple of.
const SECTOR_BYTES: i64 = 512;

/// What a new disk or snapshot is made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Creation {
    /// Zeros.
    Empty {
        /// The guest's size.
        virtual_size_bytes: u64,
    },
    /// A fixed VHD that is to be uploaded.
    Upload {
        /// The file's size: the guest's, and the footer.
        upload_bytes: u64,
    },
    /// A disk of an image version.
    FromImage {
        /// The reference as it was written.
        reference: String,
        /// The property that held it.
        property: &'static str,
        /// Which data disk; the OS disk when absent.
        lun: Option<i64>,
    },
    /// A disk or a snapshot.
    Copy {
        /// Its id as it was written.
        id: String,
    },
}

/// Reads `creationData`; `parameter` is Compute's name of the body (`disk`, `snapshot`).
///
/// # Errors
/// Missing parts, sizes out of bounds, options that this server does not have.
pub(crate) fn wanted(document: &Value, parameter: &str) -> Result<Creation, ArmError> {
    match required_text(document, OPTION)? {
        "Empty" if parameter == "disk" => empty(document),
        "Upload" if parameter == "disk" => upload(document),
        "FromImage" if parameter == "disk" => from_image(document),
        "Copy" => Ok(Creation::Copy { id: required_text(document, SOURCE_ID)?.to_owned() }),
        other => {
            let offered = if parameter == "disk" { "Empty, Upload, FromImage and Copy" } else { "Copy" };
            let message = format!(
                "The value '{other}' of parameter 'createOption' is not supported by this server for a {parameter}. \
                 Supported are: {offered}."
            );
            Err(ArmError::invalid_parameter(&format!("{parameter}.{OPTION}"), message))
        }
    }
}

fn empty(document: &Value) -> Result<Creation, ArmError> {
    let (least, most) = EMPTY_BOUNDS_GIB;
    let size_gib = integer(document, "properties.diskSizeGB")
        .ok_or_else(|| ArmError::required_parameter_missing("disk.diskSizeGB"))?;
    if !(least..=most).contains(&size_gib) {
        return Err(ArmError::out_of_range("disk.diskSizeGB", size_gib, least, most));
    }
    Ok(Creation::Empty { virtual_size_bytes: size_gib.unsigned_abs() << 30 })
}

fn upload(document: &Value) -> Result<Creation, ArmError> {
    let (least, most) = UPLOAD_BOUNDS;
    let bytes = integer(document, UPLOAD_BYTES)
        .ok_or_else(|| ArmError::required_parameter_missing("disk.creationData.uploadSizeBytes"))?;
    if !(least..=most).contains(&bytes) {
        return Err(ArmError::out_of_range("uploadSizeBytes", bytes, least, most));
    }
    if bytes % SECTOR_BYTES != 0 {
        let message = format!(
            "The value {bytes} of parameter uploadSizeBytes is invalid: a fixed VHD, its 512 byte footer included, is a \
             multiple of {SECTOR_BYTES} bytes."
        );
        return Err(ArmError::invalid_parameter(&format!("disk.{UPLOAD_BYTES}"), message));
    }
    if integer(document, "properties.diskSizeGB").is_some() {
        return Err(ArmError::parameter_not_allowed("disk.diskSizeGB"));
    }
    Ok(Creation::Upload { upload_bytes: bytes.unsigned_abs() })
}

fn from_image(document: &Value) -> Result<Creation, ArmError> {
    let named: Vec<(&'static str, &str)> = [IMAGE_ID, SHARED_IMAGE_ID, COMMUNITY_IMAGE_ID]
        .into_iter()
        .filter_map(|property| Some((property, text(document, property)?)))
        .collect();
    match named[..] {
        [(property, id)] => {
            Ok(Creation::FromImage { reference: id.to_owned(), property, lun: integer(document, IMAGE_LUN) })
        }
        [] if text(document, "properties.creationData.imageReference.id").is_some() => {
            let message = "Platform images are not supported by this server: use galleryImageReference.";
            Err(ArmError::invalid_parameter("disk.properties.creationData.imageReference", message))
        }
        [] => Err(ArmError::required_parameter_missing("disk.creationData.galleryImageReference")),
        _ => {
            let message = "Only one of id, sharedGalleryImageId and communityGalleryImageId can be specified.";
            Err(ArmError::invalid_parameter("disk.properties.creationData.galleryImageReference", message))
        }
    }
}
