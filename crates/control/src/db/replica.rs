//! One copy of an image version in one region: a unit of work of its own, with its own lease, progress and error.

use galerie_arm::ReplicationState;
use uuid::Uuid;

use super::{
    Connection, Result,
    row::{self, Columns, Row, bigint},
    statement::{query, query_of},
};

const FIND: &str = "SELECT * FROM replicas WHERE version = $1 AND region = $2";
const LIST: &str = "SELECT * FROM replicas WHERE version = $1 ORDER BY region";
// A version's key begins with its definition's: a range of the primary key. '0' is what follows '/'.
const LIST_BELOW: &str =
    "SELECT * FROM replicas WHERE version > $1 || '/' AND version < $1 || '0' ORDER BY version, region";
const UPSERT: &str = "INSERT INTO replicas (version, region, uid, state, replica_count, storage_account_type, \
     exclude_from_latest, total_bytes, copied_bytes, details, attempts, next_attempt_ms, lease_owner, lease_until_ms, \
     generation, completed_ms) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16) \
     ON CONFLICT (version, region) DO UPDATE SET uid = excluded.uid, state = excluded.state, \
     replica_count = excluded.replica_count, storage_account_type = excluded.storage_account_type, \
     exclude_from_latest = excluded.exclude_from_latest, total_bytes = excluded.total_bytes, \
     copied_bytes = excluded.copied_bytes, details = excluded.details, attempts = excluded.attempts, \
     next_attempt_ms = excluded.next_attempt_ms, lease_owner = excluded.lease_owner, \
     lease_until_ms = excluded.lease_until_ms, generation = excluded.generation, completed_ms = excluded.completed_ms";
const SET_TERMS: &str = "UPDATE replicas SET replica_count = $3, storage_account_type = $4, exclude_from_latest = $5 \
     WHERE version = $1 AND region = $2";
const RETRY: &str = "UPDATE replicas SET state = 'Replicating', attempts = 0, next_attempt_ms = $3, details = '', \
     lease_owner = NULL, lease_until_ms = 0, generation = generation + 1 \
     WHERE version = $1 AND region = $2 AND state = 'Failed'";
/// A row of which something is still to be fetched.
macro_rules! fetched {
    () => {
        "EXISTS (SELECT 1 FROM package_links p WHERE p.resource = replicas.version)"
    };
}
// What could not be fetched is not asked for again and again: whoever wants it says so, with a link that works.
const RETRY_DUE: &str = concat!(
    "UPDATE replicas SET state = 'Replicating', attempts = 0, lease_owner = NULL, lease_until_ms = 0, \
     generation = generation + 1 WHERE region = $1 AND state = 'Failed' AND next_attempt_ms <= $2 AND NOT ",
    fetched!()
);
const COPY_AGAIN: &str = "UPDATE replicas SET state = 'Replicating', attempts = 0, next_attempt_ms = $3, details = '', \
     lease_owner = NULL, lease_until_ms = 0, generation = generation + 1 \
     WHERE version = $1 AND region = $2 AND state = 'Completed'";
const DELETE: &str = "DELETE FROM replicas WHERE version = $1 AND region = $2";
macro_rules! claim {
    ($work:expr, $lock:literal) => {
        concat!(
            "UPDATE replicas SET lease_owner = $3, lease_until_ms = $4, generation = generation + 1, \
     attempts = attempts + 1 WHERE uid = (SELECT uid FROM replicas WHERE region = $1 AND state = 'Replicating' \
     AND next_attempt_ms <= $2 AND lease_until_ms <= $2 AND ",
            $work,
            " ORDER BY next_attempt_ms LIMIT 1",
            $lock,
            ") RETURNING *"
        )
    };
}
/// Workers of several processes do not wait for each other's rows; on SQLite one transaction writes at a time.
const CLAIM_COPY: [&str; 2] =
    [claim!(concat!("NOT ", fetched!()), ""), claim!(concat!("NOT ", fetched!()), " FOR UPDATE SKIP LOCKED")];
