//! Custom roles.

use uuid::Uuid;

use super::{
    Connection, Result,
    row::{self, Columns, Row, json},
    statement::query,
};
use crate::authz::PermissionSet;

const FIND: &str = "SELECT * FROM role_definitions WHERE tenant = $1 AND id = $2";
const FIND_BY_NAME: &str = "SELECT * FROM role_definitions WHERE tenant = $1 AND name_key = $2";
const LIST: &str = "SELECT * FROM role_definitions WHERE tenant = $1 ORDER BY id LIMIT $2";
const COUNT: &str = "SELECT COUNT(*) FROM role_definitions WHERE tenant = $1";
const INSERT: &str = "INSERT INTO role_definitions (tenant, id, name, name_key, description, permissions, \
     assignable_scopes, created_ms, updated_ms, created_by, updated_by) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";
const UPDATE: &str = "UPDATE role_definitions SET name = $3, name_key = $4, description = $5, permissions = $6, \
     assignable_scopes = $7, updated_ms = $8, updated_by = $9 WHERE tenant = $1 AND id = $2";
const DELETE: &str = "DELETE FROM role_definitions WHERE tenant = $1 AND id = $2";

#[cfg(test)]
pub(super) const STATEMENTS: &[&str] = &[FIND, FIND_BY_NAME, LIST, COUNT, INSERT, UPDATE, DELETE];

/// A row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RoleDefinitionRow {
    pub(crate) tenant: Uuid,
    pub(crate) id: Uuid,
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) permissions: Vec<PermissionSet>,
    /// Ids in the spelling of creation.
    pub(crate) assignable_scopes: Vec<String>,
    pub(crate) created_ms: i64,
    pub(crate) updated_ms: i64,
    pub(crate) created_by: Uuid,
    pub(crate) updated_by: Uuid,
}

impl Row for RoleDefinitionRow {
    fn read(columns: &Columns) -> Result<Self> {
        Ok(Self {
            tenant: columns.id("tenant")?,
            id: columns.id("id")?,
            name: columns.text("name")?,
            description: columns.text("description")?,
            permissions: columns.json("permissions")?,
            assignable_scopes: columns.json("assignable_scopes")?,
            created_ms: columns.integer("created_ms")?,
            updated_ms: columns.integer("updated_ms")?,
            created_by: columns.id("created_by")?,
            updated_by: columns.id("updated_by")?,
        })
    }
}

/// A role by its id.
pub(crate) async fn find(tx: &mut Connection, tenant: Uuid, id: Uuid) -> Result<Option<RoleDefinitionRow>> {
    row::one(tx, query(FIND).bind(tenant.to_string()).bind(id.to_string())).await
}

/// A role by its name, without regard to case.
pub(crate) async fn find_by_name(tx: &mut Connection, tenant: Uuid, name: &str) -> Result<Option<RoleDefinitionRow>> {
    row::one(tx, query(FIND_BY_NAME).bind(tenant.to_string()).bind(name.to_lowercase())).await
}

/// A tenant's roles, at most so many.
pub(crate) async fn list(tx: &mut Connection, tenant: Uuid, most: u32) -> Result<Vec<RoleDefinitionRow>> {
    row::all(tx, query(LIST).bind(tenant.to_string()).bind(i64::from(most))).await
}

/// How many roles a tenant has.
pub(crate) async fn count(tx: &mut Connection, tenant: Uuid) -> Result<i64> {
    Ok(row::one(tx, query(COUNT).bind(tenant.to_string())).await?.unwrap_or(0))
}

/// Adds a role.
pub(crate) async fn insert(tx: &mut Connection, role: &RoleDefinitionRow) -> Result<()> {
    let statement = query(INSERT)
        .bind(role.tenant.to_string())
        .bind(role.id.to_string())
        .bind(&role.name)
        .bind(role.name.to_lowercase())
        .bind(&role.description)
        .bind(json(&role.permissions))
        .bind(json(&role.assignable_scopes))
        .bind(role.created_ms)
        .bind(role.updated_ms)
        .bind(role.created_by.to_string())
        .bind(role.updated_by.to_string());
    row::run(tx, statement).await?;
    Ok(())
}

/// Writes what may change of a role.
pub(crate) async fn update(tx: &mut Connection, role: &RoleDefinitionRow) -> Result<()> {
    let statement = query(UPDATE)
        .bind(role.tenant.to_string())
        .bind(role.id.to_string())
        .bind(&role.name)
        .bind(role.name.to_lowercase())
        .bind(&role.description)
        .bind(json(&role.permissions))
        .bind(json(&role.assignable_scopes))
        .bind(role.updated_ms)
        .bind(role.updated_by.to_string());
    row::run(tx, statement).await?;
    Ok(())
}

/// Removes a role; nobody may have it any more.
pub(crate) async fn delete(tx: &mut Connection, tenant: Uuid, id: Uuid) -> Result<()> {
    row::run(tx, query(DELETE).bind(tenant.to_string()).bind(id.to_string())).await?;
    Ok(())
}
