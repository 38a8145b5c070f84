//! `POST /galerie/{tenant|subscription|keys}/...`: tenants, subscriptions and token keys. Ours, not Azure's.

use galerie_arm::ArmError;
use galerie_control::{OneTimeLink, subscription::Tenant};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    Answer,
    call::{Call, POST},
    response,
};

/// `POST /galerie/tenant/create` (displayName, domain).
pub(super) async fn create(call: Call) -> Answer {
    call.only(&POST)?;
    let name = given(&call, "displayName").ok_or_else(|| missing("displayName"))?;
    let made = call.state.control.tenant_create(&call.own_context(), name, given(&call, "domain")).await?;
    let mut document = document(&made.tenant);
    document["subscriptionId"] = made.subscription.to_string().into();
    document["clientId"] = made.client_id.to_string().into();
    document["clientSecret"] = made.client_secret.expose_secret().into();
    document["link"] = url(&call, &made.link).into();
    Ok(response::json(200, &document))
}

/// `POST /galerie/tenant/update` (tenant, displayName, domain).
pub(super) async fn update(call: Call) -> Answer {
    call.only(&POST)?;
    let id = named(&call)?.unwrap_or(call.caller.tenant);
    let (name, domain) = (given(&call, "displayName"), given(&call, "domain"));
    let changed = call.state.control.tenant_update(&call.own_context(), id, name, domain).await?;
    Ok(response::json(200, &document(&changed)))
}

/// `POST /galerie/tenant/list`.
pub(super) async fn list(call: Call) -> Answer {
    call.only(&POST)?;
    let tenants = call.state.control.tenant_list(&call.own_context()).await?;
    Ok(response::list(tenants.iter().map(document).collect()))
}

/// `POST /galerie/tenant/link` (tenant).
pub(super) async fn link(call: Call) -> Answer {
    call.only(&POST)?;
    let id = named(&call)?.unwrap_or(call.caller.tenant);
    let link = call.state.control.tenant_link(&call.own_context(), id).await?;
    Ok(response::json(200, &json!({ "tenantId": link.tenant.to_string(), "link": url(&call, &link) })))
}

/// `POST /galerie/subscription/create` (displayName).
pub(super) async fn subscription(call: Call) -> Answer {
    call.only(&POST)?;
    let name = call.query.get("displayName").ok_or_else(|| missing("displayName"))?;
    let (made, _) = call.state.control.subscription_create(&call.own_context(), name, None).await?;
    let document = json!({
        "subscriptionId": made.id.to_string(),
        "displayName": made.display_name,
        "tenantId": made.tenant.to_string()
    });
    Ok(response::json(200, &document))
}

/// `POST /galerie/keys/rotate`.
pub(super) async fn rotate_keys(call: Call) -> Answer {
    call.only(&POST)?;
    call.state.control.rotate_keys(&call.own_context()).await?;
    Ok(response::empty(204))
}

fn document(tenant: &Tenant) -> Value {
    json!({
        "tenantId": tenant.id.to_string(),
        "displayName": tenant.display_name,
        "defaultDomain": tenant.default_domain
    })
}

/// Where a one-time link leads.
fn url(call: &Call, link: &OneTimeLink) -> String {
    format!("{}/setup?code={}", call.host.url(), link.code.expose_secret())
}

fn given<'a>(call: &'a Call, name: &str) -> Option<&'a str> {
    call.query.get(name).filter(|text| !text.is_empty())
}

fn named(call: &Call) -> Result<Option<Uuid>, ArmError> {
    let invalid = |_| ArmError::invalid_parameter("tenant", "The tenant is named by its id, a GUID.");
    call.query.get("tenant").map(|text| text.parse().map_err(invalid)).transpose()
}

fn missing(name: &str) -> ArmError {
    ArmError::invalid_parameter(name, format!("The parameter '{name}' is missing."))
}
