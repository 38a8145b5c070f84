//! Which claim says what, and what the claims of a verified token say.

use serde_json::{Map, Value};

/// Characters of a subject (OpenID Connect Core, section 2).
const LONGEST_SUBJECT_CHARS: usize = 255;
/// Where a token says that its groups are elsewhere (OpenID Connect Core, section 5.6.2).
const ELSEWHERE: &str = "_claim_names";
/// What a client is called, in the order in which it is looked for: RFC 9068, OpenID Connect, Entra.
const CLIENTS: [&str; 3] = ["client_id", "azp", "appid"];
/// An application rule's value that any value of the claim fits.
const ANY: &str = "*";

/// The names of the claims that are read. A name that begins with `/` is a JSON pointer (RFC 6901) into the claims.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimNames {
    /// Who it is, for good.
    pub subject: String,
    /// What becomes of the user principal name.
    pub user_name: String,
    /// What people call them.
    pub display_name: String,
    /// The groups: a list of texts.
    pub groups: String,
    /// What tells an application's own token from a user's.
    pub application: String,
    /// The value that it has then: `None` for the subject, `*` for any.
    pub application_value: Option<String>,
}

impl Default for ClaimNames {
    /// OpenID Connect's names; an application's own token has its client id for a subject (RFC 9068, section 2.2).
    fn default() -> Self {
        Self {
            subject: "sub".to_owned(),
            user_name: "preferred_username".to_owned(),
            display_name: "name".to_owned(),
            groups: "groups".to_owned(),
            application: "client_id".to_owned(),
            application_value: None,
        }
    }
}

/// What a claim must say.
#[derive(Debug, Clone, PartialEq)]
pub struct RequiredClaim {
    /// A claim's name, or a JSON pointer.
    pub name: String,
    /// The claim is one of these texts, numbers or truth values, or a list that has one of them.
    pub values: Vec<Value>,
}

/// Claims that are a list of words in one text (RFC 8693, section 4.2; Entra).
const WORDS: [&str; 2] = ["scope", "scp"];

/// The claims of a token whose signature is right.
#[derive(Debug)]
pub(super) struct Claims<'a> {
    names: &'a ClaimNames,
    all: &'a Map<String, Value>,
}

impl<'a> Claims<'a> {
    pub(super) fn new(names: &'a ClaimNames, all: &'a Map<String, Value>) -> Self {
        Self { names, all }
    }

