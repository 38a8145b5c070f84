//! Preview features: there are none to switch on, so every one is registered.

use galerie_arm::ResourceId;
use serde_json::json;

use super::{
    Answer,
    call::{Call, GET, POST},
    response, tracked,
};

/// `GET .../Microsoft.Features/providers/{namespace}/features/{feature}`.
pub(super) async fn get(call: Call, namespace: &str, feature: &str) -> Answer {
    call.only(&GET)?;
    registered(call, namespace, feature).await
}

/// `POST .../features/{feature}/register`.
pub(super) async fn register(call: Call, namespace: &str, feature: &str) -> Answer {
    call.only(&POST)?;
    let context = call.context()?;
    let id = ResourceId::of_subscription(tracked::subscription_of(&call)?);
    call.state.control.require(&context, "Microsoft.Features/providers/features/register/action", &id).await?;
    registered(call, namespace, feature).await
}

async fn registered(call: Call, namespace: &str, feature: &str) -> Answer {
    call.api_version()?;
    let subscription = tracked::subscription_of(&call)?;
    call.state.control.subscription(&call.caller, subscription.as_uuid()).await?;
    // In the caller's spelling: only the decoded path has it.
    let (namespace, feature) = match call.segments.get(5..8) {
        Some([namespace, _, feature]) => (namespace.as_str(), feature.as_str()),
        _ => (namespace, feature),
    };
    Ok(response::json(
        200,
        &json!({
            "properties": { "state": "Registered" },
            "id": format!(
                "/subscriptions/{subscription}/providers/Microsoft.Features/providers/{namespace}/features/{feature}"
            ),
            "type": "Microsoft.Features/providers/features",
            "name": format!("{namespace}/{feature}")
        }),
    ))
}
