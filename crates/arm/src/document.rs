//! What every resource document has in common: reading its typed view, and the envelope of an answer.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::error::ArmError;
use crate::resource_id::{ResourceId, ResourceType};

/// A typed view of a document: only the properties that rules decide on. Everything else stays in the [`Value`].
pub trait Document: DeserializeOwned {
    /// The type whose documents these are.
    const TYPE: ResourceType;

    /// Reads the view of an accepted or stored document.
    ///
    /// # Errors
    /// `BadRequest` for a value that only an api-version newer than our data could have let through.
    fn read(document: &Value) -> Result<Self, ArmError> {
        Self::deserialize(document)
            .map_err(|error| ArmError::bad_body(Self::TYPE.body_parameter(), "", error.to_string()))
    }
}

/// The document of an answer, in Compute's order: `name`, `id`, `type`, `location`, `tags`, `properties`, then the rest.
/// `id` is shown as it is spelled there, `type` in the specification's spelling.
#[must_use]
pub fn envelope(shown: Value, id: &ResourceId, resource_type: ResourceType) -> Value {
    let mut rest = match shown {
        Value::Object(members) => members,
        _ => Map::new(),
    };
    let mut whole = Map::with_capacity(rest.len() + 3);
    whole.insert("name".to_owned(), id.name().into());
    whole.insert("id".to_owned(), id.as_str().into());
    whole.insert("type".to_owned(), resource_type.as_str().into());
    for name in ["name", "id", "type"] {
        rest.shift_remove(name);
    }
    for name in ["location", "tags", "properties"] {
        if let Some(value) = rest.shift_remove(name) {
            whole.insert(name.to_owned(), value);
        }
    }
    whole.extend(rest);
    Value::Object(whole)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_envelope_has_computes_order() {
        let id = "/subscriptions/f4662c1d-e072-46af-8700-b8ca2968ccab/resourceGroups/RG/providers/Microsoft.Compute/galleries/G";
        let shown = json!({ "etag": "x", "properties": {}, "name": "other", "location": "eastus" });
        let whole = envelope(shown, &id.parse().unwrap(), ResourceType::Gallery);
        let expected = format!(
            r#"{{"name":"G","id":"{id}","type":"Microsoft.Compute/galleries","location":"eastus","properties":{{}},"etag":"x"}}"#
        );
        assert_eq!(whole.to_string(), expected);
    }
}