const CLAIM_FETCH: [&str; 2] = [claim!(fetched!(), ""), claim!(fetched!(), " FOR UPDATE SKIP LOCKED")];
macro_rules! is_due {
    ($work:expr) => {
        concat!(
            "SELECT COUNT(*) FROM (SELECT uid FROM replicas WHERE region = $1 AND state = $2 \
     AND next_attempt_ms <= $3 AND lease_until_ms <= $3 AND ",
            $work,
            " LIMIT 1) AS due"
        )
    };
}
const IS_COPY_DUE: &str = is_due!(concat!("NOT ", fetched!()));
const IS_FETCH_DUE: &str = is_due!(fetched!());
const HOLDS: &str = "SELECT COUNT(*) FROM replicas WHERE uid = $1 AND generation = $2 AND state = 'Replicating'";
const RENEW: &str = "UPDATE replicas SET lease_until_ms = $3, total_bytes = $4, copied_bytes = $5 \
     WHERE uid = $1 AND generation = $2 AND state = 'Replicating'";
const COMPLETE: &str = "UPDATE replicas SET state = 'Completed', total_bytes = $3, copied_bytes = $3, details = '', \
     lease_owner = NULL, lease_until_ms = 0, completed_ms = $4 \
     WHERE uid = $1 AND generation = $2 AND state = 'Replicating'";
const POSTPONE: &str = "UPDATE replicas SET details = $3, next_attempt_ms = $4, lease_owner = NULL, lease_until_ms = 0 \
     WHERE uid = $1 AND generation = $2 AND state = 'Replicating'";
const FAIL: &str = "UPDATE replicas SET state = 'Failed', details = $3, next_attempt_ms = $4, lease_owner = NULL, \
     lease_until_ms = 0 WHERE uid = $1 AND generation = $2 AND state = 'Replicating'";
const RELINQUISH: &str = "UPDATE replicas SET attempts = attempts - 1, lease_owner = NULL, lease_until_ms = 0 \
     WHERE uid = $1 AND generation = $2 AND state = 'Replicating'";
// By region, because the index is: there may be a million replicas, and a start waits for this.
const RELEASE_ALL: &str = "UPDATE replicas SET lease_owner = NULL, lease_until_ms = 0, generation = generation + 1 \
     WHERE region IN (SELECT region FROM region_stores) AND state = 'Replicating' AND lease_until_ms > 0";
const SHORTEN_WAITS: &str =
    "UPDATE replicas SET next_attempt_ms = $4 WHERE region = $1 AND state = $2 AND next_attempt_ms > $3";
const WAITS_BEYOND: &str = "SELECT COUNT(*) FROM (SELECT uid FROM replicas \
     WHERE region IN (SELECT region FROM region_stores) AND state = $1 AND next_attempt_ms > $2 LIMIT 1) AS waiting";
const RELEASE_OF: &str = "UPDATE replicas SET lease_owner = NULL, lease_until_ms = 0, generation = generation + 1 \
     WHERE lease_owner = $1 AND region IN (SELECT region FROM region_stores) AND state = 'Replicating'";

#[cfg(test)]
pub(super) const STATEMENTS: &[&str] = &[
    FIND,
    LIST,
    LIST_BELOW,
    UPSERT,
    SET_TERMS,
    RETRY,
    RETRY_DUE,
    COPY_AGAIN,
    DELETE,
    CLAIM_COPY[0],
    CLAIM_FETCH[0],
    IS_COPY_DUE,
    IS_FETCH_DUE,
    HOLDS,
    RENEW,
    COMPLETE,
    POSTPONE,
    FAIL,
    RELINQUISH,
    RELEASE_ALL,
    SHORTEN_WAITS,
    WAITS_BEYOND,
    RELEASE_OF,
];

/// How a replica comes to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReplicaWork {
    /// From another region, or another tenant's domain.
    Copy,
    /// From the links of its version: they take as long as whoever is at their other end likes.
    Fetch,
}

