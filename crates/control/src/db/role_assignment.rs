//! Who has which role where.

use uuid::Uuid;

use super::{
    Connection, Error, Result,
    access_revision::{self, AccessChange},
    directory_object::ObjectKind,
    row::{self, Columns, Row, json, parse},
    statement::{query, query_of},
};

const FIND: &str = "SELECT * FROM role_assignments WHERE tenant = $1 AND id = $2";
const FIND_SAME: &str =
    "SELECT * FROM role_assignments WHERE scope_key = $1 AND tenant = $2 AND principal = $3 AND role = $4";
const LIST_FOR_PRINCIPAL: &str =
    "SELECT * FROM role_assignments WHERE tenant = $1 AND principal = $2 ORDER BY scope_key, id";
/// Everything that principals have, as one text: there may be as many rows as the tenant's limit, two values each. Fields
/// end in U+001F and rows in U+001E, which keys cannot hold.
const GRANTED: [&str; 2] = [
    "SELECT COALESCE(string_agg(scope_key || '\u{1f}' || role, '\u{1e}'), '') FROM role_assignments \
     WHERE tenant = $1 AND principal IN (SELECT value FROM json_each($2))",
    "SELECT COALESCE(string_agg(scope_key || '\u{1f}' || role, '\u{1e}'), '') FROM role_assignments \
     WHERE tenant = $1 AND principal = ANY(ARRAY(SELECT jsonb_array_elements_text($2::jsonb)))",
];
const GRANTED_AT: &str = "SELECT principal, role FROM role_assignments WHERE scope_key = $1 AND tenant = $2";
const LIST_AT: &str = "SELECT * FROM role_assignments WHERE scope_key = $1 AND tenant = $2 ORDER BY id";
// '0' is what follows '/': a range of the index.
const LIST_BELOW: &str = "SELECT * FROM role_assignments WHERE scope_key >= $1 AND scope_key < $2 AND tenant = $3 \
     AND (scope_key > $4 OR (scope_key = $4 AND id > $5)) ORDER BY scope_key, id LIMIT $6";
const LIST_OF_ROLE: &str = "SELECT * FROM role_assignments WHERE tenant = $1 AND role = $2 ORDER BY id";
const COUNT: &str = "SELECT COUNT(*) FROM role_assignments WHERE tenant = $1";
/// Users, and applications of the tenant itself: those whom it has credentials for.
const COUNT_KEEPERS: &str = "SELECT COUNT(*) FROM role_assignments a WHERE a.scope_key = '' AND a.tenant = $1 AND a.role = $2 \
     AND (a.principal_type = 'User' OR EXISTS (SELECT 1 FROM service_principals s JOIN applications p ON p.app_id = s.app_id \
     JOIN directory_objects o ON o.id = p.id WHERE s.id = a.principal AND o.tenant = a.tenant))";
const INSERT: &str = "INSERT INTO role_assignments (tenant, id, scope, scope_key, role, principal, principal_type, \
     description, created_ms, updated_ms, created_by, updated_by) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)";
const DESCRIBE: &str = "UPDATE role_assignments SET description = $3, updated_ms = $4, updated_by = $5 \
     WHERE tenant = $1 AND id = $2";
const DELETE: &str = "DELETE FROM role_assignments WHERE tenant = $1 AND id = $2";
const DELETE_FOR_PRINCIPAL: &str = "DELETE FROM role_assignments WHERE tenant = $1 AND principal = $2";
const PLACES_AT_OR_BELOW: &str = "SELECT DISTINCT principal, scope_key FROM role_assignments \
     WHERE scope_key = $1 OR (scope_key >= $2 AND scope_key < $3)";
const DELETE_AT_OR_BELOW: &str =
    "DELETE FROM role_assignments WHERE scope_key = $1 OR (scope_key >= $2 AND scope_key < $3)";

#[cfg(test)]
pub(super) const STATEMENTS: &[&str] = &[
    FIND,
    FIND_SAME,
    LIST_FOR_PRINCIPAL,
    LIST_AT,
    LIST_BELOW,
    LIST_OF_ROLE,
    COUNT,
    COUNT_KEEPERS,
    INSERT,
    DESCRIBE,
    DELETE,
    DELETE_FOR_PRINCIPAL,
    PLACES_AT_OR_BELOW,
    DELETE_AT_OR_BELOW,
    GRANTED_AT,
];

