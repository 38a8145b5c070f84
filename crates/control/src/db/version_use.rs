//! Which image version a disk, or another image version, was made from.

use galerie_arm::ResourceType;
use uuid::Uuid;

use super::{
    Connection, Result,
    resource::ResourceRow,
    row::{self, Columns, Row},
    statement::query,
};

const INSERT: &str = "INSERT INTO version_uses (resource, version, version_uid) VALUES ($1, $2, $3) \
     ON CONFLICT (resource) DO UPDATE SET version = excluded.version, version_uid = excluded.version_uid";
/// Uses of a definition's versions, a row for each version and incarnation. What another tenant made counts until its bytes are its
/// own, also when the copy failed and is tried again. A version that is made counts until it is, for the same reason, and not
/// when it was deleted before.
const COUNT_BELOW: &str = "SELECT u.version, u.version_uid, \
     SUM(CASE WHEN r.type = $2 AND r.tenant = $3 THEN 1 ELSE 0 END) AS disks, \
     SUM(CASE WHEN r.type <> $4 AND (r.provisioning_state = 'Creating' \
     OR EXISTS (SELECT 1 FROM foreign_sources f WHERE f.resource = r.key)) THEN 1 ELSE 0 END) AS making \
     FROM version_uses u JOIN resources r ON r.key = u.resource \
     WHERE u.version > $1 || '/' AND u.version < $1 || '0' GROUP BY u.version, u.version_uid";
/// Disks whose use is not recorded, of a catalogue that was made before uses were.
const UNRECORDED: &str = "SELECT r.* FROM resources r WHERE r.key > $1 AND r.type = $2 \
     AND NOT EXISTS (SELECT 1 FROM version_uses u WHERE u.resource = r.key) ORDER BY r.key LIMIT $3";

#[cfg(test)]
pub(super) const STATEMENTS: &[&str] = &[INSERT, COUNT_BELOW, UNRECORDED];

/// How often a version is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UsedRow {
    /// The version's key.
    pub(crate) version: String,
    /// Its incarnation.
    pub(crate) version_uid: Uuid,
    /// Disks of its tenant that were made from it.
    pub(crate) disks: u64,
    /// What is being made from it, of any tenant.
    pub(crate) making: u64,
}

impl Row for UsedRow {
    fn read(columns: &Columns) -> Result<Self> {
        Ok(Self {
            version: columns.text("version")?,
            version_uid: columns.id("version_uid")?,
            disks: columns.unsigned("disks")?,
            making: columns.unsigned("making")?,
        })
    }
}

/// Records what a resource is made from.
pub(crate) async fn put(tx: &mut Connection, resource: &str, version: &str, version_uid: Uuid) -> Result<()> {
    row::run(tx, query(INSERT).bind(resource).bind(version).bind(version_uid.to_string())).await?;
    Ok(())
}

/// Forgets all, as a catalogue of an earlier schema knows none.
#[cfg(test)]
pub(crate) async fn forget_all(tx: &mut Connection) -> Result<()> {
    row::run(tx, query("DELETE FROM version_uses")).await?;
    Ok(())
}

/// How a definition's versions, which are `tenant`'s, are used. Those that are not have no row.
pub(crate) async fn count_below(tx: &mut Connection, definition: &str, tenant: Uuid) -> Result<Vec<UsedRow>> {
    let statement =
        query(COUNT_BELOW).looks_at_many().bind(definition).bind(ResourceType::Disk.as_str()).bind(tenant.to_string());
    row::all(tx, statement.bind(ResourceType::SoftDeletedVersion.as_str())).await
}

/// Some disks without a record, by key, after `after`.
pub(crate) async fn unrecorded(tx: &mut Connection, after: &str, most: u32) -> Result<Vec<ResourceRow>> {
    row::all(tx, query(UNRECORDED).looks_at_many().bind(after).bind(ResourceType::Disk.as_str()).bind(i64::from(most)))
        .await
}
