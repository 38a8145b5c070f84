//! The error of every ARM answer: `{"error": {"code", "message", "target"?, "details"?, "innererror"?}}`.
//!
//! Status and code are chosen here and nowhere else: callers name what went wrong ([`ArmError::resource_not_found`],
//! [`ArmError::property_change_not_allowed`], ...). Texts follow what the real service was seen to answer; the tests in
//! `tests/arm/error_bodies.rs` hold them still. The constructors of gallery errors are in `error/gallery.rs` and
//! `error/sharing.rs`, those of the front door (versions, tokens, bodies) in `error/request.rs`, those of roles in
//! `error/authorization.rs`, those of budgets in `error/throttling.rs`.

mod authorization;
mod gallery;
mod request;
mod sharing;
mod throttling;

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

pub use self::throttling::Overdrawn;

/// What went wrong, for the client. Serialises with its status, for keeping; [`ArmError::body`] is what is sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArmError {
    /// HTTP status.
    pub status: u16,
    /// What programs branch on.
    pub code: Cow<'static, str>,
    /// What people read. Holds no secret.
    pub message: String,
    /// What it is about: a property's path, a parameter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Several faults of one request.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<ArmError>,
    /// What the service says of it beside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inner: Option<Box<InnerError>>,
    /// What was refused, of a refusal for want of rights: for the audit, never sent.
    #[serde(skip)]
    pub denied: Option<Box<Denied>>,
}

/// What stands under `"innererror"`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InnerError {
    /// The service's own name of what went wrong.
    pub internal_error_code: String,
}

/// What a principal may not do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denied {
    /// `Microsoft.Compute/galleries/write`.
    pub action: String,
    /// Over which scope: a resource's id, or `/`.
    pub scope: String,
}

impl ArmError {
    /// An error with the given status, code and message.
    #[must_use]
    pub fn new(status: u16, code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        let (target, details, inner, denied) = (None, Vec::new(), None, None);
        Self { status, code: code.into(), message: message.into(), target, details, inner, denied }
    }

    /// 400 with a code of its own.
    #[must_use]
    pub fn bad_request(code: &'static str, message: &str) -> Self {
        Self::new(400, code, message)
    }

    /// The same error, which refuses an action over a scope.
    #[must_use]
    pub fn refusing(mut self, action: &str, scope: &str) -> Self {
        self.denied = Some(Box::new(Denied { action: action.to_owned(), scope: scope.to_owned() }));
        self
    }

    /// The same error, about `target`.
    #[must_use]
    pub fn with_target(mut self, target: impl Into<String>) -> Self {
        self.target = Some(target.into());
        self
    }

    /// The same error with one more detail.
    #[must_use]
    pub fn with_detail(mut self, detail: ArmError) -> Self {
        self.details.push(detail);
        self
    }

    /// What stands under `"error"`: `code`, `message`, and `target`, `details` and `innererror` when there are any.
    #[must_use]
    pub fn to_value(&self) -> Value {
        let mut error = Map::new();
        error.insert("code".to_owned(), Value::from(self.code.as_ref()));
        error.insert("message".to_owned(), Value::from(self.message.as_str()));
        if let Some(target) = &self.target {
            error.insert("target".to_owned(), Value::from(target.as_str()));
        }
        if !self.details.is_empty() {
            error.insert("details".to_owned(), self.details.iter().map(Self::to_value).collect());
        }
        if let Some(inner) = &self.inner {
            error.insert("innererror".to_owned(), json!({ "internalErrorCode": inner.internal_error_code }));
        }
        Value::Object(error)
    }

    /// The whole body of the answer.
    #[must_use]
    pub fn body(&self) -> Value {
        Value::Object(Map::from_iter([("error".to_owned(), self.to_value())]))
    }
}

impl fmt::Display for ArmError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl std::error::Error for ArmError {}

/// A text that is none of an enumeration's values.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is not a value of {enumeration}")]
pub struct UnknownValue {
    enumeration: &'static str,
    text: String,
}

impl UnknownValue {
    pub(crate) fn new(enumeration: &'static str, text: &str) -> Self {
        Self { enumeration, text: quoted(text) }
    }
}

/// How much of a caller's text an error repeats, in characters.
const LONGEST_QUOTE_CHARS: usize = 300;

/// A caller's text as an error repeats it: cut, and without control characters.
pub(crate) fn quoted(text: &str) -> String {
    let mut quote: String =
        text.chars().take(LONGEST_QUOTE_CHARS).map(|c| if c.is_control() { '\u{FFFD}' } else { c }).collect();
    if text.chars().nth(LONGEST_QUOTE_CHARS).is_some() {
        quote.push('…');
    }
    quote
}
