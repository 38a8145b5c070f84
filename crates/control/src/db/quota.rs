//! Quotas, what each resource is charged, and the sums of that.

use uuid::Uuid;

use super::{
    Connection, Result,
    row::{self, Columns, Row, bigint},
    statement::query,
};

const FIND: &str = "SELECT * FROM quotas WHERE scope = $1";
const UPSERT: &str = "INSERT INTO quotas (scope, most_bytes, most_resources, azure_limits, updated_ms) \
     VALUES ($1, $2, $3, $4, $5) ON CONFLICT (scope) DO UPDATE SET most_bytes = excluded.most_bytes, \
     most_resources = excluded.most_resources, azure_limits = excluded.azure_limits, updated_ms = excluded.updated_ms";
const CHARGE: &str = "SELECT bytes FROM charges WHERE resource = $1";
const SET_CHARGE: &str = "INSERT INTO charges (resource, subscription, bytes) VALUES ($1, $2, $3) \
     ON CONFLICT (resource) DO UPDATE SET bytes = excluded.bytes";
const REMOVE_CHARGE: &str = "DELETE FROM charges WHERE resource = $1 RETURNING bytes";
const ADD: &str = "INSERT INTO usages (subscription, slot, tenant, bytes, resources) VALUES ($1, $2, $3, $4, $5) \
     ON CONFLICT (subscription, slot) DO UPDATE SET bytes = usages.bytes + excluded.bytes, \
     resources = usages.resources + excluded.resources";
const USED_BY_SUBSCRIPTION: &str = "SELECT CAST(COALESCE(SUM(bytes), 0) AS BIGINT) AS bytes, \
     CAST(COALESCE(SUM(resources), 0) AS BIGINT) AS resources FROM usages WHERE subscription = $1";
const USED_BY_TENANT: &str = "SELECT CAST(COALESCE(SUM(bytes), 0) AS BIGINT) AS bytes, \
     CAST(COALESCE(SUM(resources), 0) AS BIGINT) AS resources FROM usages WHERE tenant = $1";
const CHARGED: &str = "SELECT CAST(COALESCE(SUM(bytes), 0) AS BIGINT) AS bytes, COUNT(*) AS resources FROM charges \
     WHERE subscription = $1";
const ORPHANS: &str = "SELECT c.resource FROM charges c WHERE c.subscription = $1 \
     AND NOT EXISTS (SELECT 1 FROM resources r WHERE r.key = c.resource) LIMIT 1000";
const LIST: &str = "SELECT * FROM quotas ORDER BY scope";
const CLEAR: &str = "DELETE FROM usages WHERE subscription = $1";

#[cfg(test)]
pub(super) const STATEMENTS: &[&str] = &[
    FIND,
    UPSERT,
    CHARGE,
    SET_CHARGE,
    REMOVE_CHARGE,
    ADD,
    USED_BY_SUBSCRIPTION,
    USED_BY_TENANT,
    CHARGED,
    ORPHANS,
    LIST,
    CLEAR,
];

/// Who is limited, and whose use is summed up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum QuotaScope {
    Subscription(Uuid),
    Tenant(Uuid),
}

impl std::fmt::Display for QuotaScope {
    /// As the table has it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Subscription(id) => write!(f, "subscriptions/{id}"),
            Self::Tenant(id) => write!(f, "tenants/{id}"),
        }
    }
}

impl std::str::FromStr for QuotaScope {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (kind, id) = text.split_once('/').unwrap_or_default();
        let id = id.parse()?;
        Ok(if kind == "tenants" { Self::Tenant(id) } else { Self::Subscription(id) })
    }
}

/// A row with its scope.
struct Scoped(QuotaScope, QuotaRow);

impl Row for Scoped {
    fn read(columns: &Columns) -> Result<Self> {
        Ok(Self(columns.parsed("scope")?, QuotaRow::read(columns)?))
    }
}

/// What a scope may hold; `None` is as much as there is room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct QuotaRow {
    pub(crate) most_bytes: Option<u64>,
    pub(crate) most_resources: Option<u64>,
    /// Whether Azure's limits do not hold.
    pub(crate) lifts_azure_limits: bool,
}

impl QuotaRow {
    /// Whether anything is limited that is summed up.
    pub(crate) fn limits(&self) -> bool {
        self.most_bytes.is_some() || self.most_resources.is_some()
    }
}

