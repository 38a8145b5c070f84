//! `POST /galerie/{tenant|subscription|keys}/...`: tenants, subscriptions and token keys. Ours, not Azure's.

use axum::response::Response;
use galerie_arm::ArmError;
use galerie_control::{OneTimeLink, RequestContext, subscription::Tenant};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    Answer,
    call::{Call, POST},
    response,
};

/// `create` (displayName, domain), `update` (tenant, displayName, domain), `list`, `link` (tenant), from the query.
pub(super) async fn tenant(call: Call, action: &str) -> Answer {
    call.only(&POST)?;
    let (context, control) = (context(&call), &call.state.control);
    let given = |name: &str| call.query.get(name).filter(|text| !text.is_empty());
    let document = match action {
        "create" => {
            let name = given("displayName").ok_or_else(|| missing("displayName"))?;
            let made = control.tenant_create(&context, name, given("domain")).await?;
            let mut document = document(&made.tenant);
            document["subscriptionId"] = made.subscription.to_string().into();
            document["clientId"] = made.client_id.to_string().into();
            document["clientSecret"] = made.client_secret.expose_secret().into();
            document["link"] = url(&call, &made.link).into();
            document
        }
        "update" => {
            let id = named(&call)?.unwrap_or(call.caller.tenant);
            document(&control.tenant_update(&context, id, given("displayName"), given("domain")).await?)
        }
        "list" => json!({ "value": control.tenant_list(&context).await?.iter().map(document).collect::<Vec<_>>() }),
        "link" => {
            let link = control.tenant_link(&context, named(&call)?.unwrap_or(call.caller.tenant)).await?;
            json!({ "tenantId": link.tenant.to_string(), "link": url(&call, &link) })
        }
        _ => return Err(ArmError::path_not_found(&call.path()).into()),
    };
    Ok(response::json(200, &document))
}

/// `POST /galerie/subscription/create` (displayName).
pub(super) async fn subscription(call: Call) -> Answer {
    call.only(&POST)?;
    let name = call.query.get("displayName").ok_or_else(|| missing("displayName"))?;
    let (made, _) = call.state.control.subscription_create(&context(&call), name, None).await?;
    let document = json!({
        "subscriptionId": made.id.to_string(),
        "displayName": made.display_name,
        "tenantId": made.tenant.to_string()
    });
    Ok(response::json(200, &document))
}

/// `POST /galerie/keys/rotate`.
pub(super) async fn rotate_keys(call: Call) -> Result<Response, super::call::Failure> {
    call.only(&POST)?;
    call.state.control.rotate_keys(&context(&call)).await?;
    Ok(response::empty(204))
}

fn context(call: &Call) -> RequestContext {
    RequestContext::of_the_directory(call.caller.clone(), call.ids.correlation)
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

fn named(call: &Call) -> Result<Option<Uuid>, ArmError> {
    let invalid = |_| ArmError::invalid_parameter("tenant", "The tenant is named by its id, a GUID.");
    call.query.get("tenant").map(|text| text.parse().map_err(invalid)).transpose()
}

fn missing(name: &str) -> ArmError {
    ArmError::invalid_parameter(name, format!("The parameter '{name}' is missing."))
}
