//! `customActions` of an application or of one of its versions: scripts that can be run with it, and their parameters.

use std::collections::HashSet;

use galerie_arm::ArmError;
use serde_json::Value;

use crate::resource::{
    document::{at, list, text},
    plan::Write,
};

/// The longest script, in characters; the same as of the other commands.
const SCRIPT_MOST_CHARS: usize = 4096;

/// Checks that actions have names and scripts, parameters names, that names are unique in their list, and that only a text
/// has a default value. Names compare without regard to case.
///
/// # Errors
/// `InvalidParameter` that names the member.
pub(crate) fn check(write: &Write<'_>, path: &str) -> Result<(), ArmError> {
    let refused = |member: &str, message: String| {
        Err(ArmError::invalid_parameter(&write.target(&format!("{path}.{member}")), message))
    };
    let actions = list(&write.document, path);
    if let Some(message) = unnamed_or_twice(actions, "custom action") {
        return refused("name", message);
    }
    for action in actions {
        let name = text(action, "name").unwrap_or_default();
        match text(action, "script").map(|script| script.chars().count()) {
            None => return refused("script", format!("The custom action '{name}' must have a script.")),
            Some(length) if length > SCRIPT_MOST_CHARS => {
                return refused(
                    "script",
                    format!(
                        "The script of the custom action '{name}' has {length} characters. It can have {SCRIPT_MOST_CHARS} at most."
                    ),
                );
            }
            Some(_) => {}
        }
        let parameters = list(action, "parameters");
        if let Some(message) = unnamed_or_twice(parameters, &format!("parameter of the custom action '{name}'")) {
            return refused("parameters.name", message);
        }
        let is_text =
            |parameter: &&Value| text(parameter, "type").is_none_or(|kind| kind.eq_ignore_ascii_case("String"));
        let with_default = |parameter: &&Value| at(parameter, "defaultValue").is_some();
        if let Some(other) = parameters.iter().find(|parameter| with_default(parameter) && !is_text(parameter)) {
            let parameter = text(other, "name").unwrap_or_default();
            let message = format!("The parameter '{parameter}' is no String, so it has no default value.");
            return refused("parameters.defaultValue", message);
        }
    }
    Ok(())
}

/// What is wrong with the names in a list.
pub(crate) fn unnamed_or_twice(entries: &[Value], what: &str) -> Option<String> {
    let mut seen = HashSet::new();
    entries.iter().find_map(|entry| {
        let name = text(entry, "name").unwrap_or_default();
        if name.trim().is_empty() {
            return Some(format!("Every {what} must have a name."));
        }
        (!seen.insert(name.to_lowercase())).then(|| format!("The name '{name}' of a {what} is there twice."))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::resource::testing::{GALLERY, Given};

    fn refused_at(actions: Value) -> Option<String> {
        let given =
            Given::new(&format!("{GALLERY}/applications/a"), json!({ "properties": { "customActions": actions } }));
        let error = check(&given.write(), "properties.customActions").err()?;
        assert_eq!((error.status, error.code.as_ref()), (400, "InvalidParameter"));
        error.target.map(|target| target.trim_start_matches("galleryApplication.properties.customActions.").to_owned())
    }

    #[test]
    fn what_contradicts_itself_is_named() {
        let action = |parameters: Value| json!([{ "name": "a", "script": "s", "parameters": parameters }]);
        for (actions, expected) in [
            (json!([]), None),
            (action(json!([{ "name": "p", "type": "String", "defaultValue": "d" }, { "name": "q" }])), None),
            (action(json!([{ "name": "p", "type": "LogOutputBlob" }])), None),
            (json!([{ "script": "s" }]), Some("name")),
            (json!([{ "name": "a", "script": "s" }, { "name": "A", "script": "s" }]), Some("name")),
            (json!([{ "name": "a" }]), Some("script")),
            (json!([{ "name": "a", "script": "s".repeat(4097) }]), Some("script")),
            (action(json!([{ "type": "String" }])), Some("parameters.name")),
            (action(json!([{ "name": "p" }, { "name": "P" }])), Some("parameters.name")),
            (
                action(
                    json!([{ "name": "p", "type": "ConfigurationDataBlob", "defaultValue": "" , "required": true }]),
                ),
                Some("parameters.defaultValue"),
            ),
        ] {
            assert_eq!(refused_at(actions.clone()).as_deref(), expected, "{actions}");
        }
    }
}
