//! Tenants, subscriptions and their locations: what a client reads to sign in and to choose.

use galerie_arm::{SubscriptionId, subscription, tenant};

use super::{
    Answer,
    call::{Call, GET},
    response, tracked,
};

/// `GET /tenants`.
pub(super) async fn tenants(call: Call) -> Answer {
    call.only(&GET)?;
    call.api_version()?;
    let tenants = call.state.control.tenants(&call.caller).await?;
    let shown = tenants.iter().map(|found| tenant::document(found.id, &found.display_name, &found.default_domain));
    Ok(response::list(shown.collect()))
}

/// `GET /subscriptions`.
pub(super) async fn list(call: Call) -> Answer {
    call.only(&GET)?;
    call.api_version()?;
    let subscriptions = call.state.control.subscriptions(&call.caller).await?;
    Ok(response::list(subscriptions.iter().map(document).collect()))
}

/// `GET /subscriptions/{s}`.
pub(super) async fn get(call: Call) -> Answer {
    call.only(&GET)?;
    call.api_version()?;
    let id = tracked::subscription_of(&call)?;
    let found = call.state.control.subscription(&call.caller, id.as_uuid()).await?;
    Ok(response::json(200, &document(&found)))
}

/// `GET /subscriptions/{s}/locations`.
pub(super) async fn locations(call: Call) -> Answer {
    call.only(&GET)?;
    call.api_version()?;
    let id = tracked::subscription_of(&call)?;
    call.state.control.subscription(&call.caller, id.as_uuid()).await?;
    let offered = call.state.control.locations().iter();
    let shown = offered.map(|(location, display_name)| subscription::location_document(id, location, display_name));
    Ok(response::list(shown.collect()))
}

fn document(found: &galerie_control::subscription::Subscription) -> serde_json::Value {
    subscription::document(SubscriptionId::new(found.id), found.tenant, &found.display_name)
}
