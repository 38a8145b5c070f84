//! An image version's target regions, and what its publishing profile says of all of them.

use galerie_arm::ArmError;
use serde_json::Value;

use crate::{
    resource::{
        document::{self, integer, list, set_default, text},
        plan::Write,
    },
    target_regions::{self, Defaults, Target, check_count},
};

const REPLICA_COUNT: &str = "properties.publishingProfile.replicaCount";
const STORAGE_TYPE: &str = "properties.publishingProfile.storageAccountType";
const TARGET_REGIONS: &str = "properties.publishingProfile.targetRegions";
const EXTENDED: &str = "properties.publishingProfile.targetExtendedLocations";

/// Fills in and checks the target regions of `document`, and returns them.
///
/// # Errors
/// Edge zones; a count out of range or a changed storage type, of the profile or of a region; see [`target_regions::fill_in`].
pub(crate) fn fill_in(document: &mut Value, write: &Write<'_>) -> Result<Vec<Target>, ArmError> {
    if !list(document, EXTENDED).is_empty() {
        let message = "Target extended locations (edge zones) are not supported by this server.";
        return Err(ArmError::invalid_parameter(&write.target(EXTENDED), message));
    }
    set_default(document, REPLICA_COUNT, 1);
    let count = check_count("replicaCount", integer(document, REPLICA_COUNT).unwrap_or(1))?;
    if let Some(stored) = write.stored() {
        document::hold_still(document, stored, write.resource_type.body_parameter(), &[STORAGE_TYPE])?;
    }
    set_default(document, STORAGE_TYPE, "Standard_LRS");
    let storage_account_type = text(document, STORAGE_TYPE).unwrap_or("Standard_LRS").to_owned();
    let defaults = Defaults { count, storage_account_type: &storage_account_type };
    target_regions::fill_in(document, TARGET_REGIONS, write, defaults)
}