    fn value(&self, name: &str) -> Option<&'a Value> {
        let Some(pointer) = name.strip_prefix('/') else { return self.all.get(name) };
        let mut parts = pointer.split('/').map(|part| part.replace("~1", "/").replace("~0", "~"));
        let mut found = self.all.get(&parts.next()?)?;
        for part in parts {
            found = found.get(&part)?;
        }
        Some(found)
    }

    fn text(&self, name: &str) -> Option<&'a str> {
        self.value(name)?.as_str().map(str::trim).filter(|text| !text.is_empty())
    }

    /// Whom the issuer vouches for.
    pub(super) fn subject(&self) -> Option<&'a str> {
        // As it came: another subject may differ in a space.
        let subject = self.value(&self.names.subject)?.as_str()?;
        let chars = subject.chars().count();
        let fits = (1..=LONGEST_SUBJECT_CHARS).contains(&chars) && !subject.chars().any(char::is_control);
        fits.then_some(subject)
    }

    /// Whether the token is an application's own, and not a user's through one.
    pub(super) fn is_application(&self) -> bool {
        let Some(found) = self.value(&self.names.application) else { return false };
        match self.names.application_value.as_deref() {
            None => found.as_str().is_some() && found.as_str() == self.subject(),
            Some(ANY) => true,
            Some(wanted) => found.as_str() == Some(wanted),
        }
    }

    pub(super) fn user_name(&self) -> Option<&'a str> {
        self.text(&self.names.user_name)
    }

    pub(super) fn display_name(&self) -> Option<&'a str> {
        self.text(&self.names.display_name)
    }

    /// What the application is called.
    pub(super) fn client(&self) -> Option<&'a str> {
        CLIENTS.into_iter().find_map(|name| self.text(name))
    }

    /// The first of what is required that they do not say.
    pub(super) fn lacks<'r>(&self, required: &'r [RequiredClaim]) -> Option<&'r RequiredClaim> {
        required.iter().find(|required| {
            let is_wanted = |value: &Value| required.values.contains(value);
            let is_word = |text: &str| required.values.iter().any(|value| value.as_str() == Some(text));
            !match self.value(&required.name) {
                Some(Value::Array(list)) => list.iter().any(is_wanted),
                Some(Value::String(text)) if WORDS.contains(&required.name.as_str()) => text.split(' ').any(is_word),
                Some(value) => is_wanted(value),
                None => false,
            }
        })
    }

    /// The groups' values; what is no text is none.
    pub(super) fn groups(&self) -> Vec<&'a str> {
        let listed = self.value(&self.names.groups).and_then(Value::as_array);
        listed.map_or_else(Vec::new, |values| values.iter().filter_map(Value::as_str).collect())
    }

    /// Whether the groups are elsewhere, because they are too many.
    pub(super) fn groups_are_elsewhere(&self) -> bool {
        let name = self.names.groups.trim_start_matches('/');
        self.all.get(ELSEWHERE).is_some_and(|names| names.get(name).is_some())
            // Entra says so with another claim in tokens of the implicit flow.
            || self.all.get("hasgroups").is_some_and(|value| value.as_bool() == Some(true) || value == "true")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn map(value: Value) -> Map<String, Value> {
        value.as_object().cloned().expect("an object")
    }

    #[test]
    fn claims_are_found_by_name_and_by_pointer() {
        let all = map(json!({
            "sub": "s 1", "realm_access": {"roles": ["a", 7, "b"]}, "https://x/groups": ["c"], "name": "  ", "azp": "web",
        }));
        let mut names = ClaimNames { groups: "/realm_access/roles".to_owned(), ..ClaimNames::default() };
        let claims = Claims::new(&names, &all);
        assert_eq!((claims.subject(), claims.display_name(), claims.client()), (Some("s 1"), None, Some("web")));
        assert_eq!(claims.groups(), ["a", "b"]);
        names.groups = "https://x/groups".to_owned();
        assert_eq!(Claims::new(&names, &all).groups(), ["c"]);
        names.groups = "/~1x/none".to_owned();
        assert!(Claims::new(&names, &all).groups().is_empty());
    }

    #[test]
    fn subjects_are_bounded_texts() {
        for (subject, fits) in [
            (json!("a"), true),
            (json!("x".repeat(255)), true),
            (json!("x".repeat(256)), false),
            (json!(""), false),
            (json!("a\nb"), false),
            (json!(1), false),
            (json!(["a"]), false),
        ] {
            let all = map(json!({ "sub": subject }));
            assert_eq!(Claims::new(&ClaimNames::default(), &all).subject().is_some(), fits, "{subject}");
        }
    }

    #[test]
    fn applications_are_told_from_users() {
        let rule = |claim: &str, value: Option<&str>| ClaimNames {
            application: claim.to_owned(),
            application_value: value.map(str::to_owned),
            ..ClaimNames::default()
        };
        let own = map(json!({"sub": "job", "client_id": "job", "idtyp": "app"}));
        let users = map(json!({"sub": "u", "client_id": "job", "idtyp": "user"}));
        for (names, theirs) in [
            (rule("client_id", None), false),
            (rule("idtyp", Some("app")), false),
            (rule("client_id", Some("*")), true),
        ] {
            assert!(Claims::new(&names, &own).is_application(), "{names:?}");
            assert_eq!(Claims::new(&names, &users).is_application(), theirs, "{names:?}");
        }
        assert!(!Claims::new(&rule("none", Some("*")), &own).is_application());
    }

    #[test]
    fn what_is_required_is_said_by_one_of_its_values() {
        let all = map(json!({
            "tid": "t-1", "roles": ["read", 7], "scp": "a b", "azp": "a b", "email_verified": true, "acr": 1,
            "realm": { "roles": ["x"] },
        }));
        let claims = ClaimNames::default();
        let claims = Claims::new(&claims, &all);
        for (name, values, fits) in [
            ("tid", json!(["t-0", "t-1"]), true),
            ("tid", json!(["t-0"]), false),
            ("tid", json!(["T-1"]), false),
            ("roles", json!(["write", "read"]), true),
            ("roles", json!([7]), true),
            ("roles", json!(["7"]), false),
            ("scp", json!(["b"]), true),
            ("scp", json!(["a b"]), false),
            ("azp", json!(["b"]), false),
            ("azp", json!(["a b"]), true),
            ("email_verified", json!([true]), true),
            ("email_verified", json!(["true"]), false),
            ("acr", json!([1]), true),
            ("/realm/roles", json!(["x"]), true),
            ("realm", json!(["x"]), false),
            ("none", json!(["x"]), false),
        ] {
            let values = values.as_array().cloned().expect("a list");
            let required = [RequiredClaim { name: name.to_owned(), values }];
            assert_eq!(claims.lacks(&required).is_none(), fits, "{required:?}");
        }
        assert!(claims.lacks(&[]).is_none());
    }

    #[test]
    fn an_overage_is_noticed() {
        for (all, elsewhere) in [
            (json!({"_claim_names": {"groups": "src1"}}), true),
            (json!({"hasgroups": true}), true),
            (json!({"_claim_names": {"other": "src1"}}), false),
            (json!({"groups": []}), false),
        ] {
            let claims = map(all.clone());
            assert_eq!(Claims::new(&ClaimNames::default(), &claims).groups_are_elsewhere(), elsewhere, "{all}");
        }
    }
}
