//! Role assignments: who has which role where.
//!
//! Promises: an assignment is of a principal, a role and a scope that there are; with any of them it goes, in the same
//! transaction. A tenant's root always has an Owner who is a user or a service principal: neither a deletion, nor the
//! deletion of that principal, nor two of them at once take the last one away.

use galerie_arm::{
    ArmError,
    paging::SkipToken,
    role_assignment::{RoleAssignmentBody, RoleAssignmentView},
    role_definition,
};
use serde_json::Value;
use uuid::Uuid;

use super::{
    authorize_at,
    built_in_roles::OWNER,
    role_definition::RoleDefinition,
    scope::{Scope, ancestors, is_within},
};
use crate::{
    audit,
    control::Control,
    db::{
        self, Connection,
        access_revision::{self, AccessChange},
        directory_object::{self, ObjectKind},
        group,
        role_assignment::{self, RoleAssignmentRow},
        transact,
    },
    request::RequestContext,
};

const READ: &str = "Microsoft.Authorization/roleAssignments/read";
const WRITE: &str = "Microsoft.Authorization/roleAssignments/write";
const DELETE: &str = "Microsoft.Authorization/roleAssignments/delete";

/// Assignments that a tenant may have. Azure's limit is 4,000 for each subscription.
const MOST_ASSIGNMENTS: i64 = 20_000;
/// Assignments on a page of a list.
const PAGE_ITEMS: usize = 500;

/// Which assignments to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AssignmentFilter {
    /// Only at the scope and above it, not below.
    pub at_scope: bool,
    /// Only of this principal.
    pub principal: Option<Uuid>,
    /// Only of this principal and of the groups that it is in.
    pub assigned_to: Option<Uuid>,
}

/// A page of assignments.
#[derive(Debug)]
pub struct AssignmentPage {
    /// Their documents, by scope and name.
    pub items: Vec<Value>,
    /// Where the next page starts; opaque; `None` on the last.
    pub continuation: Option<String>,
}

impl Control {
    /// An assignment at exactly this scope.
    ///
    /// # Errors
    /// `SubscriptionNotFound`, `AuthorizationFailed`, `RoleAssignmentNotFound`.
    pub async fn role_assignment_get(
        &self,
        ctx: &RequestContext,
        scope: &Scope,
        name: &str,
    ) -> Result<Value, ArmError> {
        let mut tx = self.db().read().await?;
        authorize_at(&mut tx, &ctx.caller, READ, scope).await?;
        let found = find_at(&mut tx, ctx, scope, name).await?;
        found.map(|row| document(ctx, scope, &row)).ok_or_else(|| ArmError::role_assignment_not_found(name))
    }

    /// A page of the assignments at a scope, above it and below it.
    ///
    /// # Errors
    /// `SubscriptionNotFound`, `AuthorizationFailed`; a scope that is not there; `InvalidSkipToken`.
    pub async fn role_assignment_list(
        &self,
        ctx: &RequestContext,
        scope: &Scope,
        filter: &AssignmentFilter,
        continuation: Option<&str>,
    ) -> Result<AssignmentPage, ArmError> {
        let mut tx = self.db().read().await?;
        authorize_at(&mut tx, &ctx.caller, READ, scope).await?;
        scope.check_exists(&mut tx).await?;
        let after = continuation.map(Position::decode).transpose()?;
        let mut rows = match filter.assigned_to.or(filter.principal) {
            Some(principal) => of_principal(&mut tx, ctx, scope, filter, principal, after.as_ref()).await?,
            None => of_anybody(&mut tx, ctx, scope, filter, after.as_ref()).await?,
        };
        let has_more = rows.len() > PAGE_ITEMS;
        rows.truncate(PAGE_ITEMS);
        let continuation = rows.last().filter(|_| has_more).map(|last| Position::of(last).encode());
        Ok(AssignmentPage { items: rows.iter().map(|row| document(ctx, scope, row)).collect(), continuation })
    }

