//! `/providers/Microsoft.Subscription/aliases`: making subscriptions, as `az account alias` does. They are made at once.

use axum::http::Method;
use galerie_arm::ArmError;
use galerie_control::tenant::SubscriptionAlias;
use serde_json::{Value, json};

use super::{
    Answer,
    call::{Call, Failure, GET},
    response,
};

static METHODS: [Method; 3] = [Method::GET, Method::PUT, Method::DELETE];

/// `GET .../aliases`.
pub(super) async fn list(call: Call) -> Answer {
    call.only(&GET)?;
    call.api_version()?;
    let found = call.state.control.subscription_aliases(&call.caller).await?;
    Ok(response::list(found.iter().map(document).collect()))
}

/// `GET`, `PUT` and `DELETE .../aliases/{alias}`.
pub(super) async fn answer(mut call: Call) -> Answer {
    call.api_version()?;
    let name = call.segments.last().cloned().unwrap_or_default();
    let context = call.own_context();
    match call.method {
        Method::GET => {
            Ok(response::json(200, &document(&call.state.control.subscription_alias(&call.caller, &name).await?)))
        }
        Method::PUT => {
            let body = call.json().await?;
            let properties = &body["properties"];
            if !properties["subscriptionId"].is_null() {
                let message = "An alias of a subscription that exists cannot be made; leave subscriptionId out.";
                return Err(ArmError::invalid_parameter("properties.subscriptionId", message).into());
            }
            let display_name = match &properties["displayName"] {
                Value::Null => name.as_str(),
                Value::String(text) => text,
                _ => return Err(ArmError::invalid_parameter("properties.displayName", "It must be a text.").into()),
            };
            let control = &call.state.control;
            let (made, is_new) = control.subscription_create(&context, display_name, Some(&name)).await?;
            let alias = SubscriptionAlias { name, subscription: made.id };
            Ok(response::json(if is_new { 201 } else { 200 }, &document(&alias)))
        }
        Method::DELETE => {
            let was_there = call.state.control.subscription_alias_delete(&context, &name).await?;
            Ok(response::empty(if was_there { 200 } else { 204 }))
        }
        _ => Err(Failure::Method(&METHODS)),
    }
}

fn document(alias: &SubscriptionAlias) -> Value {
    json!({
        "id": format!("/providers/Microsoft.Subscription/aliases/{}", alias.name),
        "name": alias.name,
        "type": "Microsoft.Subscription/aliases",
        "properties": {
            "subscriptionId": alias.subscription.to_string(),
            "provisioningState": "Succeeded",
            "acceptOwnershipState": "Completed"
        }
    })
}
