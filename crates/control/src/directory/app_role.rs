//! Application roles: what an application says that its users and other applications can be to it (`appRoles`).

use std::collections::BTreeSet;

use galerie_arm::ArmError;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::{Document, error};

const PROPERTY: &str = "appRoles";
/// Roles of one application.
const MOST_ROLES: usize = 250;
/// Characters of a role's value, as in Graph.
const LONGEST_VALUE_CHARS: usize = 120;
/// Characters of a role's name and of its description.
const LONGEST_NAME_CHARS: usize = 256;
const LONGEST_DESCRIPTION_CHARS: usize = 1024;
/// What a value may have beside letters of English and digits, as in Graph.
const VALUE_MARKS: &str = ":!#$%&'()*+,-./;<=>?@[]^_`{|}~";
/// Who may be given a role: users and groups, or service principals.
const MEMBER_TYPES: [&str; 2] = ["User", "Application"];
/// What a role may say.
const KNOWN: [&str; 7] = ["id", "value", "displayName", "description", "allowedMemberTypes", "isEnabled", "origin"];

/// Checks the roles that a document is to have, beside those that it had. A role that is enabled neither goes nor gets another
/// value: whoever relies on it would not notice.
///
/// # Errors
/// `Request_BadRequest` with the rule; `CannotDeleteOrUpdateEnabledEntitlement`.
pub(super) fn check(former: &Document, document: &Document) -> Result<(), ArmError> {
    let roles = match document.get(PROPERTY) {
        None => &[][..],
        Some(value) => value
            .as_array()
            .filter(|list| list.len() <= MOST_ROLES)
            .ok_or_else(|| error::invalid_value(PROPERTY, &format!("a list of at most {MOST_ROLES} roles")))?
            .as_slice(),
    };
    let (mut ids, mut values) = (BTreeSet::new(), BTreeSet::new());
    for role in roles {
        let role = role.as_object().ok_or_else(|| error::invalid_value(PROPERTY, "a list of objects"))?;
        check_role(role)?;
        if !ids.insert(id(role)) {
            return Err(error::invalid_value("appRoles.id", "a GUID that no other role of the application has"));
        }
        if value(role).is_some_and(|value| !values.insert(value)) {
            return Err(error::invalid_value("appRoles.value", "a value that no other role of the application has"));
        }
    }
    let there = former.get(PROPERTY).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    for former in there.iter().filter_map(Value::as_object).filter(|role| is_enabled(role)) {
        let now = roles.iter().filter_map(Value::as_object).find(|role| id(role) == id(former));
        if now.is_none_or(|now| value(now) != value(former)) {
            return Err(ArmError::new(
                400,
                "CannotDeleteOrUpdateEnabledEntitlement",
                "Permission (scope or role) cannot be deleted or updated unless disabled first.",
            ));
        }
    }
    Ok(())
}

fn check_role(role: &Map<String, Value>) -> Result<(), ArmError> {
    let invalid = |name: &str, rule: &str| Err(error::invalid_value(&format!("{PROPERTY}.{name}"), rule));
    if let Some(unknown) = role.keys().find(|name| !KNOWN.contains(&name.as_str())) {
        return Err(error::unknown_property(unknown, "AppRole"));
    }
    if id(role).is_none_or(|id| id.is_nil()) {
        return invalid("id", "a GUID, which is not all zeros");
    }
    let text = |name: &str, longest: usize| {
        let text = role.get(name).and_then(Value::as_str).unwrap_or_default();
        let fits = !text.trim().is_empty() && text.chars().count() <= longest && !text.chars().any(char::is_control);
        let rule = format!("1 to {longest} characters, none of which is a control character");
        if fits { Ok(()) } else { Err(error::invalid_value(&format!("{PROPERTY}.{name}"), &rule)) }
    };
    text("displayName", LONGEST_NAME_CHARS)?;
    text("description", LONGEST_DESCRIPTION_CHARS)?;
    let fits = |value: &str| {
        (1..=LONGEST_VALUE_CHARS).contains(&value.len())
            && value.chars().all(|c| c.is_ascii_alphanumeric() || VALUE_MARKS.contains(c))
            && !value.starts_with('.')
    };
    match role.get("value") {
        None | Some(Value::Null) => {}
        Some(Value::String(value)) if fits(value) => {}
        Some(_) => return invalid("value", "1 to 120 letters of English, digits and marks, no spaces, no '.' first"),
    }
    let members = role.get("allowedMemberTypes").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let is_known = |member: &Value| member.as_str().is_some_and(|member| MEMBER_TYPES.contains(&member));
    if members.is_empty() || members.len() > MEMBER_TYPES.len() || !members.iter().all(is_known) {
        return invalid("allowedMemberTypes", "User, Application or both");
    }
    if !role.get("isEnabled").is_none_or(|enabled| enabled.is_boolean() || enabled.is_null()) {
        return invalid("isEnabled", "true or false");
    }
    Ok(())
}

/// The roles that an application's document has.
pub(crate) fn list(document: &Value) -> Vec<Value> {
    document[PROPERTY].as_array().cloned().unwrap_or_default()
}

