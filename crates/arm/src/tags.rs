//! Tags: what users label resources with. Limits as Azure Resource Manager has them.

use serde_json::Value;

use crate::error::ArmError;

/// Most tags on one resource.
pub const MOST_TAGS: usize = 50;
/// Longest tag name, in characters.
pub const LONGEST_NAME_CHARS: usize = 512;
/// Longest tag value, in characters.
pub const LONGEST_VALUE_CHARS: usize = 256;
/// Characters that a tag name must not contain.
const FORBIDDEN_IN_NAME: &[char] = &['<', '>', '%', '&', '\\', '?', '/'];

/// Checks the `tags` member of an accepted document (absent is fine). Names are unique regardless of case.
///
/// # Errors
/// `InvalidTagName`, `InvalidTagValueLength`, `InvalidTags`: all 400.
pub fn check(document: &Value) -> Result<(), ArmError> {
    let Some(tags) = document.get("tags") else { return Ok(()) };
    let Some(tags) = tags.as_object() else {
        return Err(ArmError::bad_request("InvalidTags", "The 'tags' member must be an object of strings."));
    };
    if tags.len() > MOST_TAGS {
        let text = format!("The number of tags '{}' exceeds the maximum allowed number of '{MOST_TAGS}'.", tags.len());
        return Err(ArmError::bad_request("TooManyTags", &text));
    }
    let mut folded_names = std::collections::HashSet::with_capacity(tags.len());
    for (name, value) in tags {
        check_one(name, value)?;
        if !folded_names.insert(name.to_lowercase()) {
            let text = format!("Invalid tag name '{name}': tag names are not case sensitive and must be unique.");
            return Err(ArmError::bad_request("InvalidTagName", &text));
        }
    }
    Ok(())
}

fn check_one(name: &str, value: &Value) -> Result<(), ArmError> {
    let length = name.chars().count();
    if length == 0 || length > LONGEST_NAME_CHARS || name.contains(FORBIDDEN_IN_NAME) || name.contains(char::is_control)
    {
        let text = format!(
            "The tag name '{}' is not valid: it must have 1 to {LONGEST_NAME_CHARS} characters, none of them <>%&\\?/ \
             or a control character.",
            crate::error::quoted(name)
        );
        return Err(ArmError::bad_request("InvalidTagName", &text));
    }
    match value {
        Value::String(text) if text.chars().count() <= LONGEST_VALUE_CHARS => Ok(()),
        Value::String(_) => {
            let text =
                format!("Tag value of '{name}' is too large: at most {LONGEST_VALUE_CHARS} characters are allowed.");
            Err(ArmError::bad_request("InvalidTagValueLength", &text))
        }
        _ => Err(ArmError::bad_request("InvalidTags", &format!("The value of tag '{name}' must be a string."))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn limits() {
        let many: serde_json::Map<_, _> = (0..=MOST_TAGS).map(|n| (n.to_string(), json!(""))).collect();
        assert_eq!(check(&json!({})), Ok(()));
        assert_eq!(check(&json!({ "tags": { "a": "", "b": "ä".repeat(256) } })), Ok(()));
        for (tags, code) in [
            (json!({ "a": 1 }), "InvalidTags"),
            (json!([]), "InvalidTags"),
            (json!({ "": "x" }), "InvalidTagName"),
            (json!({ "a/b": "x" }), "InvalidTagName"),
            (json!({ "a": "x", "A": "y" }), "InvalidTagName"),
            (json!({ "a": "x".repeat(257) }), "InvalidTagValueLength"),
            (many.into(), "TooManyTags"),
        ] {
            assert_eq!(check(&json!({ "tags": tags })).unwrap_err().code, code);
        }
    }
}
