//! Who did what, and who was refused.

use std::str::FromStr;

use uuid::Uuid;

use super::{
    Connection, Result,
    row::{self, Columns, Row, bigint},
    statement::query,
};

const INSERT: &str = "INSERT INTO audit (id, at_ms, tenant, principal, caller, action, resource, subscription, operation, \
     correlation_id, address, outcome, occurrences, detail) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)";
const UNSEALED: &str = "SELECT * FROM audit WHERE sequence IS NULL ORDER BY at_ms, id LIMIT $1";
const COUNT_UNSEALED: &str = "SELECT COUNT(*) FROM audit WHERE sequence IS NULL";
const PLACE: &str = "UPDATE audit SET sequence = $2 WHERE id = $1 AND sequence IS NULL";
const IN_CHAIN: &str = "SELECT * FROM audit WHERE sequence >= $1 AND sequence < $2 ORDER BY sequence";
const LAST_PLACE: &str = "SELECT COALESCE(MAX(sequence), 0) FROM audit";
const DELETE_IN_CHAIN: &str = "DELETE FROM audit WHERE sequence >= $1 AND sequence < $2";
/// The newest first. An empty text stands for "any"; `$5` is a folded id, whose row this is and those below it; `$8` is a tenant: what
/// its own principals did, and what was asked of its subscriptions.
const LIST: &str = "SELECT * FROM audit WHERE at_ms >= $1 AND (at_ms < $2 OR (at_ms = $2 AND id < $3)) \
     AND ($4 = '' OR principal = $4) AND ($5 = '' OR lower(resource) = $5 OR substr(lower(resource), 1, length($5) + 1) = $5 || '/') \
     AND ($6 = '' OR outcome = $6) \
     AND ($8 = '' OR tenant = $8 OR subscription IN (SELECT id FROM subscriptions WHERE tenant = $8)) \
     ORDER BY at_ms DESC, id DESC LIMIT $7";
/// The newest first, of one subscription. Who comes from another tenant than `$10` is looked for by the object id alone, and what they
/// were refused is not shown: they were told that there is no such subscription, and must not fill its pages.
const LIST_IN_SUBSCRIPTION: &str = "SELECT * FROM audit WHERE subscription = $1 \
     AND (tenant = $10 OR outcome <> 'Denied') AND at_ms >= $2 AND (at_ms < $3 OR (at_ms = $3 AND id < $4)) \
     AND ($5 = '' OR lower(resource) = $5 OR substr(lower(resource), 1, length($5) + 1) = $5 || '/') AND ($6 = '' OR correlation_id = $6) \
     AND ($7 = '' OR (lower(caller) = $7 AND tenant = $10) OR principal = $7) AND ($8 = '' OR substr(lower(action), 1, length($8)) = $8) \
     ORDER BY at_ms DESC, id DESC LIMIT $9";

#[cfg(test)]
pub(super) const STATEMENTS: &[&str] =
    &[INSERT, UNSEALED, COUNT_UNSEALED, PLACE, IN_CHAIN, LAST_PLACE, DELETE_IN_CHAIN, LIST, LIST_IN_SUBSCRIPTION];

/// What came of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It is durable, and carried out.
    Accepted,
    /// It was refused, and changed nothing.
    Denied,
}

impl Outcome {
    /// As the table spells it.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "Accepted",
            Self::Denied => "Denied",
        }
    }
}

impl FromStr for Outcome {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        [Self::Accepted, Self::Denied].into_iter().find(|outcome| outcome.as_str() == text).ok_or(())
    }
}

/// A row. Nothing in it is a secret or a SAS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AuditRow {
    pub(crate) id: Uuid,
    pub(crate) at_ms: i64,
    /// Nil of a stranger, and so is the principal.
    pub(crate) tenant: Uuid,
    /// The object id of who did it.
    pub(crate) principal: Uuid,
    /// As people know who did it.
    pub(crate) caller: String,
    /// `Microsoft.Compute/galleries/write`.
    pub(crate) action: String,
    /// The id as written.
    pub(crate) resource: String,
    /// Of the resource; empty outside of any.
    pub(crate) subscription: String,
    pub(crate) operation: Option<Uuid>,
    pub(crate) correlation_id: Uuid,
    /// Where the request came from; empty when nobody knows.
    pub(crate) address: String,
    pub(crate) outcome: Outcome,
    /// How many alike this row stands for.
    pub(crate) occurrences: u64,
    pub(crate) detail: String,
    /// The place in the chain, once it is sealed.
    pub(crate) sequence: Option<u64>,
}

impl Row for AuditRow {
    fn read(columns: &Columns) -> Result<Self> {
        Ok(Self {
            id: columns.id("id")?,
            at_ms: columns.integer("at_ms")?,
            tenant: columns.id("tenant")?,
            principal: columns.id("principal")?,
            caller: columns.text("caller")?,
            action: columns.text("action")?,
            resource: columns.text("resource")?,
            subscription: columns.text("subscription")?,
            operation: columns.optional_parsed("operation")?,
            correlation_id: columns.id("correlation_id")?,
            address: columns.text("address")?,
            outcome: columns.parsed("outcome")?,
            occurrences: columns.unsigned("occurrences")?,
            detail: columns.text("detail")?,
            sequence: columns.optional_unsigned("sequence")?,
        })
    }
}

