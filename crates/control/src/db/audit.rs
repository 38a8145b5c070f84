//! Who did what.

use uuid::Uuid;

use super::{Connection, Result, row, statement::query};

const INSERT: &str = "INSERT INTO audit (id, at_ms, tenant, principal, action, resource, operation, correlation_id, detail) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";

#[cfg(test)]
pub(super) const STATEMENTS: &[&str] = &[INSERT];

/// A row. `detail` holds no secret and no SAS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AuditRow<'a> {
    pub(crate) at_ms: i64,
    pub(crate) tenant: Uuid,
    /// The object id of who did it.
    pub(crate) principal: Uuid,
    /// `Microsoft.Compute/galleries/write`.
    pub(crate) action: &'a str,
    /// The id as written.
    pub(crate) resource: &'a str,
    pub(crate) operation: Option<Uuid>,
    pub(crate) correlation_id: Uuid,
    pub(crate) detail: &'a str,
}

/// Adds a row.
pub(crate) async fn insert(tx: &mut Connection, row: &AuditRow<'_>) -> Result<()> {
    let statement = query(INSERT)
        .bind(Uuid::new_v4().to_string())
        .bind(row.at_ms)
        .bind(row.tenant.to_string())
        .bind(row.principal.to_string())
        .bind(row.action)
        .bind(row.resource)
        .bind(row.operation.map(|operation| operation.to_string()))
        .bind(row.correlation_id.to_string())
        .bind(row.detail);
    row::run(tx, statement).await?;
    Ok(())
}