/// A row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RoleAssignmentRow {
    pub(crate) tenant: Uuid,
    /// The name in URLs.
    pub(crate) id: Uuid,
    /// In the spelling of creation; `/` is the tenant's root.
    pub(crate) scope: String,
    /// Folded; empty is the tenant's root.
    pub(crate) scope_key: String,
    pub(crate) role: Uuid,
    pub(crate) principal: Uuid,
    pub(crate) principal_type: ObjectKind,
    pub(crate) description: Option<String>,
    pub(crate) created_ms: i64,
    pub(crate) updated_ms: i64,
    pub(crate) created_by: Uuid,
    pub(crate) updated_by: Uuid,
}

impl Row for RoleAssignmentRow {
    fn read(columns: &Columns) -> Result<Self> {
        Ok(Self {
            tenant: columns.id("tenant")?,
            id: columns.id("id")?,
            scope: columns.text("scope")?,
            scope_key: columns.text("scope_key")?,
            role: columns.id("role")?,
            principal: columns.id("principal")?,
            principal_type: columns.parsed("principal_type")?,
            description: columns.optional_text("description")?,
            created_ms: columns.integer("created_ms")?,
            updated_ms: columns.integer("updated_ms")?,
            created_by: columns.id("created_by")?,
            updated_by: columns.id("updated_by")?,
        })
    }
}

/// A principal and a role that it has.
#[derive(Debug)]
pub(crate) struct Holding {
    pub(crate) principal: Uuid,
    pub(crate) role: Uuid,
}

impl Row for Holding {
    fn read(columns: &Columns) -> Result<Self> {
        Ok(Self { principal: columns.id("principal")?, role: columns.id("role")? })
    }
}

/// A principal, and a scope at which it has roles.
struct Place {
    principal: Uuid,
    scope_key: String,
}

impl Row for Place {
    fn read(columns: &Columns) -> Result<Self> {
        Ok(Self { principal: columns.id("principal")?, scope_key: columns.text("scope_key")? })
    }
}

/// An assignment by its name.
pub(crate) async fn find(tx: &mut Connection, tenant: Uuid, id: Uuid) -> Result<Option<RoleAssignmentRow>> {
    row::one(tx, query(FIND).bind(tenant.to_string()).bind(id.to_string())).await
}

/// The assignment of the same role to the same principal at the same scope.
pub(crate) async fn find_same(tx: &mut Connection, other: &RoleAssignmentRow) -> Result<Option<RoleAssignmentRow>> {
    let statement = query(FIND_SAME).bind(&other.scope_key).bind(other.tenant.to_string());
    row::one(tx, statement.bind(other.principal.to_string()).bind(other.role.to_string())).await
}

/// A principal's own assignments, by scope; the tenant's limit bounds them.
pub(crate) async fn list_for_principal(
    tx: &mut Connection,
    tenant: Uuid,
    principal: Uuid,
) -> Result<Vec<RoleAssignmentRow>> {
    row::all(tx, query(LIST_FOR_PRINCIPAL).looks_at_many().bind(tenant.to_string()).bind(principal.to_string())).await
}

/// What principals have: the scopes' keys and the roles.
pub(crate) async fn granted(tx: &mut Connection, tenant: Uuid, principals: &[Uuid]) -> Result<Vec<(String, Uuid)>> {
    let statement = query_of(GRANTED).looks_at_many().bind(tenant.to_string()).bind(json(&principals));
    let text = row::one::<String>(tx, statement).await?.unwrap_or_default();
    let rows = text.split('\u{1e}').filter(|row| !row.is_empty());
    rows.map(|row| {
        let (scope_key, role) =
            row.split_once('\u{1f}').ok_or_else(|| Error::Corrupt(format!("granted is '{row}'")))?;
        Ok((scope_key.to_owned(), parse("role", role)?))
    })
    .collect()
}

/// Who has which role at a scope.
pub(crate) async fn granted_at(tx: &mut Connection, tenant: Uuid, scope_key: &str) -> Result<Vec<Holding>> {
    row::all(tx, query(GRANTED_AT).bind(scope_key).bind(tenant.to_string())).await
}

/// The assignments at a scope; the tenant's limit bounds them.
pub(crate) async fn list_at(tx: &mut Connection, tenant: Uuid, scope_key: &str) -> Result<Vec<RoleAssignmentRow>> {
    row::all(tx, query(LIST_AT).bind(scope_key).bind(tenant.to_string())).await
}

