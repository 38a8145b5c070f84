//! How far the scrubbing of a tenant's part of a region is.

use serde_json::Value;
use uuid::Uuid;

use super::{
    Connection, Result,
    row::{self, Columns, Row, bigint, json},
    statement::query,
};

const FIND: &str = "SELECT * FROM scrubs WHERE region = $1 AND tenant = $2";
const BEGIN: &str = "INSERT INTO scrubs (region, tenant, generation, document) VALUES ($1, $2, 1, $3) \
     ON CONFLICT (region, tenant) DO NOTHING";
const UPDATE: &str = "UPDATE scrubs SET generation = generation + 1, document = $4 \
     WHERE region = $1 AND tenant = $2 AND generation = $3";

#[cfg(test)]
pub(super) const STATEMENTS: &[&str] = &[FIND, BEGIN, UPDATE];

/// A row.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct ScrubRow {
    /// 0 for one that is not there yet.
    pub(crate) generation: u64,
    pub(crate) document: Value,
}

impl Row for ScrubRow {
    fn read(columns: &Columns) -> Result<Self> {
        Ok(Self { generation: columns.unsigned("generation")?, document: columns.json("document")? })
    }
}

/// A tenant's row in a region.
pub(crate) async fn find(tx: &mut Connection, region: &str, tenant: Uuid) -> Result<Option<ScrubRow>> {
    row::one(tx, query(FIND).bind(region).bind(tenant.to_string())).await
}

/// Writes over the row that was read, or over none; whether nobody else had written meanwhile.
pub(crate) async fn write(tx: &mut Connection, region: &str, tenant: Uuid, row: &ScrubRow) -> Result<bool> {
    let (tenant, document) = (tenant.to_string(), json(&row.document));
    let statement = match row.generation {
        0 => query(BEGIN).bind(region).bind(tenant).bind(document),
        read => query(UPDATE).bind(region).bind(tenant).bind(bigint(read)).bind(document),
    };
    Ok(row::run(tx, statement).await? == 1)
}
