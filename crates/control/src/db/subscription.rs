//! Subscriptions.

use uuid::Uuid;

use super::{
    Connection, Result,
    row::{self, Columns, Row},
    statement::query,
};

const FIND: &str = "SELECT * FROM subscriptions WHERE id = $1";
const INSERT: &str = "INSERT INTO subscriptions (id, tenant, display_name, created_ms) VALUES ($1, $2, $3, $4)";
const LIST_IN_TENANT: &str = "SELECT * FROM subscriptions WHERE tenant = $1 ORDER BY id";

#[cfg(test)]
pub(super) const STATEMENTS: &[&str] = &[FIND, INSERT, LIST_IN_TENANT];

/// A row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SubscriptionRow {
    pub(crate) id: Uuid,
    pub(crate) tenant: Uuid,
    pub(crate) display_name: String,
    pub(crate) created_ms: i64,
}

impl Row for SubscriptionRow {
    fn read(columns: &Columns) -> Result<Self> {
        Ok(Self {
            id: columns.id("id")?,
            tenant: columns.id("tenant")?,
            display_name: columns.text("display_name")?,
            created_ms: columns.integer("created_ms")?,
        })
    }
}

/// A subscription.
pub(crate) async fn find(tx: &mut Connection, id: Uuid) -> Result<Option<SubscriptionRow>> {
    row::one(tx, query(FIND).bind(id.to_string())).await
}

/// Adds a subscription.
pub(crate) async fn insert(tx: &mut Connection, subscription: &SubscriptionRow) -> Result<()> {
    let statement = query(INSERT).bind(subscription.id.to_string()).bind(subscription.tenant.to_string());
    row::run(tx, statement.bind(&subscription.display_name).bind(subscription.created_ms)).await?;
    Ok(())
}

/// A tenant's subscriptions; there are few.
pub(crate) async fn list_in_tenant(tx: &mut Connection, tenant: Uuid) -> Result<Vec<SubscriptionRow>> {
    row::all(tx, query(LIST_IN_TENANT).bind(tenant.to_string())).await
}
