//! Role assignments: `Microsoft.Authorization/roleAssignments`.

use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::api_version::ApiVersion;
use crate::error::ArmError;
use crate::timestamp::format_ms;

/// The type.
pub const TYPE: &str = "Microsoft.Authorization/roleAssignments";
/// Since when an assignment says what its principal is, and what it is for: a preview of 2018-01-01.
const WITH_TYPE: ApiVersion = ApiVersion::stable(2017, 12, 31);
/// The longest description, in characters; Azure's portal has the same bound.
const LONGEST_DESCRIPTION_CHARS: usize = 1024;

/// What a PUT asks for. Members that only answers have are ignored, as clients send back what they read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleAssignmentBody {
    /// The role's GUID.
    pub role: Uuid,
    /// The principal's object id.
    pub principal: Uuid,
    /// What the client takes the principal for.
    pub principal_type: Option<String>,
    /// What it is for.
    pub description: Option<String>,
}

impl RoleAssignmentBody {
    /// Reads a body.
    ///
    /// # Errors
    /// Which property is missing or wrong; a condition, which nobody would evaluate.
    pub fn parse(body: &Value) -> Result<Self, ArmError> {
        let properties = body.get("properties").filter(|found| found.is_object());
        let properties =
            properties.ok_or_else(|| ArmError::bad_request_format("'properties' must be an object.", "properties"))?;
        if text(properties, "condition")?.is_some() {
            return Err(ArmError::conditions_not_supported("properties.condition"));
        }
        if text(properties, "delegatedManagedIdentityResourceId")?.is_some() {
            let why = "'delegatedManagedIdentityResourceId' is not supported: there are no managed identities here.";
            return Err(ArmError::bad_request_format(why, "properties.delegatedManagedIdentityResourceId"));
        }
        let role = required(properties, "roleDefinitionId")?;
        let principal = required(properties, "principalId")?;
        let description = text(properties, "description")?.map(str::to_owned);
        if description.as_ref().is_some_and(|text| text.chars().count() > LONGEST_DESCRIPTION_CHARS) {
            let why = format!("'description' has more than {LONGEST_DESCRIPTION_CHARS} characters.");
            return Err(ArmError::bad_request_format(&why, "properties.description"));
        }
        Ok(Self {
            role: role_id(role)?,
            principal: Uuid::try_parse(principal).map_err(|_| {
                ArmError::bad_request_format("'principalId' must be a GUID, an object id.", "properties.principalId")
            })?,
            principal_type: text(properties, "principalType")?.map(str::to_owned),
            description,
        })
    }
}

/// The GUID at the end of a role definition's id. What is before it may be any scope's.
///
/// # Errors
/// `InvalidRoleDefinitionId`.
fn role_id(id: &str) -> Result<Uuid, ArmError> {
    let segments: Vec<&str> = id.split('/').filter(|segment| !segment.is_empty()).collect();
    let found = match segments[..] {
        [.., provider, namespace, kind, name]
            if provider.eq_ignore_ascii_case("providers")
                && namespace.eq_ignore_ascii_case("Microsoft.Authorization")
                && kind.eq_ignore_ascii_case("roleDefinitions") =>
        {
            Uuid::try_parse(name).ok()
        }
        _ => None,
    };
    found.ok_or_else(|| ArmError::invalid_role_definition_id(id).with_target("properties.roleDefinitionId"))
}

fn required<'a>(properties: &'a Value, name: &str) -> Result<&'a str, ArmError> {
    text(properties, name)?.ok_or_else(|| {
        ArmError::bad_request_format(&format!("'{name}' is missing or empty."), &format!("properties.{name}"))
    })
}

/// A text that is there and not empty.
fn text<'a>(properties: &'a Value, name: &str) -> Result<Option<&'a str>, ArmError> {
    match properties.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.contains('\0') => {
            let why = format!("'{name}' must not have a NUL character.");
            Err(ArmError::bad_request_format(&why, &format!("properties.{name}")))
        }
        Some(Value::String(text)) => Ok(Some(text.trim()).filter(|text| !text.is_empty())),
        Some(_) => {
            Err(ArmError::bad_request_format(&format!("'{name}' must be a text."), &format!("properties.{name}")))
        }
    }
}

/// An assignment, as far as its document shows it.
#[derive(Debug, Clone)]
pub struct RoleAssignmentView<'a> {
    /// Its name.
    pub name: Uuid,
    /// `/` or an id.
    pub scope: &'a str,
    /// The whole id of the role, as seen from where it is read.
    pub role_definition_id: String,
    /// An object id.
    pub principal: Uuid,
    /// `User`, `Group`, `ServicePrincipal`.
    pub principal_type: &'a str,
    /// What it is for.
    pub description: Option<&'a str>,
    /// When it was made and last changed, in ms since the epoch.
    pub created_ms: i64,
    /// See `created_ms`.
    pub updated_ms: i64,
    /// Who made it and changed it last.
    pub created_by: Uuid,
    /// See `created_by`.
    pub updated_by: Uuid,
}