/// A row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ReplicaRow {
    /// The version's key.
    pub(crate) version: String,
    /// Normalised.
    pub(crate) region: String,
    /// This incarnation: a region that is removed and added again has another.
    pub(crate) uid: Uuid,
    /// `Replicating`, `Completed` or `Failed`.
    pub(crate) state: ReplicationState,
    pub(crate) replica_count: u32,
    pub(crate) storage_account_type: String,
    pub(crate) exclude_from_latest: bool,
    pub(crate) total_bytes: u64,
    pub(crate) copied_bytes: u64,
    /// What a person reads: the last error, or ''.
    pub(crate) details: String,
    /// Since the state last became `Replicating`.
    pub(crate) attempts: u64,
    /// Of a failed replica: when the reconciler tries again.
    pub(crate) next_attempt_ms: i64,
    pub(crate) lease_owner: Option<String>,
    pub(crate) lease_until_ms: i64,
    /// Bumped by every claim; fences the worker's writes.
    pub(crate) generation: u64,
    pub(crate) completed_ms: Option<i64>,
}

impl ReplicaRow {
    /// A replica that is to be copied, from now.
    pub(crate) fn wanted(version: &str, region: &str, now_ms: i64) -> Self {
        Self {
            version: version.to_owned(),
            region: region.to_owned(),
            uid: Uuid::new_v4(),
            state: ReplicationState::Replicating,
            replica_count: 1,
            storage_account_type: "Standard_LRS".to_owned(),
            exclude_from_latest: false,
            total_bytes: 0,
            copied_bytes: 0,
            details: String::new(),
            attempts: 0,
            next_attempt_ms: now_ms,
            lease_owner: None,
            lease_until_ms: 0,
            generation: 0,
            completed_ms: None,
        }
    }

    /// How far it is, 0 to 100.
    pub(crate) fn percent(&self) -> u8 {
        match (self.state, self.total_bytes) {
            (ReplicationState::Completed, _) => 100,
            (_, 0) => 0,
            // A copy that has every byte is not complete before it says so.
            (_, total) => u8::try_from(u128::from(self.copied_bytes) * 100 / u128::from(total)).unwrap_or(99).min(99),
        }
    }
}

impl Row for ReplicaRow {
    fn read(columns: &Columns) -> Result<Self> {
        Ok(Self {
            version: columns.text("version")?,
            region: columns.text("region")?,
            uid: columns.id("uid")?,
            state: columns.parsed("state")?,
            replica_count: columns.unsigned("replica_count")?,
            storage_account_type: columns.text("storage_account_type")?,
            exclude_from_latest: columns.flag("exclude_from_latest")?,
            total_bytes: columns.unsigned("total_bytes")?,
            copied_bytes: columns.unsigned("copied_bytes")?,
            details: columns.text("details")?,
            attempts: columns.unsigned("attempts")?,
            next_attempt_ms: columns.integer("next_attempt_ms")?,
            lease_owner: columns.optional_text("lease_owner")?,
            lease_until_ms: columns.integer("lease_until_ms")?,
            generation: columns.unsigned("generation")?,
            completed_ms: columns.optional_integer("completed_ms")?,
        })
    }
}

/// A claim on a replica: what every write of its worker names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ReplicaLease {
    /// The replica's incarnation.
    pub(crate) uid: Uuid,
    /// The claim's number.
    pub(crate) generation: u64,
}

impl ReplicaRow {
    /// The claim that a row just claimed stands for.
    pub(crate) fn lease(&self) -> ReplicaLease {
        ReplicaLease { uid: self.uid, generation: self.generation }
    }
}

/// A version's replica in a region.
pub(crate) async fn find(tx: &mut Connection, version: &str, region: &str) -> Result<Option<ReplicaRow>> {
    row::one(tx, query(FIND).bind(version).bind(region)).await
}

/// A version's replicas.
pub(crate) async fn list_for_version(tx: &mut Connection, version: &str) -> Result<Vec<ReplicaRow>> {
    row::all(tx, query(LIST).bind(version)).await
}

/// The replicas of a definition's versions, soft-deleted ones included.
pub(crate) async fn list_below(tx: &mut Connection, definition: &str) -> Result<Vec<ReplicaRow>> {
    row::all(tx, query(LIST_BELOW).looks_at_many().bind(definition)).await
}

