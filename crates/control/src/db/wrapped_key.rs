//! Keys, wrapped by the master key.

use uuid::Uuid;

use super::{
    Connection, Result,
    row::{self, Columns, Row},
    statement::query,
};

const INSERT: &str =
    "INSERT INTO wrapped_keys (id, purpose, wrapped, created_ms, retired_ms) VALUES ($1, $2, $3, $4, NULL)";
const RETIRE: &str = "UPDATE wrapped_keys SET retired_ms = $2 WHERE id = $1 AND retired_ms IS NULL";
const LIST_LIVE: &str = "SELECT * FROM wrapped_keys WHERE retired_ms IS NULL ORDER BY created_ms DESC, id";

#[cfg(test)]
pub(super) const STATEMENTS: &[&str] = &[INSERT, RETIRE, LIST_LIVE];

/// A row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WrappedKeyRow {
    pub(crate) id: Uuid,
    /// `token`, `sas`, `secret` or `authority`.
    pub(crate) purpose: String,
    /// Base64.
    pub(crate) wrapped: String,
    pub(crate) created_ms: i64,
}

impl Row for WrappedKeyRow {
    fn read(columns: &Columns) -> Result<Self> {
        Ok(Self {
            id: columns.id("id")?,
            purpose: columns.text("purpose")?,
            wrapped: columns.text("wrapped")?,
            created_ms: columns.integer("created_ms")?,
        })
    }
}

/// Adds a key.
pub(crate) async fn insert(tx: &mut Connection, key: &WrappedKeyRow) -> Result<()> {
    let statement = query(INSERT).bind(key.id.to_string()).bind(&key.purpose);
    row::run(tx, statement.bind(&key.wrapped).bind(key.created_ms)).await?;
    Ok(())
}

/// The keys in use, the newest first.
pub(crate) async fn list_live(tx: &mut Connection) -> Result<Vec<WrappedKeyRow>> {
    row::all(tx, query(LIST_LIVE)).await
}

/// Takes a key out of use. Whether it was in use.
pub(crate) async fn retire(tx: &mut Connection, id: Uuid, now_ms: i64) -> Result<bool> {
    Ok(row::run(tx, query(RETIRE).bind(id.to_string()).bind(now_ms)).await? == 1)
}
