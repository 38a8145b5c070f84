//! The rules of an application's versions: the package, the commands that install, remove and update it, and the rest that
//! guests' agents read.

use galerie_arm::ArmError;

use super::custom_action;
use crate::{
    package::{self, Part, Surroundings},
    resource::{
        document::{required_text, set_default, text},
        plan::{OS_LUN, Plan, Write},
    },
};

/// The configuration's place beside the package's.
const CONFIGURATION_LUN: i64 = 0;
/// What names bytes.
pub(crate) const PARTS: &[Part] = &[
    Part { lun: OS_LUN, property: "properties.publishingProfile.source.mediaLink" },
    Part { lun: CONFIGURATION_LUN, property: "properties.publishingProfile.source.defaultConfigurationLink" },
];
const INSTALL: &str = "properties.publishingProfile.manageActions.install";
const REMOVE: &str = "properties.publishingProfile.manageActions.remove";
/// What is "limited to 4096 characters", in the specification's words.
const LIMITED: &[&str] = &[
    INSTALL,
    REMOVE,
    "properties.publishingProfile.manageActions.update",
    "properties.publishingProfile.settings.packageFileName",
    "properties.publishingProfile.settings.configFileName",
];
const MOST_CHARS: usize = 4096;

/// Decides about a write to an application's version.
///
/// # Errors
/// Commands that are missing or too long, custom actions that contradict themselves; see [`package::plan`].
pub(crate) fn plan(mut write: Write<'_>, around: &Surroundings) -> Result<Plan, ArmError> {
    if text(&write.document, PARTS[0].property).is_some() || write.existing.is_some() {
        required_text(&write.document, INSTALL)?;
        required_text(&write.document, REMOVE)?;
    }
    package::check_lengths(&write, LIMITED, MOST_CHARS)?;
    custom_action::check(&write, "properties.publishingProfile.customActions")?;
    set_default(&mut write.document, "properties.publishingProfile.enableHealthCheck", false);
    package::plan(write, PARTS, around)
}
