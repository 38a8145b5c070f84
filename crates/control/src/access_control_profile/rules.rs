//! `rules` of a profile's version: privileges, the roles that have them, identities, and which of these have which roles.

use std::collections::HashSet;

use galerie_arm::ArmError;
use serde_json::Value;

use crate::resource::document::{list, text};

const RULES: &str = "properties.rules";
const PARAMETER: &str = "galleryInVMAccessControlProfileVersion";

/// Checks that names are there, are unique in their list, and that everything that is referred to is there. Names compare
/// without regard to case.
///
/// # Errors
/// `InvalidParameter` that names the member.
pub(crate) fn check(document: &Value) -> Result<(), ArmError> {
    let privileges = names(document, "privileges", "name")?;
    let roles = names(document, "roles", "name")?;
    let identities = names(document, "identities", "name")?;
    names(document, "roleAssignments", "role")?;
    for role in entries(document, "roles") {
        refers(role, "roles.privileges", "privileges", &privileges)?;
    }
    for assignment in entries(document, "roleAssignments") {
        let role = text(assignment, "role").unwrap_or_default();
        if !roles.contains(&role.to_lowercase()) {
            return Err(unknown("roleAssignments.role", role));
        }
        refers(assignment, "roleAssignments.identities", "identities", &identities)?;
    }
    Ok(())
}

fn entries<'a>(document: &'a Value, of: &str) -> &'a [Value] {
    list(document, &format!("{RULES}.{of}"))
}

/// The folded names in a list.
fn names(document: &Value, of: &str, member: &str) -> Result<HashSet<String>, ArmError> {
    let mut seen = HashSet::new();
    for entry in entries(document, of) {
        let name = text(entry, member).unwrap_or_default();
        if name.trim().is_empty() {
            return Err(refused(&format!("{of}.{member}"), &format!("Every entry of '{of}' must have a {member}.")));
        }
        if !seen.insert(name.to_lowercase()) {
            return Err(refused(&format!("{of}.{member}"), &format!("'{name}' is twice among '{of}'.")));
        }
    }
    Ok(seen)
}

/// Checks what an entry's list refers to.
fn refers(entry: &Value, path: &str, member: &str, known: &HashSet<String>) -> Result<(), ArmError> {
    let named = list(entry, member).iter().filter_map(Value::as_str);
    match named.into_iter().find(|name| !known.contains(&name.to_lowercase())) {
        Some(name) => Err(unknown(path, name)),
        None => Ok(()),
    }
}

fn unknown(path: &str, name: &str) -> ArmError {
    refused(path, &format!("'{name}' is not among the names that the rules define."))
}

fn refused(path: &str, message: &str) -> ArmError {
    ArmError::invalid_parameter(&format!("{PARAMETER}.{RULES}.{path}"), message.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rules() -> Value {
        json!({
            "privileges": [{ "name": "GoalState", "path": "/machine", "queryParameters": { "comp": "goalstate" } }],
            "roles": [{ "name": "Provisioning", "privileges": ["goalstate"] }],
            "identities": [{ "name": "WinPA", "userName": "SYSTEM", "exePath": "C:\\agent.exe" }],
            "roleAssignments": [{ "role": "provisioning", "identities": ["WinPA"] }]
        })
    }

    fn refused_at(rules: Value) -> Option<String> {
        let error = check(&json!({ "properties": { "rules": rules } })).err()?;
        assert_eq!((error.status, error.code.as_ref()), (400, "InvalidParameter"));
        error.target.map(|target| target.trim_start_matches(&format!("{PARAMETER}.{RULES}.")).to_owned())
    }

    #[test]
    fn what_refers_to_what_is_there_is_taken() {
        assert_eq!(refused_at(rules()), None);
        assert_eq!(refused_at(json!({})), None);
    }

    #[test]
    fn what_refers_to_nothing_is_named() {
        for (pointer, value, expected) in [
            ("/roles/0/privileges/0", json!("Nothing"), "roles.privileges"),
            ("/roleAssignments/0/role", json!("Nobody"), "roleAssignments.role"),
            ("/roleAssignments/0/identities/0", json!("nobody"), "roleAssignments.identities"),
            ("/privileges/0/name", json!(" "), "privileges.name"),
            ("/identities", json!([{ "name": "WinPA" }, { "name": "winpa" }]), "identities.name"),
        ] {
            let mut rules = rules();
            *rules.pointer_mut(pointer).unwrap() = value;
            assert_eq!(refused_at(rules).as_deref(), Some(expected), "{pointer}");
        }
    }
}
