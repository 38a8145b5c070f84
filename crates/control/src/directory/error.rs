//! What a directory refuses, with Microsoft Graph's codes and words.

use galerie_arm::ArmError;

use crate::identity::WeakPassword;

/// The request cannot be understood, or breaks a rule that the message names.
pub fn bad_request(message: impl Into<String>) -> ArmError {
    ArmError::new(400, "Request_BadRequest", message.into())
}

/// A property's value breaks a rule.
pub fn invalid_value(property: &str, rule: &str) -> ArmError {
    bad_request(format!("Invalid value specified for property '{property}' of the resource: {rule}."))
}

/// A property that must be there is not.
pub fn missing(property: &str, resource: &str) -> ArmError {
    bad_request(format!("A value is required for property '{property}' of resource '{resource}'."))
}

/// A property that is not known.
pub fn unknown_property(property: &str, resource: &str) -> ArmError {
    bad_request(format!("Invalid property '{}': resource '{resource}' has none of this name here.", shown(property)))
}

/// A property that only the service sets.
pub fn read_only(property: &str) -> ArmError {
    bad_request(format!("Property '{property}' is read-only and cannot be set."))
}

/// A filter that is not understood.
pub fn unsupported_filter(filter: &str) -> ArmError {
    let message = format!(
        "Unsupported or invalid query filter clause specified: '{}'. Supported are eq, startswith and any(x:x eq ..), joined by \
         'and'.",
        shown(filter)
    );
    ArmError::new(400, "Request_UnsupportedQuery", message)
}

/// No object of this id in the tenant.
pub fn not_found(id: &str) -> ArmError {
    let message = format!(
        "Resource '{}' does not exist or one of its queried reference-property objects are not present.",
        shown(id)
    );
    ArmError::new(404, "Request_ResourceNotFound", message)
}

/// The caller has no right to it.
pub(crate) fn denied() -> ArmError {
    ArmError::new(403, "Authorization_RequestDenied", "Insufficient privileges to complete the operation.")
}

/// Another object has the value.
pub(crate) fn taken(property: &str) -> ArmError {
    bad_request(format!("Another object with the same value for property {property} already exists."))
}

/// A member or an owner that is one already.
pub(crate) fn already_referenced(property: &str) -> ArmError {
    bad_request(format!(
        "One or more added object references already exist for the following modified properties: '{property}'."
    ))
}

/// An application has a service principal in the tenant already.
pub(crate) fn principal_exists(app_id: &str) -> ArmError {
    let message = format!(
        "The service principal cannot be created, updated, or restored because the service principal name {app_id} is already \
         in use."
    );
    ArmError::new(409, "Request_MultipleObjectsWithSameKeyValue", message)
}

/// The directory, or an object of it, is full.
pub(crate) fn quota_exceeded(most: u64) -> ArmError {
    let message = format!("The directory object quota limit is exceeded: there may be {most}.");
    ArmError::new(403, "Directory_QuotaExceeded", message)
}

/// An external issuer's tokens made as many principals as the configuration lets them.
pub(crate) fn too_many_from_outside(most: u64) -> ArmError {
    let message = format!(
        "The token's issuer may bring {most} principals into the directory, and has; ask who runs this gallery \
         (external_issuers, max_principals)."
    );
    ArmError::new(403, "Directory_QuotaExceeded", message)
}

/// The text cannot be a password.
pub(crate) fn weak_password(why: WeakPassword) -> ArmError {
    bad_request(format!(
        "The specified password does not comply with password complexity requirements: {why}. Please provide a different password."
    ))
}

/// A caller's text as an error repeats it.
fn shown(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(200).collect()
}
