//! The status document of an asynchronous operation, as clients poll it: always HTTP 200, whatever came of it.

use serde_json::{Map, Value};

use crate::error::ArmError;
use crate::provisioning_state::OperationStatus;
use crate::timestamp;

/// What `GET .../capsOperations/{name}` answers.
#[derive(Debug, Clone, PartialEq)]
pub struct OperationDocument {
    /// The operation's id, a GUID.
    pub name: String,
    /// Its status.
    pub status: OperationStatus,
    /// When it was accepted, milliseconds since 1970.
    pub started_at_ms: i64,
    /// When it ended; `None` while it runs.
    pub ended_at_ms: Option<i64>,
    /// How far it is, 0 to 100, where that is known.
    pub percent_complete: Option<f64>,
    /// What it gives back (`properties.output`), once it succeeded: an access SAS, an updated share.
    pub output: Option<Value>,
    /// Why it failed.
    pub error: Option<ArmError>,
}

impl OperationDocument {
    /// The document, in Compute's key order. An error is shown only of a failed operation, an output only of a succeeded one.
    #[must_use]
    pub fn to_value(&self) -> Value {
        let mut document = Map::new();
        let mut put = |name: &str, value: Value| document.insert(name.to_owned(), value);
        put("startTime", timestamp::format_ms(self.started_at_ms).into());
        if let Some(ended_at_ms) = self.ended_at_ms {
            put("endTime", timestamp::format_ms(ended_at_ms).into());
        }
        put("status", self.status.as_str().into());
        if let Some(percent) = self.percent_complete.filter(|percent| percent.is_finite()) {
            put("percentComplete", percent.clamp(0.0, 100.0).into());
        }
        match (self.status, &self.output, &self.error) {
            (OperationStatus::Succeeded, Some(output), _) => {
                put("properties", Value::Object(Map::from_iter([("output".to_owned(), output.clone())])));
            }
            (OperationStatus::Failed | OperationStatus::Canceled, _, Some(error)) => {
                put("error", error.to_value());
            }
            _ => {}
        }
        put("name", self.name.as_str().into());
        Value::Object(document)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn operation(status: OperationStatus) -> OperationDocument {
        OperationDocument {
            name: "a2ce22bb".to_owned(),
            status,
            started_at_ms: 1_553_844_527_266,
            ended_at_ms: status.is_terminal().then_some(1_553_844_528_000),
            percent_complete: None,
            output: Some(json!({ "accessSAS": "https://h/s" })),
            error: Some(ArmError::conflict("no")),
        }
    }

    #[test]
    fn golden_documents() {
        let running = r#"{"startTime":"2019-03-29T07:28:47.266+00:00","status":"InProgress","name":"a2ce22bb"}"#;
        assert_eq!(operation(OperationStatus::InProgress).to_value().to_string(), running);
        let succeeded = r#"{"startTime":"2019-03-29T07:28:47.266+00:00","endTime":"2019-03-29T07:28:48.000+00:00","status":"Succeeded","properties":{"output":{"accessSAS":"https://h/s"}},"name":"a2ce22bb"}"#;
        assert_eq!(operation(OperationStatus::Succeeded).to_value().to_string(), succeeded);
        let failed = operation(OperationStatus::Failed).to_value();
        assert_eq!(failed["error"], json!({ "code": "Conflict", "message": "no" }));
        assert!(failed.get("properties").is_none());
    }
}
