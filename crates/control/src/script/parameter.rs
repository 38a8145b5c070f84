//! `parameters` of a script's version: what may be handed to it.

use galerie_arm::ArmError;
use serde_json::Value;

use crate::{
    application::unnamed_or_twice,
    resource::{
        document::{list, text},
        plan::Write,
    },
};

/// Checks that parameters have names of their own, that bounds are numbers' and values an enumeration's, and that a default
/// value fits.
///
/// # Errors
/// `InvalidParameter` that names the member.
pub(crate) fn check(write: &Write<'_>, path: &str) -> Result<(), ArmError> {
    let parameters = list(&write.document, path);
    let wrong = unnamed_or_twice(parameters, "script parameter")
        .map(|message| ("name", message))
        .or_else(|| parameters.iter().find_map(wrong));
    match wrong {
        Some((member, message)) => {
            Err(ArmError::invalid_parameter(&write.target(&format!("{path}.{member}")), message))
        }
        None => Ok(()),
    }
}

/// What is wrong with a parameter: the member, and why.
fn wrong(parameter: &Value) -> Option<(&'static str, String)> {
    let name = text(parameter, "name").unwrap_or_default();
    let kind = text(parameter, "type").unwrap_or("String");
    let (is_number, is_enum) = (matches!(kind, "Int" | "Double"), kind == "Enum");
    let values = list(parameter, "enumValues");
    if is_enum == values.is_empty() {
        let rule = if is_enum { "is an Enum: it must have enumValues" } else { "is no Enum: it has no enumValues" };
        return Some(("enumValues", format!("The parameter '{name}' {rule}.")));
    }
    let mut bounds = [None; 2];
    for (bound, member) in bounds.iter_mut().zip(["minValue", "maxValue"]) {
        let Some(said) = text(parameter, member) else { continue };
        if !is_number || !fits(said, kind, values) {
            return Some((
                member,
                format!("The {member} '{said}' of the parameter '{name}' is not of its type {kind}."),
            ));
        }
        *bound = said.parse::<f64>().ok();
    }
    if let [Some(least), Some(most)] = bounds
        && least > most
    {
        return Some(("maxValue", format!("The maxValue of the parameter '{name}' is less than its minValue.")));
    }
    let default = text(parameter, "defaultValue")?;
    let number = if is_number { default.parse::<f64>().ok() } else { None };
    let is_outside = number.is_some_and(|number| {
        bounds[0].is_some_and(|least| number < least) || bounds[1].is_some_and(|most| number > most)
    });
    if is_outside || !fits(default, kind, values) {
        return Some((
            "defaultValue",
            format!("The defaultValue '{default}' of the parameter '{name}' does not fit it."),
        ));
    }
    None
}

/// Whether a text is a value of a type.
fn fits(value: &str, kind: &str, values: &[Value]) -> bool {
    match kind {
        "Int" => value.parse::<i64>().is_ok(),
        "Double" => value.parse::<f64>().is_ok_and(f64::is_finite),
        "Boolean" => value.eq_ignore_ascii_case("true") || value.eq_ignore_ascii_case("false"),
        "Enum" => values.iter().any(|known| known == value),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::resource::testing::{GALLERY, Given};

    const PATH: &str = "properties.publishingProfile.source.parameters";

    fn refused_at(parameters: Value) -> Option<String> {
        let body = json!({ "properties": { "publishingProfile": { "source": { "parameters": parameters } } } });
        let given = Given::new(&format!("{GALLERY}/scripts/s/versions/1.0.0"), body);
        let target = check(&given.write(), PATH).err()?.target?;
        Some(target.trim_start_matches(&format!("galleryScriptVersion.{PATH}.")).to_owned())
    }

    #[test]
    fn what_contradicts_itself_is_named() {
        for (parameter, expected) in [
            (json!({ "name": "p" }), None),
            (json!({ "name": "p", "type": "Int", "minValue": "1", "maxValue": "3", "defaultValue": "2" }), None),
            (json!({ "name": "p", "type": "Enum", "enumValues": ["a", "b"], "defaultValue": "b" }), None),
            (json!({ "name": "p", "type": "Boolean", "defaultValue": "True" }), None),
            (json!({ "type": "Int" }), Some("name")),
            (json!({ "name": "p", "type": "Enum" }), Some("enumValues")),
            (json!({ "name": "p", "enumValues": ["a"] }), Some("enumValues")),
            (json!({ "name": "p", "minValue": "1" }), Some("minValue")),
            (json!({ "name": "p", "type": "Int", "maxValue": "1.5" }), Some("maxValue")),
            (json!({ "name": "p", "type": "Double", "minValue": "2", "maxValue": "1" }), Some("maxValue")),
            (json!({ "name": "p", "type": "Int", "maxValue": "3", "defaultValue": "4" }), Some("defaultValue")),
            (json!({ "name": "p", "type": "Double", "defaultValue": "NaN" }), Some("defaultValue")),
            (json!({ "name": "p", "type": "Enum", "enumValues": ["a"], "defaultValue": "c" }), Some("defaultValue")),
        ] {
            assert_eq!(refused_at(json!([parameter])).as_deref(), expected, "{parameter}");
        }
        assert_eq!(refused_at(json!([{ "name": "p" }, { "name": "P" }])).as_deref(), Some("name"));
    }
}
