//! 429 when a budget of requests is used up, as Azure Resource Manager and its compute provider word it.

use serde_json::json;
use uuid::Uuid;

use super::{ArmError, InnerError};
use crate::timestamp;

/// A budget of the compute provider that has been used up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overdrawn {
    /// `CreateUpdateGallery3Min`.
    pub operation_group: String,
    /// When the budget's window began, in ms since 1970.
    pub begin_ms: i64,
    /// When it ends, and the budget is whole again.
    pub end_ms: i64,
    /// Requests that it allows.
    pub allowed: u32,
    /// Requests that came, those that were refused among them.
    pub measured: u32,
}

impl ArmError {
    /// 429: Resource Manager's own bucket is empty, of an actor in a subscription, or of the whole subscription when there is no
    /// actor. `kind` is `read`, `write` or `delete`.
    #[must_use]
    pub fn subscription_requests_throttled(
        kind: &str,
        subscription: Uuid,
        actor: Option<Uuid>,
        retry_after_s: u64,
    ) -> Self {
        let message = bucket_message(kind, &format!("subscription '{subscription}'"), actor, retry_after_s);
        Self::new(429, "SubscriptionRequestsThrottled", message)
    }

    /// The same, of requests that name no subscription.
    #[must_use]
    pub fn tenant_requests_throttled(kind: &str, tenant: Uuid, actor: Option<Uuid>, retry_after_s: u64) -> Self {
        let message = bucket_message(kind, &format!("tenant '{tenant}'"), actor, retry_after_s);
        Self::new(429, "TenantRequestsThrottled", message)
    }

    /// 429: budgets of the compute provider are used up. The details' messages are JSON, which is how clients get at them.
    #[must_use]
    pub fn too_many_compute_requests(overdrawn: &[Overdrawn]) -> Self {
        let message =
            "The server rejected the request because too many requests have been received for this subscription.";
        let mut error = Self::new(429, "OperationNotAllowed", message);
        error.inner = Some(Box::new(InnerError { internal_error_code: "TooManyRequestsReceived".to_owned() }));
        for budget in overdrawn {
            let figures = json!({
                "operationGroup": budget.operation_group,
                "startTime": timestamp::format_ms(budget.begin_ms),
                "endTime": timestamp::format_ms(budget.end_ms),
                "allowedRequestCount": budget.allowed,
                "measuredRequestCount": budget.measured
            });
            let detail = Self::new(429, "TooManyRequests", figures.to_string());
            error = error.with_detail(detail.with_target(budget.operation_group.clone()));
        }
        error
    }
}

fn bucket_message(kind: &str, scope: &str, actor: Option<Uuid>, retry_after_s: u64) -> String {
    let actor = actor.map(|actor| format!(" actor '{actor}'")).unwrap_or_default();
    format!(
        "Number of '{kind}' requests for {scope}{actor} exceeded. Please try again after '{retry_after_s}' seconds after \
         additional tokens are available. Refer to https://aka.ms/arm-throttling for additional information."
    )
}
