//! Packs that are never deduplicated against again and will be deleted.

use galerie_store::PackId;
use uuid::Uuid;

use super::{
    Connection, Result,
    row::{self, Columns, Row, bigint},
    statement::query,
};

const LIST: &str = "SELECT * FROM condemned_packs WHERE region = $1 AND tenant = $2 ORDER BY sequence, pack";
const INSERT: &str = "INSERT INTO condemned_packs (region, tenant, pack, sequence, condemned_ms) \
     VALUES ($1, $2, $3, $4, $5) ON CONFLICT (region, tenant, pack) DO NOTHING";
const RECORD_COPIED: &str = "UPDATE condemned_packs SET copied_ms = $4 WHERE region = $1 AND tenant = $2 AND pack = $3";
const FORGET: &str = "DELETE FROM condemned_packs WHERE region = $1 AND tenant = $2 AND pack = $3";

#[cfg(test)]
pub(super) const STATEMENTS: &[&str] = &[LIST, INSERT, RECORD_COPIED, FORGET];

/// A row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CondemnedPackRow {
    pub(crate) pack: PackId,
    /// Of the counter that pins share.
    pub(crate) sequence: u64,
    pub(crate) condemned_ms: i64,
    /// Since when nothing in it is alive that is nowhere else.
    pub(crate) copied_ms: Option<i64>,
}

impl Row for CondemnedPackRow {
    fn read(columns: &Columns) -> Result<Self> {
        Ok(Self {
            pack: columns.parsed("pack")?,
            sequence: columns.unsigned("sequence")?,
            condemned_ms: columns.integer("condemned_ms")?,
            copied_ms: columns.optional_integer("copied_ms")?,
        })
    }
}

/// A tenant's condemned packs in a region, in the order of condemnation.
pub(crate) async fn list(tx: &mut Connection, region: &str, tenant: Uuid) -> Result<Vec<CondemnedPackRow>> {
    row::all(tx, query(LIST).bind(region).bind(tenant.to_string())).await
}

/// Condemns a pack; one that is condemned already keeps its number.
pub(crate) async fn insert(
    tx: &mut Connection,
    region: &str,
    tenant: Uuid,
    pack: PackId,
    sequence: u64,
    now_ms: i64,
) -> Result<()> {
    let statement = query(INSERT).bind(region).bind(tenant.to_string()).bind(pack.to_string());
    row::run(tx, statement.bind(bigint(sequence)).bind(now_ms)).await?;
    Ok(())
}

/// Says since when a condemned pack is needed for nothing any more.
pub(crate) async fn record_copied(
    tx: &mut Connection,
    region: &str,
    tenant: Uuid,
    pack: PackId,
    copied_ms: i64,
) -> Result<()> {
    let statement = query(RECORD_COPIED).bind(region).bind(tenant.to_string()).bind(pack.to_string());
    row::run(tx, statement.bind(copied_ms)).await?;
    Ok(())
}

/// Forgets a pack that is deleted.
pub(crate) async fn forget(tx: &mut Connection, region: &str, tenant: Uuid, pack: PackId) -> Result<()> {
    row::run(tx, query(FORGET).bind(region).bind(tenant.to_string()).bind(pack.to_string())).await?;
    Ok(())
}
