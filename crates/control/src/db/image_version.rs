//! What an image version is beyond its document: its number, and whether `latest` may mean it.

use galerie_arm::ProvisioningState;
use uuid::Uuid;

use super::{
    Connection, Result,
    row::{self, Columns, Row},
    statement::query,
};

const UPSERT: &str = "INSERT INTO image_versions (key, definition, major, minor, patch, exclude_from_latest, published_ms) \
     VALUES ($1, $2, $3, $4, $5, $6, $7) \
     ON CONFLICT (key) DO UPDATE SET exclude_from_latest = excluded.exclude_from_latest";
/// With the state of each, the highest number first.
const LIST: &str = "SELECT v.*, r.uid, r.provisioning_state FROM image_versions v JOIN resources r ON r.key = v.key \
     WHERE v.definition = $1 ORDER BY v.major DESC, v.minor DESC, v.patch DESC LIMIT $2";
const LATEST: &str = "SELECT v.* FROM image_versions v JOIN replicas r ON r.version = v.key AND r.region = $2 \
     WHERE v.definition = $1 AND v.exclude_from_latest = 0 AND r.exclude_from_latest = 0 AND r.state = 'Completed' \
     ORDER BY v.major DESC, v.minor DESC, v.patch DESC LIMIT 1";

#[cfg(test)]
pub(super) const STATEMENTS: &[&str] = &[UPSERT, LIST, LATEST];

/// A row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ImageVersionRow {
    pub(crate) key: String,
    /// The definition's key.
    pub(crate) definition: String,
    /// Major, minor, patch.
    pub(crate) numbers: [u32; 3],
    /// Whether `latest` never means it, in any region.
    pub(crate) exclude_from_latest: bool,
    pub(crate) published_ms: i64,
}

impl Row for ImageVersionRow {
    fn read(columns: &Columns) -> Result<Self> {
        Ok(Self {
            key: columns.text("key")?,
            definition: columns.text("definition")?,
            numbers: [columns.unsigned("major")?, columns.unsigned("minor")?, columns.unsigned("patch")?],
            exclude_from_latest: columns.flag("exclude_from_latest")?,
            published_ms: columns.integer("published_ms")?,
        })
    }
}

/// A version with its incarnation and state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ListedVersionRow {
    pub(crate) version: ImageVersionRow,
    pub(crate) uid: Uuid,
    pub(crate) state: ProvisioningState,
}

impl Row for ListedVersionRow {
    fn read(columns: &Columns) -> Result<Self> {
        let version = ImageVersionRow::read(columns)?;
        Ok(Self { version, uid: columns.id("uid")?, state: columns.parsed("provisioning_state")? })
    }
}

/// Some of a definition's versions, the highest number first; soft-deleted ones are none.
pub(crate) async fn list(tx: &mut Connection, definition: &str, most: u32) -> Result<Vec<ListedVersionRow>> {
    row::all(tx, query(LIST).looks_at_many().bind(definition).bind(i64::from(most))).await
}

/// Adds a version's row, or changes whether `latest` may mean it.
pub(crate) async fn upsert(tx: &mut Connection, version: &ImageVersionRow) -> Result<()> {
    let [major, minor, patch] = version.numbers.map(i64::from);
    let statement = query(UPSERT)
        .bind(&version.key)
        .bind(&version.definition)
        .bind(major)
        .bind(minor)
        .bind(patch)
        .bind(i64::from(version.exclude_from_latest))
        .bind(version.published_ms);
    row::run(tx, statement).await?;
    Ok(())
}

/// What `latest` means in a region: the highest number whose replica there is complete and that neither the version nor
/// the region excludes.
pub(crate) async fn latest(tx: &mut Connection, definition: &str, region: &str) -> Result<Option<ImageVersionRow>> {
    row::one(tx, query(LATEST).bind(definition).bind(region)).await
}
