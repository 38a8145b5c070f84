//! The headers of answers: those that an operation declares, and those by which a client finds what it waits for.
//!
//! Only few descriptions declare headers. Where a long-running operation is polled is in the Resource Provider Contract
//! (`Azure/azure-resource-manager-rpc`, `v1.0/async-api-reference.md`): 202 names it by either header, 201 of something that is not
//! there yet by `Azure-AsyncOperation`.

use serde_json::Value;

use super::{Exchange, Violation, schema::MISSING};

const LOCATION: &str = "location";
const ASYNC_OPERATION: &str = "azure-asyncoperation";
/// What becomes something else by itself.
const PASSING_STATES: [&str; 3] = ["Creating", "Updating", "Deleting"];

/// `declared` are the names that the description has for this status.
pub(super) fn check(exchange: &Exchange<'_>, declared: &Value) -> Vec<Violation> {
    let has = |name: &str| exchange.headers.contains(&name);
    let declared = declared.as_array().into_iter().flatten().filter_map(Value::as_str);
    let missing = declared.filter(|name| !has(&name.to_lowercase()));
    let mut violations: Vec<_> = missing.map(|name| Violation::new(format!("header/{name}"), MISSING)).collect();
    if exchange.status == 202 && !has(LOCATION) && !has(ASYNC_OPERATION) {
        violations.push(Violation::new("header/Location", "a 202 says where its operation is polled"));
    }
    if exchange.status == 201 && is_passing(exchange.response) && !has(ASYNC_OPERATION) {
        violations.push(Violation::new("header/Azure-AsyncOperation", "a 201 says where its operation is polled"));
    }
    violations
}

fn is_passing(body: &[u8]) -> bool {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    body["properties"]["provisioningState"].as_str().is_some_and(|state| PASSING_STATES.contains(&state))
}
