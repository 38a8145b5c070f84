//! What one process does for all.

use super::{Connection, Result, row, statement::query};

const TAKE: &str = "INSERT INTO chores (name, process, until_ms) VALUES ($1, $2, $4) ON CONFLICT (name) DO UPDATE \
     SET process = excluded.process, until_ms = excluded.until_ms \
     WHERE chores.until_ms <= $3 OR chores.process = excluded.process";

#[cfg(test)]
pub(super) const STATEMENTS: &[&str] = &[TAKE];

/// Takes a chore until a time, unless another process has it. Whether it is ours now.
pub(crate) async fn take(tx: &mut Connection, name: &str, process: &str, now_ms: i64, until_ms: i64) -> Result<bool> {
    Ok(row::run(tx, query(TAKE).bind(name).bind(process).bind(now_ms).bind(until_ms)).await? == 1)
}
