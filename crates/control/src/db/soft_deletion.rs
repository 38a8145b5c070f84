//! Image versions that were deleted and can come back.

use galerie_arm::ResourceType;

use super::{
    Connection, Result,
    resource::ResourceRow,
    row::{self, Columns, Row},
    statement::query,
};

const FIND: &str = "SELECT * FROM soft_deletions WHERE key = $1";
const INSERT: &str = "INSERT INTO soft_deletions (key, deleted_ms, usable_until_ms, purge_ms) VALUES ($1, $2, $3, $4)";
const DELETE: &str = "DELETE FROM soft_deletions WHERE key = $1";
const SET_TYPE: &str = "UPDATE resources SET type = $3 WHERE key = $1 AND uid = $2";
const LEAVE_LATEST: &str = "DELETE FROM image_versions WHERE key = $1";
const LIST: &str = "SELECT r.*, s.deleted_ms, s.usable_until_ms, s.purge_ms FROM resources r \
     JOIN soft_deletions s ON s.key = r.key \
     WHERE r.parent = $1 AND r.type = $2 AND r.key > $3 ORDER BY r.key LIMIT $4";
const DUE: &str = "SELECT * FROM soft_deletions WHERE purge_ms <= $1 ORDER BY purge_ms, key LIMIT $2";

#[cfg(test)]
pub(super) const STATEMENTS: &[&str] = &[FIND, INSERT, DELETE, SET_TYPE, LEAVE_LATEST, LIST, DUE];

/// When a version was deleted, and how long it is kept. Milliseconds since the epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SoftDeletionRow {
    /// The version's key.
    pub(crate) key: String,
    pub(crate) deleted_ms: i64,
    /// Until then it can be used by its exact name.
    pub(crate) usable_until_ms: i64,
    /// Until then it can be restored.
    pub(crate) purge_ms: i64,
}

impl Row for SoftDeletionRow {
    fn read(columns: &Columns) -> Result<Self> {
        Ok(Self {
            key: columns.text("key")?,
            deleted_ms: columns.integer("deleted_ms")?,
            usable_until_ms: columns.integer("usable_until_ms")?,
            purge_ms: columns.integer("purge_ms")?,
        })
    }
}

/// A version and its deletion.
pub(crate) struct SoftDeletedRow {
    pub(crate) version: ResourceRow,
    pub(crate) deletion: SoftDeletionRow,
}

impl Row for SoftDeletedRow {
    fn read(columns: &Columns) -> Result<Self> {
        Ok(Self { version: ResourceRow::read(columns)?, deletion: SoftDeletionRow::read(columns)? })
    }
}

/// A version's deletion.
pub(crate) async fn find(tx: &mut Connection, key: &str) -> Result<Option<SoftDeletionRow>> {
    row::one(tx, query(FIND).bind(key)).await
}

/// Takes a version out of every list and of `latest`, with all that hangs off it kept.
pub(crate) async fn put_away(tx: &mut Connection, version: &ResourceRow, deletion: &SoftDeletionRow) -> Result<()> {
    row::run(tx, query(LEAVE_LATEST).bind(&version.key)).await?;
    set_type(tx, version, ResourceType::SoftDeletedVersion).await?;
    let statement = query(INSERT).bind(&deletion.key).bind(deletion.deleted_ms).bind(deletion.usable_until_ms);
    row::run(tx, statement.bind(deletion.purge_ms)).await?;
    Ok(())
}

/// Makes it a version again; whether `latest` may mean it is written by whoever restores it.
pub(crate) async fn bring_back(tx: &mut Connection, version: &ResourceRow) -> Result<()> {
    row::run(tx, query(DELETE).bind(&version.key)).await?;
    set_type(tx, version, ResourceType::ImageVersion).await
}

async fn set_type(tx: &mut Connection, version: &ResourceRow, resource_type: ResourceType) -> Result<()> {
    let statement = query(SET_TYPE).bind(&version.key).bind(version.uid.to_string()).bind(resource_type.as_str());
    row::run(tx, statement).await?;
    Ok(())
}

/// A page of a definition's, by key, after `after`.
pub(crate) async fn list(tx: &mut Connection, definition: &str, after: &str, most: u32) -> Result<Vec<SoftDeletedRow>> {
    let statement = query(LIST).bind(definition).bind(ResourceType::SoftDeletedVersion.as_str()).bind(after);
    row::all(tx, statement.bind(i64::from(most))).await
}

/// Some whose time is over, those that have waited longest first.
pub(crate) async fn due(tx: &mut Connection, now_ms: i64, most: u32) -> Result<Vec<SoftDeletionRow>> {
    row::all(tx, query(DUE).bind(now_ms).bind(i64::from(most))).await
}
