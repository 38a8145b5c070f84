//! The subscription's document, and the regions that it can use, as clients read them to sign in and to choose.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::location::Location;
use crate::names::SubscriptionId;

/// `GET /subscriptions/{s}` and the entries of `GET /subscriptions`.
#[must_use]
pub fn document(subscription: SubscriptionId, tenant: Uuid, display_name: &str) -> Value {
    json!({
        "id": format!("/subscriptions/{subscription}"),
        "authorizationSource": "RoleBased",
        "managedByTenants": [],
        "subscriptionId": subscription.to_string(),
        "tenantId": tenant.to_string(),
        "displayName": display_name,
        "state": "Enabled",
        "subscriptionPolicies": {
            "locationPlacementId": "Public_2014-09-01",
            "quotaId": "PayAsYouGo_2014-09-01",
            "spendingLimit": "Off"
        }
    })
}

/// An entry of `GET /subscriptions/{s}/locations`.
#[must_use]
pub fn location_document(subscription: SubscriptionId, location: &Location, display_name: &str) -> Value {
    json!({
        "id": format!("/subscriptions/{subscription}/locations/{location}"),
        "name": location.as_str(),
        "type": "Region",
        "displayName": display_name,
        "regionalDisplayName": display_name,
        "metadata": {
            "regionType": "Physical",
            "regionCategory": "Recommended",
            "geographyGroup": "",
            "longitude": "0",
            "latitude": "0",
            "physicalLocation": "",
            "pairedRegion": []
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_clients_need_is_there() {
        let subscription: SubscriptionId = "f4662c1d-e072-46af-8700-b8ca2968ccab".parse().unwrap();
        let shown = document(subscription, Uuid::nil(), "Default");
        for name in ["id", "subscriptionId", "displayName", "state", "tenantId", "managedByTenants"] {
            assert!(shown.get(name).is_some(), "{name}");
        }
        let east = Location::normalise("East US").unwrap();
        let shown = location_document(subscription, &east, east.azure_display_name());
        assert_eq!((&shown["name"], &shown["displayName"]), (&json!("eastus"), &json!("East US")));
    }
}