impl Row for QuotaRow {
    fn read(columns: &Columns) -> Result<Self> {
        Ok(Self {
            most_bytes: columns.optional_unsigned("most_bytes")?,
            most_resources: columns.optional_unsigned("most_resources")?,
            lifts_azure_limits: columns.optional_integer("azure_limits")? == Some(0),
        })
    }
}

/// A sum of charges. Never negative unless it has drifted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Usage {
    pub(crate) bytes: i64,
    pub(crate) resources: i64,
}

impl Row for Usage {
    fn read(columns: &Columns) -> Result<Self> {
        Ok(Self { bytes: columns.integer("bytes")?, resources: columns.integer("resources")? })
    }
}

/// A scope's quota; none is no limit.
pub(crate) async fn find(tx: &mut Connection, scope: QuotaScope) -> Result<QuotaRow> {
    Ok(row::one(tx, query(FIND).bind(scope.to_string())).await?.unwrap_or_default())
}

/// All quotas; there are few.
pub(crate) async fn list(tx: &mut Connection) -> Result<Vec<(QuotaScope, QuotaRow)>> {
    let rows: Vec<Scoped> = row::all(tx, query(LIST)).await?;
    Ok(rows.into_iter().map(|Scoped(scope, quota)| (scope, quota)).collect())
}

/// Sets a scope's quota.
pub(crate) async fn put(tx: &mut Connection, scope: QuotaScope, quota: QuotaRow, now_ms: i64) -> Result<()> {
    let statement = query(UPSERT)
        .bind(scope.to_string())
        .bind(quota.most_bytes.map(bigint))
        .bind(quota.most_resources.map(bigint))
        .bind(quota.lifts_azure_limits.then_some(0_i64))
        .bind(now_ms);
    row::run(tx, statement).await?;
    Ok(())
}

/// What a resource is charged; `None` when it is not counted yet.
pub(crate) async fn charge(tx: &mut Connection, resource: &str) -> Result<Option<i64>> {
    row::one(tx, query(CHARGE).bind(resource)).await
}

/// Charges a resource. The sums are the caller's to change.
pub(crate) async fn set_charge(tx: &mut Connection, resource: &str, subscription: Uuid, bytes: u64) -> Result<()> {
    row::run(tx, query(SET_CHARGE).bind(resource).bind(subscription.to_string()).bind(bigint(bytes))).await?;
    Ok(())
}

/// Forgets a resource's charge; what it was.
pub(crate) async fn remove_charge(tx: &mut Connection, resource: &str) -> Result<Option<i64>> {
    row::one(tx, query(REMOVE_CHARGE).bind(resource)).await
}

/// Adds to a subscription's use; `slot` says to which of its rows.
pub(crate) async fn add(tx: &mut Connection, subscription: Uuid, tenant: Uuid, slot: i64, change: Usage) -> Result<()> {
    let statement = query(ADD).bind(subscription.to_string()).bind(slot).bind(tenant.to_string());
    row::run(tx, statement.bind(change.bytes).bind(change.resources)).await?;
    Ok(())
}

/// What a scope uses.
pub(crate) async fn used(tx: &mut Connection, scope: QuotaScope) -> Result<Usage> {
    let statement = match scope {
        QuotaScope::Subscription(id) => query(USED_BY_SUBSCRIPTION).bind(id.to_string()),
        QuotaScope::Tenant(id) => query(USED_BY_TENANT).bind(id.to_string()),
    };
    Ok(row::one(tx, statement).await?.unwrap_or_default())
}

/// What a subscription's charges add up to: what its use should be.
pub(crate) async fn charged(tx: &mut Connection, subscription: Uuid) -> Result<Usage> {
    Ok(row::one(tx, query(CHARGED).looks_at_many().bind(subscription.to_string())).await?.unwrap_or_default())
}

/// Charges of a subscription for resources that are not there.
pub(crate) async fn orphans(tx: &mut Connection, subscription: Uuid) -> Result<Vec<String>> {
    row::all(tx, query(ORPHANS).looks_at_many().bind(subscription.to_string())).await
}

/// Sets a subscription's use.
pub(crate) async fn set_used(tx: &mut Connection, subscription: Uuid, tenant: Uuid, usage: Usage) -> Result<()> {
    row::run(tx, query(CLEAR).bind(subscription.to_string())).await?;
    add(tx, subscription, tenant, 0, usage).await
}