/// Adds or replaces a replica.
pub(crate) async fn upsert(tx: &mut Connection, replica: &ReplicaRow) -> Result<()> {
    let statement = query(UPSERT)
        .bind(&replica.version)
        .bind(&replica.region)
        .bind(replica.uid.to_string())
        .bind(replica.state.as_str())
        .bind(i64::from(replica.replica_count))
        .bind(&replica.storage_account_type)
        .bind(i64::from(replica.exclude_from_latest))
        .bind(bigint(replica.total_bytes))
        .bind(bigint(replica.copied_bytes))
        .bind(&replica.details)
        .bind(bigint(replica.attempts))
        .bind(replica.next_attempt_ms)
        .bind(&replica.lease_owner)
        .bind(replica.lease_until_ms)
        .bind(bigint(replica.generation))
        .bind(replica.completed_ms);
    row::run(tx, statement).await?;
    Ok(())
}

/// Changes what a target region asks for; a copy under way goes on.
pub(crate) async fn set_terms(
    tx: &mut Connection,
    version: &str,
    region: &str,
    replica_count: u32,
    storage_account_type: &str,
    exclude_from_latest: bool,
) -> Result<bool> {
    let statement = query(SET_TERMS).bind(version).bind(region).bind(i64::from(replica_count));
    let statement = statement.bind(storage_account_type).bind(i64::from(exclude_from_latest));
    Ok(row::run(tx, statement).await? == 1)
}

/// Starts a failed replica over. Whether it had failed.
pub(crate) async fn retry(tx: &mut Connection, version: &str, region: &str, now_ms: i64) -> Result<bool> {
    Ok(row::run(tx, query(RETRY).bind(version).bind(region).bind(now_ms)).await? == 1)
}

/// Starts a region's failed replicas over whose time has come; how many. Their last error stays readable.
pub(crate) async fn retry_due(tx: &mut Connection, region: &str, now_ms: i64) -> Result<u64> {
    row::run(tx, query(RETRY_DUE).bind(region).bind(now_ms)).await
}

/// Has a complete replica, of which something is damaged, copied again. Whether it was complete.
pub(crate) async fn copy_again(tx: &mut Connection, version: &str, region: &str, now_ms: i64) -> Result<bool> {
    Ok(row::run(tx, query(COPY_AGAIN).bind(version).bind(region).bind(now_ms)).await? == 1)
}

/// Whether a region has a replica in a state whose time has come and that nobody has claimed: who sees none need not ask for it.
pub(crate) async fn is_due(
    tx: &mut Connection,
    region: &str,
    work: ReplicaWork,
    state: ReplicationState,
    now_ms: i64,
) -> Result<bool> {
    let statement = match work {
        ReplicaWork::Copy => IS_COPY_DUE,
        ReplicaWork::Fetch => IS_FETCH_DUE,
    };
    let statement = query(statement).bind(region).bind(state.as_str()).bind(now_ms);
    Ok(row::one::<i64>(tx, statement).await? == Some(1))
}

/// Whether [`shorten_waits`] has something to do, in any region.
pub(crate) async fn waits_beyond(tx: &mut Connection, state: ReplicationState, latest_ms: i64) -> Result<bool> {
    Ok(row::one::<i64>(tx, query(WAITS_BEYOND).bind(state.as_str()).bind(latest_ms)).await? == Some(1))
}

/// Makes replicas in a state that would wait beyond `latest_ms` due at `now_ms`; how many.
pub(crate) async fn shorten_waits(
    tx: &mut Connection,
    region: &str,
    state: ReplicationState,
    latest_ms: i64,
    now_ms: i64,
) -> Result<u64> {
    let statement = query(SHORTEN_WAITS).bind(region).bind(state.as_str()).bind(latest_ms).bind(now_ms);
    row::run(tx, statement).await
}

