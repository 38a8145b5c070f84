//! Who is what to an application.

use uuid::Uuid;

use super::{
    Connection, Result,
    directory_object::ObjectKind,
    row::{self, Columns, Row},
    statement::query,
};

/// With the names that people know the two by.
macro_rules! shown {
    ($rest:literal) => {
        concat!(
            "SELECT a.*, p.kind AS principal_kind, p.display_name AS principal_name, r.display_name AS resource_name \
             FROM app_role_assignments a JOIN directory_objects p ON p.id = a.principal \
             JOIN directory_objects r ON r.id = a.resource WHERE ",
            $rest
        )
    };
}
const FIND: &str = shown!("a.id = $1");
const LIST_OF_PRINCIPAL: &str = shown!("a.principal = $1 AND a.id > $2 ORDER BY a.id LIMIT $3");
const LIST_TO_RESOURCE: &str = shown!("a.resource = $1 AND a.id > $2 ORDER BY a.id LIMIT $3");
const INSERT: &str = "INSERT INTO app_role_assignments (id, principal, resource, role, created_ms) \
                      VALUES ($1, $2, $3, $4, $5) ON CONFLICT (principal, resource, role) DO NOTHING";
const COUNT_OF_PRINCIPAL: &str = "SELECT COUNT(*) FROM app_role_assignments WHERE principal = $1";
const DELETE: &str = "DELETE FROM app_role_assignments WHERE id = $1";
const DELETE_OF: &str = "DELETE FROM app_role_assignments WHERE principal = $1 OR resource = $1";
const DELETE_ROLE: &str = "DELETE FROM app_role_assignments WHERE role = $2 AND resource IN \
                           (SELECT id FROM service_principals WHERE app_id = $1)";
const ROLES: &str = "SELECT role FROM app_role_assignments WHERE principal = $1 AND resource = $2 ORDER BY role";
/// Of groups only those that the user is in itself, as in Entra: an assignment does not reach through groups of groups.
const ROLES_WITH_GROUPS: &str = "SELECT role FROM app_role_assignments WHERE principal = $1 AND resource = $2 \
     UNION SELECT a.role FROM group_members m JOIN app_role_assignments a ON a.principal = m.group_id \
     WHERE m.member = $1 AND a.resource = $2 ORDER BY role";

#[cfg(test)]
pub(super) const STATEMENTS: &[&str] = &[
    FIND,
    LIST_OF_PRINCIPAL,
    LIST_TO_RESOURCE,
    INSERT,
    COUNT_OF_PRINCIPAL,
    DELETE,
    DELETE_OF,
    DELETE_ROLE,
    ROLES,
    ROLES_WITH_GROUPS,
];

/// A row, and the names of what it names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AppRoleAssignmentRow {
    pub(crate) id: Uuid,
    pub(crate) principal: Uuid,
    pub(crate) principal_kind: ObjectKind,
    pub(crate) principal_name: String,
    /// A service principal.
    pub(crate) resource: Uuid,
    pub(crate) resource_name: String,
    /// Nil: none in particular.
    pub(crate) role: Uuid,
    pub(crate) created_ms: i64,
}

impl Row for AppRoleAssignmentRow {
    fn read(columns: &Columns) -> Result<Self> {
        Ok(Self {
            id: columns.id("id")?,
            principal: columns.id("principal")?,
            principal_kind: columns.parsed("principal_kind")?,
            principal_name: columns.text("principal_name")?,
            resource: columns.id("resource")?,
            resource_name: columns.text("resource_name")?,
            role: columns.id("role")?,
            created_ms: columns.integer("created_ms")?,
        })
    }
}

/// An assignment by its id.
pub(crate) async fn find(tx: &mut Connection, id: Uuid) -> Result<Option<AppRoleAssignmentRow>> {
    row::one(tx, query(FIND).bind(id.to_string())).await
}

/// What a principal is to others, after one, in the order of the ids.
pub(crate) async fn list_of_principal(
    tx: &mut Connection,
    principal: Uuid,
    after: Option<Uuid>,
    limit: u32,
) -> Result<Vec<AppRoleAssignmentRow>> {
    let after = after.map(|id| id.to_string()).unwrap_or_default();
    row::all(tx, query(LIST_OF_PRINCIPAL).bind(principal.to_string()).bind(after).bind(i64::from(limit))).await
}

/// Who is something to a resource, after one, in the order of the ids.
pub(crate) async fn list_to_resource(
    tx: &mut Connection,
    resource: Uuid,
    after: Option<Uuid>,
    limit: u32,
) -> Result<Vec<AppRoleAssignmentRow>> {
    let after = after.map(|id| id.to_string()).unwrap_or_default();
    row::all(tx, query(LIST_TO_RESOURCE).bind(resource.to_string()).bind(after).bind(i64::from(limit))).await
}

/// Adds an assignment. Whether there was none.
pub(crate) async fn insert(tx: &mut Connection, new: &AppRoleAssignmentRow) -> Result<bool> {
    let statement = query(INSERT)
        .bind(new.id.to_string())
        .bind(new.principal.to_string())
        .bind(new.resource.to_string())
        .bind(new.role.to_string())
        .bind(new.created_ms);
    Ok(row::run(tx, statement).await? == 1)
}

/// How many assignments a principal has.
pub(crate) async fn count_of_principal(tx: &mut Connection, principal: Uuid) -> Result<u64> {
    let count: Option<i64> = row::one(tx, query(COUNT_OF_PRINCIPAL).bind(principal.to_string())).await?;
    Ok(count.and_then(|count| u64::try_from(count).ok()).unwrap_or(0))
}

/// Removes an assignment.
pub(crate) async fn delete(tx: &mut Connection, id: Uuid) -> Result<()> {
    row::run(tx, query(DELETE).bind(id.to_string())).await?;
    Ok(())
}

/// Removes whatever an object is to others, and others to it.
pub(crate) async fn delete_of(tx: &mut Connection, object: Uuid) -> Result<()> {
    row::run(tx, query(DELETE_OF).bind(object.to_string())).await?;
    Ok(())
}

/// Removes the assignments of an application's role, in every tenant.
pub(crate) async fn delete_role(tx: &mut Connection, app_id: Uuid, role: Uuid) -> Result<()> {
    row::run(tx, query(DELETE_ROLE).bind(app_id.to_string()).bind(role.to_string())).await?;
    Ok(())
}

/// The roles that a principal has at a resource itself.
pub(crate) async fn roles(tx: &mut Connection, principal: Uuid, resource: Uuid) -> Result<Vec<Uuid>> {
    ids(row::all(tx, query(ROLES).bind(principal.to_string()).bind(resource.to_string())).await?)
}

/// The roles that a user has at a resource, also by a group that the user is in.
pub(crate) async fn roles_with_groups(tx: &mut Connection, user: Uuid, resource: Uuid) -> Result<Vec<Uuid>> {
    ids(row::all(tx, query(ROLES_WITH_GROUPS).bind(user.to_string()).bind(resource.to_string())).await?)
}

fn ids(texts: Vec<String>) -> Result<Vec<Uuid>> {
    texts.iter().map(|text| row::parse("role", text)).collect()
}
