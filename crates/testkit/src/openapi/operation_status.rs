//! Where long-running operations are polled. No description of Azure's has these paths; their form is in the Resource
//! Provider Contract (`Azure/azure-resource-manager-rpc`, `v1.0/async-api-reference.md`), and in recordings.

use serde_json::{Map, Value, json};

use super::{
    Exchange, Violation, error_body,
    path::Target,
    schema::{Checker, Direction},
};

const STATES: [&str; 4] = ["InProgress", "Succeeded", "Failed", "Canceled"];

/// The status document; a result (`monitor=true`, `operationresults`) is whatever the operation answers.
pub(super) fn check(exchange: &Exchange<'_>, target: &Target) -> Vec<Violation> {
    let is_result =
        target.parameter("monitor").is_some() || target.segments.iter().any(|text| text == "operationresults");
    if is_result {
        let is_fine =
            matches!(exchange.status, 200 | 202 | 204) && (exchange.status == 200 || exchange.response.is_empty());
        return if is_fine {
            Vec::new()
        } else {
            vec![Violation::new("status", "a result is 200, or 202 or 204 without a body")]
        };
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
            "properties": { "type": "object" }
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
