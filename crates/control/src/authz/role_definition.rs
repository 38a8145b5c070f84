//! Role definitions: the built-in ones, and a tenant's own.
//!
//! A custom role names scopes in which it may be assigned; whoever makes or changes it needs the right to do so in all of
//! them, old and new. It can be deleted, or lose a scope, only when nobody has it there.

use galerie_arm::{
    ApiVersion, ArmError,
    role_definition::{RoleDefinitionBody, RoleDefinitionView, RoleHistory},
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    action_pattern::ActionPattern,
    authorize_at,
    built_in_roles::{self, BUILT_IN_ROLES, BuiltInRole},
    permission_set::PermissionSet,
    provider_operations,
    scope::{Scope, is_within},
};
use crate::{
    audit,
    control::Control,
    db::{
        Connection,
        access_revision::{self, AccessChange},
        role_assignment,
        role_definition::{self, RoleDefinitionRow},
        transact,
    },
    request::RequestContext,
};

const READ: &str = "Microsoft.Authorization/roleDefinitions/read";
const WRITE: &str = "Microsoft.Authorization/roleDefinitions/write";
const DELETE: &str = "Microsoft.Authorization/roleDefinitions/delete";

/// Custom roles that a tenant may have: Azure's limit.
const MOST_ROLES: u32 = 5000;

/// What a tenant's own roles are called among types.
const CUSTOM: &str = "CustomRole";

/// Which roles to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DefinitionFilter {
    /// Called so.
    pub role_name: Option<String>,
    /// `BuiltInRole` or `CustomRole`.
    pub role_type: Option<String>,
    /// Also those that are assignable only somewhere below the scope.
    pub and_below: bool,
}

/// A role of either kind.
pub(super) enum RoleDefinition {
    BuiltIn(&'static BuiltInRole),
    Custom(Box<RoleDefinitionRow>),
}

impl RoleDefinition {
    /// The role with an id.
    pub(super) async fn find(tx: &mut Connection, tenant: Uuid, id: Uuid) -> Result<Option<Self>, ArmError> {
        if let Some(built_in) = built_in_roles::find(id) {
            return Ok(Some(Self::BuiltIn(built_in)));
        }
        let custom = role_definition::find(tx, tenant, id).await?;
        Ok(custom.map(|row| Self::Custom(Box::new(row))))
    }

    pub(super) fn id(&self) -> Uuid {
        match self {
            Self::BuiltIn(built_in) => built_in.role.id,
            Self::Custom(row) => row.id,
        }
    }

    /// Whether it may be assigned at a scope.
    pub(super) fn is_assignable_at(&self, scope_key: &str) -> bool {
        match self {
            Self::BuiltIn(_) => true,
            Self::Custom(row) => row.scope_keys().any(|assignable| is_within(scope_key, &assignable)),
        }
    }

    fn is_listed(&self, scope: &Scope, filter: &DefinitionFilter) -> bool {
        let (name, role_type) = match self {
            Self::BuiltIn(built_in) => (built_in.name, "BuiltInRole"),
            Self::Custom(row) => (row.name.as_str(), CUSTOM),
        };
        let is_wanted = |wanted: &Option<String>, actual: &str| {
            wanted.as_ref().is_none_or(|wanted| wanted.to_lowercase() == actual.to_lowercase())
        };
        let is_below = || match self {
            Self::BuiltIn(_) => true,
            Self::Custom(row) => filter.and_below && row.scope_keys().any(|key| is_within(&key, scope.key())),
        };
        is_wanted(&filter.role_name, name)
            && is_wanted(&filter.role_type, role_type)
            && (self.is_assignable_at(scope.key()) || is_below())
    }

