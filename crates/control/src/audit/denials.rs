//! Refusals on their way into the audit.
//!
//! A refusal must cost its receiver no more than an answer costs us: it is put in memory and written within a second, with
//! others. Each refusal of a principal is a row, as far as they fit; beyond that, and of strangers always, those that are alike
//! (who, from where, what) are one row that counts them. A process that is killed loses at most a second of them; nothing was
//! promised to whoever was refused.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Mutex, PoisonError},
};

use galerie_arm::ArmError;
use uuid::Uuid;

use super::{shown, subscription_of};
use crate::{
    Caller, Control,
    db::{
        audit::{self, AuditRow, Outcome},
        transact,
    },
};

/// Most refusals of principals that wait each by itself.
const MOST_SINGLE: usize = 1000;
/// Most kinds of refusals that wait as counts.
const MOST_KINDS: usize = 1000;
/// Longest texts that are kept, in bytes.
const LONGEST_SCOPE_BYTES: usize = 2048;

/// A request that was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denial {
    /// Who asked; `None` of a stranger.
    pub caller: Option<Caller>,
    /// Where from.
    pub address: Option<IpAddr>,
    /// What for: an action, or the kind of request when it came to none.
    pub action: String,
    /// Over what: a resource's id, or empty.
    pub scope: String,
    /// The error's code.
    pub code: String,
    /// Of the request.
    pub correlation_id: Uuid,
}

/// What makes refusals alike.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Kind {
    caller: Option<(Uuid, Uuid, String)>,
    address: Option<IpAddr>,
    action: String,
    code: String,
    /// Whose sign-in it was, or nothing: one who tries many names is told apart by them.
    user: String,
}

/// What the scope of a sign-in begins with.
const OF_USER: &str = "/users/";

/// How many were alike, and the first of them.
#[derive(Debug)]
struct Counted {
    first: Denial,
    at_ms: i64,
    occurrences: u64,
}

#[derive(Debug, Default)]
struct Waiting {
    single: Vec<(Denial, i64)>,
    counted: HashMap<Kind, Counted>,
    /// Beyond every bound.
    uncounted: u64,
}

/// What waits to be written.
#[derive(Debug, Default)]
pub(crate) struct Denials(Mutex<Waiting>);

impl Denials {
    fn put(&self, mut denial: Denial, now_ms: i64) {
        cut(&mut denial.scope, LONGEST_SCOPE_BYTES);
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if denial.caller.is_some() && waiting.single.len() < MOST_SINGLE {
            waiting.single.push((denial, now_ms));
            return;
        }
        let kind = Kind {
            caller: denial.caller.as_ref().map(|caller| (caller.tenant, caller.principal, caller.client())),
            address: denial.address,
            action: denial.action.clone(),
            code: denial.code.clone(),
            user: if denial.scope.starts_with(OF_USER) { denial.scope.clone() } else { String::new() },
        };
        if let Some(counted) = waiting.counted.get_mut(&kind) {
            counted.occurrences += 1;
        } else if waiting.counted.len() < MOST_KINDS {
            waiting.counted.insert(kind, Counted { first: denial, at_ms: now_ms, occurrences: 1 });
        } else {
            waiting.uncounted += 1;
        }
    }

    fn take(&self, now_ms: i64) -> Vec<AuditRow> {
        let waiting = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        let single = waiting.single.into_iter().map(|(denial, at_ms)| row(denial, at_ms, 1));
        let counted =
            waiting.counted.into_values().map(|counted| row(counted.first, counted.at_ms, counted.occurrences));
        let mut rows: Vec<AuditRow> = single.chain(counted).collect();
        if waiting.uncounted > 0 {
            let rest = Denial {
                caller: None,
                address: None,
                action: "refusals of too many kinds to tell apart".to_owned(),
                scope: String::new(),
                code: String::new(),
                correlation_id: Uuid::nil(),
            };
            rows.push(row(rest, now_ms, waiting.uncounted));
        }
        rows
    }
}

