//! A disk's or snapshot's own state.

use galerie_arm::disk::DiskState;
use galerie_store::ManifestId;

use super::{
    Connection, Result,
    row::{self, Columns, Row, bigint},
    statement::query,
};

const FIND: &str = "SELECT * FROM disks WHERE key = $1";
const UPSERT: &str = "INSERT INTO disks (key, state, upload_bytes, staged_manifest) VALUES ($1, $2, $3, $4) \
     ON CONFLICT (key) DO UPDATE SET state = excluded.state, upload_bytes = excluded.upload_bytes, \
     staged_manifest = excluded.staged_manifest";
const SET_STATE: &str = "UPDATE disks SET state = $2 WHERE key = $1";
const SET_STAGED: &str = "UPDATE disks SET staged_manifest = $2 WHERE key = $1";

#[cfg(test)]
pub(super) const STATEMENTS: &[&str] = &[FIND, UPSERT, SET_STATE, SET_STAGED];

/// A row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DiskRow {
    pub(crate) key: String,
    pub(crate) state: DiskState,
    /// Of a disk made for upload: its VHD's size, the footer included.
    pub(crate) upload_bytes: Option<u64>,
    /// What a chunked upload committed; not yet the disk's content.
    pub(crate) staged_manifest: Option<ManifestId>,
}

impl Row for DiskRow {
    fn read(columns: &Columns) -> Result<Self> {
        Ok(Self {
            key: columns.text("key")?,
            state: columns.parsed("state")?,
            upload_bytes: columns.optional_unsigned("upload_bytes")?,
            staged_manifest: columns.optional_parsed("staged_manifest")?,
        })
    }
}

/// A disk's or snapshot's row.
pub(crate) async fn find(tx: &mut Connection, key: &str) -> Result<Option<DiskRow>> {
    row::one(tx, query(FIND).bind(key)).await
}

/// Adds or replaces a row.
pub(crate) async fn upsert(tx: &mut Connection, disk: &DiskRow) -> Result<()> {
    let statement = query(UPSERT)
        .bind(&disk.key)
        .bind(disk.state.as_str())
        .bind(disk.upload_bytes.map(bigint))
        .bind(disk.staged_manifest.map(|manifest| manifest.to_string()));
    row::run(tx, statement).await?;
    Ok(())
}

/// Changes the state alone. Whether the row was there.
pub(crate) async fn set_state(tx: &mut Connection, key: &str, state: DiskState) -> Result<bool> {
    Ok(row::run(tx, query(SET_STATE).bind(key).bind(state.as_str())).await? == 1)
}

/// Remembers, or forgets, what a chunked upload committed. Whether the row was there.
pub(crate) async fn set_staged_manifest(tx: &mut Connection, key: &str, manifest: Option<ManifestId>) -> Result<bool> {
    let statement = query(SET_STAGED).bind(key).bind(manifest.map(|manifest| manifest.to_string()));
    Ok(row::run(tx, statement).await? == 1)
}
