//! Who did what, from where, and what was refused.
//!
//! An accepted write's row is written in the transaction that accepts it. A refusal changes nothing, so its row is gathered
//! in memory and written within a second ([`Denials`]). Both are sealed in signed batches, each naming the one before
//! ([`chain`], [`seal`]), so that whoever changes, removes or inserts a row later is found out ([`Control::audit_verify`]). No
//! row holds a secret or a SAS. See `docs/design/audit.md`.

mod activity;
mod chain;
mod denials;
mod list;
mod prune;
mod seal;
#[cfg(test)]
mod tests;
mod verify;

use std::net::IpAddr;

use galerie_arm::ArmError;
use uuid::Uuid;

pub use self::{activity::ActivityFilter, denials::Denial, list::AuditFilter, verify::KnownHead};
pub(crate) use self::{denials::Denials, prune::prune, seal::seal_all};
use crate::{
    db::{
        Connection,
        audit::{self, AuditRow, Outcome},
    },
    request::RequestContext,
};

/// Records an accepted write.
///
/// # Errors
/// The catalogue's.
pub(crate) async fn record(
    tx: &mut Connection,
    ctx: &RequestContext,
    now_ms: i64,
    action: &'static str,
    resource: &str,
    operation: Option<Uuid>,
) -> Result<(), ArmError> {
    let row = AuditRow {
        id: Uuid::new_v4(),
        at_ms: now_ms,
        tenant: ctx.caller.tenant,
        principal: ctx.caller.principal,
        caller: ctx.caller.client(),
        action: action.to_owned(),
        subscription: subscription_of(resource),
        resource: resource.to_owned(),
        operation,
        correlation_id: ctx.correlation_id,
        address: shown(ctx.client_address),
        outcome: Outcome::Accepted,
        occurrences: 1,
        detail: String::new(),
        sequence: None,
    };
    Ok(audit::insert(tx, &row).await?)
}

/// An address as a row has it.
fn shown(address: Option<IpAddr>) -> String {
    address.map(|address| address.to_string()).unwrap_or_default()
}

/// The subscription that a resource is in, lower-case, or nothing.
fn subscription_of(resource: &str) -> String {
    let mut segments = resource.split('/').skip(1);
    let is_in_one = segments.next().is_some_and(|keyword| keyword.eq_ignore_ascii_case("subscriptions"));
    segments.next().filter(|_| is_in_one).map(str::to_lowercase).unwrap_or_default()
}