fn row(denial: Denial, at_ms: i64, occurrences: u64) -> AuditRow {
    let (tenant, principal, caller) = denial
        .caller
        .as_ref()
        .map_or_else(Default::default, |caller| (caller.tenant, caller.principal, caller.client()));
    AuditRow {
        id: Uuid::new_v4(),
        at_ms,
        tenant,
        principal,
        caller,
        action: denial.action,
        subscription: subscription_of(&denial.scope),
        resource: denial.scope,
        operation: None,
        correlation_id: denial.correlation_id,
        address: shown(denial.address),
        outcome: Outcome::Denied,
        occurrences,
        detail: denial.code,
        sequence: None,
    }
}

fn cut(text: &mut String, most_bytes: usize) {
    let end = (0..=text.len().min(most_bytes)).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    text.truncate(end);
}

impl Control {
    /// Notes a refusal. It is in the audit within a second, or when the process stops.
    pub fn audit_denial(&self, denial: Denial) {
        metrics::counter!("galerie_denials_total").increment(1);
        self.denials().put(denial, self.now_ms());
    }

    /// Writes the refusals that wait.
    ///
    /// # Errors
    /// The catalogue's; then they are lost, which the log says.
    pub(crate) async fn write_denials(&self) -> Result<(), ArmError> {
        let rows = self.denials().take(self.now_ms());
        if rows.is_empty() {
            return Ok(());
        }
        let written = transact!(self.db(), |tx| -> Result<(), ArmError> {
            for row in &rows {
                audit::insert(tx, row).await?;
            }
            Ok(())
        });
        if written.is_err() {
            let refusals: u64 = rows.iter().map(|row| row.occurrences).sum();
            tracing::error!(refusals, "refusals could not be written to the audit and are lost");
        }
        written
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn denial(caller_of: Option<Uuid>, address: [u8; 4]) -> Denial {
        let caller = |principal| Caller::application(Uuid::from_u128(1), principal, Uuid::from_u128(2), false);
        let caller = caller_of.map(caller);
        Denial {
            caller,
            address: Some(address.into()),
            action: "Microsoft.Compute/galleries/read".to_owned(),
            scope: "/subscriptions/8F1C1E0A-0000-0000-0000-000000000000/resourceGroups/rg".to_owned(),
            code: "AuthorizationFailed".to_owned(),
            correlation_id: Uuid::from_u128(3),
        }
    }

    #[test]
    fn a_principal_is_told_apart_and_strangers_are_counted() {
        let denials = Denials::default();
        for _ in 0..3 {
            denials.put(denial(Some(Uuid::from_u128(9)), [10, 0, 0, 1]), 5);
            denials.put(denial(None, [10, 0, 0, 2]), 5);
        }
        denials.put(denial(None, [10, 0, 0, 3]), 6);
        let mut seen: Vec<(String, u64)> =
            denials.take(7).into_iter().map(|row| (row.address, row.occurrences)).collect();
        seen.sort();
        let one = || ("10.0.0.1".to_owned(), 1);
        assert_eq!(seen, [one(), one(), one(), ("10.0.0.2".to_owned(), 3), ("10.0.0.3".to_owned(), 1)]);
        assert!(denials.take(7).is_empty());
    }

    #[test]
    fn a_flood_takes_bounded_memory_and_every_refusal_is_counted() {
        let denials = Denials::default();
        let flood = 3 * MOST_SINGLE as u128;
        for one in 0..flood {
            denials.put(denial(Some(Uuid::from_u128(one)), [10, 0, 0, 1]), 5);
        }
        let rows = denials.take(7);
        assert!(rows.len() <= MOST_SINGLE + MOST_KINDS + 1, "{}", rows.len());
        assert_eq!(rows.iter().map(|row| u128::from(row.occurrences)).sum::<u128>(), flood);
    }

    #[test]
    fn a_row_knows_its_subscription_and_keeps_long_scopes_short() {
        let mut long = denial(None, [10, 0, 0, 1]);
        long.scope.push_str(&"é".repeat(LONGEST_SCOPE_BYTES));
        let denials = Denials::default();
        denials.put(long, 5);
        let row = denials.take(5).pop().unwrap();
        assert_eq!(row.subscription, "8f1c1e0a-0000-0000-0000-000000000000");
        assert!(row.resource.len() <= LONGEST_SCOPE_BYTES);
    }
}
