//! Role definitions: `Microsoft.Authorization/roleDefinitions`.

use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::api_version::ApiVersion;
use crate::error::ArmError;
use crate::names::SubscriptionId;
use crate::timestamp::format_ms;

/// The type.
pub const TYPE: &str = "Microsoft.Authorization/roleDefinitions";
/// Since when roles have data actions: a preview of 2018-01-01.
const WITH_DATA_ACTIONS: ApiVersion = ApiVersion::stable(2017, 12, 31);
/// Since when roles say who made them and when: a preview of 2022-05-01.
const WITH_HISTORY: ApiVersion = ApiVersion::stable(2022, 4, 30);
/// Azure's bounds.
const LONGEST_NAME_CHARS: usize = 512;
const LONGEST_DESCRIPTION_CHARS: usize = 2048;
const LONGEST_ACTION_CHARS: usize = 2048;
/// Ours: a role is read whole.
const MOST_ACTIONS: usize = 1000;
/// All of a role's actions together. Ours: each caller that has the role has them in memory.
const MOST_ACTIONS_BYTES: usize = 64 * 1024;
const MOST_SCOPES: usize = 1000;

/// The four lists of a permission, as ARM names them.
pub const ACTION_LISTS: [&str; 4] = ["actions", "notActions", "dataActions", "notDataActions"];

/// What a PUT asks for. Members that only answers have are ignored, as clients send back what they read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleDefinitionBody {
    /// What it is called.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// The permission's lists, in the order of [`ACTION_LISTS`].
    pub actions: [Vec<String>; 4],
    /// Where it may be assigned.
    pub assignable_scopes: Vec<String>,
}

impl RoleDefinitionBody {
    /// Reads a body. Whether actions and scopes exist is the domain's business.
    ///
    /// # Errors
    /// Which property is missing or wrong.
    pub fn parse(body: &Value) -> Result<Self, ArmError> {
        let properties = body.get("properties").filter(|found| found.is_object());
        let properties =
            properties.ok_or_else(|| ArmError::bad_request_format("'properties' must be an object.", "properties"))?;
        let kind = text(properties, "type", usize::MAX)?;
        if !kind.is_empty() && !kind.eq_ignore_ascii_case("CustomRole") {
            return Err(wrong("type", "must be 'CustomRole'."));
        }
        let name = text(properties, "roleName", LONGEST_NAME_CHARS)?;
        if name.is_empty() {
            return Err(wrong("roleName", "is missing or empty."));
        }
        if name.chars().any(char::is_control) {
            return Err(wrong("roleName", "must not have control characters."));
        }
        let permission = match properties.get("permissions").and_then(Value::as_array).map(Vec::as_slice) {
            Some([permission]) => permission,
            _ => return Err(wrong("permissions", "must be a list of exactly one permission.")),
        };
        if permission.get("condition").is_some_and(|condition| !condition.is_null()) {
            return Err(ArmError::conditions_not_supported("properties.permissions[0].condition"));
        }
        let mut actions: [Vec<String>; 4] = Default::default();
        for (list, name) in actions.iter_mut().zip(ACTION_LISTS) {
            *list = texts(permission, name, &format!("permissions[0].{name}"), MOST_ACTIONS, LONGEST_ACTION_CHARS)?;
        }
        if actions.iter().flatten().map(String::len).sum::<usize>() > MOST_ACTIONS_BYTES {
            return Err(wrong("permissions", &format!("has more than {MOST_ACTIONS_BYTES} bytes of actions.")));
        }
        let assignable_scopes = texts(
            properties,
            "assignableScopes",
            "assignableScopes",
            MOST_SCOPES,
            crate::resource_id::LONGEST_ID_BYTES,
        )?;
        if assignable_scopes.is_empty() {
            return Err(wrong("assignableScopes", "is missing or empty."));
        }
        let description = text(properties, "description", LONGEST_DESCRIPTION_CHARS)?;
        Ok(Self { name: name.to_owned(), description: description.to_owned(), actions, assignable_scopes })
    }
}

fn wrong(name: &str, rule: &str) -> ArmError {
    ArmError::bad_request_format(&format!("'{name}' {rule}"), &format!("properties.{name}"))
}

/// A text, trimmed; empty when it is not there.
fn text<'a>(properties: &'a Value, name: &str, longest_chars: usize) -> Result<&'a str, ArmError> {
    match properties.get(name) {
        None | Some(Value::Null) => Ok(""),
        Some(Value::String(text)) if text.chars().count() > longest_chars => {
            Err(wrong(name, &format!("has more than {longest_chars} characters.")))
        }
        Some(Value::String(text)) if text.contains('\0') => Err(wrong(name, "must not have a NUL character.")),
        Some(Value::String(text)) => Ok(text.trim()),
        Some(_) => Err(wrong(name, "must be a text.")),
    }
}

/// A list of texts; empty when it is not there.
fn texts(object: &Value, name: &str, path: &str, most: usize, longest_chars: usize) -> Result<Vec<String>, ArmError> {
    let list = match object.get(name) {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Array(list)) => list,
        Some(_) => return Err(wrong(path, "must be a list.")),
    };
    if list.len() > most {
        return Err(wrong(path, &format!("has more than {most} entries.")));
    }
    let read = |entry: &Value| {
        let text = entry.as_str().map(str::trim).filter(|text| !text.is_empty());
        let text = text.filter(|text| text.chars().count() <= longest_chars && !text.contains('\0'));
        text.map(str::to_owned)
            .ok_or_else(|| wrong(path, "must have texts only, none empty, too long or with a NUL character."))
    };
    list.iter().map(read).collect()
}

