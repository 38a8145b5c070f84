//! Wrong passwords of names that nobody has.

use super::{Connection, Result, row, statement::query, user::Failures};

const FIND: &str = "SELECT failures, failed_ms FROM nobodys_failures WHERE name = $1";
const ADD: &str = "INSERT INTO nobodys_failures (name, failures, failed_ms) VALUES ($1, 1, $2) ON CONFLICT (name) DO UPDATE \
     SET failures = CASE WHEN nobodys_failures.failed_ms < $3 THEN 1 ELSE nobodys_failures.failures + 1 END, \
     failed_ms = excluded.failed_ms";
const DELETE_BEFORE: &str = "DELETE FROM nobodys_failures WHERE failed_ms < $1";
const DELETE_BEYOND: &str = "DELETE FROM nobodys_failures WHERE failed_ms <= \
     (SELECT failed_ms FROM nobodys_failures ORDER BY failed_ms DESC LIMIT 1 OFFSET $1)";

#[cfg(test)]
pub(super) const STATEMENTS: &[&str] = &[FIND, ADD, DELETE_BEFORE, DELETE_BEYOND];

/// Those of a name, by its keyed hash.
pub(crate) async fn find(tx: &mut Connection, name: &str) -> Result<Option<Failures>> {
    row::one(tx, query(FIND).bind(name)).await
}

/// Counts one more; those before `forgotten_ms` do not count any more.
pub(crate) async fn add(tx: &mut Connection, name: &str, now_ms: i64, forgotten_ms: i64) -> Result<()> {
    row::run(tx, query(ADD).bind(name).bind(now_ms).bind(forgotten_ms)).await?;
    Ok(())
}

/// Forgets those before `forgotten_ms`, and the oldest of more names than `most`. How many.
pub(crate) async fn forget(tx: &mut Connection, forgotten_ms: i64, most: u32) -> Result<u64> {
    let old = row::run(tx, query(DELETE_BEFORE).bind(forgotten_ms)).await?;
    let beyond = row::run(tx, query(DELETE_BEYOND).bind(i64::from(most))).await?;
    Ok(old + beyond)
}
