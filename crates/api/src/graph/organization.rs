//! `/organization` and `/domains`: the caller's tenant.

use axum::http::Method;
use galerie_control::subscription::Tenant;
use serde_json::{Value, json};

use super::{Answer, call::Call, wrong_method};

pub(super) async fn organization(call: Call) -> Answer {
    let tenants = tenants(&call).await?;
    let shown = |tenant: &Tenant| {
        json!({
            "id": tenant.id,
            "displayName": tenant.display_name,
            "tenantType": "AAD",
            "verifiedDomains": [{ "name": tenant.default_domain, "isDefault": true, "isInitial": true, "type": "Managed" }]
        })
    };
    let documents: Vec<Value> = tenants.iter().map(shown).collect();
    Ok(call.list(documents, "organization", None))
}

pub(super) async fn domains(call: Call) -> Answer {
    let tenants = tenants(&call).await?;
    let shown = |tenant: &Tenant| json!({ "id": tenant.default_domain, "isDefault": true, "isInitial": true, "isVerified": true, "authenticationType": "Managed" });
    let documents: Vec<Value> = tenants.iter().map(shown).collect();
    Ok(call.list(documents, "domains", None))
}

async fn tenants(call: &Call) -> Result<Vec<Tenant>, galerie_arm::ArmError> {
    if call.method != Method::GET {
        return Err(wrong_method(call));
    }
    call.control().tenants(call.caller()).await
}
