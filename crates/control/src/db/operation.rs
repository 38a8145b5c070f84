//! The durable record of accepted work.

use galerie_arm::{ArmError, OperationStatus};
use serde_json::Value;
use uuid::Uuid;

use super::{
    Connection, Result,
    row::{self, Columns, Row, bigint, json},
    statement::{query, query_of},
};
use crate::{
    OperationRef,
    operations::{Answer, OperationKind},
};

const FIND: &str = "SELECT * FROM operations WHERE id = $1";
const INSERT: &str = "INSERT INTO operations (id, kind, tenant, subscription, location, region, resource, resource_uid, \
     resource_generation, initiator, correlation_id, api_version, status, input, result, error, percent, attempts, \
     next_attempt_ms, lease_owner, lease_until_ms, generation, created_ms, ended_ms) VALUES ($1, $2, $3, $4, $5, $6, $7, \
     $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24)";
const UNFINISHED: &str =
    "SELECT * FROM operations WHERE resource = $1 AND status = 'InProgress' AND resource_uid = $2 ORDER BY created_ms";
macro_rules! claim {
    ($lock:literal) => {
        concat!(
            "UPDATE operations SET lease_owner = $3, lease_until_ms = $4, generation = generation + 1, \
     attempts = attempts + 1 WHERE id = (SELECT id FROM operations WHERE region = $1 AND status = 'InProgress' \
     AND next_attempt_ms <= $2 AND lease_until_ms <= $2 AND NOT EXISTS (SELECT 1 FROM uploads \
     WHERE kind = 'ImportUpload' AND upload = resource_uid AND process <> $3) ORDER BY next_attempt_ms LIMIT 1",
            $lock,
            ") RETURNING *"
        )
    };
}
/// Workers of several processes do not wait for each other's rows; on SQLite one transaction writes at a time. An import is
/// the process's that has the upload.
const CLAIM: [&str; 2] = [claim!(""), claim!(" FOR UPDATE SKIP LOCKED")];
/// In any region, since few are due at once; most looks find nothing.
const IS_DUE: &str = "SELECT COUNT(*) FROM (SELECT id FROM operations \
     WHERE region IN (SELECT region FROM region_stores UNION ALL SELECT '') AND status = 'InProgress' \
     AND next_attempt_ms <= $1 AND lease_until_ms <= $1 LIMIT 1) AS due";
const HOLDS: &str = "SELECT COUNT(*) FROM operations WHERE id = $1 AND generation = $2 AND status = 'InProgress'";
const RENEW: &str = "UPDATE operations SET lease_until_ms = $3, percent = $4 \
     WHERE id = $1 AND generation = $2 AND status = 'InProgress'";
const FINISH: &str = "UPDATE operations SET status = $3, error = $4, percent = 100, lease_owner = NULL, \
     lease_until_ms = 0, ended_ms = $5 WHERE id = $1 AND generation = $2 AND status = 'InProgress'";
const POSTPONE: &str = "UPDATE operations SET next_attempt_ms = $3, lease_owner = NULL, lease_until_ms = 0 \
     WHERE id = $1 AND generation = $2 AND status = 'InProgress'";
const RELINQUISH: &str = "UPDATE operations SET attempts = attempts - 1, lease_owner = NULL, lease_until_ms = 0 \
     WHERE id = $1 AND generation = $2 AND status = 'InProgress'";
// By region, because the index is: there may be very many operations, and a start waits for this.
const RELEASE_ALL: &str = "UPDATE operations SET lease_owner = NULL, lease_until_ms = 0, generation = generation + 1 \
     WHERE region IN (SELECT region FROM region_stores UNION ALL SELECT '') \
     AND status = 'InProgress' AND lease_until_ms > 0";
const SHORTEN_WAITS: &str = "UPDATE operations SET next_attempt_ms = $3 WHERE region = $1 AND status = 'InProgress' \
     AND next_attempt_ms > $2 AND next_attempt_ms < $4";
