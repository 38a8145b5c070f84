//! The rules of gallery scripts and of their versions, of 2025-03-03 and later: what guests run by name.
//!
//! A script is to its versions what an application is, and its bytes come and go as a package's do (`package`).

mod parameter;

use galerie_arm::{ArmError, ScriptName};

use crate::{
    application::plan_for_guests,
    package::{self, Part, Surroundings},
    resource::plan::{OS_LUN, Plan, Write},
};

/// What names bytes.
pub(crate) const PARTS: &[Part] = &[Part { lun: OS_LUN, property: "properties.publishingProfile.source.scriptLink" }];

/// Decides about a write to a script.
///
/// # Errors
/// A broken name, a missing or changed `supportedOSType`.
pub(crate) fn plan(write: Write<'_>) -> Result<Plan, ArmError> {
    let _: ScriptName = write.id.name_at(1)?;
    plan_for_guests(write, |_| Ok(()))
}

/// Decides about a write to a script's version.
///
/// # Errors
/// Parameters that contradict themselves; see [`package::plan`].
pub(crate) fn plan_version(write: Write<'_>, around: &Surroundings) -> Result<Plan, ArmError> {
    parameter::check(&write, "properties.publishingProfile.source.parameters")?;
    package::plan(write, PARTS, around)
}
