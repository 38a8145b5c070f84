//! Checking: every seal names the one before it and is signed, and covers exactly the rows that it was made over.
//!
//! What this finds: a row that was changed, removed or put in, a seal that was changed or removed, a chain that was cut short
//! (against a head that somebody kept). What it cannot: rows that were forged before they were sealed, by whoever may write the
//! catalogue; and a whole chain made anew with the master key, unless a head was kept elsewhere.

use galerie_arm::ArmError;
use serde_json::{Value, json};

use super::chain;
use crate::{
    Control,
    db::{
        Connection, audit,
        audit_seal::{self, SealRow},
    },
    keys,
    request::RequestContext,
};

/// Seals looked at in one transaction.
const BATCH: u32 = 50;
/// Most problems that are named; the rest are counted.
const MOST_NAMED: usize = 100;

/// A head that somebody kept: a seal's number and hash, `17:ab12...`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownHead {
    /// The seal's number.
    pub number: u64,
    /// Its hash, hexadecimal.
    pub hash: String,
}

impl std::str::FromStr for KnownHead {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = "a head is a seal's number and its hash, as the log has it: 17:ab12...";
        let (number, hash) = text.split_once(':').ok_or(invalid)?;
        let is_hash = hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
        let number = number.parse().ok().filter(|number| *number > 0 && is_hash).ok_or(invalid)?;
        Ok(Self { number, hash: hash.to_ascii_lowercase() })
    }
}

/// What was found so far.
#[derive(Default)]
struct Findings {
    problems: Vec<Value>,
    problem_count: u64,
    rows: u64,
    pruned_seals: u64,
}

impl Findings {
    fn problem(&mut self, seal: u64, what: &str) {
        self.problem_count += 1;
        if self.problems.len() < MOST_NAMED {
            self.problems.push(json!({ "seal": seal, "problem": what }));
        }
    }
}

impl Control {
    /// Checks the whole chain, and that a head which was kept is in it.
    ///
    /// # Errors
    /// `AuthorizationFailed`; the catalogue's. What is wrong with the chain is no error but the answer.
    pub async fn audit_verify(&self, ctx: &RequestContext, known: Option<&KnownHead>) -> Result<Value, ArmError> {
        self.require_operator(&mut *self.db().read().await?, &ctx.caller, "Galerie/audit/verify/action").await?;
        let mut findings = Findings::default();
        let mut last: Option<(SealRow, String)> = None;
        let mut is_known = known.is_none();
        loop {
            let mut tx = self.db().read().await?;
            let after = last.as_ref().map_or(0, |(seal, _)| seal.number);
            let seals = audit_seal::after(&mut tx, after, BATCH).await?;
            if seals.is_empty() {
                let sealed = last.as_ref().map_or(0, |(seal, _)| seal.end().saturating_sub(1));
                if audit::last_place(&mut tx).await? > sealed {
                    findings.problem(after + 1, "there are rows that it covered, and the seal is missing");
                }
                break;
            }
            for seal in seals {
                self.check(&mut tx, &seal, last.as_ref(), &mut findings).await?;
                let hash = chain::hash_of(self.catalogue_id(), &seal);
                is_known |= known.is_some_and(|known| known.number == seal.number && known.hash == hash);
                last = Some((seal, hash));
            }
        }
        if let Some(known) = known.filter(|_| !is_known) {
            findings.problem(known.number, "the head that you named is not in the chain");
        }
        let unsealed = audit::count_unsealed(&mut *self.db().read().await?).await?;
        Ok(json!({
            "intact": findings.problem_count == 0,
            "head": last.as_ref().map(|(seal, hash)| format!("{}:{hash}", seal.number)),
            "seals": last.as_ref().map_or(0, |(seal, _)| seal.number),
            "rows": findings.rows,
            "sealsWhoseRowsWereDeletedForTheirAge": findings.pruned_seals,
            "rowsNotSealedYet": unsealed,
            "key": self.keys().seal().public(),
            "problems": findings.problems,
            "problemCount": findings.problem_count,
        }))
    }

    async fn check(
        &self,
        tx: &mut Connection,
        seal: &SealRow,
        before: Option<&(SealRow, String)>,
        findings: &mut Findings,
    ) -> Result<(), ArmError> {
        let number = before.map_or(1, |(before, _)| before.number + 1);
        if seal.number != number {
            findings.problem(number, "the seal is missing");
        } else if seal.previous != before.map_or(chain::NOTHING_BEFORE, |(_, hash)| hash) {
            findings.problem(seal.number, "it does not name the seal before it");
        } else if seal.first_sequence != before.map_or(1, |(before, _)| before.end()) {
            findings.problem(seal.number, "it does not begin where the seal before it ends");
        }
        if !keys::verifies(&seal.key, chain::seal_text(self.catalogue_id(), seal).as_bytes(), &seal.signature) {
            findings.problem(seal.number, "its signature is wrong");
        } else if !self.keys().is_seal_key(&seal.key) {
            findings.problem(seal.number, "it was signed by a key that is not this gallery's");
        }
        let rows = audit::in_chain(tx, seal.first_sequence, seal.end()).await?;
        if seal.pruned_ms.is_some() {
            findings.pruned_seals += 1;
            if !rows.is_empty() {
                findings.problem(seal.number, "its rows were deleted for their age, and there are rows again");
            }
            return Ok(());
        }
        findings.rows += rows.len() as u64;
        if rows.len() as u64 != seal.row_count {
            let what = format!("{} of its {} rows are there", rows.len(), seal.row_count);
            findings.problem(seal.number, &what);
        } else if chain::digest_of(&rows) != seal.digest {
            findings.problem(seal.number, "its rows were changed");
        }
        Ok(())
    }
}
