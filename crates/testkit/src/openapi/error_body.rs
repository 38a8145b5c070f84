//! ARM's errors: `{"error": {"code", "message", "target", "details", ...}}` and nothing else.
//!
//! Compute calls it `CloudError` (`common-types/v1/common.json`), everybody else `ErrorResponse`
//! (`common-types/resource-management/v5/types.json`); this is what both have.

use std::sync::LazyLock;

use serde_json::{Value, json};

use super::{
    Violation,
    schema::{Checker, Direction},
};

static DEFINITIONS: LazyLock<Value> = LazyLock::new(|| {
    json!({
        "ErrorResponse": { "type": "object", "required": ["error"], "properties": { "error": { "$ref": "Error" } } },
        "Error": {
            "type": "object",
            "required": ["code", "message"],
            "properties": {
                "code": { "type": "string", "minLength": 1 },
                "message": { "type": "string", "minLength": 1 },
                "target": { "type": "string", "minLength": 1 },
                "details": { "type": "array", "items": { "$ref": "Error" } },
                "innererror": {
                    "type": "object",
                    "properties": {
                        "exceptiontype": { "type": "string" },
                        "errordetail": { "type": "string" },
                        // Described nowhere; what a throttled request is answered with, by recordings.
                        "internalErrorCode": { "type": "string" }
                    }
                },
                "additionalInfo": {
                    "type": "array",
                    "items": { "type": "object", "properties": { "type": { "type": "string" }, "info": {} } }
                }
            }
        }
    })
});

pub(super) static ERROR: LazyLock<Value> = LazyLock::new(|| json!({ "$ref": "Error" }));
static ERROR_RESPONSE: LazyLock<Value> = LazyLock::new(|| json!({ "$ref": "ErrorResponse" }));

pub(super) fn check(body: &[u8]) -> Vec<Violation> {
    match serde_json::from_slice(body) {
        Ok(value) => check_value(&ERROR_RESPONSE, &value),
        Err(error) => vec![Violation::new("response", format!("an error that is not JSON: {error}"))],
    }
}

pub(super) fn check_value(schema: &'static Value, value: &Value) -> Vec<Violation> {
    let definitions = DEFINITIONS.as_object().expect("an object");
    Checker::new(definitions, Direction::Response, false).check(schema, value)
}
