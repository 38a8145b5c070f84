//! The query of a request that was accepted: the names of its parameters.

use serde_json::Value;

use super::{
    Violation,
    bundle::Found,
    path::Target,
    schema::{MISSING, NOT_DECLARED},
};

/// Parameters that the description demands and the request has not, and those that it has and the description does not know. Names are
/// compared without regard to case, as Azure does.
pub(super) fn check(target: &Target, found: &Found) -> Vec<Violation> {
    let declared = found.operation["query"].as_object().into_iter().flatten();
    let declared: Vec<(String, bool)> =
        declared.map(|(name, required)| (name.to_lowercase(), *required == Value::Bool(true))).collect();
    let is_sent = |name: &String| target.query.iter().any(|(sent, _)| sent == name);
    let missing = declared.iter().filter(|(name, required)| *required && !is_sent(name));
    let missing = missing.map(|(name, _)| Violation::new(format!("query/{name}"), MISSING));
    let unknown = target.query.iter().filter(|(sent, _)| !found.newer && declared.iter().all(|(name, _)| name != sent));
    missing.chain(unknown.map(|(sent, _)| Violation::new(format!("query/{sent}"), NOT_DECLARED))).collect()
}
