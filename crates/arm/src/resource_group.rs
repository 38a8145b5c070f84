//! The resource group's document.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::document::Document;
use crate::resource_id::ResourceType;

/// A resource group, as far as rules look at it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ResourceGroup {
    /// The region of its description, in any spelling; resources may be elsewhere. Immutable.
    pub location: Option<String>,
    /// Tags.
    pub tags: BTreeMap<String, String>,
    /// What manages it, if anything does. Immutable.
    pub managed_by: Option<String>,
}

impl Document for ResourceGroup {
    const TYPE: ResourceType = ResourceType::ResourceGroup;
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn reads() {
        let group =
            ResourceGroup::read(&json!({ "location": "West US", "tags": { "a": "b" }, "properties": {} })).unwrap();
        assert_eq!((group.location.as_deref(), group.tags.len()), (Some("West US"), 1));
    }
}
