//! Names that subscriptions were made under.

use uuid::Uuid;

use super::{
    Connection, Result,
    row::{self, Columns, Row},
    statement::query,
};

const FIND: &str = "SELECT * FROM subscription_aliases WHERE tenant = $1 AND name_key = $2";
const INSERT: &str = "INSERT INTO subscription_aliases (tenant, name_key, name, subscription, created_ms) \
                      VALUES ($1, $2, $3, $4, $5)";
const LIST: &str = "SELECT * FROM subscription_aliases WHERE tenant = $1 ORDER BY name_key LIMIT 1000";
const DELETE: &str = "DELETE FROM subscription_aliases WHERE tenant = $1 AND name_key = $2";

#[cfg(test)]
pub(super) const STATEMENTS: &[&str] = &[FIND, INSERT, LIST, DELETE];

/// A row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SubscriptionAliasRow {
    pub(crate) tenant: Uuid,
    /// As written.
    pub(crate) name: String,
    pub(crate) subscription: Uuid,
    pub(crate) created_ms: i64,
}

impl Row for SubscriptionAliasRow {
    fn read(columns: &Columns) -> Result<Self> {
        Ok(Self {
            tenant: columns.id("tenant")?,
            name: columns.text("name")?,
            subscription: columns.id("subscription")?,
            created_ms: columns.integer("created_ms")?,
        })
    }
}

/// An alias, in any spelling.
pub(crate) async fn find(tx: &mut Connection, tenant: Uuid, name: &str) -> Result<Option<SubscriptionAliasRow>> {
    row::one(tx, query(FIND).bind(tenant.to_string()).bind(name.to_lowercase())).await
}

/// Adds an alias.
pub(crate) async fn insert(tx: &mut Connection, alias: &SubscriptionAliasRow) -> Result<()> {
    let statement = query(INSERT)
        .bind(alias.tenant.to_string())
        .bind(alias.name.to_lowercase())
        .bind(&alias.name)
        .bind(alias.subscription.to_string())
        .bind(alias.created_ms);
    row::run(tx, statement).await?;
    Ok(())
}

/// A tenant's aliases.
pub(crate) async fn list(tx: &mut Connection, tenant: Uuid) -> Result<Vec<SubscriptionAliasRow>> {
    row::all(tx, query(LIST).bind(tenant.to_string())).await
}

/// Removes an alias. Whether it was there.
pub(crate) async fn delete(tx: &mut Connection, tenant: Uuid, name: &str) -> Result<bool> {
    Ok(row::run(tx, query(DELETE).bind(tenant.to_string()).bind(name.to_lowercase())).await? == 1)
}