/// Assignments below a scope, by scope and name, after the given ones.
pub(crate) async fn list_below(
    tx: &mut Connection,
    tenant: Uuid,
    scope_key: &str,
    after: (&str, Uuid),
    limit: u32,
) -> Result<Vec<RoleAssignmentRow>> {
    let (first, end) = below(scope_key);
    let statement = query(LIST_BELOW).bind(first).bind(end).bind(tenant.to_string());
    row::all(tx, statement.bind(after.0).bind(after.1.to_string()).bind(i64::from(limit))).await
}

/// Who has a role, anywhere.
pub(crate) async fn list_of_role(tx: &mut Connection, tenant: Uuid, role: Uuid) -> Result<Vec<RoleAssignmentRow>> {
    row::all(tx, query(LIST_OF_ROLE).looks_at_many().bind(tenant.to_string()).bind(role.to_string())).await
}

/// How many assignments a tenant has.
pub(crate) async fn count(tx: &mut Connection, tenant: Uuid) -> Result<i64> {
    Ok(row::one(tx, query(COUNT).bind(tenant.to_string())).await?.unwrap_or(0))
}

/// How many users and service principals have a role at the tenant's root.
pub(crate) async fn count_keepers_of_root(tx: &mut Connection, tenant: Uuid, role: Uuid) -> Result<i64> {
    Ok(row::one(tx, query(COUNT_KEEPERS).bind(tenant.to_string()).bind(role.to_string())).await?.unwrap_or(0))
}

/// Adds an assignment.
pub(crate) async fn insert(tx: &mut Connection, assignment: &RoleAssignmentRow) -> Result<()> {
    let statement = query(INSERT)
        .bind(assignment.tenant.to_string())
        .bind(assignment.id.to_string())
        .bind(&assignment.scope)
        .bind(&assignment.scope_key)
        .bind(assignment.role.to_string())
        .bind(assignment.principal.to_string())
        .bind(assignment.principal_type.as_str())
        .bind(&assignment.description)
        .bind(assignment.created_ms)
        .bind(assignment.updated_ms)
        .bind(assignment.created_by.to_string())
        .bind(assignment.updated_by.to_string());
    row::run(tx, statement).await?;
    Ok(())
}

/// Writes what may change of an assignment: its description.
pub(crate) async fn describe(tx: &mut Connection, assignment: &RoleAssignmentRow) -> Result<()> {
    let statement = query(DESCRIBE)
        .bind(assignment.tenant.to_string())
        .bind(assignment.id.to_string())
        .bind(&assignment.description)
        .bind(assignment.updated_ms)
        .bind(assignment.updated_by.to_string());
    row::run(tx, statement).await?;
    Ok(())
}

/// Removes an assignment.
pub(crate) async fn delete(tx: &mut Connection, tenant: Uuid, id: Uuid) -> Result<()> {
    row::run(tx, query(DELETE).bind(tenant.to_string()).bind(id.to_string())).await?;
    Ok(())
}

/// Removes a principal's assignments.
pub(crate) async fn delete_for_principal(tx: &mut Connection, tenant: Uuid, principal: Uuid) -> Result<()> {
    row::run(tx, query(DELETE_FOR_PRINCIPAL).bind(tenant.to_string()).bind(principal.to_string())).await?;
    Ok(())
}

/// Removes the assignments at a place that is being deleted and below it, so that what is made under its name later starts
/// with none. `tenant` is the place's.
pub(crate) async fn delete_at_or_below(tx: &mut Connection, tenant: Uuid, scope_key: &str) -> Result<()> {
    let (first, end) = below(scope_key);
    let places = query(PLACES_AT_OR_BELOW).bind(scope_key).bind(&first).bind(&end);
    let places = row::all::<Place>(tx, places).await?.into_iter();
    let changes: Vec<AccessChange> =
        places.map(|Place { principal, scope_key }| AccessChange::Assignment { principal, scope_key }).collect();
    if !changes.is_empty() {
        access_revision::advance(tx, tenant, &changes).await?;
        row::run(tx, query(DELETE_AT_OR_BELOW).bind(scope_key).bind(first).bind(end)).await?;
    }
    Ok(())
}

fn below(scope_key: &str) -> (String, String) {
    (format!("{scope_key}/"), format!("{scope_key}0"))
}
