//! The region stores that belong to this catalogue.

use uuid::Uuid;

use super::{
    Connection, Result,
    row::{self, Columns, Row, bigint},
    statement::query,
};

const LIST: &str = "SELECT * FROM region_stores ORDER BY region";
const FIND: &str = "SELECT * FROM region_stores WHERE region = $1";
const INSERT: &str = "INSERT INTO region_stores (region, store_id, epoch, created_ms) VALUES ($1, $2, $3, $4)";

#[cfg(test)]
pub(super) const STATEMENTS: &[&str] = &[LIST, FIND, INSERT];

/// A row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RegionStoreRow {
    pub(crate) region: String,
    pub(crate) store_id: Uuid,
    pub(crate) epoch: u64,
    pub(crate) created_ms: i64,
}

impl Row for RegionStoreRow {
    fn read(columns: &Columns) -> Result<Self> {
        Ok(Self {
            region: columns.text("region")?,
            store_id: columns.id("store_id")?,
            epoch: columns.unsigned("epoch")?,
            created_ms: columns.integer("created_ms")?,
        })
    }
}

/// All of them; there are few.
pub(crate) async fn list(tx: &mut Connection) -> Result<Vec<RegionStoreRow>> {
    row::all(tx, query(LIST)).await
}

/// A region's store.
pub(crate) async fn find(tx: &mut Connection, region: &str) -> Result<Option<RegionStoreRow>> {
    row::one(tx, query(FIND).bind(region)).await
}

/// Adopts a store.
pub(crate) async fn insert(tx: &mut Connection, store: &RegionStoreRow) -> Result<()> {
    let statement = query(INSERT).bind(&store.region).bind(store.store_id.to_string());
    row::run(tx, statement.bind(bigint(store.epoch)).bind(store.created_ms)).await?;
    Ok(())
}
