//! How many galleries, definitions and versions a subscription has in a region, as Azure limits them.

use galerie_arm::ResourceType;
use uuid::Uuid;

use super::{
    Connection, Result,
    row::{self, Columns, Row},
    statement::query,
};

const ADD: &str = "INSERT INTO azure_usages (subscription, region, type, slot, resources) VALUES ($1, $2, $3, $4, $5) \
     ON CONFLICT (subscription, region, type, slot) DO UPDATE SET resources = azure_usages.resources + excluded.resources";
const USED: &str = "SELECT CAST(COALESCE(SUM(resources), 0) AS BIGINT) FROM azure_usages \
     WHERE subscription = $1 AND region = $2 AND type = $3";
const LIST: &str = "SELECT region, type, CAST(SUM(resources) AS BIGINT) AS resources FROM azure_usages \
     WHERE subscription = $1 GROUP BY region, type HAVING SUM(resources) <> 0 ORDER BY region, type";
// The soft-deleted ones of a type have a type of their own, and are read beside it.
const COUNT: &str = "SELECT location AS region, type, COUNT(*) AS resources FROM resources \
     WHERE subscription = $1 AND type = $2 GROUP BY location, type ORDER BY location";
const CLEAR: &str = "DELETE FROM azure_usages WHERE subscription = $1";

#[cfg(test)]
pub(super) const STATEMENTS: &[&str] = &[ADD, USED, LIST, COUNT, CLEAR];

/// A count.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct AzureUsageRow {
    pub(crate) region: String,
    /// The type's name.
    pub(crate) resource_type: String,
    /// Never negative unless it has drifted.
    pub(crate) resources: i64,
}

impl Row for AzureUsageRow {
    fn read(columns: &Columns) -> Result<Self> {
        let (region, resource_type) = (columns.text("region")?, columns.text("type")?);
        Ok(Self { region, resource_type, resources: columns.integer("resources")? })
    }
}

/// Adds to a count; `slot` says to which of its rows.
pub(crate) async fn add(
    tx: &mut Connection,
    subscription: Uuid,
    region: &str,
    resource_type: ResourceType,
    slot: i64,
    more: i64,
) -> Result<()> {
    let statement = query(ADD).bind(subscription.to_string()).bind(region).bind(resource_type.as_str());
    row::run(tx, statement.bind(slot).bind(more)).await?;
    Ok(())
}

/// A count.
pub(crate) async fn used(
    tx: &mut Connection,
    subscription: Uuid,
    region: &str,
    resource_type: ResourceType,
) -> Result<i64> {
    let statement = query(USED).bind(subscription.to_string()).bind(region).bind(resource_type.as_str());
    Ok(row::one(tx, statement).await?.unwrap_or(0))
}

/// A subscription's counts, but for zeros.
pub(crate) async fn list(tx: &mut Connection, subscription: Uuid) -> Result<Vec<AzureUsageRow>> {
    row::all(tx, query(LIST).bind(subscription.to_string())).await
}

/// How many resources of a type there are, by region. Reads all of them.
pub(crate) async fn count(
    tx: &mut Connection,
    subscription: Uuid,
    resource_type: ResourceType,
) -> Result<Vec<AzureUsageRow>> {
    row::all(tx, query(COUNT).looks_at_many().bind(subscription.to_string()).bind(resource_type.as_str())).await
}

/// Forgets a subscription's counts.
pub(crate) async fn clear(tx: &mut Connection, subscription: Uuid) -> Result<()> {
    row::run(tx, query(CLEAR).bind(subscription.to_string())).await?;
    Ok(())
}
