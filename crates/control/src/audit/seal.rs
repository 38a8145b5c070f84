//! Sealing: rows that no seal covers get their places in the chain, and a signed seal over them.
//!
//! One process seals at a time. Rows are found in a transaction that only reads, so that writers are not disturbed on
//! PostgreSQL; they never change afterwards. Another sealer's work shows when the seal is written, and then it counts.

use galerie_arm::ArmError;

use super::chain;
use crate::{
    Control,
    db::{
        audit::{self, AuditRow},
        audit_seal::{self, SealRow},
        transact,
    },
};

/// Most rows under one seal.
const MOST_ROWS: u32 = 1000;

/// Seals what there is.
///
/// # Errors
/// The catalogue's.
pub(crate) async fn seal_all(control: &Control) -> Result<(), ArmError> {
    loop {
        let (last, rows) = {
            let mut tx = control.db().read().await?;
            (audit_seal::last(&mut tx).await?, audit::unsealed(&mut tx, MOST_ROWS).await?)
        };
        if rows.is_empty() {
            return Ok(());
        }
        if !seal(control, last, &rows).await? {
            return Ok(());
        }
    }
}

/// Seals these rows after `last`. `false`: another process was faster.
async fn seal(control: &Control, last: Option<SealRow>, rows: &[AuditRow]) -> Result<bool, ArmError> {
    let catalogue = control.catalogue_id();
    let key = control.keys().seal();
    let first_sequence = last.as_ref().map_or(1, SealRow::end);
    let mut seal = SealRow {
        number: last.as_ref().map_or(1, |last| last.number + 1),
        first_sequence,
        row_count: rows.len() as u64,
        sealed_ms: 0,
        previous: last
            .as_ref()
            .map_or_else(|| chain::NOTHING_BEFORE.to_owned(), |last| chain::hash_of(catalogue, last)),
        digest: chain::digest_of(rows),
        key: key.public(),
        signature: String::new(),
        pruned_ms: None,
    };
    let sealed = transact!(control.db(), |tx| -> Result<bool, ArmError> {
        if audit_seal::last(tx).await? != last {
            return Ok(false);
        }
        for (row, sequence) in rows.iter().zip(first_sequence..) {
            if !audit::place(tx, row.id, sequence).await? {
                return Ok(false);
            }
        }
        seal.sealed_ms = tx.now_ms().await?;
        seal.signature = key.sign(chain::seal_text(catalogue, &seal).as_bytes());
        audit_seal::insert(tx, &seal).await?;
        Ok(true)
    })?;
    if sealed {
        // Where logs go, whoever can write the catalogue cannot follow.
        let head = format!("{}:{}", seal.number, chain::hash_of(catalogue, &seal));
        tracing::info!(target: "galerie::audit", head, rows = seal.row_count, "sealed the audit");
        metrics::counter!("galerie_audit_rows_sealed_total").increment(seal.row_count);
    }
    Ok(sealed)
}
