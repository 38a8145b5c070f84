//! `POST /galerie/quota/{show|set}`: what subscriptions and tenants may hold. Ours, not Azure's.

use galerie_arm::ArmError;
use galerie_control::{Limit, QuotaOf};

use super::{
    Answer,
    call::{Call, POST},
    response,
};

/// `set` takes `subscription` or `tenant` from the query, `bytes` and `resources`: a number, or `unlimited`; and
/// `azureLimits`: `on` or `off`.
pub(super) async fn act(call: Call, action: &str) -> Answer {
    call.only(&POST)?;
    let context = call.own_context();
    let control = &call.state.control;
    let document = match action {
        "show" => control.quotas(&context).await?,
        "set" => {
            let (bytes, resources) = (limit(&call, "bytes")?, limit(&call, "resources")?);
            control.set_quota(&context, of(&call)?, bytes, resources, azure_limits(&call)?).await?
        }
        _ => return Err(ArmError::path_not_found(&call.path()).into()),
    };
    Ok(response::json(200, &document))
}

fn of(call: &Call) -> Result<QuotaOf, ArmError> {
    let id = |name: &str| {
        let text = call.query.get(name)?;
        let invalid = |_| ArmError::invalid_parameter(name, format!("The {name} is named by its id, a GUID."));
        Some(text.parse().map_err(invalid))
    };
    match (id("subscription"), id("tenant")) {
        (Some(id), None) => Ok(QuotaOf::Subscription(id?)),
        (None, Some(id)) => Ok(QuotaOf::Tenant(id?)),
        _ => Err(ArmError::invalid_parameter("subscription", "Name one subscription or one tenant.")),
    }
}

fn azure_limits(call: &Call) -> Result<Option<bool>, ArmError> {
    match call.query.get("azureLimits") {
        None => Ok(None),
        Some("on") => Ok(Some(true)),
        Some("off") => Ok(Some(false)),
        Some(text) => Err(ArmError::invalid_query("azureLimits", text)),
    }
}

fn limit(call: &Call, name: &str) -> Result<Limit, ArmError> {
    match call.query.get(name) {
        None => Ok(Limit::Unchanged),
        Some("unlimited") => Ok(Limit::Unlimited),
        Some(text) => {
            let most = text.parse::<i64>().ok().and_then(|most| u64::try_from(most).ok());
            let invalid = || ArmError::invalid_parameter(name, "A limit is a whole number, or 'unlimited'.");
            Ok(Limit::Most(most.ok_or_else(invalid)?))
        }
    }
}
