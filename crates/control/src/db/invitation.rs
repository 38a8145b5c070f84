//! One-time links by which the first user of a tenant is made.

use uuid::Uuid;

use super::{
    Connection, Result,
    row::{self, Columns, Row},
    statement::query,
};

const FIND: &str = "SELECT * FROM invitations WHERE hash = $1";
const INSERT: &str = "INSERT INTO invitations (hash, tenant, created_ms, expires_ms) VALUES ($1, $2, $3, $4)";
const COUNT_LIVE: &str = "SELECT COUNT(*) FROM invitations WHERE tenant = $1 AND expires_ms > $2";
const DELETE: &str = "DELETE FROM invitations WHERE hash = $1";
const DELETE_OF_TENANT: &str = "DELETE FROM invitations WHERE tenant = $1";

#[cfg(test)]
pub(super) const STATEMENTS: &[&str] = &[FIND, INSERT, COUNT_LIVE, DELETE, DELETE_OF_TENANT];

/// A row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct InvitationRow {
    /// Keyed.
    pub(crate) hash: String,
    pub(crate) tenant: Uuid,
    pub(crate) created_ms: i64,
    pub(crate) expires_ms: i64,
}

impl Row for InvitationRow {
    fn read(columns: &Columns) -> Result<Self> {
        Ok(Self {
            hash: columns.text("hash")?,
            tenant: columns.id("tenant")?,
            created_ms: columns.integer("created_ms")?,
            expires_ms: columns.integer("expires_ms")?,
        })
    }
}

/// A link.
pub(crate) async fn find(tx: &mut Connection, hash: &str) -> Result<Option<InvitationRow>> {
    row::one(tx, query(FIND).bind(hash)).await
}

/// Adds a link in place of the tenant's others.
pub(crate) async fn replace(tx: &mut Connection, invitation: &InvitationRow) -> Result<()> {
    row::run(tx, query(DELETE_OF_TENANT).bind(invitation.tenant.to_string())).await?;
    let statement = query(INSERT).bind(&invitation.hash).bind(invitation.tenant.to_string());
    row::run(tx, statement.bind(invitation.created_ms).bind(invitation.expires_ms)).await?;
    Ok(())
}

/// Whether a tenant has a link that is still good.
pub(crate) async fn is_out(tx: &mut Connection, tenant: Uuid, now_ms: i64) -> Result<bool> {
    let count: Option<i64> = row::one(tx, query(COUNT_LIVE).bind(tenant.to_string()).bind(now_ms)).await?;
    Ok(count.unwrap_or(0) > 0)
}

/// Uses a link. Whether it was there.
pub(crate) async fn delete(tx: &mut Connection, hash: &str) -> Result<bool> {
    Ok(row::run(tx, query(DELETE).bind(hash)).await? == 1)
}