/// Where a list of the newest rows goes on: everything before this row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Before {
    pub(crate) at_ms: i64,
    /// Empty for "at this time at all".
    pub(crate) id: String,
}

/// Which rows of a subscription; an empty text stands for "any".
#[derive(Debug, Clone, Default)]
pub(crate) struct InSubscription<'a> {
    /// Whose it is.
    pub(crate) tenant: Uuid,
    pub(crate) subscription: &'a str,
    pub(crate) since_ms: i64,
    /// The folded id of a resource; what is below it counts, too.
    pub(crate) resource: &'a str,
    pub(crate) correlation_id: &'a str,
    /// A name or an object id, folded.
    pub(crate) caller: &'a str,
    /// How the action begins, folded.
    pub(crate) action: &'a str,
}

/// Adds a row.
pub(crate) async fn insert(tx: &mut Connection, row: &AuditRow) -> Result<()> {
    let statement = query(INSERT)
        .bind(row.id.to_string())
        .bind(row.at_ms)
        .bind(row.tenant.to_string())
        .bind(row.principal.to_string())
        .bind(&row.caller)
        .bind(&row.action)
        .bind(&row.resource)
        .bind(&row.subscription)
        .bind(row.operation.map(|operation| operation.to_string()))
        .bind(row.correlation_id.to_string())
        .bind(&row.address)
        .bind(row.outcome.as_str())
        .bind(bigint(row.occurrences))
        .bind(&row.detail);
    row::run(tx, statement).await?;
    Ok(())
}

/// Rows that no seal covers, the oldest first.
pub(crate) async fn unsealed(tx: &mut Connection, most: u32) -> Result<Vec<AuditRow>> {
    row::all(tx, query(UNSEALED).bind(i64::from(most))).await
}

/// How many rows no seal covers.
pub(crate) async fn count_unsealed(tx: &mut Connection) -> Result<u64> {
    let count: Option<i64> = row::one(tx, query(COUNT_UNSEALED)).await?;
    Ok(count.and_then(|count| u64::try_from(count).ok()).unwrap_or_default())
}

/// Gives a row its place in the chain. Whether it had none.
pub(crate) async fn place(tx: &mut Connection, id: Uuid, sequence: u64) -> Result<bool> {
    Ok(row::run(tx, query(PLACE).bind(id.to_string()).bind(bigint(sequence))).await? == 1)
}

/// The rows with these places, in order.
pub(crate) async fn in_chain(tx: &mut Connection, first: u64, end: u64) -> Result<Vec<AuditRow>> {
    row::all(tx, query(IN_CHAIN).bind(bigint(first)).bind(bigint(end))).await
}

/// The last place that is taken; 0 for none.
pub(crate) async fn last_place(tx: &mut Connection) -> Result<u64> {
    let last: Option<i64> = row::one(tx, query(LAST_PLACE)).await?;
    Ok(last.and_then(|last| u64::try_from(last).ok()).unwrap_or_default())
}

/// Deletes the rows with these places.
pub(crate) async fn delete_in_chain(tx: &mut Connection, first: u64, end: u64) -> Result<()> {
    row::run(tx, query(DELETE_IN_CHAIN).bind(bigint(first)).bind(bigint(end))).await?;
    Ok(())
}

/// Which rows to list.
#[derive(Debug)]
pub(crate) struct InAudit<'a> {
    /// Not before this time, in ms.
    pub(crate) since_ms: i64,
    /// The object id of who did it; empty: anybody.
    pub(crate) principal: &'a str,
    /// Folded: this and what is below it; empty: all.
    pub(crate) resource: &'a str,
    pub(crate) outcome: Option<Outcome>,
    /// What its own principals did, and what was asked of its subscriptions; `None`: all.
    pub(crate) tenant: Option<Uuid>,
}

/// The newest rows first: of a principal (an object id), of a resource (a folded id) and what is below it, with an outcome.
pub(crate) async fn list(
    tx: &mut Connection,
    wanted: &InAudit<'_>,
    before: &Before,
    most: u32,
) -> Result<Vec<AuditRow>> {
    let statement =
        query(LIST).looks_at_many().bind(wanted.since_ms).bind(before.at_ms).bind(&before.id).bind(wanted.principal);
    let statement =
        statement.bind(wanted.resource).bind(wanted.outcome.map_or("", Outcome::as_str)).bind(i64::from(most));
    row::all(tx, statement.bind(wanted.tenant.map(|tenant| tenant.to_string()).unwrap_or_default())).await
}

/// The newest rows of a subscription first.
pub(crate) async fn list_in_subscription(
    tx: &mut Connection,
    wanted: &InSubscription<'_>,
    before: &Before,
    most: u32,
) -> Result<Vec<AuditRow>> {
    let statement = query(LIST_IN_SUBSCRIPTION).looks_at_many().bind(wanted.subscription).bind(wanted.since_ms);
    let statement = statement.bind(before.at_ms).bind(&before.id).bind(wanted.resource).bind(wanted.correlation_id);
    let statement = statement.bind(wanted.caller).bind(wanted.action).bind(i64::from(most));
    row::all(tx, statement.bind(wanted.tenant.to_string())).await
}