const WAITS_BEYOND: &str = "SELECT COUNT(*) FROM (SELECT id FROM operations \
     WHERE region IN (SELECT region FROM region_stores UNION ALL SELECT '') AND status = 'InProgress' \
     AND next_attempt_ms > $1 AND next_attempt_ms < $2 LIMIT 1) AS waiting";
const RELEASE_OF: &str = "UPDATE operations SET lease_owner = NULL, lease_until_ms = 0, generation = generation + 1 \
     WHERE lease_owner = $1 AND region IN (SELECT region FROM region_stores UNION ALL SELECT '') \
     AND status = 'InProgress'";
const CANCEL_FOR_RESOURCE: &str = "UPDATE operations SET status = 'Canceled', error = $2, lease_owner = NULL, \
     lease_until_ms = 0, ended_ms = $3 WHERE status = 'InProgress' AND resource_uid = $1";
const FORGET: &str = "DELETE FROM operations WHERE id IN \
     (SELECT id FROM operations WHERE ended_ms <= $1 ORDER BY ended_ms LIMIT $2)";

#[cfg(test)]
pub(super) const STATEMENTS: &[&str] = &[
    FIND,
    INSERT,
    UNFINISHED,
    CLAIM[0],
    IS_DUE,
    HOLDS,
    RENEW,
    FINISH,
    POSTPONE,
    RELINQUISH,
    RELEASE_ALL,
    SHORTEN_WAITS,
    WAITS_BEYOND,
    RELEASE_OF,
    CANCEL_FOR_RESOURCE,
    FORGET,
];

/// The `next_attempt_ms` of an operation that no worker claims.
pub(crate) const NEVER_MS: i64 = i64::MAX;

/// A row.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct OperationRow {
    pub(crate) id: Uuid,
    pub(crate) kind: OperationKind,
    pub(crate) tenant: Uuid,
    pub(crate) subscription: Uuid,
    /// In its URL; normalised.
    pub(crate) location: String,
    /// The region whose process must do it; `None`: any.
    pub(crate) region: Option<String>,
    /// The key of the resource or group.
    pub(crate) resource: String,
    pub(crate) resource_uid: Uuid,
    /// The resource's generation when it was accepted.
    pub(crate) resource_generation: u64,
    /// The object id of who asked.
    pub(crate) initiator: Uuid,
    /// Of the request that began it; what is logged about it names it.
    pub(crate) correlation_id: Uuid,
    pub(crate) api_version: String,
    pub(crate) status: OperationStatus,
    /// By kind.
    pub(crate) input: Value,
    /// What its result URL answers when it succeeded.
    pub(crate) answer: Answer,
    pub(crate) error: Option<ArmError>,
    pub(crate) percent: u8,
    pub(crate) attempts: u64,
    pub(crate) next_attempt_ms: i64,
    pub(crate) lease_owner: Option<String>,
    pub(crate) lease_until_ms: i64,
    /// Bumped by every claim; fences the worker's writes.
    pub(crate) generation: u64,
    pub(crate) created_ms: i64,
    pub(crate) ended_ms: Option<i64>,
}

impl Row for OperationRow {
    fn read(columns: &Columns) -> Result<Self> {
        Ok(Self {
            id: columns.id("id")?,
            kind: columns.parsed("kind")?,
            tenant: columns.id("tenant")?,
            subscription: columns.id("subscription")?,
            location: columns.text("location")?,
            region: Some(columns.text("region")?).filter(|region| !region.is_empty()),
            resource: columns.text("resource")?,
            resource_uid: columns.id("resource_uid")?,
            resource_generation: columns.unsigned("resource_generation")?,
            initiator: columns.id("initiator")?,
            correlation_id: columns.id("correlation_id")?,
            api_version: columns.text("api_version")?,
            status: columns.parsed("status")?,
            input: columns.json("input")?,
            answer: columns.json("result")?,
            error: columns.optional_json("error")?,
            percent: columns.unsigned("percent")?,
            attempts: columns.unsigned("attempts")?,
            next_attempt_ms: columns.integer("next_attempt_ms")?,
            lease_owner: columns.optional_text("lease_owner")?,
            lease_until_ms: columns.integer("lease_until_ms")?,
            generation: columns.unsigned("generation")?,
            created_ms: columns.integer("created_ms")?,
            ended_ms: columns.optional_integer("ended_ms")?,
        })
    }
}

