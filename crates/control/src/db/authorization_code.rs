//! Codes between the sign-in page and the token endpoint.

use serde_json::Value;
use uuid::Uuid;

use super::{
    Connection, Result,
    row::{self, Columns, Row, json},
    statement::query,
};

const FIND: &str = "SELECT * FROM authorization_codes WHERE hash = $1";
const INSERT: &str = "INSERT INTO authorization_codes (hash, session, tenant, user_id, app_id, request, used, expires_ms) \
                      VALUES ($1, $2, $3, $4, $5, $6, 0, $7)";
const USE: &str = "UPDATE authorization_codes SET used = 1 WHERE hash = $1 AND used = 0";
const DELETE_EXPIRED: &str = "DELETE FROM authorization_codes WHERE expires_ms <= $1";

#[cfg(test)]
pub(super) const STATEMENTS: &[&str] = &[FIND, INSERT, USE, DELETE_EXPIRED];

/// A row.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct AuthorizationCodeRow {
    /// Keyed.
    pub(crate) hash: String,
    /// The session that it begins.
    pub(crate) session: Uuid,
    pub(crate) tenant: Uuid,
    pub(crate) user: Uuid,
    pub(crate) app_id: Uuid,
    /// What it is bound to.
    pub(crate) request: Value,
    pub(crate) expires_ms: i64,
}

impl Row for AuthorizationCodeRow {
    fn read(columns: &Columns) -> Result<Self> {
        Ok(Self {
            hash: columns.text("hash")?,
            session: columns.id("session")?,
            tenant: columns.id("tenant")?,
            user: columns.id("user_id")?,
            app_id: columns.id("app_id")?,
            request: columns.json("request")?,
            expires_ms: columns.integer("expires_ms")?,
        })
    }
}

/// A code.
pub(crate) async fn find(tx: &mut Connection, hash: &str) -> Result<Option<AuthorizationCodeRow>> {
    row::one(tx, query(FIND).bind(hash)).await
}

/// Adds a code that was not used.
pub(crate) async fn insert(tx: &mut Connection, code: &AuthorizationCodeRow) -> Result<()> {
    let statement = query(INSERT)
        .bind(&code.hash)
        .bind(code.session.to_string())
        .bind(code.tenant.to_string())
        .bind(code.user.to_string())
        .bind(code.app_id.to_string())
        .bind(json(&code.request))
        .bind(code.expires_ms);
    row::run(tx, statement).await?;
    Ok(())
}

/// Uses a code. Whether it was unused.
pub(crate) async fn use_once(tx: &mut Connection, hash: &str) -> Result<bool> {
    Ok(row::run(tx, query(USE).bind(hash)).await? == 1)
}

/// Forgets the codes whose time is over.
pub(crate) async fn delete_expired(tx: &mut Connection, now_ms: i64) -> Result<u64> {
    row::run(tx, query(DELETE_EXPIRED).bind(now_ms)).await
}
