//! Retention policies: which versions of an image definition are kept.

use uuid::Uuid;

use super::{
    Connection, Result,
    directory_object::ObjectKind,
    row::{self, Columns, Row},
    statement::query,
};

const FIND: &str = "SELECT * FROM retention_policies WHERE definition = $1";
const UPSERT: &str = "INSERT INTO retention_policies (definition, keep, older_than_days, automatic, set_by, set_by_kind, \
     set_by_name, updated_ms) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (definition) DO UPDATE SET \
     keep = excluded.keep, older_than_days = excluded.older_than_days, automatic = excluded.automatic, \
     set_by = excluded.set_by, set_by_kind = excluded.set_by_kind, set_by_name = excluded.set_by_name, \
     updated_ms = excluded.updated_ms";
const DELETE: &str = "DELETE FROM retention_policies WHERE definition = $1";
const AUTOMATIC: &str =
    "SELECT * FROM retention_policies WHERE automatic = 1 AND definition > $1 ORDER BY definition LIMIT $2";

#[cfg(test)]
pub(super) const STATEMENTS: &[&str] = &[FIND, UPSERT, DELETE, AUTOMATIC];

/// A row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RetentionPolicyRow {
    /// The definition's key.
    pub(crate) definition: String,
    /// How many of the highest versions stay.
    pub(crate) keep: u32,
    /// What is not older than this stays, too.
    pub(crate) older_than_days: u32,
    /// Whether the reconciler runs it.
    pub(crate) automatic: bool,
    /// Who set it.
    pub(crate) set_by: Uuid,
    pub(crate) set_by_kind: ObjectKind,
    /// As people know who that is.
    pub(crate) set_by_name: String,
    pub(crate) updated_ms: i64,
}

impl Row for RetentionPolicyRow {
    fn read(columns: &Columns) -> Result<Self> {
        Ok(Self {
            definition: columns.text("definition")?,
            keep: columns.unsigned("keep")?,
            older_than_days: columns.unsigned("older_than_days")?,
            automatic: columns.flag("automatic")?,
            set_by: columns.id("set_by")?,
            set_by_kind: columns.parsed("set_by_kind")?,
            set_by_name: columns.text("set_by_name")?,
            updated_ms: columns.integer("updated_ms")?,
        })
    }
}

/// A definition's policy.
pub(crate) async fn find(tx: &mut Connection, definition: &str) -> Result<Option<RetentionPolicyRow>> {
    row::one(tx, query(FIND).bind(definition)).await
}

/// Sets a definition's policy.
pub(crate) async fn put(tx: &mut Connection, policy: &RetentionPolicyRow) -> Result<()> {
    let statement = query(UPSERT)
        .bind(&policy.definition)
        .bind(i64::from(policy.keep))
        .bind(i64::from(policy.older_than_days))
        .bind(i64::from(policy.automatic))
        .bind(policy.set_by.to_string())
        .bind(policy.set_by_kind.as_str())
        .bind(&policy.set_by_name)
        .bind(policy.updated_ms);
    row::run(tx, statement).await?;
    Ok(())
}

/// Removes a definition's policy; whether there was one.
pub(crate) async fn delete(tx: &mut Connection, definition: &str) -> Result<bool> {
    Ok(row::run(tx, query(DELETE).bind(definition)).await? == 1)
}

/// Some that the reconciler runs, by definition, after `after`.
pub(crate) async fn automatic(tx: &mut Connection, after: &str, most: u32) -> Result<Vec<RetentionPolicyRow>> {
    row::all(tx, query(AUTOMATIC).bind(after).bind(i64::from(most))).await
}
