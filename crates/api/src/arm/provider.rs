//! Resource providers: which types there are. Everything is registered already; registering says so.

use galerie_arm::{ArmError, ResourceId, SubscriptionId, provider};
use serde_json::Value;

use super::{
    Answer,
    call::{Call, GET, POST},
    response, tracked,
};

/// `GET /subscriptions/{s}/providers`.
pub(super) async fn list(call: Call) -> Answer {
    call.only(&GET)?;
    let subscription = known_subscription(&call).await?;
    let all = provider::NAMESPACES.iter().map(|namespace| document(&call, subscription, namespace));
    Ok(response::list(all.collect()))
}

/// `GET /subscriptions/{s}/providers/{namespace}`.
pub(super) async fn get(call: Call, namespace: &str) -> Answer {
    call.only(&GET)?;
    one(call, namespace).await
}

/// `POST /subscriptions/{s}/providers/{namespace}/register`.
pub(super) async fn register(call: Call, namespace: &str) -> Answer {
    call.only(&POST)?;
    let context = call.context()?;
    let id = ResourceId::of_subscription(tracked::subscription_of(&call)?);
    call.state.control.require(&context, "Microsoft.Compute/register/action", &id).await?;
    one(call, namespace).await
}

async fn one(call: Call, namespace: &str) -> Answer {
    let subscription = known_subscription(&call).await?;
    let found = provider::find_namespace(namespace).ok_or_else(|| ArmError::invalid_resource_namespace(namespace))?;
    Ok(response::json(200, &document(&call, subscription, found)))
}

async fn known_subscription(call: &Call) -> Result<SubscriptionId, ArmError> {
    call.api_version()?;
    let id = tracked::subscription_of(call)?;
    call.state.control.subscription(&call.caller, id.as_uuid()).await?;
    Ok(id)
}

fn document(call: &Call, subscription: SubscriptionId, namespace: &str) -> Value {
    let locations: Vec<&str> = call.state.control.locations().iter().map(|(_, display_name)| display_name).collect();
    provider::document(subscription, namespace, &locations)
}
