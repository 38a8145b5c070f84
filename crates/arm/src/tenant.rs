//! The tenant's document.

use serde_json::{Value, json};
use uuid::Uuid;

/// The entries of `GET /tenants`.
#[must_use]
pub fn document(tenant: Uuid, display_name: &str, default_domain: &str) -> Value {
    json!({
        "id": format!("/tenants/{tenant}"),
        "tenantId": tenant.to_string(),
        "tenantCategory": "Home",
        "displayName": display_name,
        "defaultDomain": default_domain,
        "domains": [default_domain],
        "tenantType": "AAD"
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_clients_need_is_there() {
        let shown = document(Uuid::nil(), "Home", "home.example");
        for name in ["id", "tenantId", "displayName", "defaultDomain"] {
            assert!(shown[name].is_string(), "{name}");
        }
    }
}
