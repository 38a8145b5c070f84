//! Tenants.

use uuid::Uuid;

use super::{
    Connection, Result,
    row::{self, Columns, Row},
    statement::query,
};

const FIND: &str = "SELECT * FROM tenants WHERE id = $1";
const INSERT: &str = "INSERT INTO tenants (id, display_name, default_domain, created_ms) VALUES ($1, $2, $3, $4)";
const LIST: &str = "SELECT * FROM tenants ORDER BY id";

#[cfg(test)]
pub(super) const STATEMENTS: &[&str] = &[FIND, INSERT, LIST];

/// A row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TenantRow {
    pub(crate) id: Uuid,
    pub(crate) display_name: String,
    pub(crate) default_domain: String,
    pub(crate) created_ms: i64,
}

impl Row for TenantRow {
    fn read(columns: &Columns) -> Result<Self> {
        Ok(Self {
            id: columns.id("id")?,
            display_name: columns.text("display_name")?,
            default_domain: columns.text("default_domain")?,
            created_ms: columns.integer("created_ms")?,
        })
    }
}

/// A tenant.
pub(crate) async fn find(tx: &mut Connection, id: Uuid) -> Result<Option<TenantRow>> {
    row::one(tx, query(FIND).bind(id.to_string())).await
}

/// Adds a tenant.
pub(crate) async fn insert(tx: &mut Connection, tenant: &TenantRow) -> Result<()> {
    let statement = query(INSERT).bind(tenant.id.to_string()).bind(&tenant.display_name);
    row::run(tx, statement.bind(&tenant.default_domain).bind(tenant.created_ms)).await?;
    Ok(())
}

/// All tenants; there are few.
pub(crate) async fn list(tx: &mut Connection) -> Result<Vec<TenantRow>> {
    row::all(tx, query(LIST)).await
}
