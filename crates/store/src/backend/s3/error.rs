//! What a server's failure means to a store.
//!
//! Statuses alone do not say: 404 is a missing key, a missing bucket, or a proxy that knows neither. The code in the
//! answer's XML does (Amazon S3 API Reference, "Error responses").

use std::error::Error as _;

use crate::Error;

/// How much of an answer goes into a message.
const MESSAGE_MAX_CHARS: usize = 300;

/// A request that failed for good.
#[derive(Debug)]
pub(super) struct Failure {
    error: object_store::Error,
    /// The messages of the error and its causes; the innermost quotes the server.
    text: String,
}

impl Failure {
    pub(super) fn new(error: object_store::Error) -> Self {
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(inner) = cause {
            let message = inner.to_string();
            // Most of them repeat their causes.
            if !text.contains(&message) {
                text.push_str(": ");
                text.push_str(&message);
            }
            cause = inner.source();
        }
        Self { error, text }
    }

    /// Whether a range begins after the object's end.
    pub(super) fn is_past_the_end(error: &object_store::Error) -> bool {
        let text = error.to_string();
        text.contains("416 Range Not Satisfiable") || text.contains("<Code>InvalidRange</Code>")
    }

    pub(super) fn is_missing_key(&self) -> bool {
        matches!(self.error, object_store::Error::NotFound { .. }) && self.code() == Some("NoSuchKey")
    }

    /// Whether a PUT that creates only found something.
    pub(super) fn is_taken(&self) -> bool {
        matches!(self.error, object_store::Error::AlreadyExists { .. })
    }

    /// Whether the server does not know what was asked of it, such as to create only.
    pub(super) fn is_not_implemented(&self) -> bool {
        self.code() == Some("NotImplemented")
    }

    fn code(&self) -> Option<&str> {
        element(&self.text, "Code")
    }

    pub(super) fn into_error(self, action: &str) -> Error {
        let is_full = matches!(
            self.code(),
            // Ceph; MinIO's quotas and disks; what HTTP has for it.
            Some("QuotaExceeded" | "XMinioAdminBucketQuotaExceeded" | "XMinioStorageFull" | "InsufficientStorage")
        ) || self.text.contains("507 Insufficient Storage");
        match is_full {
            true => Error::Full { action: action.to_owned() },
            false => Error::Unavailable(format!("{action}: {}", self.message())),
        }
    }

    fn message(&self) -> String {
        match (self.code(), element(&self.text, "Message")) {
            (Some(code), Some(message)) => shortened(&format!("{code}: {message}")),
            (Some(code), None) => code.to_owned(),
            _ => shortened(&self.text),
        }
    }
}

/// The text of the first element of that name.
fn element<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let begin = xml.find(&open)? + open.len();
    xml[begin..].find(&close).map(|length| &xml[begin..begin + length])
}

/// On one line, and not too long a one.
fn shortened(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(MESSAGE_MAX_CHARS) {
        Some((end, _)) => format!("{} ...", &line[..end]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(
        status_error: impl Fn(Box<dyn std::error::Error + Send + Sync>) -> object_store::Error,
        body: &str,
    ) -> Failure {
        Failure::new(status_error(format!("Server returned non-2xx status code: {body}").into()))
    }

    fn not_found(source: Box<dyn std::error::Error + Send + Sync>) -> object_store::Error {
        object_store::Error::NotFound { path: "x".to_owned(), source }
    }

    fn generic(source: Box<dyn std::error::Error + Send + Sync>) -> object_store::Error {
        object_store::Error::Generic { store: "S3", source }
    }

    #[test]
    fn missing_is_only_what_the_server_says_of_the_key() {
        let key = "404 Not Found: <Error><Code>NoSuchKey</Code><Message>No such key</Message></Error>";
        assert!(failure(not_found, key).is_missing_key());
        for other in [
            "404 Not Found: <Error><Code>NoSuchBucket</Code></Error>",
            "404 Not Found: <html>nginx</html>",
            "404 Not Found: ",
        ] {
            let failure = failure(not_found, other);
            assert!(!failure.is_missing_key(), "{other}");
            assert!(matches!(failure.into_error("read x"), Error::Unavailable(_)));
        }
    }

    #[test]
    fn a_bucket_that_is_full_says_so() {
        for body in ["507 Insufficient Storage: ", "403 Forbidden: <Error><Code>QuotaExceeded</Code></Error>"] {
            assert!(matches!(failure(generic, body).into_error("write x"), Error::Full { .. }), "{body}");
        }
    }

    #[test]
    fn messages_name_the_code_and_are_one_short_line() {
        let body = "403 Forbidden: <Error>\n<Code>AccessDenied</Code><Message>Access\nDenied.</Message><Other>x</Other></Error>";
        assert_eq!(failure(generic, body).into_error("write x").to_string(), "write x: AccessDenied: Access Denied.");
        let long = failure(generic, &"y".repeat(5000)).into_error("write x").to_string();
        assert!(long.len() < 400 && long.ends_with("..."), "{long}");
    }
}