/// A claim on an operation: what every write of its worker names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OperationLease {
    /// The operation.
    pub(crate) id: Uuid,
    /// The claim's number.
    pub(crate) generation: u64,
}

impl OperationRow {
    /// The claim that a row just claimed stands for; of a row that nobody claims, the right to end it.
    pub(crate) fn lease(&self) -> OperationLease {
        OperationLease { id: self.id, generation: self.generation }
    }

    /// Its name, for the status URL.
    pub(crate) fn reference(&self) -> OperationRef {
        OperationRef { id: self.id, subscription: self.subscription, location: self.location.clone() }
    }
}

/// An operation.
pub(crate) async fn find(tx: &mut Connection, id: Uuid) -> Result<Option<OperationRow>> {
    row::one(tx, query(FIND).bind(id.to_string())).await
}

/// Adds an operation.
pub(crate) async fn insert(tx: &mut Connection, operation: &OperationRow) -> Result<()> {
    let statement = query(INSERT)
        .bind(operation.id.to_string())
        .bind(operation.kind.as_str())
        .bind(operation.tenant.to_string())
        .bind(operation.subscription.to_string())
        .bind(&operation.location)
        .bind(operation.region.as_deref().unwrap_or(""))
        .bind(&operation.resource)
        .bind(operation.resource_uid.to_string())
        .bind(bigint(operation.resource_generation))
        .bind(operation.initiator.to_string())
        .bind(operation.correlation_id.to_string())
        .bind(&operation.api_version)
        .bind(operation.status.as_str())
        .bind(json(&operation.input))
        .bind(json(&operation.answer))
        .bind(operation.error.as_ref().map(json))
        .bind(i64::from(operation.percent))
        .bind(bigint(operation.attempts))
        .bind(operation.next_attempt_ms)
        .bind(&operation.lease_owner)
        .bind(operation.lease_until_ms)
        .bind(bigint(operation.generation))
        .bind(operation.created_ms)
        .bind(operation.ended_ms);
    row::run(tx, statement).await?;
    Ok(())
}

/// The unfinished operations of a resource, the oldest first.
pub(crate) async fn unfinished(tx: &mut Connection, resource: &str, uid: Uuid) -> Result<Vec<OperationRow>> {
    row::all(tx, query(UNFINISHED).bind(resource).bind(uid.to_string())).await
}

/// Claims the operation that has waited longest, if one is due and free; `None` for work that any process does.
pub(crate) async fn claim_due(
    tx: &mut Connection,
    region: Option<&str>,
    owner: &str,
    now_ms: i64,
    lease_until_ms: i64,
) -> Result<Option<OperationRow>> {
    let statement = query_of(CLAIM).bind(region.unwrap_or("")).bind(now_ms).bind(owner);
    row::one(tx, statement.bind(lease_until_ms)).await
}

/// Whether an operation is due and free, for any process: who sees none need not ask to claim one.
pub(crate) async fn is_due(tx: &mut Connection, now_ms: i64) -> Result<bool> {
    Ok(row::one::<i64>(tx, query(IS_DUE).bind(now_ms)).await? == Some(1))
}

/// Whether [`shorten_waits`] has something to do, in any region.
pub(crate) async fn waits_beyond(tx: &mut Connection, latest_ms: i64) -> Result<bool> {
    Ok(row::one::<i64>(tx, query(WAITS_BEYOND).bind(latest_ms).bind(NEVER_MS)).await? == Some(1))
}

/// Makes what would wait beyond `latest_ms` due at `now_ms`; how many. What no worker claims is left alone.
pub(crate) async fn shorten_waits(
    tx: &mut Connection,
    region: Option<&str>,
    latest_ms: i64,
    now_ms: i64,
) -> Result<u64> {
    let statement = query(SHORTEN_WAITS).bind(region.unwrap_or("")).bind(latest_ms).bind(now_ms);
    row::run(tx, statement.bind(NEVER_MS)).await
}

