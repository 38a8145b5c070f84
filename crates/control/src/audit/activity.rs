//! The audit as Azure's Activity Log shows it: of one subscription, newest first, what it calls administrative events.

use galerie_arm::{ArmError, OperationStatus, ResourceId, SubscriptionId, timestamp};
use serde_json::{Value, json};
use uuid::Uuid;

use super::list::{MOST_ROWS, before, page};
use crate::{
    Control, authz,
    db::{
        Connection,
        audit::{self, AuditRow, InSubscription, Outcome},
        operation,
    },
    request::RequestContext,
};

/// What one must be allowed to.
const ACTION: &str = "Microsoft.Insights/eventtypes/values/read";
/// Events on a page, as in Azure.
const PAGE: u32 = 200;

/// Which events.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ActivityFilter {
    /// Not before this time, in ms.
    pub since_ms: i64,
    /// Not after this time, in ms; `None`: the present.
    pub until_ms: Option<i64>,
    /// Of one resource group, by its name.
    pub resource_group: Option<String>,
    /// Of one resource and what is below it, by its id.
    pub resource: Option<String>,
    /// Of one provider: `Microsoft.Compute`.
    pub provider: Option<String>,
    /// Of one request and what belongs to it.
    pub correlation_id: Option<String>,
    /// Of one principal, by its object id or name.
    pub caller: Option<String>,
    /// With one status: `Succeeded`, `Failed`, `Accepted`, `Canceled`.
    pub status: Option<String>,
}

impl Control {
    /// A page of a subscription's events: `value`, and where the next page begins.
    ///
    /// # Errors
    /// `AuthorizationFailed`, `SubscriptionNotFound`; a continuation that is none.
    pub async fn activity_log(
        &self,
        ctx: &RequestContext,
        subscription: Uuid,
        filter: &ActivityFilter,
        continuation: Option<&str>,
    ) -> Result<(Vec<Value>, Option<String>), ArmError> {
        let mut tx = self.db().read().await?;
        let scope = ResourceId::of_subscription(SubscriptionId::new(subscription));
        authz::authorize(&mut tx, &ctx.caller, ACTION, &scope).await?;
        let before = before(continuation, filter.until_ms.map(|until_ms| until_ms.saturating_add(1)))?;
        let folded = |text: &Option<String>| text.as_deref().unwrap_or_default().to_lowercase();
        let provider = filter.provider.as_ref().map(|provider| format!("{provider}/"));
        let subscription = subscription.to_string();
        let (resource, caller) = (resource(&subscription, filter), folded(&filter.caller));
        let (correlation_id, action) = (folded(&filter.correlation_id), folded(&provider));
        let wanted = InSubscription {
            tenant: ctx.caller.tenant,
            subscription: &subscription,
            since_ms: filter.since_ms,
            resource: &resource,
            correlation_id: &correlation_id,
            caller: &caller,
            action: &action,
        };
        let most = if filter.status.is_some() { MOST_ROWS } else { PAGE };
        let rows = audit::list_in_subscription(&mut tx, &wanted, &before, most + 1).await?;
        let (rows, continuation) = page(rows, most);
        let mut events = Vec::with_capacity(rows.len());
        for mut row in rows {
            row.caller = super::list::caller(&row, Some(ctx.caller.tenant));
            let row = &row;
            let status = status(&mut tx, row).await?;
            if filter.status.as_ref().is_none_or(|wanted| wanted.eq_ignore_ascii_case(status)) {
                events.push(event(row, status));
            }
        }
        Ok((events, continuation))
    }
}

/// The folded id of what is asked for.
fn resource(subscription: &str, filter: &ActivityFilter) -> String {
    match (&filter.resource, &filter.resource_group) {
        (Some(resource), _) => resource.trim_end_matches('/').to_lowercase(),
        (None, Some(group)) => format!("/subscriptions/{subscription}/resourcegroups/{}", group.to_lowercase()),
        (None, None) => String::new(),
    }
}

/// What became of it, in the Activity Log's words.
async fn status(tx: &mut Connection, row: &AuditRow) -> Result<&'static str, ArmError> {
    if row.outcome == Outcome::Denied {
        return Ok("Failed");
    }
    let Some(id) = row.operation else { return Ok("Succeeded") };
    let operation = operation::find(tx, id).await?;
    Ok(operation.map_or("Accepted", |operation| match operation.status {
        OperationStatus::InProgress => "Accepted",
        OperationStatus::Succeeded => "Succeeded",
        OperationStatus::Failed => "Failed",
        OperationStatus::Canceled => "Canceled",
    }))
}

fn event(row: &AuditRow, status: &str) -> Value {
    let at = timestamp::format_ms(row.at_ms);
    let named = |text: &str| json!({ "value": text, "localizedValue": text });
    let id = row.resource.parse::<ResourceId>().ok();
    let group = id.as_ref().and_then(ResourceId::group).map(ToString::to_string).unwrap_or_default();
    let provider = row.action.split('/').next().unwrap_or_default();
    let resource_type = id.as_ref().map(ResourceId::full_type).unwrap_or_default();
    let is_denied = row.outcome == Outcome::Denied;
    json!({
        "authorization": { "action": row.action, "scope": row.resource },
        "caller": if row.caller.is_empty() { row.principal.to_string() } else { row.caller.clone() },
        "category": named("Administrative"),
        "channels": "Operation",
        "claims": {
            "http://schemas.microsoft.com/identity/claims/objectidentifier": row.principal,
            "http://schemas.microsoft.com/identity/claims/tenantid": row.tenant,
        },
        "correlationId": row.correlation_id,
        "eventDataId": row.id,
        "eventName": named("EndRequest"),
        "eventTimestamp": at,
        "httpRequest": { "clientIpAddress": row.address },
        "id": format!("{}/events/{}/ticks/{}", row.resource, row.id, ticks(row.at_ms)),
        "level": if is_denied || status == "Failed" { "Error" } else { "Informational" },
        "operationId": row.operation.unwrap_or(row.correlation_id),
        "operationName": named(&row.action),
        "properties": { "occurrences": row.occurrences.to_string(), "statusCode": row.detail },
        "resourceGroupName": group,
        "resourceId": row.resource,
        "resourceProviderName": named(provider),
        "resourceType": named(&resource_type),
        "status": named(status),
        "subStatus": named(if is_denied { "Forbidden" } else { "" }),
        "submissionTimestamp": at,
        "subscriptionId": row.subscription,
        "tenantId": row.tenant,
    })
}

/// 100 ns since the year 1, which the ids of events end with.
fn ticks(unix_ms: i64) -> i64 {
    const TICKS_AT_1970: i64 = 621_355_968_000_000_000;
    unix_ms.saturating_mul(10_000).saturating_add(TICKS_AT_1970)
}
