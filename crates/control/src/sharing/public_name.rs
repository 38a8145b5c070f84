//! The public name of a community gallery: `{prefix}-{GUID}`, made with the gallery and never another's.

use galerie_arm::ArmError;
use serde_json::{Value, json};
use uuid::Uuid;

use super::state::{COMMUNITY_INFO, PUBLISHED};
use crate::resource::document::{list, required_text, set};

const PREFIX: &str = "properties.sharingProfile.communityGalleryInfo.publicNamePrefix";
/// Letters and digits of a prefix. The specification's own rule (and Terraform's).
const PREFIX_CHARS: std::ops::RangeInclusive<usize> = 5..=16;

/// Gives a new community gallery its name. It is not published before it is enabled.
///
/// # Errors
/// A prefix that is missing or breaks the rule.
pub(crate) fn fill_in(document: &mut Value, uid: Uuid) -> Result<(), ArmError> {
    let prefix = required_text(document, PREFIX)?;
    let shaped = PREFIX_CHARS.contains(&prefix.len()) && prefix.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if !shaped {
        let message = "The public name prefix must have 5 to 16 characters, all of them letters and digits.";
        return Err(ArmError::invalid_parameter(&format!("gallery.{PREFIX}"), message));
    }
    let public_name = format!("{prefix}-{}", uid.as_hyphenated());
    set(document, PUBLISHED, false);
    set(document, &format!("{COMMUNITY_INFO}.publicNames"), json!([public_name]));
    Ok(())
}

/// The public name in a community gallery's document.
pub(crate) fn of(document: &Value) -> Option<&str> {
    list(document, "properties.sharingProfile.communityGalleryInfo.publicNames").first()?.as_str()
}
