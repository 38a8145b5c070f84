//! Wrong passwords of names that nobody has.

use super::{Connection, Result, row, statement::query, user::Failures};

const FIND: &str = "SELECT failures, failed_ms FROM nobodys_failures WHERE name = $1";
const SET: &str = "INSERT INTO nobodys_failures (name, failures, failed_ms) VALUES ($1, $2, $3) \
     ON CONFLICT (name) DO UPDATE SET failures = excluded.failures, failed_ms = excluded.failed_ms";
const TAKE_BACK: &str = "UPDATE nobodys_failures SET failures = failures - 1, \
     failed_ms = CASE WHEN failures = $2 AND failed_ms = $3 THEN $4 ELSE failed_ms END WHERE name = $1 AND failures > 0";
const NEWEST_BEYOND: &str = "SELECT failed_ms FROM nobodys_failures ORDER BY failed_ms DESC LIMIT 1 OFFSET $1";
const FORGET: &str = "DELETE FROM nobodys_failures WHERE failed_ms < $1";

#[cfg(test)]
pub(super) const STATEMENTS: &[&str] = &[FIND, SET, TAKE_BACK, NEWEST_BEYOND, FORGET];

/// Those of a name, by its keyed hash.
pub(crate) async fn find(tx: &mut Connection, name: &str) -> Result<Option<Failures>> {
    row::one(tx, query(FIND).bind(name)).await
}

/// Sets what is counted.
pub(crate) async fn set(tx: &mut Connection, name: &str, failures: Failures) -> Result<()> {
    let statement = query(SET).bind(name).bind(i64::from(failures.count)).bind(failures.last_ms);
    row::run(tx, statement).await?;
    Ok(())
}

/// Counts one less; where nothing came after `counted`, the last one is again when it was before.
pub(crate) async fn take_back(tx: &mut Connection, name: &str, counted: Failures, former_ms: i64) -> Result<()> {
    let statement = query(TAKE_BACK).bind(name).bind(i64::from(counted.count)).bind(counted.last_ms).bind(former_ms);
    row::run(tx, statement).await?;
    Ok(())
}

/// When the last one was of the first name that is too many.
pub(crate) async fn newest_beyond(tx: &mut Connection, most: u32) -> Result<Option<i64>> {
    row::one(tx, query(NEWEST_BEYOND).bind(i64::from(most))).await
}

/// Forgets those before a time. How many names.
pub(crate) async fn forget(tx: &mut Connection, before_ms: i64) -> Result<u64> {
    row::run(tx, query(FORGET).bind(before_ms)).await
}