    /// Assigns a role; the first of the answer: whether the assignment is new. Of one that is there only the description may
    /// change.
    ///
    /// # Errors
    /// What is wrong with the body; a principal, role or scope that is not there; `RoleAssignmentExists` under another name.
    pub async fn role_assignment_put(
        &self,
        ctx: &RequestContext,
        scope: &Scope,
        name: &str,
        body: &Value,
    ) -> Result<(bool, Value), ArmError> {
        // Reading the body needs no state. Its fault is told after the caller's right to be told.
        let sent = RoleAssignmentBody::parse(body);
        let (is_new, row) = transact!(self.db(), |tx| -> Result<(bool, RoleAssignmentRow), ArmError> {
            authorize_at(tx, &ctx.caller, WRITE, scope).await?;
            let id = Uuid::try_parse(name).map_err(|_| ArmError::invalid_role_assignment_id(name))?;
            put_in(tx, ctx, scope, id, sent.clone()?, self.now_ms()).await
        })?;
        Ok((is_new, document(ctx, scope, &row)))
    }

    /// Takes a role away; `None` when there is no such assignment at this scope.
    ///
    /// # Errors
    /// `SubscriptionNotFound`, `AuthorizationFailed`, `CannotDeleteLastRbacAdminAssignment`.
    pub async fn role_assignment_delete(
        &self,
        ctx: &RequestContext,
        scope: &Scope,
        name: &str,
    ) -> Result<Option<Value>, ArmError> {
        let deleted = transact!(self.db(), |tx| -> Result<Option<RoleAssignmentRow>, ArmError> {
            authorize_at(tx, &ctx.caller, DELETE, scope).await?;
            let Some(row) = find_at(tx, ctx, scope, name).await? else { return Ok(None) };
            access_revision::advance(tx, row.tenant, &[change_of(&row)]).await?;
            role_assignment::delete(tx, row.tenant, row.id).await?;
            if is_root_owner(&row) {
                check_root_has_owner(tx, row.tenant).await?;
            }
            audit::record(tx, ctx, self.now_ms(), DELETE, &view(scope, &row).id(), None).await?;
            Ok(Some(row))
        })?;
        Ok(deleted.map(|row| document(ctx, scope, &row)))
    }
}

async fn put_in(
    tx: &mut Connection,
    ctx: &RequestContext,
    scope: &Scope,
    id: Uuid,
    sent: RoleAssignmentBody,
    now_ms: i64,
) -> Result<(bool, RoleAssignmentRow), ArmError> {
    let (tenant, writer) = (ctx.caller.tenant, ctx.caller.principal);
    scope.check_exists(tx).await?;
    let role = RoleDefinition::find(tx, tenant, sent.role).await?.filter(|role| role.is_assignable_at(scope.key()));
    let role = role.ok_or_else(|| ArmError::role_definition_does_not_exist(&sent.role.to_string()))?;
    let found = directory_object::kind_of(tx, sent.principal)
        .await?
        .filter(|(home, kind)| *home == tenant && is_principal(*kind));
    let (_, principal_type) = found
        .ok_or_else(|| ArmError::principal_not_found(&sent.principal.simple().to_string(), &tenant.to_string()))?;
    if let Some(stated) = &sent.principal_type
        && !stated.eq_ignore_ascii_case(principal_type.as_str())
    {
        let (principal, actual) = (sent.principal.simple().to_string(), principal_type.as_str());
        return Err(ArmError::unmatched_principal_type(&principal, actual, stated));
    }
    let row = RoleAssignmentRow {
        tenant,
        id,
        scope: scope.as_str().to_owned(),
        scope_key: scope.key().to_owned(),
        role: role.id(),
        principal: sent.principal,
        principal_type,
        description: sent.description,
        created_ms: now_ms,
        updated_ms: now_ms,
        created_by: writer,
        updated_by: writer,
    };
    let (is_new, row) = match role_assignment::find(tx, tenant, id).await? {
        Some(existing) => (false, described(existing, row)?),
        None => {
            if let Some(same) = role_assignment::find_same(tx, &row).await? {
                return Err(ArmError::role_assignment_exists(&same.id.simple().to_string()));
            }
            if role_assignment::count(tx, tenant).await? >= MOST_ASSIGNMENTS {
                return Err(ArmError::role_assignment_limit_exceeded(MOST_ASSIGNMENTS));
            }
            (true, row)
        }
    };
    if is_new {
        add(tx, &row).await?;
    } else {
        role_assignment::describe(tx, &row).await?;
    }
    audit::record(tx, ctx, now_ms, WRITE, &view(scope, &row).id(), None).await?;
    Ok((is_new, row))
}

