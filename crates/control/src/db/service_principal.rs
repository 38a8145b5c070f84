//! Service principals and the keyed hashes of their secrets.

use uuid::Uuid;

use super::{
    Connection, Result,
    row::{self, Columns, Row},
    statement::query,
};

const FIND: &str = "SELECT * FROM service_principals WHERE id = $1";
const FIND_BY_APP: &str = "SELECT * FROM service_principals WHERE app_id = $1";
const INSERT: &str = "INSERT INTO service_principals (id, tenant, app_id, display_name, administrator, created_ms) \
                      VALUES ($1, $2, $3, $4, $5, $6)";
const LIST_ADMINISTRATORS: &str =
    "SELECT * FROM service_principals WHERE tenant = $1 AND administrator = 1 ORDER BY id";
const DEMOTE: &str = "UPDATE service_principals SET administrator = 0 WHERE tenant = $1 AND administrator = 1";
const INSERT_SECRET: &str =
    "INSERT INTO client_secrets (id, principal, hash, created_ms, expires_ms) VALUES ($1, $2, $3, $4, $5)";
const LIVE_SECRETS: &str = "SELECT hash FROM client_secrets WHERE principal = $1 AND (expires_ms IS NULL OR expires_ms > $2) ORDER BY id LIMIT 50";
const DELETE_ADMINISTRATOR_SECRETS: &str = "DELETE FROM client_secrets WHERE principal IN \
     (SELECT id FROM service_principals WHERE tenant = $1 AND administrator = 1)";

#[cfg(test)]
pub(super) const STATEMENTS: &[&str] = &[
    FIND,
    FIND_BY_APP,
    INSERT,
    LIST_ADMINISTRATORS,
    DEMOTE,
    INSERT_SECRET,
    LIVE_SECRETS,
    DELETE_ADMINISTRATOR_SECRETS,
];

/// A row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServicePrincipalRow {
    /// The object id.
    pub(crate) id: Uuid,
    pub(crate) tenant: Uuid,
    /// The client id.
    pub(crate) app_id: Uuid,
    pub(crate) display_name: String,
    /// Whether it looks after the gallery itself: stores, quotas, backups, processes.
    pub(crate) administrator: bool,
    pub(crate) created_ms: i64,
}

impl Row for ServicePrincipalRow {
    fn read(columns: &Columns) -> Result<Self> {
        Ok(Self {
            id: columns.id("id")?,
            tenant: columns.id("tenant")?,
            app_id: columns.id("app_id")?,
            display_name: columns.text("display_name")?,
            administrator: columns.flag("administrator")?,
            created_ms: columns.integer("created_ms")?,
        })
    }
}

/// A principal by its object id.
pub(crate) async fn find(tx: &mut Connection, id: Uuid) -> Result<Option<ServicePrincipalRow>> {
    row::one(tx, query(FIND).bind(id.to_string())).await
}

/// A principal by its client id.
pub(crate) async fn find_by_app(tx: &mut Connection, app_id: Uuid) -> Result<Option<ServicePrincipalRow>> {
    row::one(tx, query(FIND_BY_APP).bind(app_id.to_string())).await
}

/// Adds a principal.
pub(crate) async fn insert(tx: &mut Connection, principal: &ServicePrincipalRow) -> Result<()> {
    let statement = query(INSERT)
        .bind(principal.id.to_string())
        .bind(principal.tenant.to_string())
        .bind(principal.app_id.to_string())
        .bind(&principal.display_name)
        .bind(i64::from(principal.administrator))
        .bind(principal.created_ms);
    row::run(tx, statement).await?;
    Ok(())
}

/// A tenant's administrators.
pub(crate) async fn list_administrators(tx: &mut Connection, tenant: Uuid) -> Result<Vec<ServicePrincipalRow>> {
    row::all(tx, query(LIST_ADMINISTRATORS).bind(tenant.to_string())).await
}

/// Takes from a tenant's administrators their secrets and their rank.
pub(crate) async fn demote_administrators(tx: &mut Connection, tenant: Uuid) -> Result<()> {
    row::run(tx, query(DELETE_ADMINISTRATOR_SECRETS).bind(tenant.to_string())).await?;
    row::run(tx, query(DEMOTE).bind(tenant.to_string())).await?;
    Ok(())
}

/// Adds a secret by its keyed hash; it never expires when `expires_ms` is `None`.
pub(crate) async fn insert_secret(
    tx: &mut Connection,
    principal: Uuid,
    hash: &str,
    now_ms: i64,
    expires_ms: Option<i64>,
) -> Result<()> {
    let statement = query(INSERT_SECRET).bind(Uuid::new_v4().to_string()).bind(principal.to_string());
    row::run(tx, statement.bind(hash).bind(now_ms).bind(expires_ms)).await?;
    Ok(())
}

/// The hashes of a principal's secrets that have not expired.
pub(crate) async fn live_secrets(tx: &mut Connection, principal: Uuid, now_ms: i64) -> Result<Vec<String>> {
    row::all(tx, query(LIVE_SECRETS).bind(principal.to_string()).bind(now_ms)).await
}