/// The ids of the roles that a document has no more.
pub(super) fn removed(former: &Document, document: &Document) -> Vec<Uuid> {
    let ids = |document: &Document| -> BTreeSet<Uuid> {
        let roles = document.get(PROPERTY).and_then(Value::as_array);
        roles.into_iter().flatten().filter_map(Value::as_object).filter_map(id).collect()
    };
    ids(former).difference(&ids(document)).copied().collect()
}

/// The values of those of an application's roles that are among `held`, as a token says them: a role that is disabled, or has no
/// value, is not said.
pub(crate) fn values(document: &Value, held: &[Uuid]) -> Vec<String> {
    let roles = list(document);
    let said = roles.iter().filter_map(Value::as_object).filter(|role| is_enabled(role));
    let said = said.filter(|role| id(role).is_some_and(|id| held.contains(&id)));
    said.filter_map(value).map(str::to_owned).collect()
}

pub(super) fn id(role: &Map<String, Value>) -> Option<Uuid> {
    role.get("id")?.as_str()?.parse().ok()
}

fn value(role: &Map<String, Value>) -> Option<&str> {
    role.get("value")?.as_str()
}

pub(super) fn is_enabled(role: &Map<String, Value>) -> bool {
    role.get("isEnabled").and_then(Value::as_bool).unwrap_or(true)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ID: &str = "7ea5a3a0-5a3c-4f2a-9f5e-1d1d3ef0b7a1";

    fn document(roles: Value) -> Document {
        json!({ "appRoles": roles }).as_object().cloned().expect("an object")
    }

    fn role(change: impl Fn(&mut Value)) -> Value {
        let mut role = json!({
            "id": ID, "value": "Images.Publish", "displayName": "Publisher", "description": "Publishes images",
            "allowedMemberTypes": ["User", "Application"], "isEnabled": true
        });
        change(&mut role);
        role
    }

    #[test]
    fn roles_are_checked() {
        let none = Document::new();
        assert!(check(&none, &none).is_ok() && check(&none, &document(json!([role(|_| {})]))).is_ok());
        assert!(check(&none, &document(json!([role(|role| role["value"] = Value::Null)]))).is_ok());
        for (name, value) in [
            ("id", json!("x")),
            ("id", json!("00000000-0000-0000-0000-000000000000")),
            ("value", json!("two words")),
            ("value", json!(".first")),
            ("value", json!("x".repeat(121))),
            ("value", json!(7)),
            ("displayName", json!(" ")),
            ("description", Value::Null),
            ("allowedMemberTypes", json!([])),
            ("allowedMemberTypes", json!(["Group"])),
            ("allowedMemberTypes", json!("User")),
            ("isEnabled", json!("yes")),
            ("other", json!(1)),
        ] {
            let refused = check(&none, &document(json!([role(|role| role[name] = value.clone())])));
            assert!(refused.is_err_and(|error| error.code == "Request_BadRequest"), "{name}: {value}");
        }
        let twins = json!([role(|_| {}), role(|role| role["value"] = "other".into())]);
        assert!(check(&none, &document(twins)).is_err(), "one id");
        let other = "7ea5a3a0-5a3c-4f2a-9f5e-1d1d3ef0b7a2";
        assert!(check(&none, &document(json!([role(|_| {}), role(|role| role["id"] = other.into())]))).is_err());
        for roles in [json!({}), json!(["x"]), json!("x")] {
            assert!(check(&none, &document(roles.clone())).is_err(), "{roles}");
        }
    }

    #[test]
    fn a_token_says_the_values_of_enabled_roles() {
        let (first, second) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let roles = json!({ "appRoles": [
            { "id": first, "value": "a" },
            { "id": second, "value": "b", "isEnabled": false },
            { "id": Uuid::from_u128(3), "value": "c" },
            { "id": Uuid::from_u128(4), "value": null },
        ] });
        let all: Vec<Uuid> = (0..5).map(Uuid::from_u128).collect();
        assert_eq!(values(&roles, &all), ["a", "c"]);
        assert_eq!(values(&roles, &[second]), Vec::<String>::new());
        assert_eq!(values(&json!({}), &all), Vec::<String>::new());
        let (former, now) = (roles.as_object().expect("an object"), document(json!([{ "id": second }])));
        assert_eq!(removed(former, &now), [first, Uuid::from_u128(3), Uuid::from_u128(4)]);
        assert!(removed(&now, former).is_empty());
    }

    #[test]
    fn an_enabled_role_is_disabled_before_it_goes_or_means_another_thing() {
        let (enabled, disabled) = (role(|_| {}), role(|role| role["isEnabled"] = false.into()));
        let renamed = role(|role| role["value"] = "Images.Read".into());
        for (former, now, fits) in [
            (json!([enabled]), json!([]), false),
            (json!([enabled]), json!([renamed]), false),
            (json!([enabled]), json!([disabled]), true),
            (json!([disabled]), json!([renamed]), true),
            (json!([disabled]), json!([]), true),
            (json!([enabled]), json!([role(|role| role["description"] = "Other words".into())]), true),
        ] {
            let checked = check(&document(former.clone()), &document(now.clone()));
            assert_eq!(checked.is_ok(), fits, "{former} -> {now}");
        }
    }
}
