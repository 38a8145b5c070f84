//! The resource providers' documents: which types there are, where, and in which api-versions.

use serde_json::{Value, json};

use crate::api_version::ApiVersion;
use crate::names::SubscriptionId;
use crate::resource_id::{COMPUTE, ResourceType};
use crate::schema::Shape;

/// Namespaces that we answer for, in the specification's spelling.
pub const NAMESPACES: &[&str] = &[COMPUTE, "Microsoft.Resources", "Microsoft.Authorization", "Microsoft.Features"];

/// Types that Compute offers here.
const COMPUTE_TYPES: &[ResourceType] = &[
    ResourceType::Gallery,
    ResourceType::ImageDefinition,
    ResourceType::ImageVersion,
    ResourceType::Application,
    ResourceType::ApplicationVersion,
    ResourceType::AccessControlProfile,
    ResourceType::AccessControlProfileVersion,
    ResourceType::Script,
    ResourceType::ScriptVersion,
    ResourceType::ManagedImage,
    ResourceType::Disk,
    ResourceType::Snapshot,
];

/// The namespace in the specification's spelling; `None` when we do not have it.
#[must_use]
pub fn find_namespace(namespace: &str) -> Option<&'static str> {
    NAMESPACES.iter().copied().find(|known| known.eq_ignore_ascii_case(namespace))
}

/// `GET /subscriptions/{s}/providers/{namespace}`: the provider, registered, with its types. `locations` are display names.
#[must_use]
pub fn document(subscription: SubscriptionId, namespace: &str, locations: &[&str]) -> Value {
    let types: Vec<Value> = match namespace {
        COMPUTE => COMPUTE_TYPES.iter().map(|each| type_document(*each, locations)).collect(),
        "Microsoft.Resources" => vec![type_document(ResourceType::ResourceGroup, locations)],
        _ => Vec::new(),
    };
    json!({
        "id": format!("/subscriptions/{subscription}/providers/{namespace}"),
        "namespace": namespace,
        "resourceTypes": types,
        "registrationState": "Registered",
        "registrationPolicy": "RegistrationRequired"
    })
}

fn type_document(resource_type: ResourceType, locations: &[&str]) -> Value {
    let versions: Vec<String> = Shape::known_versions(resource_type).iter().rev().map(ApiVersion::to_string).collect();
    json!({
        "resourceType": resource_type.path(),
        "locations": locations,
        "apiVersions": versions,
        "defaultApiVersion": versions.first(),
        "capabilities": "SupportsTags, SupportsLocation"
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compute_lists_its_types() {
        let subscription = "f4662c1d-e072-46af-8700-b8ca2968ccab".parse().unwrap();
        let shown = document(subscription, find_namespace("microsoft.compute").unwrap(), &["East US"]);
        let types = shown["resourceTypes"].as_array().unwrap();
        assert_eq!(types[0]["resourceType"], "galleries");
        assert_eq!(types[0]["apiVersions"][0], "2026-03-03");
        assert!(types.iter().all(|each| each["defaultApiVersion"].is_string()));
        assert_eq!(find_namespace("Microsoft.Nothing"), None);
    }
}