/// Removes a replica; whoever copies it finds out at its next write. Whether it was there.
pub(crate) async fn delete(tx: &mut Connection, version: &str, region: &str) -> Result<bool> {
    Ok(row::run(tx, query(DELETE).bind(version).bind(region)).await? == 1)
}

/// Claims the replica of a region that has waited longest, if one is due and free.
pub(crate) async fn claim_due(
    tx: &mut Connection,
    region: &str,
    work: ReplicaWork,
    owner: &str,
    now_ms: i64,
    lease_until_ms: i64,
) -> Result<Option<ReplicaRow>> {
    let statement = match work {
        ReplicaWork::Copy => CLAIM_COPY,
        ReplicaWork::Fetch => CLAIM_FETCH,
    };
    row::one(tx, query_of(statement).bind(region).bind(now_ms).bind(owner).bind(lease_until_ms)).await
}

/// Whether a claim still holds.
pub(crate) async fn holds(tx: &mut Connection, lease: ReplicaLease) -> Result<bool> {
    let statement = query(HOLDS).bind(lease.uid.to_string()).bind(bigint(lease.generation));
    Ok(row::one::<i64>(tx, statement).await? == Some(1))
}

/// Prolongs a claim and records progress. Whether the claim held.
pub(crate) async fn renew(
    tx: &mut Connection,
    lease: ReplicaLease,
    lease_until_ms: i64,
    total_bytes: u64,
    copied_bytes: u64,
) -> Result<bool> {
    let statement = query(RENEW).bind(lease.uid.to_string()).bind(bigint(lease.generation)).bind(lease_until_ms);
    Ok(row::run(tx, statement.bind(bigint(total_bytes)).bind(bigint(copied_bytes))).await? == 1)
}

/// Makes a replica `Completed`. Whether the claim held.
pub(crate) async fn complete(tx: &mut Connection, lease: ReplicaLease, total_bytes: u64, now_ms: i64) -> Result<bool> {
    let statement = query(COMPLETE).bind(lease.uid.to_string()).bind(bigint(lease.generation));
    Ok(row::run(tx, statement.bind(bigint(total_bytes)).bind(now_ms)).await? == 1)
}

/// Gives a replica back for a later attempt, with the reason. Whether the claim held.
pub(crate) async fn postpone(
    tx: &mut Connection,
    lease: ReplicaLease,
    details: &str,
    next_attempt_ms: i64,
) -> Result<bool> {
    give_up(tx, POSTPONE, lease, details, next_attempt_ms).await
}

/// Makes a replica `Failed`, until the reconciler tries again. Whether the claim held.
pub(crate) async fn fail(
    tx: &mut Connection,
    lease: ReplicaLease,
    details: &str,
    next_attempt_ms: i64,
) -> Result<bool> {
    give_up(tx, FAIL, lease, details, next_attempt_ms).await
}

async fn give_up(
    tx: &mut Connection,
    statement: &'static str,
    lease: ReplicaLease,
    details: &str,
    next_attempt_ms: i64,
) -> Result<bool> {
    let statement = query(statement).bind(lease.uid.to_string()).bind(bigint(lease.generation));
    Ok(row::run(tx, statement.bind(details).bind(next_attempt_ms)).await? == 1)
}

/// Gives a replica back untried: the process is stopping. Whether the claim held.
pub(crate) async fn relinquish(tx: &mut Connection, lease: ReplicaLease) -> Result<bool> {
    let statement = query(RELINQUISH).bind(lease.uid.to_string()).bind(bigint(lease.generation));
    Ok(row::run(tx, statement).await? == 1)
}

/// Ends every claim, whoever holds it; how many. Its attempt counts, as with operations: a copy that kills its process
/// fails, and is tried again when the reconciler's time comes.
pub(crate) async fn release_all(tx: &mut Connection) -> Result<u64> {
    row::run(tx, query(RELEASE_ALL)).await
}

/// Ends a process's claims: its next start takes them back at once. Their attempts count, as above; how many.
pub(crate) async fn release_of(tx: &mut Connection, owner: &str) -> Result<u64> {
    row::run(tx, query(RELEASE_OF).bind(owner)).await
}
