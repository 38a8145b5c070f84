//! `$filter`, as far as az sends it: clauses joined by `and`, each `x eq 'y'`, `startswith(x,'y')` or `x/any(c:c eq 'y')`.

use galerie_arm::ArmError;
use galerie_control::directory::error;
use serde_json::Value;

/// Longest filter, in bytes, and the most clauses.
const LONGEST_FILTER_BYTES: usize = 4096;
const MOST_CLAUSES: usize = 16;

/// A conjunction.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Filter(Vec<Clause>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Clause {
    property: String,
    test: Test,
    value: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Test {
    Equal,
    StartsWith,
    /// Of a list of texts, one is equal.
    Any,
}

impl Filter {
    /// Reads a filter; none is one that lets everything through.
    ///
    /// # Errors
    /// `Request_UnsupportedQuery`.
    pub(super) fn parse(text: Option<&str>) -> Result<Self, ArmError> {
        let text = text.unwrap_or_default();
        let unsupported = || error::unsupported_filter(text);
        if text.len() > LONGEST_FILTER_BYTES {
            return Err(unsupported());
        }
        let mut clauses = Vec::new();
        let mut rest = text.trim();
        while !rest.is_empty() {
            let (clause, behind) = clause(rest).ok_or_else(unsupported)?;
            clauses.push(clause);
            if clauses.len() > MOST_CLAUSES {
                return Err(unsupported());
            }
            rest = match behind.trim_start() {
                "" => "",
                // What follows `and` is a clause, so it is not empty.
                more => word(more, "and").filter(|more| !more.trim().is_empty()).ok_or_else(unsupported)?.trim_start(),
            };
        }
        Ok(Self(clauses))
    }

    /// The value that a property must equal.
    pub(super) fn equal(&self, property: &str) -> Option<&str> {
        self.value(property, Test::Equal)
    }

    /// What a property must begin with; equal is one way to begin.
    pub(super) fn prefix(&self, property: &str) -> Option<&str> {
        self.equal(property).or_else(|| self.value(property, Test::StartsWith))
    }

    /// The value that must be in a list.
    pub(super) fn any(&self, property: &str) -> Option<&str> {
        self.value(property, Test::Any)
    }

    fn value(&self, property: &str, test: Test) -> Option<&str> {
        let found = self.0.iter().find(|clause| clause.test == test && clause.property.eq_ignore_ascii_case(property));
        found.map(|clause| clause.value.as_str())
    }

    /// Whether an object's document passes.
    pub(super) fn matches(&self, document: &Value) -> bool {
        self.0.iter().all(|clause| clause.matches(document))
    }
}

impl Clause {
    fn matches(&self, document: &Value) -> bool {
        let mut found = document;
        for name in self.property.split('/') {
            let member = found.as_object().and_then(|object| {
                object.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
            });
            match member {
                Some(member) => found = member,
                None => return self.test == Test::Equal && self.value == "null",
            }
        }
        let equals = |value: &Value| match value {
            Value::String(text) => text.to_lowercase() == self.value.to_lowercase(),
            Value::Bool(_) | Value::Number(_) | Value::Null => *value.to_string() == *self.value,
            _ => false,
        };
        match self.test {
            Test::Equal => equals(found),
            Test::StartsWith => {
                found.as_str().is_some_and(|text| text.to_lowercase().starts_with(&self.value.to_lowercase()))
            }
            Test::Any => found.as_array().is_some_and(|list| list.iter().any(equals)),
        }
    }
}

/// The clause at the beginning of a text, and what is behind it.
fn clause(text: &str) -> Option<(Clause, &str)> {
    if let Some(rest) = word(text, "startswith") {
        let rest = rest.trim_start().strip_prefix('(')?;
        let (property, rest) = property(rest.trim_start())?;
        let (value, rest) = literal(rest.trim_start().strip_prefix(',')?.trim_start())?;
        let rest = rest.trim_start().strip_prefix(')')?;
        return Some((Clause { property, test: Test::StartsWith, value }, rest));
    }
    let (name, rest) = property(text)?;
    if let Some(list) = name.strip_suffix("/any") {
        let rest = rest.trim_start().strip_prefix('(')?;
        let (variable, rest) = property(rest.trim_start())?;
        let rest = rest.trim_start().strip_prefix(':')?;
        let rest = rest.trim_start().strip_prefix(variable.as_str())?;
        let (value, rest) = literal(word(rest.trim_start(), "eq")?.trim_start())?;
        let rest = rest.trim_start().strip_prefix(')')?;
        return Some((Clause { property: list.to_owned(), test: Test::Any, value }, rest));
    }
    let (value, rest) = literal(word(rest.trim_start(), "eq")?.trim_start())?;
    Some((Clause { property: name, test: Test::Equal, value }, rest))
}