    fn document(&self, scope: &Scope, api_version: ApiVersion) -> Value {
        let view = match self {
            Self::BuiltIn(built_in) => RoleDefinitionView {
                name: built_in.role.id,
                role_name: built_in.name,
                is_built_in: true,
                description: built_in.description,
                assignable_scopes: vec!["/"],
                permissions: json!(built_in.role.permissions),
                history: None,
            },
            Self::Custom(row) => RoleDefinitionView {
                name: row.id,
                role_name: &row.name,
                is_built_in: false,
                description: &row.description,
                assignable_scopes: row.assignable_scopes.iter().map(String::as_str).collect(),
                permissions: json!(row.permissions),
                history: Some(RoleHistory {
                    created_ms: row.created_ms,
                    updated_ms: row.updated_ms,
                    created_by: row.created_by,
                    updated_by: row.updated_by,
                }),
            },
        };
        view.document(scope.subscription(), api_version)
    }
}

impl RoleDefinitionRow {
    fn scope_keys(&self) -> impl Iterator<Item = String> {
        // They were read before they were kept.
        self.assignable_scopes.iter().filter_map(|text| Some(Scope::parse(text, "scope").ok()?.key().to_owned()))
    }
}

/// The tenant's roles that a filter may let through: none but those that its name or kind leaves are read.
async fn custom_roles(
    tx: &mut Connection,
    tenant: Uuid,
    filter: &DefinitionFilter,
) -> Result<Vec<RoleDefinitionRow>, ArmError> {
    if filter.role_type.as_ref().is_some_and(|wanted| !wanted.eq_ignore_ascii_case(CUSTOM)) {
        return Ok(Vec::new());
    }
    Ok(match &filter.role_name {
        Some(name) => role_definition::find_by_name(tx, tenant, name).await?.into_iter().collect(),
        None => role_definition::list(tx, tenant, MOST_ROLES).await?,
    })
}

impl Control {
    /// The roles that may be assigned at a scope: the built-in ones first, then the tenant's by id.
    ///
    /// # Errors
    /// `SubscriptionNotFound`, `AuthorizationFailed`.
    pub async fn role_definition_list(
        &self,
        ctx: &RequestContext,
        scope: &Scope,
        filter: &DefinitionFilter,
    ) -> Result<Vec<Value>, ArmError> {
        let mut tx = self.db().read().await?;
        authorize_at(&mut tx, &ctx.caller, READ, scope).await?;
        let custom = custom_roles(&mut tx, ctx.caller.tenant, filter).await?;
        let custom = custom.into_iter().map(|row| RoleDefinition::Custom(Box::new(row)));
        let all = BUILT_IN_ROLES.iter().map(RoleDefinition::BuiltIn).chain(custom);
        let listed = all.filter(|role| role.is_listed(scope, filter));
        Ok(listed.map(|role| role.document(scope, ctx.api_version)).collect())
    }

    /// A role.
    ///
    /// # Errors
    /// `SubscriptionNotFound`, `AuthorizationFailed`, `RoleDefinitionDoesNotExist`.
    pub async fn role_definition_get(&self, ctx: &RequestContext, scope: &Scope, id: &str) -> Result<Value, ArmError> {
        let mut tx = self.db().read().await?;
        authorize_at(&mut tx, &ctx.caller, READ, scope).await?;
        let missing = || ArmError::role_definition_does_not_exist(id);
        let guid = Uuid::try_parse(id).map_err(|_| missing())?;
        let role = RoleDefinition::find(&mut tx, ctx.caller.tenant, guid).await?.ok_or_else(missing)?;
        Ok(role.document(scope, ctx.api_version))
    }

