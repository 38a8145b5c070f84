//! `$filter` of resource lists: `resourceGroup eq 'x'` and `resourceType eq 'x'`, joined by `and`.

use galerie_arm::ArmError;

use crate::odata;

/// What a list is narrowed to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Filter {
    pub(super) resource_group: Option<String>,
    pub(super) resource_type: Option<String>,
}

impl Filter {
    /// Reads a filter; none narrows nothing.
    ///
    /// # Errors
    /// `InvalidParameter` for anything beside equality of group and type.
    pub(super) fn parse(text: Option<&str>) -> Result<Self, ArmError> {
        Self::try_parse(text).ok_or_else(|| ArmError::invalid_query("$filter", text.unwrap_or_default()))
    }

    fn try_parse(text: Option<&str>) -> Option<Self> {
        let mut filter = Self::default();
        for condition in odata::conditions(text)? {
            let value = Some(condition.equal_text()?.to_owned());
            match condition.name.as_str() {
                "resourcegroup" => filter.resource_group = value,
                "resourcetype" => filter.resource_type = value,
                _ => return None,
            }
        }
        Some(filter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn group_and_type() {
        let filter = |group: Option<&str>, resource_type: Option<&str>| {
            let owned = |text: Option<&str>| text.map(str::to_owned);
            Some(Filter { resource_group: owned(group), resource_type: owned(resource_type) })
        };
        for (text, expected) in [
            ("", filter(None, None)),
            ("resourceGroup eq 'RG'", filter(Some("RG"), None)),
            ("ResourceType EQ 'a/b' And resourcegroup eq 'r g'", filter(Some("r g"), Some("a/b"))),
            ("resourceGroup eq 'RG' and", None),
            ("resourceGroup ne 'RG'", None),
            ("tagName eq 'x'", None),
            ("resourceGroup eq RG", None),
            ("resourceGroup eq 'RG", None),
            ("resourceGroup", None),
        ] {
            assert_eq!(Filter::parse(Some(text)).ok(), expected, "{text}");
        }
    }
}
