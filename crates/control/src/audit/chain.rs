//! The texts that are hashed and signed, as `docs/design/audit.md` describes them for whoever checks them elsewhere.

use aws_lc_rs::digest::{Context, Digest, SHA256, digest};
use serde_json::json;
use uuid::Uuid;

use crate::db::{audit::AuditRow, audit_seal::SealRow};

/// Names the form of a seal's text.
const FORM: &str = "galerie-audit-1";
/// What the first seal names in place of a seal before it.
pub(crate) const NOTHING_BEFORE: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// Over rows in the order of their places, SHA-256 in hexadecimal. Each is a line.
pub(crate) fn digest_of(rows: &[AuditRow]) -> String {
    let mut context = Context::new(&SHA256);
    for row in rows {
        context.update(row_text(row).as_bytes());
        context.update(b"\n");
    }
    hexadecimal(&context.finish())
}

/// A row as JSON, without its place: that follows from its order. What is derived from other columns is left out.
fn row_text(row: &AuditRow) -> String {
    json!([
        row.id,
        row.at_ms,
        row.tenant,
        row.principal,
        row.caller,
        row.action,
        row.resource,
        row.operation,
        row.correlation_id,
        row.address,
        row.outcome.as_str(),
        row.occurrences,
        row.detail,
    ])
    .to_string()
}

/// What is signed.
pub(crate) fn seal_text(catalogue: Uuid, seal: &SealRow) -> String {
    json!([
        FORM,
        catalogue,
        seal.number,
        seal.first_sequence,
        seal.row_count,
        seal.sealed_ms,
        seal.previous,
        seal.digest,
        seal.key,
    ])
    .to_string()
}

/// What the next seal names: SHA-256 of a seal's text, in hexadecimal.
pub(crate) fn hash_of(catalogue: Uuid, seal: &SealRow) -> String {
    hexadecimal(&digest(&SHA256, seal_text(catalogue, seal).as_bytes()))
}

fn hexadecimal(digest: &Digest) -> String {
    use std::fmt::Write;
    digest.as_ref().iter().fold(String::with_capacity(64), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes everything");
        text
    })
}