impl RoleAssignmentView<'_> {
    /// The id: below its scope.
    #[must_use]
    pub fn id(&self) -> String {
        let prefix = if self.scope == "/" { "" } else { self.scope };
        format!("{prefix}/providers/{TYPE}/{}", self.name)
    }

    /// The document.
    #[must_use]
    pub fn document(&self, api_version: ApiVersion) -> Value {
        let mut properties = Map::new();
        let mut put = |name: &str, value: Value| properties.insert(name.to_owned(), value);
        put("roleDefinitionId", self.role_definition_id.as_str().into());
        put("principalId", self.principal.to_string().into());
        if api_version >= WITH_TYPE {
            put("principalType", self.principal_type.into());
        }
        put("scope", self.scope.into());
        if api_version >= WITH_TYPE {
            put("condition", Value::Null);
            put("conditionVersion", Value::Null);
        }
        put("createdOn", format_ms(self.created_ms).into());
        put("updatedOn", format_ms(self.updated_ms).into());
        put("createdBy", self.created_by.to_string().into());
        put("updatedBy", self.updated_by.to_string().into());
        if api_version >= WITH_TYPE {
            put("delegatedManagedIdentityResourceId", Value::Null);
            put("description", self.description.into());
        }
        json!({ "properties": properties, "id": self.id(), "type": TYPE, "name": self.name.to_string() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROLE: &str = "acdd72a7-3385-48ef-bd42-f606fba81ae7";
    const PRINCIPAL: &str = "ce2ce14e-85d7-4629-bdbc-454d0519d987";

    #[test]
    fn bodies_are_read_or_refused_with_the_property() {
        for id in [
            format!("/subscriptions/s/providers/Microsoft.Authorization/roleDefinitions/{ROLE}"),
            format!("/providers/microsoft.authorization/roledefinitions/{}", ROLE.to_uppercase()),
        ] {
            let body = json!({ "properties": { "roleDefinitionId": id, "principalId": PRINCIPAL, "scope": "ignored",
                "principalType": "User", "condition": null, "conditionVersion": "2.0" } });
            let read = RoleAssignmentBody::parse(&body).unwrap();
            assert_eq!((read.role.to_string(), read.principal.to_string()), (ROLE.to_owned(), PRINCIPAL.to_owned()));
            assert_eq!((read.principal_type.as_deref(), read.description), (Some("User"), None));
        }
        let good = format!("/providers/Microsoft.Authorization/roleDefinitions/{ROLE}");
        for (properties, code, target) in [
            (json!(null), "BadRequestFormat", "properties"),
            (json!({ "principalId": PRINCIPAL }), "BadRequestFormat", "properties.roleDefinitionId"),
            (json!({ "roleDefinitionId": good }), "BadRequestFormat", "properties.principalId"),
            (json!({ "roleDefinitionId": good, "principalId": 7 }), "BadRequestFormat", "properties.principalId"),
            (json!({ "roleDefinitionId": good, "principalId": "me" }), "BadRequestFormat", "properties.principalId"),
            (
                json!({ "roleDefinitionId": ROLE, "principalId": PRINCIPAL }),
                "InvalidRoleDefinitionId",
                "properties.roleDefinitionId",
            ),
            (
                json!({ "roleDefinitionId": good, "principalId": PRINCIPAL, "condition": "1 = 1" }),
                "RoleAssignmentConditionNotSupported",
                "properties.condition",
            ),
            (
                json!({ "roleDefinitionId": good, "principalId": PRINCIPAL, "description": "a\u{0}b" }),
                "BadRequestFormat",
                "properties.description",
            ),
            (
                json!({ "roleDefinitionId": good, "principalId": PRINCIPAL, "description": "x".repeat(1025) }),
                "BadRequestFormat",
                "properties.description",
            ),
        ] {
            let error = RoleAssignmentBody::parse(&json!({ "properties": properties })).unwrap_err();
            assert_eq!((error.code.as_ref(), error.target.as_deref()), (code, Some(target)), "{properties}");
        }
    }

    #[test]
    fn an_assignment_at_the_root_has_a_short_id() {
        let view = RoleAssignmentView {
            name: Uuid::nil(),
            scope: "/",
            role_definition_id: String::new(),
            principal: Uuid::nil(),
            principal_type: "User",
            description: None,
            created_ms: 0,
            updated_ms: 0,
            created_by: Uuid::nil(),
            updated_by: Uuid::nil(),
        };
        assert!(view.id().starts_with("/providers/Microsoft.Authorization/roleAssignments/"));
        let old = view.document(ApiVersion::stable(2015, 7, 1));
        assert_eq!(old["properties"].get("principalType"), None);
        assert_eq!(view.document(ApiVersion::stable(2022, 4, 1))["properties"]["principalType"], "User");
    }
}
