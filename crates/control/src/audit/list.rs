//! Reading the audit, newest first: the operator's whole view, and of another tenant's administrator what is theirs.

use std::collections::{BTreeMap, BTreeSet};

use galerie_arm::{ArmError, timestamp};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    Control, authz,
    db::{
        Connection,
        audit::{self, AuditRow, Before, InAudit, Outcome},
        directory_object,
    },
    request::RequestContext,
};

/// Rows on a page at most.
pub(super) const MOST_ROWS: u32 = 1000;

/// Which rows to list.
#[derive(Debug, Clone, Default)]
pub struct AuditFilter {
    /// Not before this time, in ms.
    pub since_ms: i64,
    /// Before this time, in ms; `None`: the present.
    pub until_ms: Option<i64>,
    /// Of one principal, by its object id.
    pub principal: Option<Uuid>,
    /// Of one resource and what is below it, by its id; empty for all.
    pub resource: String,
    /// Refusals only.
    pub denied_only: bool,
    /// At most so many rows.
    pub top: Option<u32>,
    /// Where an earlier page ended.
    pub continuation: Option<String>,
}

impl Control {
    /// Who did what and who was refused, the newest first: `value` and, when there are more, `continuation`. Another tenant's
    /// administrator than the operator sees what its own principals did, and what was asked of its subscriptions.
    ///
    /// # Errors
    /// `AuthorizationFailed` for all but administrators; a continuation that is none.
    pub async fn audit_list(&self, ctx: &RequestContext, filter: &AuditFilter) -> Result<Value, ArmError> {
        authz::require_administrator(&ctx.caller, "Galerie/audit/read")?;
        let most = filter.top.unwrap_or(MOST_ROWS).clamp(1, MOST_ROWS);
        let before = before(filter.continuation.as_deref(), filter.until_ms)?;
        let principal = filter.principal.map(|id| id.to_string()).unwrap_or_default();
        let outcome = filter.denied_only.then_some(Outcome::Denied);
        let mut tx = self.db().read().await?;
        let resource = filter.resource.trim_end_matches('/').to_lowercase();
        let is_operator = self.first_tenant(&mut tx).await? == Some(ctx.caller.tenant);
        let tenant = (!is_operator).then_some(ctx.caller.tenant);
        let since_ms = filter.since_ms;
        let wanted = InAudit { since_ms, principal: &principal, resource: &resource, outcome, tenant };
        let rows = audit::list(&mut tx, &wanted, &before, most + 1).await?;
        let (rows, continuation) = page(rows, most);
        let names = names(&mut tx, &rows, tenant).await?;
        let value: Vec<Value> = rows.iter().map(|row| document(row, tenant, names.get(&row.principal))).collect();
        Ok(json!({ "value": value, "continuation": continuation }))
    }
}

/// As people know who did it, for whoever looks at a tenant's rows (`None`: at all): who comes from another tenant is told by the
/// object id.
pub(super) fn caller(row: &AuditRow, tenant: Option<Uuid>) -> String {
    let is_foreign = tenant.is_some_and(|tenant| row.tenant != tenant && !row.tenant.is_nil());
    if is_foreign { row.principal.to_string() } else { row.caller.clone() }
}

/// The rows of a page, of one more than fits, and where the next one begins.
pub(super) fn page(mut rows: Vec<AuditRow>, most: u32) -> (Vec<AuditRow>, Option<String>) {
    let is_more = rows.len() > most as usize;
    rows.truncate(most as usize);
    let last = rows.last().filter(|_| is_more);
    let continuation = last.map(|row| format!("{}.{}", row.at_ms, row.id.simple()));
    (rows, continuation)
}

/// Where a list begins: after an earlier page, or at a time.
///
/// # Errors
/// `InvalidParameter` for a continuation that no page gave.
pub(super) fn before(continuation: Option<&str>, until_ms: Option<i64>) -> Result<Before, ArmError> {
    let Some(text) = continuation else {
        return Ok(Before { at_ms: until_ms.unwrap_or(i64::MAX), id: String::new() });
    };
    let parts = text.split_once('.').and_then(|(at, id)| Some((at.parse().ok()?, id.parse::<Uuid>().ok()?)));
    let (at_ms, id) = parts.ok_or_else(|| {
        ArmError::invalid_parameter("$skiptoken", "It is not one that an earlier page of this list gave.")
    })?;
    Ok(Before { at_ms, id: id.to_string() })
}

/// What people call the principals of a page today; who is gone has no name, nor has who is in another tenant than `tenant`.
async fn names(
    tx: &mut Connection,
    rows: &[AuditRow],
    tenant: Option<Uuid>,
) -> Result<BTreeMap<Uuid, String>, ArmError> {
    let mut names = BTreeMap::new();
    let principals: BTreeSet<Uuid> = rows.iter().map(|row| row.principal).filter(|id| !id.is_nil()).collect();
    for principal in principals {
        let found = directory_object::find(tx, principal).await?;
        let found = found.filter(|found| tenant.is_none_or(|tenant| found.tenant == tenant));
        names.extend(found.map(|found| (principal, found.display_name)));
    }
    Ok(names)
}

fn document(row: &AuditRow, tenant: Option<Uuid>, caller_name: Option<&String>) -> Value {
    json!({
        "time": timestamp::format_ms(row.at_ms),
        "outcome": row.outcome.as_str(),
        "action": row.action,
        "resource": row.resource,
        "caller": caller(row, tenant),
        "callerName": caller_name,
        "principalId": (!row.principal.is_nil()).then_some(row.principal),
        "tenantId": (!row.tenant.is_nil()).then_some(row.tenant),
        "address": row.address,
        "operationId": row.operation,
        "correlationId": row.correlation_id,
        "occurrences": row.occurrences,
        "code": (row.outcome == Outcome::Denied).then_some(&row.detail),
        "sealed": row.sequence.is_some(),
        "id": row.id,
    })
}
