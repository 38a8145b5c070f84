//! `$filter` of resource lists: `resourceGroup eq 'x'` and `resourceType eq 'x'`, joined by `and`.

use galerie_arm::ArmError;

/// Longest filter that is read, in bytes.
const LONGEST_FILTER_BYTES: usize = 2048;

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
    /// `InvalidParameter` for anything beside equality of group and type: a list that ignores its filter would mislead.
    pub(super) fn parse(text: Option<&str>) -> Result<Self, ArmError> {
        let text = text.unwrap_or_default();
        Self::try_parse(text).ok_or_else(|| ArmError::invalid_query("$filter", text))
    }

    fn try_parse(text: &str) -> Option<Self> {
        if text.len() > LONGEST_FILTER_BYTES {
            return None;
        }
        let mut filter = Self::default();
        let mut rest = text.trim();
        while !rest.is_empty() {
            let (name, after) = word(rest)?;
            let (operator, after) = word(after)?;
            if !operator.eq_ignore_ascii_case("eq") {
                return None;
            }
            let (value, after) = after.trim_start().strip_prefix('\'')?.split_once('\'')?;
            match name.to_ascii_lowercase().as_str() {
                "resourcegroup" => filter.resource_group = Some(value.to_owned()),
                "resourcetype" => filter.resource_type = Some(value.to_owned()),
                _ => return None,
            }
            rest = after.trim_start();
            if let Some((join, after)) = word(rest) {
                rest = after.trim_start();
                if !join.eq_ignore_ascii_case("and") || rest.is_empty() {
                    return None;
                }
            }
        }
        Some(filter)
    }
}

/// The next word and what follows it.
fn word(text: &str) -> Option<(&str, &str)> {
    let text = text.trim_start();
    let end = text.find(char::is_whitespace).unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

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

    proptest! {
        #[test]
        fn any_text_is_answered(text in "[ a-zA-Z'and]{0,60}|.{0,40}") {
            let _ = Filter::parse(Some(&text));
        }
    }
}
