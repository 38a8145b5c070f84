//! Request bodies as JSON values, whatever a caller sends: bounded in size and depth before anything recurses.

use serde_json::Value;

use crate::error::ArmError;

/// Deepest nesting of arrays and objects that is read. The deepest body of the specification nests 12 levels.
pub const DEEPEST_NESTING: usize = 64;

/// Largest ARM body, as Azure Resource Manager has it (4 MiB).
pub const LARGEST_BODY_BYTES: usize = 4 * 1024 * 1024;

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
    if is_deeper_than(json, DEEPEST_NESTING) {
        return Err(ArmError::invalid_request_content(&format!("the JSON nests deeper than {DEEPEST_NESTING} levels")));
    }
    serde_json::from_slice(json).map_err(|error| ArmError::invalid_request_content(&error.to_string()))
}

/// Counts brackets outside strings. Text that is not JSON may be counted wrongly, but never too shallow for what the
/// parser would open before it finds the mistake.
fn is_deeper_than(json: &[u8], limit: usize) -> bool {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => {
                depth += 1;
                if depth > limit {
                    return true;
                }
            }
            b']' | b'}' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
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