/// What a PUT makes of an assignment that is there.
fn described(existing: RoleAssignmentRow, sent: RoleAssignmentRow) -> Result<RoleAssignmentRow, ArmError> {
    let essence = |row: &RoleAssignmentRow| (row.scope_key.clone(), row.role, row.principal);
    if essence(&existing) != essence(&sent) {
        return Err(ArmError::role_assignment_update_not_permitted());
    }
    let RoleAssignmentRow { description, updated_ms, updated_by, .. } = sent;
    Ok(RoleAssignmentRow { description, updated_ms, updated_by, ..existing })
}

/// Adds an assignment, so that it counts at the next request.
async fn add(tx: &mut Connection, row: &RoleAssignmentRow) -> db::Result<()> {
    access_revision::advance(tx, row.tenant, &[change_of(row)]).await?;
    role_assignment::insert(tx, row).await
}

fn change_of(row: &RoleAssignmentRow) -> AccessChange {
    AccessChange::Assignment { principal: row.principal, scope_key: row.scope_key.clone() }
}

/// Makes a principal Owner of a scope (`/`: of everything in its tenant), in the transaction that makes the principal or the
/// scope.
///
/// # Errors
/// A scope that is none; the catalogue's.
pub(crate) async fn own(tx: &mut Connection, tenant: Uuid, scope: &str, principal: Uuid) -> Result<(), ArmError> {
    let scope = Scope::parse(scope, "scope")?;
    let found = directory_object::kind_of(tx, principal).await?;
    let (_, principal_type) =
        found.ok_or_else(|| ArmError::principal_not_found(&principal.simple().to_string(), &tenant.to_string()))?;
    let now_ms = tx.now_ms().await?;
    let row = RoleAssignmentRow {
        tenant,
        id: Uuid::new_v4(),
        scope: scope.as_str().to_owned(),
        scope_key: scope.key().to_owned(),
        role: OWNER,
        principal,
        principal_type,
        description: None,
        created_ms: now_ms,
        updated_ms: now_ms,
        created_by: principal,
        updated_by: principal,
    };
    if role_assignment::find_same(tx, &row).await?.is_none() {
        add(tx, &row).await?;
    }
    Ok(())
}

/// Takes every role from a user, group or service principal that is being deleted, in the transaction that does it and before
/// its object goes.
///
/// # Errors
/// `CannotDeleteLastRbacAdminAssignment`, when it is the last one who owns the tenant's root and counts as such: another tenant's
/// application and the identity of a resource do not, and can always go.
pub(crate) async fn forget_principal(tx: &mut Connection, principal: Uuid) -> Result<(), ArmError> {
    let Some((tenant, _)) = directory_object::kind_of(tx, principal).await? else { return Ok(()) };
    let held = role_assignment::list_for_principal(tx, tenant, principal).await?;
    access_revision::advance(tx, tenant, &[AccessChange::Object(principal)]).await?;
    let is_owner = held.iter().any(is_root_owner);
    let before = if is_owner { role_assignment::count_keepers_of_root(tx, tenant, OWNER).await? } else { 0 };
    role_assignment::delete_for_principal(tx, tenant, principal).await?;
    if before > 0 {
        check_root_has_owner(tx, tenant).await?;
    }
    Ok(())
}

/// An application is no principal: its service principals are.
fn is_principal(kind: ObjectKind) -> bool {
    matches!(kind, ObjectKind::User | ObjectKind::Group | ObjectKind::ServicePrincipal)
}

fn is_root_owner(row: &RoleAssignmentRow) -> bool {
    row.scope_key.is_empty() && row.role == OWNER
}

/// Groups do not count: a group may be empty. Nor does what nobody of the tenant can sign in as.
async fn check_root_has_owner(tx: &mut Connection, tenant: Uuid) -> Result<(), ArmError> {
    match role_assignment::count_keepers_of_root(tx, tenant, OWNER).await? {
        0 => Err(ArmError::cannot_delete_last_owner()),
        _ => Ok(()),
    }
}

async fn find_at(
    tx: &mut Connection,
    ctx: &RequestContext,
    scope: &Scope,
    name: &str,
) -> Result<Option<RoleAssignmentRow>, ArmError> {
    let Ok(id) = Uuid::try_parse(name) else { return Ok(None) };
    let found = role_assignment::find(tx, ctx.caller.tenant, id).await?;
    Ok(found.filter(|row| row.scope_key == scope.key()))
}

