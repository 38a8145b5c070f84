//! Image versions that no retention policy deletes.

use super::{
    Connection, Result,
    row::{self, Columns, Row},
    statement::query,
};

const FIND: &str = "SELECT * FROM pinned_versions WHERE version = $1";
const INSERT: &str =
    "INSERT INTO pinned_versions (version, pinned_by, pinned_ms) VALUES ($1, $2, $3) ON CONFLICT (version) DO NOTHING";
const DELETE: &str = "DELETE FROM pinned_versions WHERE version = $1";
// A version's key begins with its definition's: a range of the primary key. '0' is what follows '/'.
const BELOW: &str = "SELECT * FROM pinned_versions WHERE version > $1 || '/' AND version < $1 || '0' ORDER BY version";

#[cfg(test)]
pub(super) const STATEMENTS: &[&str] = &[FIND, INSERT, DELETE, BELOW];

/// A row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PinnedVersionRow {
    /// The version's key.
    pub(crate) version: String,
    /// As people know who did it.
    pub(crate) pinned_by: String,
    pub(crate) pinned_ms: i64,
}

impl Row for PinnedVersionRow {
    fn read(columns: &Columns) -> Result<Self> {
        Ok(Self {
            version: columns.text("version")?,
            pinned_by: columns.text("pinned_by")?,
            pinned_ms: columns.integer("pinned_ms")?,
        })
    }
}

/// A version's pin.
pub(crate) async fn find(tx: &mut Connection, version: &str) -> Result<Option<PinnedVersionRow>> {
    row::one(tx, query(FIND).bind(version)).await
}

/// Pins a version; one that is pinned stays as it is. Whether it was not.
pub(crate) async fn insert(tx: &mut Connection, pin: &PinnedVersionRow) -> Result<bool> {
    let statement = query(INSERT).bind(&pin.version).bind(&pin.pinned_by).bind(pin.pinned_ms);
    Ok(row::run(tx, statement).await? == 1)
}

/// Unpins a version; whether it was pinned.
pub(crate) async fn delete(tx: &mut Connection, version: &str) -> Result<bool> {
    Ok(row::run(tx, query(DELETE).bind(version)).await? == 1)
}

/// A definition's, soft-deleted versions' included.
pub(crate) async fn below(tx: &mut Connection, definition: &str) -> Result<Vec<PinnedVersionRow>> {
    row::all(tx, query(BELOW).bind(definition)).await
}