    /// Creates or replaces a custom role.
    ///
    /// # Errors
    /// What is wrong with the body; a name that is taken; `AuthorizationFailed` for any of its scopes; a scope taken away
    /// where somebody has it.
    pub async fn role_definition_put(
        &self,
        ctx: &RequestContext,
        scope: &Scope,
        id: &str,
        body: &Value,
    ) -> Result<Value, ArmError> {
        // Reading the body needs no state. Its fault is told after the caller's right to be told.
        let sent = RoleDefinitionBody::parse(body);
        let row = transact!(self.db(), |tx| -> Result<RoleDefinitionRow, ArmError> {
            authorize_at(tx, &ctx.caller, WRITE, scope).await?;
            let guid = Uuid::try_parse(id).map_err(|_| ArmError::invalid_role_definition_id(id))?;
            if let Some(built_in) = built_in_roles::find(guid) {
                return Err(ArmError::built_in_role_cannot_change(built_in.name));
            }
            let now_ms = self.now_ms();
            put_in(tx, ctx, guid, sent.clone()?, now_ms).await
        })?;
        Ok(RoleDefinition::Custom(Box::new(row)).document(scope, ctx.api_version))
    }

    /// Deletes a custom role; `None` when it was not there.
    ///
    /// # Errors
    /// `AuthorizationFailed` for any of its scopes; `RoleDefinitionHasAssignments`.
    pub async fn role_definition_delete(
        &self,
        ctx: &RequestContext,
        scope: &Scope,
        id: &str,
    ) -> Result<Option<Value>, ArmError> {
        let deleted = transact!(self.db(), |tx| -> Result<Option<RoleDefinitionRow>, ArmError> {
            authorize_at(tx, &ctx.caller, DELETE, scope).await?;
            let Ok(guid) = Uuid::try_parse(id) else { return Ok(None) };
            if let Some(built_in) = built_in_roles::find(guid) {
                return Err(ArmError::built_in_role_cannot_change(built_in.name));
            }
            let tenant = ctx.caller.tenant;
            let Some(row) = role_definition::find(tx, tenant, guid).await? else { return Ok(None) };
            authorize_all(tx, ctx, DELETE, &row).await?;
            if !role_assignment::list_of_role(tx, tenant, guid).await?.is_empty() {
                return Err(ArmError::role_definition_has_assignments(&guid.to_string()));
            }
            access_revision::advance(tx, tenant, &[AccessChange::Object(guid)]).await?;
            role_definition::delete(tx, tenant, guid).await?;
            audit::record(tx, ctx, self.now_ms(), DELETE, &galerie_arm::role_definition::id(None, guid), None).await?;
            Ok(Some(row))
        })?;
        Ok(deleted.map(|row| RoleDefinition::Custom(Box::new(row)).document(scope, ctx.api_version)))
    }
}

/// What creating or replacing a custom role does in the accepting transaction.
async fn put_in(
    tx: &mut Connection,
    ctx: &RequestContext,
    id: Uuid,
    sent: RoleDefinitionBody,
    now_ms: i64,
) -> Result<RoleDefinitionRow, ArmError> {
    let (tenant, writer) = (ctx.caller.tenant, ctx.caller.principal);
    let existing = role_definition::find(tx, tenant, id).await?;
    if let Some(existing) = &existing {
        authorize_all(tx, ctx, WRITE, existing).await?;
    }
    let permissions = vec![permission_set(&sent)?];
    let mut row = RoleDefinitionRow {
        tenant,
        id,
        name: sent.name,
        description: sent.description,
        permissions,
        assignable_scopes: assignable_scopes(&sent.assignable_scopes)?,
        created_ms: now_ms,
        updated_ms: now_ms,
        created_by: writer,
        updated_by: writer,
    };
    authorize_all(tx, ctx, WRITE, &row).await?;
    for text in &row.assignable_scopes {
        Scope::parse(text, "properties.assignableScopes")?.check_exists(tx).await?;
    }
    check_name(tx, &row).await?;
    access_revision::advance(tx, tenant, &[AccessChange::Object(id)]).await?;
    match existing {
        None => {
            if role_definition::count(tx, tenant).await? >= i64::from(MOST_ROLES) {
                return Err(ArmError::role_definition_limit_exceeded(i64::from(MOST_ROLES)));
            }
            role_definition::insert(tx, &row).await?;
        }
        Some(existing) => {
            (row.created_ms, row.created_by) = (existing.created_ms, existing.created_by);
            check_still_assignable(tx, &row).await?;
            role_definition::update(tx, &row).await?;
        }
    }
    audit::record(tx, ctx, now_ms, WRITE, &galerie_arm::role_definition::id(None, id), None).await?;
    Ok(row)
}

/// Asks for an action in every scope that a role is assignable in.
async fn authorize_all(
    tx: &mut Connection,
    ctx: &RequestContext,
    action: &'static str,
    role: &RoleDefinitionRow,
) -> Result<(), ArmError> {
    for text in &role.assignable_scopes {
        let scope = Scope::parse(text, "properties.assignableScopes")?;
        authorize_at(tx, &ctx.caller, action, &scope).await?;
    }
    Ok(())
}

/// Reads the scopes of a body: subscriptions and groups. The same one twice is one.
fn assignable_scopes(texts: &[String]) -> Result<Vec<String>, ArmError> {
    let mut scopes: Vec<Scope> = Vec::new();
    for text in texts {
        let invalid = || ArmError::invalid_assignable_scope(text);
        let scope = Scope::parse(text, "properties.assignableScopes").map_err(|_| invalid())?;
        match &scope {
            Scope::At(id) if id.subscription().is_some() && id.namespace().is_none() => {}
            _ => return Err(invalid()),
        }
        if scopes.iter().all(|known| known.key() != scope.key()) {
            scopes.push(scope);
        }
    }
    Ok(scopes.iter().map(|scope| scope.as_str().to_owned()).collect())
}

fn permission_set(sent: &RoleDefinitionBody) -> Result<PermissionSet, ArmError> {
    let patterns = |texts: &[String]| texts.iter().map(ActionPattern::new).collect::<Vec<_>>();
    let [actions, not_actions, data_actions, not_data_actions] = &sent.actions;
    let set = PermissionSet {
        actions: patterns(actions),
        not_actions: patterns(not_actions),
        data_actions: patterns(data_actions),
        not_data_actions: patterns(not_data_actions),
    };
    let mut plain = set.actions.iter().chain(&set.not_actions);
    if let Some(unknown) = plain.find(|pattern| !provider_operations::has_action(pattern)) {
        return Err(ArmError::invalid_action_or_not_action(unknown.as_str()));
    }
    let mut of_data = set.data_actions.iter().chain(&set.not_data_actions);
    if let Some(unknown) = of_data.find(|pattern| !provider_operations::has_data_action(pattern)) {
        return Err(ArmError::invalid_data_action_or_not_data_action(unknown.as_str()));
    }
    Ok(set)
}

/// Names are unique in the tenant, the built-in roles' included.
async fn check_name(tx: &mut Connection, role: &RoleDefinitionRow) -> Result<(), ArmError> {
    let folded = role.name.to_lowercase();
    let is_built_in = BUILT_IN_ROLES.iter().any(|built_in| built_in.name.to_lowercase() == folded);
    let same = role_definition::find_by_name(tx, role.tenant, &role.name).await?;
    if is_built_in || same.is_some_and(|same| same.id != role.id) {
        return Err(ArmError::role_definition_with_same_name_exists(&role.name));
    }
    Ok(())
}

/// Whoever has the role has it where it may still be assigned.
async fn check_still_assignable(tx: &mut Connection, role: &RoleDefinitionRow) -> Result<(), ArmError> {
    let keys: Vec<String> = role.scope_keys().collect();
    let held = role_assignment::list_of_role(tx, role.tenant, role.id).await?;
    let is_covered = |scope_key: &str| keys.iter().any(|key| is_within(scope_key, key));
    if held.iter().all(|assignment| is_covered(&assignment.scope_key)) {
        return Ok(());
    }
    Err(ArmError::role_definition_has_assignments(&role.id.to_string()))
}