/// A role, as far as its document shows it.
#[derive(Debug, Clone)]
pub struct RoleDefinitionView<'a> {
    /// Its GUID.
    pub name: Uuid,
    /// What it is called.
    pub role_name: &'a str,
    /// Whether every tenant has it.
    pub is_built_in: bool,
    /// What it is for.
    pub description: &'a str,
    /// Where it may be assigned.
    pub assignable_scopes: Vec<&'a str>,
    /// Its permissions, as ARM writes them.
    pub permissions: Value,
    /// Who made and last changed a custom role, and when, in ms since the epoch.
    pub history: Option<RoleHistory>,
}

/// Who made and last changed a role.
#[derive(Debug, Clone, Copy)]
pub struct RoleHistory {
    /// When it was made, in ms since the epoch.
    pub created_ms: i64,
    /// When it was changed.
    pub updated_ms: i64,
    /// Who made it.
    pub created_by: Uuid,
    /// Who changed it.
    pub updated_by: Uuid,
}

/// The id of a role as it is seen from a subscription, or from the tenant's root.
#[must_use]
pub fn id(subscription: Option<SubscriptionId>, name: Uuid) -> String {
    let prefix = subscription.map(|id| format!("/subscriptions/{id}")).unwrap_or_default();
    format!("{prefix}/providers/{TYPE}/{name}")
}

impl RoleDefinitionView<'_> {
    /// The document, as it is seen from a subscription.
    #[must_use]
    pub fn document(&self, subscription: Option<SubscriptionId>, api_version: ApiVersion) -> Value {
        let mut properties = Map::new();
        let mut put = |name: &str, value: Value| properties.insert(name.to_owned(), value);
        put("roleName", self.role_name.into());
        put("type", if self.is_built_in { "BuiltInRole" } else { "CustomRole" }.into());
        put("description", self.description.into());
        put("assignableScopes", json!(self.assignable_scopes));
        put("permissions", shown(&self.permissions, api_version));
        if api_version >= WITH_HISTORY {
            let time = |ms: i64| Value::from(format_ms(ms));
            put("createdOn", self.history.map_or(Value::Null, |history| time(history.created_ms)));
            put("updatedOn", self.history.map_or(Value::Null, |history| time(history.updated_ms)));
            put("createdBy", self.history.map(|history| history.created_by.to_string()).into());
            put("updatedBy", self.history.map(|history| history.updated_by.to_string()).into());
        }
        json!({ "properties": properties, "id": id(subscription, self.name), "type": TYPE, "name": self.name.to_string() })
    }
}

/// Permissions without what the api-version does not know.
#[must_use]
pub fn shown(permissions: &Value, api_version: ApiVersion) -> Value {
    let mut permissions = permissions.clone();
    if api_version < WITH_DATA_ACTIONS {
        for permission in permissions.as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut) {
            permission.retain(|name, _| name == "actions" || name == "notActions");
        }
    }
    permissions
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(change: impl FnOnce(&mut Value)) -> Result<RoleDefinitionBody, ArmError> {
        let mut body = json!({ "properties": { "roleName": " Reads ", "type": "CustomRole", "description": "d",
            "permissions": [{ "actions": ["*/read"], "notActions": [] }], "assignableScopes": ["/subscriptions/s"] } });
        change(&mut body["properties"]);
        RoleDefinitionBody::parse(&body)
    }

    #[test]
    fn bodies_are_read_or_refused_with_the_property() {
        let read = body(|_| ()).unwrap();
        assert_eq!((read.name.as_str(), &read.actions[0]), ("Reads", &vec!["*/read".to_owned()]));
        type Change = fn(&mut Value);
        let changes: [(&str, Change); 13] = [
            ("properties.description", |p| p["description"] = json!("a\u{0}b")),
            ("properties.permissions[0].actions", |p| p["permissions"][0]["actions"] = json!(["a\u{0}b"])),
            ("properties.roleName", |p| p["roleName"] = json!("")),
            ("properties.roleName", |p| p["roleName"] = json!(7)),
            ("properties.roleName", |p| p["roleName"] = json!("x".repeat(513))),
            ("properties.roleName", |p| p["roleName"] = json!("a\u{0}b")),
            ("properties.type", |p| p["type"] = json!("BuiltInRole")),
            ("properties.permissions", |p| p["permissions"] = json!([])),
            ("properties.permissions", |p| p["permissions"] = json!([{}, {}])),
            ("properties.permissions[0].actions", |p| p["permissions"][0]["actions"] = json!("*")),
            ("properties.permissions[0].notActions", |p| p["permissions"][0]["notActions"] = json!([""])),
            ("properties.permissions", |p| p["permissions"][0]["actions"] = json!(vec!["x".repeat(2000); 33])),
            ("properties.assignableScopes", |p| p["assignableScopes"] = json!([])),
        ];
        for (target, change) in changes {
            let error = body(change).unwrap_err();
            assert_eq!((error.code.as_ref(), error.target.as_deref()), ("BadRequestFormat", Some(target)));
        }
        let error = body(|p| p["permissions"][0]["condition"] = json!("1 = 1")).unwrap_err();
        assert_eq!(error.code, "RoleAssignmentConditionNotSupported");
    }

    #[test]
    fn early_api_versions_have_no_data_actions() {
        let permissions = json!([{ "actions": [], "notActions": [], "dataActions": [], "notDataActions": [] }]);
        let old = shown(&permissions, ApiVersion::stable(2015, 7, 1));
        assert_eq!(old, json!([{ "actions": [], "notActions": [] }]));
        assert_eq!(shown(&permissions, ApiVersion::stable(2022, 4, 1)), permissions);
    }
}