/// What is behind a keyword, in any case.
fn word<'a>(text: &'a str, keyword: &str) -> Option<&'a str> {
    let head = text.get(..keyword.len())?;
    let rest = &text[keyword.len()..];
    let ends = !rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_' || c == '/');
    (head.eq_ignore_ascii_case(keyword) && ends).then_some(rest)
}

/// The name at the beginning of a text.
fn property(text: &str) -> Option<(String, &str)> {
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '/').unwrap_or(text.len());
    (end > 0).then(|| (text[..end].to_owned(), &text[end..]))
}

/// The literal at the beginning of a text: quoted, with quotes doubled inside; or a GUID, a number, true, false, null.
fn literal(text: &str) -> Option<(String, &str)> {
    let Some(mut rest) = text.strip_prefix('\'') else {
        let end = text.find(|c: char| !c.is_ascii_alphanumeric() && !"-.".contains(c)).unwrap_or(text.len());
        return (end > 0).then(|| (text[..end].to_owned(), &text[end..]));
    };
    let mut value = String::new();
    loop {
        let end = rest.find('\'')?;
        value.push_str(&rest[..end]);
        rest = &rest[end + 1..];
        match rest.strip_prefix('\'') {
            Some(more) => {
                value.push('\'');
                rest = more;
            }
            None => return Some((value, rest)),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn check(filter: &str, document: &Value, expected: bool) {
        let parsed = Filter::parse(Some(filter)).unwrap_or_else(|error| panic!("{filter}: {error}"));
        assert_eq!(parsed.matches(document), expected, "{filter}");
    }

    #[test]
    fn what_az_sends() {
        let document = json!({
            "displayName": "Build 'n' Deploy",
            "appId": "04b07795-8ddb-461a-bbee-02f9e1bf7b46",
            "mailNickname": "build",
            "accountEnabled": true,
            "web": { "homePageUrl": "https://x" },
            "servicePrincipalNames": ["04b07795-8ddb-461a-bbee-02f9e1bf7b46", "api://Build"]
        });
        for (filter, expected) in [
            ("", true),
            ("displayName eq 'Build ''n'' Deploy'", true),
            ("displayName eq 'BUILD ''N'' DEPLOY'", true),
            ("displayName eq 'Build'", false),
            ("startswith(displayName,'build')", true),
            ("startsWith( displayName , 'x')", false),
            ("servicePrincipalNames/any(c:c eq 'api://build')", true),
            ("servicePrincipalNames/any(x: x eq 'other')", false),
            ("displayName eq 'x' and mailNickname eq 'build'", false),
            ("startswith(displayName,'B') and mailNickname eq 'build'", true),
            ("appId eq 04b07795-8ddb-461a-bbee-02f9e1bf7b46", true),
            ("accountEnabled eq true", true),
            ("accountEnabled eq false", false),
            ("web/homePageUrl eq 'https://x'", true),
            ("mail eq null", true),
            ("mail eq 'x'", false),
        ] {
            check(filter, &document, expected);
        }
        let filter = Filter::parse(Some("servicePrincipalNames/any(c:c eq 'x')")).unwrap();
        assert_eq!((filter.any("serviceprincipalnames"), filter.equal("servicePrincipalNames")), (Some("x"), None));
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for filter in [
            "displayName",
            "displayName eq",
            "displayName eq 'x",
            "displayName ne 'x'",
            "displayName eq 'x' or displayName eq 'y'",
            "displayName eq 'x' and",
            "not(displayName eq 'x')",
            "startswith(displayName)",
            "x/any(c:d eq 'y')",
            "displayName eq 'x'displayName eq 'y'",
            &format!("displayName eq '{}'", "x".repeat(5000)),
            &vec!["a eq 'b'"; 17].join(" and "),
        ] {
            assert!(Filter::parse(Some(filter)).is_err(), "{filter}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_answered(text in "[a-z(),:/' éand eq]{0,60}") {
            let _ = Filter::parse(Some(&text));
        }

        #[test]
        fn a_quoted_value_is_read_back(value in "\\PC{0,40}") {
            let filter = Filter::parse(Some(&format!("x eq '{}'", value.replace('\'', "''")))).unwrap();
            prop_assert_eq!(filter.equal("x"), Some(value.as_str()));
        }
    }
}
