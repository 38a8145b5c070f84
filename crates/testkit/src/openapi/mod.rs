//! Holds requests and answers against Azure's own description of its API, in the api-version that was used.
//!
//! [`check`] takes one [`Exchange`] and gives what is wrong with it: a member that the version's schema does not declare, a
//! wrong type, a missing required member, an enumeration's value in another spelling, a status that the operation does not
//! have, a header that it declares and the answer has not, an error in another form than ARM's. Of a request only what was accepted is
//! looked at, and with what Compute forgives: member names and enum values in any case, null for absence, scalars written as strings;
//! and its query: what is required, and what is not declared.
//!
//! The descriptions are in `crates/testkit/openapi`. What we add or do otherwise is in `differences`, with its reason.
//! Does not: look at the values of headers and query parameters, or at other protocols than Azure Resource Manager.

mod bundle;
mod differences;
mod error_body;
mod headers;
mod operation_status;
mod path;
pub mod properties;
mod query;
mod schema;

use std::fmt;

use serde_json::Value;

pub use self::bundle::GALLERY_VERSIONS;
use self::{
    bundle::{Found, find},
    path::Target,
    schema::{Checker, Direction},
};

/// One request and its answer.
#[derive(Debug, Clone, Copy)]
pub struct Exchange<'a> {
    /// HTTP method.
    pub method: &'a str,
    /// Path and query.
    pub target: &'a str,
    /// The request's body; empty without one.
    pub request: &'a [u8],
    /// HTTP status.
    pub status: u16,
    /// The names of the answer's headers, in small letters.
    pub headers: &'a [&'a str],
    /// The answer's body.
    pub response: &'a [u8],
}

/// Something that is not as the description has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// JSON pointer, with `request` or `response` before it; or what else is wrong.
    pub at: String,
    /// The rule that is broken.
    pub rule: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.at, self.rule)
    }
}

impl Violation {
    fn new(at: impl Into<String>, rule: impl Into<String>) -> Self {
        Self { at: at.into(), rule: rule.into() }
    }
}

/// What is wrong with an exchange. Nothing is, when it is not of Azure Resource Manager.
///
/// # Panics
/// When a description cannot be read.
#[must_use]
pub fn check(exchange: &Exchange<'_>) -> Vec<Violation> {
    let target = Target::parse(exchange.target);
    if !target.is_arm() || exchange.method == "HEAD" {
        return Vec::new();
    }
    if exchange.status >= 400 {
        return error_body::check(exchange.response);
    }
    if target.is_operation_status() {
        let mut violations = operation_status::check(exchange, &target);
        violations.extend(headers::check(exchange, &Value::Null));
        return violations;
    }
    if exchange.status == 304 {
        return only_empty(exchange.response);
    }
    match find(exchange.method, &target) {
        Some(found) => check_found(exchange, &target, &found),
        None if differences::is_ours(&target) => Vec::new(),
        None => vec![Violation::new("path", "no api-version of Azure's has this operation")],
    }
}

fn check_found(exchange: &Exchange<'_>, target: &Target, found: &Found) -> Vec<Violation> {
    let mut violations = Vec::new();
    let responses = &found.operation["responses"];
    let status = exchange.status.to_string();
    match responses.get(&status) {
        None => violations.push(Violation::new("status", format!("{status} is not declared: {}", declared(responses)))),
        Some(Value::Null) => violations.extend(only_empty(exchange.response)),
        Some(schema) => violations.extend(check_body(found, schema, exchange.response, Direction::Response)),
    }
    violations.extend(headers::check(exchange, &found.operation["headers"][&status]));
    violations.extend(query::check(target, found));
    violations.extend(check_request(exchange, found));
    violations.retain(|violation| !differences::is_known(found, violation));
    violations
}

fn check_request(exchange: &Exchange<'_>, found: &Found) -> Vec<Violation> {
    let check = |found: &Found| match &found.operation["body"] {
        Value::Null => Vec::new(),
        _ if exchange.request.is_empty() => Vec::new(),
        body => check_body(found, body, exchange.request, Direction::Request),
    };
    let violations = check(found);
    if exchange.method != "PATCH" || violations.is_empty() {
        return violations;
    }
    let put = find("PUT", &Target::parse(exchange.target)).filter(|put| !put.operation["body"].is_null());
    of_change(violations, put.map(|put| check(&put)))
}

/// What is wrong with a change: it need not name anything, and may name whatever a PUT may, as far as one is described (`whole` is
/// what would be wrong with it). See `differences`.
fn of_change(mut violations: Vec<Violation>, whole: Option<Vec<Violation>>) -> Vec<Violation> {
    let is_wrong = |violation: &Violation| whole.as_ref().is_none_or(|whole| whole.contains(violation));
    violations.retain(|violation| violation.rule != schema::MISSING && is_wrong(violation));
    violations
}

fn declared(responses: &Value) -> String {
    responses.as_object().into_iter().flat_map(|map| map.keys().map(String::as_str)).collect::<Vec<_>>().join(", ")
}

fn check_body(found: &Found, schema: &Value, text: &[u8], direction: Direction) -> Vec<Violation> {
    if text.is_empty() {
        return vec![Violation::new(direction.name(), schema::NO_BODY)];
    }
    match serde_json::from_slice(text) {
        Ok(value) => Checker::new(&found.bundle.definitions, direction, found.newer).check(schema, &value),
        Err(error) => vec![Violation::new(direction.name(), format!("not JSON: {error}"))],
    }
}

fn only_empty(body: &[u8]) -> Vec<Violation> {
    if body.is_empty() { Vec::new() } else { vec![Violation::new("response", "no body is declared, and there is one")] }
}

#[cfg(test)]
mod tests;
