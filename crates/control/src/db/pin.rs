//! Pins: what keeps blobs from collection while they are read, copied or not yet named by a row.

use galerie_store::ManifestId;
use uuid::Uuid;

use super::{
    Connection, Result,
    row::{self, Columns, Row, bigint},
    statement::query,
};

const NEXT: &str = "UPDATE sequences SET value = value + 1 WHERE name = 'pin' RETURNING value";
const INSERT: &str =
    "INSERT INTO pins (sequence, region, tenant, manifest, owner, expires_ms) VALUES ($1, $2, $3, $4, $5, $6)";
const RENEW: &str = "UPDATE pins SET expires_ms = $2 WHERE sequence = $1";
const EXISTS: &str = "SELECT COUNT(*) FROM pins WHERE sequence = $1";
const RELEASE: &str = "DELETE FROM pins WHERE sequence = $1";
const OLDEST: &str = "SELECT sequence FROM pins WHERE region = $1 AND tenant = $2 ORDER BY sequence LIMIT 1";
const LIST: &str = "SELECT * FROM pins WHERE region = $1 AND tenant = $2 ORDER BY sequence LIMIT $3";
const EXPIRE: &str = "DELETE FROM pins WHERE expires_ms <= $1";
const RELEASE_ALL: &str = "DELETE FROM pins";
/// An owner is `process/purpose`; '0' is the character after '/'.
const RELEASE_OF: &str = "DELETE FROM pins WHERE owner >= $1 || '/' AND owner < $1 || '0'";
#[cfg(test)]
const RELEASE_ROOTS: &str = "DELETE FROM pins WHERE manifest IS NOT NULL";

#[cfg(test)]
pub(super) const STATEMENTS: &[&str] =
    &[NEXT, INSERT, RENEW, EXISTS, RELEASE, OLDEST, LIST, EXPIRE, RELEASE_ALL, RELEASE_OF];

/// The next number of the counter that orders pins and condemnations.
pub(crate) async fn next_sequence(tx: &mut Connection) -> Result<u64> {
    let next: Option<i64> = row::one(tx, query(NEXT)).await?;
    next.and_then(|next| u64::try_from(next).ok())
        .ok_or_else(|| super::Error::Corrupt("the pin sequence is missing".to_owned()))
}

/// Takes a pin; its sequence number. `manifest` is a root while the pin lives.
pub(crate) async fn take(
    tx: &mut Connection,
    region: &str,
    tenant: Uuid,
    manifest: Option<ManifestId>,
    owner: &str,
    expires_ms: i64,
) -> Result<u64> {
    let sequence = next_sequence(tx).await?;
    let statement = query(INSERT)
        .bind(bigint(sequence))
        .bind(region)
        .bind(tenant.to_string())
        .bind(manifest.map(|manifest| manifest.to_string()))
        .bind(owner)
        .bind(expires_ms);
    row::run(tx, statement).await?;
    Ok(sequence)
}

/// Prolongs a pin. Whether it was still there: what expired was perhaps acted on, and is not revived.
pub(crate) async fn renew(tx: &mut Connection, sequence: u64, expires_ms: i64) -> Result<bool> {
    Ok(row::run(tx, query(RENEW).bind(bigint(sequence)).bind(expires_ms)).await? == 1)
}

/// Whether a pin is still there.
pub(crate) async fn exists(tx: &mut Connection, sequence: u64) -> Result<bool> {
    let count: Option<i64> = row::one(tx, query(EXISTS).bind(bigint(sequence))).await?;
    Ok(count == Some(1))
}

/// Lets go. Absent is fine.
pub(crate) async fn release(tx: &mut Connection, sequence: u64) -> Result<()> {
    row::run(tx, query(RELEASE).bind(bigint(sequence))).await?;
    Ok(())
}

/// The oldest pin of a tenant in a region.
pub(crate) async fn oldest(tx: &mut Connection, region: &str, tenant: Uuid) -> Result<Option<u64>> {
    let oldest: Option<i64> = row::one(tx, query(OLDEST).bind(region).bind(tenant.to_string())).await?;
    Ok(oldest.and_then(|oldest| u64::try_from(oldest).ok()))
}

/// A row, as far as people are told of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PinRow {
    pub(crate) sequence: u64,
    /// The process and the kind of work.
    pub(crate) owner: String,
    pub(crate) expires_ms: i64,
}

impl Row for PinRow {
    fn read(columns: &Columns) -> Result<Self> {
        Ok(Self {
            sequence: columns.unsigned("sequence")?,
            owner: columns.text("owner")?,
            expires_ms: columns.integer("expires_ms")?,
        })
    }
}

/// The oldest pins of a tenant in a region.
pub(crate) async fn list(tx: &mut Connection, region: &str, tenant: Uuid, most: u32) -> Result<Vec<PinRow>> {
    row::all(tx, query(LIST).bind(region).bind(tenant.to_string()).bind(i64::from(most))).await
}

/// Removes what has expired; how many.
pub(crate) async fn expire(tx: &mut Connection, now_ms: i64) -> Result<u64> {
    row::run(tx, query(EXPIRE).bind(now_ms)).await
}

/// Removes every pin, whoever holds it; how many.
pub(crate) async fn release_all(tx: &mut Connection) -> Result<u64> {
    row::run(tx, query(RELEASE_ALL)).await
}

/// Removes the pins of a process that was started again; how many.
pub(crate) async fn release_of(tx: &mut Connection, process: &str) -> Result<u64> {
    row::run(tx, query(RELEASE_OF).bind(process)).await
}

/// Removes the pins that name a manifest, as if their holder had slept too long.
#[cfg(test)]
pub(crate) async fn release_roots(tx: &mut Connection) -> Result<u64> {
    row::run(tx, query(RELEASE_ROOTS)).await
}
