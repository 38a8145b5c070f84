//! Where long-running operations are polled. No description of Azure's has these paths; their form is in the Resource
//! Provider Contract (`Azure/azure-resource-manager-rpc`, `v1.0/async-api-reference.md`), and in recordings.

use serde_json::{Map, Value, json};

use super::{
    Exchange, Violation, error_body,
    path::Target,
    schema::{Checker, Direction},
};

const STATES: [&str; 4] = ["InProgress", "Succeeded", "Failed", "Canceled"];

/// A URL of the kind whose answer a result has, when it is no resource: what the member says it is, the method, and the path.
const ACTIONS: &[(&str, &str, &str)] = &[
    ("accessSAS", "POST", "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/disks/d/beginGetAccess"),
    ("operationType", "POST", "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/galleries/g/share"),
];

/// The status document, or a result (`monitor=true`, `operationresults`).
pub(super) fn check(exchange: &Exchange<'_>, target: &Target) -> Vec<Violation> {
    let is_result =
        target.parameter("monitor").is_some() || target.segments.iter().any(|text| text == "operationresults");
    if is_result {
        return result(exchange, target);
    }
    if exchange.status != 200 {
        return vec![Violation::new("status", "a status document is 200")];
    }
    let Ok(document) = serde_json::from_slice::<Value>(exchange.response) else {
        return vec![Violation::new("response", "not JSON")];
    };
    let schema = json!({
        "type": "object",
        "required": ["name", "status", "startTime"],
        "properties": {
            "name": { "type": "string", "format": "uuid" },
            "status": { "type": "string", "enum": STATES },
            "startTime": { "type": "string", "format": "date-time" },
            "endTime": { "type": "string", "format": "date-time" },
            "percentComplete": { "type": "number" },
            "error": {},
            "properties": {
                "type": "object",
                "required": ["output"],
                "properties": {
                    "output": {
                        "type": "object",
                        "required": ["accessSAS"],
                        "properties": { "accessSAS": { "type": "string" } }
                    }
                }
            }
        }
    });
    let none = Map::new();
    let mut violations = Checker::new(&none, Direction::Response, false).check(&schema, &document);
    match (&document["status"], document.get("error")) {
        (status, Some(error)) if status == "Failed" => {
            violations.extend(error_body::check_value(&error_body::ERROR, error))
        }
        (status, None) if status == "Failed" => {
            violations.push(Violation::new("response/error", "a failure without an error"))
        }
        (_, Some(_)) => violations.push(Violation::new("response/error", "an error without a failure")),
        _ => {}
    }
    violations
}

/// A result is what the operation's resource or action answers at once; without a body there is nothing to be told, or not yet.
fn result(exchange: &Exchange<'_>, target: &Target) -> Vec<Violation> {
    if matches!(exchange.status, 200 | 202 | 204) && exchange.response.is_empty() {
        return Vec::new();
    }
    if exchange.status != 200 {
        return vec![Violation::new("status", "a result is 200, or 202 or 204 without a body")];
    }
    let Ok(body) = serde_json::from_slice::<Value>(exchange.response) else {
        return vec![Violation::new("response", "not JSON")];
    };
    let action = ACTIONS.iter().find(|(member, ..)| body.get(member).is_some());
    let (method, path) = match (body["id"].as_str(), action) {
        (Some(id), _) => ("GET", id),
        (None, Some((_, method, path))) => (*method, *path),
        (None, None) => {
            return vec![Violation::new("response", "a result that is no resource, and no action's answer")];
        }
    };
    let asked = format!("{path}?api-version={}", target.parameter("api-version").unwrap_or_default());
    super::check(&Exchange { method, target: &asked, request: b"", ..*exchange })
}