/// Where a list goes on: after the assignment with this scope and name.
struct Position {
    scope_key: String,
    id: Uuid,
}

impl Position {
    fn of(row: &RoleAssignmentRow) -> Self {
        Self { scope_key: row.scope_key.clone(), id: row.id }
    }

    fn encode(&self) -> String {
        SkipToken { last_key: format!("{}{}", self.id.simple(), self.scope_key) }.encode()
    }

    fn decode(token: &str) -> Result<Self, ArmError> {
        let last_key = SkipToken::decode(token)?.last_key;
        let (id, scope_key) = last_key.split_at_checked(32).ok_or_else(ArmError::invalid_skip_token)?;
        let id = Uuid::try_parse(id).map_err(|_| ArmError::invalid_skip_token())?;
        Ok(Self { scope_key: scope_key.to_owned(), id })
    }

    fn is_before(&self, row: &RoleAssignmentRow) -> bool {
        (self.scope_key.as_str(), self.id) < (row.scope_key.as_str(), row.id)
    }
}

/// A page and one more of what a principal, perhaps with its groups, has at, above or below a scope.
async fn of_principal(
    tx: &mut Connection,
    ctx: &RequestContext,
    scope: &Scope,
    filter: &AssignmentFilter,
    principal: Uuid,
    after: Option<&Position>,
) -> Result<Vec<RoleAssignmentRow>, ArmError> {
    let mut holders = vec![principal];
    if filter.assigned_to.is_some() {
        holders.extend(group::memberships(tx, principal).await?);
    }
    let mut rows = Vec::new();
    for holder in holders {
        rows.extend(role_assignment::list_for_principal(tx, ctx.caller.tenant, holder).await?);
    }
    rows.retain(|row| {
        let is_above = is_within(scope.key(), &row.scope_key);
        let is_below = !filter.at_scope && is_within(&row.scope_key, scope.key());
        let is_its_own = filter.principal.is_none_or(|wanted| wanted == row.principal);
        (is_above || is_below) && is_its_own && after.is_none_or(|after| after.is_before(row))
    });
    rows.sort_unstable_by(|one, other| (&one.scope_key, one.id).cmp(&(&other.scope_key, other.id)));
    rows.truncate(PAGE_ITEMS + 1);
    Ok(rows)
}

/// A page and one more of what anybody has at, above or below a scope. What is above sorts first.
async fn of_anybody(
    tx: &mut Connection,
    ctx: &RequestContext,
    scope: &Scope,
    filter: &AssignmentFilter,
    after: Option<&Position>,
) -> Result<Vec<RoleAssignmentRow>, ArmError> {
    let tenant = ctx.caller.tenant;
    let mut rows = Vec::new();
    for key in ancestors(scope.key()) {
        rows.extend(role_assignment::list_at(tx, tenant, key).await?);
    }
    rows.retain(|row| after.is_none_or(|after| after.is_before(row)));
    if !filter.at_scope && rows.len() <= PAGE_ITEMS {
        let start = after.map_or(("", Uuid::nil()), |after| (after.scope_key.as_str(), after.id));
        let left = u32::try_from(PAGE_ITEMS + 1 - rows.len()).unwrap_or(u32::MAX);
        rows.extend(role_assignment::list_below(tx, tenant, scope.key(), start, left).await?);
    }
    rows.truncate(PAGE_ITEMS + 1);
    Ok(rows)
}

fn view<'a>(seen_from: &Scope, row: &'a RoleAssignmentRow) -> RoleAssignmentView<'a> {
    RoleAssignmentView {
        name: row.id,
        scope: &row.scope,
        role_definition_id: role_definition::id(seen_from.subscription(), row.role),
        principal: row.principal,
        principal_type: row.principal_type.as_str(),
        description: row.description.as_deref(),
        created_ms: row.created_ms,
        updated_ms: row.updated_ms,
        created_by: row.created_by,
        updated_by: row.updated_by,
    }
}

fn document(ctx: &RequestContext, seen_from: &Scope, row: &RoleAssignmentRow) -> Value {
    view(seen_from, row).document(ctx.api_version)
}
