//! The seals over the audit's rows.

use super::{
    Connection, Result,
    row::{self, Columns, Row, bigint},
    statement::query,
};

const INSERT: &str = "INSERT INTO audit_seals (number, first_sequence, row_count, sealed_ms, previous, digest, key, signature) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
const LAST: &str = "SELECT * FROM audit_seals ORDER BY number DESC LIMIT 1";
const AFTER: &str = "SELECT * FROM audit_seals WHERE number > $1 ORDER BY number LIMIT $2";
const OLDEST_UNPRUNED: &str =
    "SELECT * FROM audit_seals WHERE pruned_ms IS NULL AND sealed_ms < $1 ORDER BY number LIMIT 1";
const PRUNED: &str = "UPDATE audit_seals SET pruned_ms = $2 WHERE number = $1";

#[cfg(test)]
pub(super) const STATEMENTS: &[&str] = &[INSERT, LAST, AFTER, OLDEST_UNPRUNED, PRUNED];

/// A row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SealRow {
    /// 1, 2, ...
    pub(crate) number: u64,
    /// The first row's place.
    pub(crate) first_sequence: u64,
    pub(crate) row_count: u64,
    pub(crate) sealed_ms: i64,
    /// Hexadecimal.
    pub(crate) previous: String,
    /// Hexadecimal.
    pub(crate) digest: String,
    /// The public key, base64.
    pub(crate) key: String,
    /// Base64.
    pub(crate) signature: String,
    /// When its rows were deleted for their age.
    pub(crate) pruned_ms: Option<i64>,
}

impl SealRow {
    /// The place after its last row's.
    pub(crate) fn end(&self) -> u64 {
        self.first_sequence.saturating_add(self.row_count)
    }
}

impl Row for SealRow {
    fn read(columns: &Columns) -> Result<Self> {
        Ok(Self {
            number: columns.unsigned("number")?,
            first_sequence: columns.unsigned("first_sequence")?,
            row_count: columns.unsigned("row_count")?,
            sealed_ms: columns.integer("sealed_ms")?,
            previous: columns.text("previous")?,
            digest: columns.text("digest")?,
            key: columns.text("key")?,
            signature: columns.text("signature")?,
            pruned_ms: columns.optional_integer("pruned_ms")?,
        })
    }
}

/// Adds a seal.
pub(crate) async fn insert(tx: &mut Connection, seal: &SealRow) -> Result<()> {
    let statement = query(INSERT)
        .bind(bigint(seal.number))
        .bind(bigint(seal.first_sequence))
        .bind(bigint(seal.row_count))
        .bind(seal.sealed_ms)
        .bind(&seal.previous)
        .bind(&seal.digest)
        .bind(&seal.key)
        .bind(&seal.signature);
    row::run(tx, statement).await?;
    Ok(())
}

/// The newest.
pub(crate) async fn last(tx: &mut Connection) -> Result<Option<SealRow>> {
    row::one(tx, query(LAST)).await
}

/// Those after a number, in order.
pub(crate) async fn after(tx: &mut Connection, number: u64, most: u32) -> Result<Vec<SealRow>> {
    row::all(tx, query(AFTER).bind(bigint(number)).bind(i64::from(most))).await
}

/// The oldest that still has its rows, if it was made before a time.
pub(crate) async fn oldest_unpruned(tx: &mut Connection, before_ms: i64) -> Result<Option<SealRow>> {
    row::one(tx, query(OLDEST_UNPRUNED).bind(before_ms)).await
}

/// Notes that a seal's rows are gone.
pub(crate) async fn set_pruned(tx: &mut Connection, number: u64, now_ms: i64) -> Result<()> {
    row::run(tx, query(PRUNED).bind(bigint(number)).bind(now_ms)).await?;
    Ok(())
}
