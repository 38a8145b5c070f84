//! Request bodies as JSON values, whatever a caller sends: bounded in size, depth and number before anything is made of them.

use serde_json::Value;

use crate::error::ArmError;

/// Deepest nesting of arrays and objects that is read. The deepest body of the specification nests 12 levels.
pub const DEEPEST_NESTING: usize = 64;

/// Largest ARM body, as Azure Resource Manager has it (4 MiB).
pub const LARGEST_BODY_BYTES: usize = 4 * 1024 * 1024;

/// Values in all that a body may have: many times what the largest legitimate one has.
pub const MOST_VALUES: usize = 50_000;

/// Reads a JSON body of at most `limit_bytes`. A byte-order mark is tolerated. Never recurses deeper than
/// [`DEEPEST_NESTING`], so neither reading nor dropping the value can overflow the stack.
///
/// # Errors
/// `RequestContentTooLarge` (413) and `InvalidRequestContent` (400).
pub fn parse_body(bytes: &[u8], limit_bytes: usize) -> Result<Value, ArmError> {
    if bytes.len() > limit_bytes {
        return Err(ArmError::request_too_large(limit_bytes));
    }
    let json = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    check_extent(json)?;
    serde_json::from_slice(json).map_err(|error| ArmError::invalid_request_content(&error.to_string()))
}

/// Counts brackets and commas outside strings, before anything is made of them: a value takes tens of times the memory of its text.
/// Text that is not JSON may be counted wrongly, but never as less than the parser would make before it finds the mistake.
fn check_extent(json: &[u8]) -> Result<(), ArmError> {
    let (mut depth, mut values, mut in_string, mut escaped) = (0_usize, 1_usize, false, false);
    for byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => (depth, values) = (depth + 1, values + 1),
            b',' if !in_string => values += 1,
            b']' | b'}' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > DEEPEST_NESTING {
            let why = format!("the JSON nests deeper than {DEEPEST_NESTING} levels");
            return Err(ArmError::invalid_request_content(&why));
        }
        if values > MOST_VALUES {
            return Err(ArmError::invalid_request_content(&format!("the JSON has more than {MOST_VALUES} values")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn deep_nesting_is_an_answer_not_a_crash() {
        for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
            let deep = format!("{}1{}", open.repeat(10_000), close.repeat(10_000));
            let error = parse_body(deep.as_bytes(), LARGEST_BODY_BYTES).unwrap_err();
            assert_eq!((error.status, error.code.as_ref()), (400, "InvalidRequestContent"));
        }
        let deepest = format!("{}1{}", "[".repeat(DEEPEST_NESTING), "]".repeat(DEEPEST_NESTING));
        assert!(parse_body(deepest.as_bytes(), 1000).is_ok());
    }

    /// Regression: bodies of four megabytes that hold nothing but zeros took gigabytes, whoever sent them.
    #[test]
    fn more_values_than_anything_has_are_refused_before_they_are_read() {
        let zeros = |count: usize| format!("[{}0]", "0,".repeat(count - 1));
        for body in [zeros(MOST_VALUES), "{\"\":0},".repeat(MOST_VALUES), "[],".repeat(MOST_VALUES)] {
            let error = parse_body(body.as_bytes(), LARGEST_BODY_BYTES).unwrap_err();
            assert!(error.status == 400 && error.message.contains("values"), "{error}");
        }
        assert!(parse_body(zeros(MOST_VALUES - 2).as_bytes(), LARGEST_BODY_BYTES).is_ok());
    }

    #[test]
    fn brackets_in_strings_do_not_count() {
        let text = serde_json::json!({ "a": "[\\\"".repeat(500) }).to_string();
        assert!(parse_body(text.as_bytes(), LARGEST_BODY_BYTES).is_ok());
    }

    #[test]
    fn size_marks_and_garbage() {
        assert_eq!(parse_body(b"[1,2]", 4).unwrap_err().status, 413);
        assert_eq!(parse_body(b"\xEF\xBB\xBF{}", 10).unwrap(), serde_json::json!({}));
        for garbage in [&b""[..], b"{", b"\xFF", b"{}{}", b"NaN", b"{'a':1}"] {
            assert_eq!(parse_body(garbage, 100).unwrap_err().code, "InvalidRequestContent");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_answered(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse_body(&bytes, 256);
        }
    }
}