/// Whether a claim still holds.
pub(crate) async fn holds(tx: &mut Connection, lease: OperationLease) -> Result<bool> {
    let statement = query(HOLDS).bind(lease.id.to_string()).bind(bigint(lease.generation));
    Ok(row::one::<i64>(tx, statement).await? == Some(1))
}

/// Prolongs a claim and records progress. Whether the claim held.
pub(crate) async fn renew(
    tx: &mut Connection,
    lease: OperationLease,
    lease_until_ms: i64,
    percent: u8,
) -> Result<bool> {
    let statement = query(RENEW).bind(lease.id.to_string()).bind(bigint(lease.generation));
    Ok(row::run(tx, statement.bind(lease_until_ms).bind(i64::from(percent))).await? == 1)
}

/// Ends an operation: `Succeeded` without an error, `Failed` with one. Whether the claim held.
pub(crate) async fn finish(
    tx: &mut Connection,
    lease: OperationLease,
    error: Option<&ArmError>,
    now_ms: i64,
) -> Result<bool> {
    let status = if error.is_some() { OperationStatus::Failed } else { OperationStatus::Succeeded };
    end(tx, lease, status, error, now_ms).await
}

/// Ends an operation that another took the place of. Whether it was unfinished.
pub(crate) async fn cancel(tx: &mut Connection, lease: OperationLease, error: &ArmError, now_ms: i64) -> Result<bool> {
    end(tx, lease, OperationStatus::Canceled, Some(error), now_ms).await
}

async fn end(
    tx: &mut Connection,
    lease: OperationLease,
    status: OperationStatus,
    error: Option<&ArmError>,
    now_ms: i64,
) -> Result<bool> {
    let statement = query(FINISH).bind(lease.id.to_string()).bind(bigint(lease.generation)).bind(status.as_str());
    Ok(row::run(tx, statement.bind(error.map(json)).bind(now_ms)).await? == 1)
}

/// Gives an operation back for a later attempt. Whether the claim held.
pub(crate) async fn postpone(tx: &mut Connection, lease: OperationLease, next_attempt_ms: i64) -> Result<bool> {
    let statement = query(POSTPONE).bind(lease.id.to_string()).bind(bigint(lease.generation));
    Ok(row::run(tx, statement.bind(next_attempt_ms)).await? == 1)
}

/// Gives an operation back untried: the process is stopping. Whether the claim held.
pub(crate) async fn relinquish(tx: &mut Connection, lease: OperationLease) -> Result<bool> {
    let statement = query(RELINQUISH).bind(lease.id.to_string()).bind(bigint(lease.generation));
    Ok(row::run(tx, statement).await? == 1)
}

/// Ends every claim, whoever holds it; how many. Its attempt counts: work that kills its process is claimed once more than
/// it may be tried, and given up then.
pub(crate) async fn release_all(tx: &mut Connection) -> Result<u64> {
    row::run(tx, query(RELEASE_ALL)).await
}

/// Ends a process's claims: its next start takes them back at once. Their attempts count, as above; how many.
pub(crate) async fn release_of(tx: &mut Connection, owner: &str) -> Result<u64> {
    row::run(tx, query(RELEASE_OF).bind(owner)).await
}

/// Cancels what is unfinished of a resource that is deleted.
pub(crate) async fn cancel_for_resource(tx: &mut Connection, uid: Uuid, now_ms: i64) -> Result<()> {
    let error = ArmError::operation_preempted("delete");
    let statement = query(CANCEL_FOR_RESOURCE).bind(uid.to_string()).bind(json(&error)).bind(now_ms);
    row::run(tx, statement).await?;
    Ok(())
}

/// Forgets operations that ended at or before `before_ms`; how many, at most `limit`.
pub(crate) async fn forget_ended(tx: &mut Connection, before_ms: i64, limit: u32) -> Result<u64> {
    row::run(tx, query(FORGET).bind(before_ms).bind(i64::from(limit))).await
}
