//! Service principals: what an application is in one tenant.

use serde_json::Value;
use uuid::Uuid;

use super::{
    Connection, Result,
    directory_object::{self, DirectoryObjectRow, ObjectKind},
    row::{self, Columns, Row, json},
    statement::query,
};

const FIND: &str = "SELECT o.*, p.app_id, p.administrator, p.enabled, p.document \
     FROM service_principals p JOIN directory_objects o ON o.id = p.id WHERE p.id = $1";
const FIND_BY_APP: &str = "SELECT o.*, p.app_id, p.administrator, p.enabled, p.document \
     FROM service_principals p JOIN directory_objects o ON o.id = p.id WHERE p.app_id = $1 AND p.tenant = $2";
const LIST_BY_APP: &str = "SELECT o.*, p.app_id, p.administrator, p.enabled, p.document \
     FROM service_principals p JOIN directory_objects o ON o.id = p.id WHERE p.app_id = $1 ORDER BY p.id";
const INSERT: &str = "INSERT INTO service_principals (id, tenant, app_id, administrator, enabled, document) \
                      VALUES ($1, $2, $3, $4, $5, $6)";
const UPDATE: &str = "UPDATE service_principals SET enabled = $2, document = $3 WHERE id = $1";
const DELETE: &str = "DELETE FROM service_principals WHERE id = $1";
const SET_ISSUER: &str = "UPDATE service_principals SET issuer = $2 WHERE id = $1";
const COUNT_OF_ISSUER: &str = "SELECT COUNT(*) FROM service_principals WHERE issuer = $1";
const LIST_ADMINISTRATORS: &str = "SELECT o.*, p.app_id, p.administrator, p.enabled, p.document \
     FROM service_principals p JOIN directory_objects o ON o.id = p.id \
     WHERE p.tenant = $1 AND p.administrator = 1 ORDER BY p.id";
const DEMOTE: &str = "UPDATE service_principals SET administrator = 0 WHERE tenant = $1 AND administrator = 1";
const DELETE_ADMINISTRATOR_CREDENTIALS: &str = "DELETE FROM credentials WHERE owner IN \
     (SELECT id FROM service_principals WHERE tenant = $1 AND administrator = 1 \
      UNION SELECT a.id FROM applications a JOIN service_principals p ON p.app_id = a.app_id \
      WHERE p.tenant = $1 AND p.administrator = 1)";

#[cfg(test)]
pub(super) const STATEMENTS: &[&str] = &[
    FIND,
    FIND_BY_APP,
    LIST_BY_APP,
    INSERT,
    UPDATE,
    DELETE,
    SET_ISSUER,
    COUNT_OF_ISSUER,
    LIST_ADMINISTRATORS,
    DEMOTE,
    DELETE_ADMINISTRATOR_CREDENTIALS,
];

/// A row.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ServicePrincipalRow {
    pub(crate) object: DirectoryObjectRow,
    /// The client id of its application, which may be another tenant's.
    pub(crate) app_id: Uuid,
    /// Whether it looks after the gallery itself: stores, quotas, backups, processes.
    pub(crate) administrator: bool,
    /// Whether it may sign in.
    pub(crate) enabled: bool,
    /// What Graph shows beside these.
    pub(crate) document: Value,
}

impl Row for ServicePrincipalRow {
    fn read(columns: &Columns) -> Result<Self> {
        Ok(Self {
            object: DirectoryObjectRow::read(columns)?,
            app_id: columns.id("app_id")?,
            administrator: columns.flag("administrator")?,
            enabled: columns.flag("enabled")?,
            document: columns.json("document")?,
        })
    }
}

/// A principal by its object id.
pub(crate) async fn find(tx: &mut Connection, id: Uuid) -> Result<Option<ServicePrincipalRow>> {
    row::one(tx, query(FIND).bind(id.to_string())).await
}

/// What an application is in a tenant.
pub(crate) async fn find_by_app(
    tx: &mut Connection,
    tenant: Uuid,
    app_id: Uuid,
) -> Result<Option<ServicePrincipalRow>> {
    row::one(tx, query(FIND_BY_APP).bind(app_id.to_string()).bind(tenant.to_string())).await
}

/// What an application is in each tenant; there are few.
pub(crate) async fn list_by_app(tx: &mut Connection, app_id: Uuid) -> Result<Vec<ServicePrincipalRow>> {
    row::all(tx, query(LIST_BY_APP).bind(app_id.to_string())).await
}

/// Adds a principal.
pub(crate) async fn insert(tx: &mut Connection, principal: &ServicePrincipalRow) -> Result<()> {
    debug_assert_eq!(principal.object.kind, ObjectKind::ServicePrincipal);
    directory_object::insert(tx, &principal.object).await?;
    let statement = query(INSERT)
        .bind(principal.object.id.to_string())
        .bind(principal.object.tenant.to_string())
        .bind(principal.app_id.to_string())
        .bind(i64::from(principal.administrator))
        .bind(i64::from(principal.enabled))
        .bind(json(&principal.document));
    row::run(tx, statement).await?;
    Ok(())
}

/// Says which external issuer's token made a principal.
pub(crate) async fn set_issuer(tx: &mut Connection, id: Uuid, issuer: &str) -> Result<()> {
    row::run(tx, query(SET_ISSUER).bind(id.to_string()).bind(issuer)).await?;
    Ok(())
}

/// How many principals an external issuer's tokens made.
pub(crate) async fn count_of_issuer(tx: &mut Connection, issuer: &str) -> Result<u64> {
    let count: Option<i64> = row::one(tx, query(COUNT_OF_ISSUER).bind(issuer)).await?;
    Ok(count.and_then(|count| u64::try_from(count).ok()).unwrap_or(0))
}

/// A tenant's administrators.
pub(crate) async fn list_administrators(tx: &mut Connection, tenant: Uuid) -> Result<Vec<ServicePrincipalRow>> {
    row::all(tx, query(LIST_ADMINISTRATORS).bind(tenant.to_string())).await
}

/// Writes what can change of a principal.
pub(crate) async fn update(tx: &mut Connection, principal: &ServicePrincipalRow) -> Result<()> {
    directory_object::rename(tx, principal.object.id, &principal.object.display_name).await?;
    let statement = query(UPDATE).bind(principal.object.id.to_string()).bind(i64::from(principal.enabled));
    row::run(tx, statement.bind(json(&principal.document))).await?;
    Ok(())
}

/// Removes a principal's row.
pub(crate) async fn delete(tx: &mut Connection, id: Uuid) -> Result<()> {
    row::run(tx, query(DELETE).bind(id.to_string())).await?;
    Ok(())
}

/// Takes from a tenant's administrators their secrets and their rank.
pub(crate) async fn demote_administrators(tx: &mut Connection, tenant: Uuid) -> Result<()> {
    row::run(tx, query(DELETE_ADMINISTRATOR_CREDENTIALS).bind(tenant.to_string())).await?;
    row::run(tx, query(DEMOTE).bind(tenant.to_string())).await?;
    Ok(())
}
