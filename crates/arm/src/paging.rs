//! Pages of lists: `{"value": [...], "nextLink": "..."}` and the token that continues one.
//!
//! A token holds the last key of the page before, so a page costs the same at any depth and survives changes between
//! requests. It is opaque, not secret: whoever continues a list is authorised again.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;

use crate::error::ArmError;

/// Marks the tokens' format, so that a later one can tell them apart.
const FORMAT: u8 = b'1';
/// Longest token that is read, in bytes.
const LONGEST_TOKEN_BYTES: usize = 4 * 1024;

/// One page, as it is answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Page<T> {
    /// The entries, in key order.
    pub value: Vec<T>,
    /// Where the next page is: absolute, followed verbatim. Absent on the last page.
    #[serde(rename = "nextLink", skip_serializing_if = "Option::is_none")]
    pub next_link: Option<String>,
}

/// The key after which a list goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SkipToken {
    /// The last key of the page before.
    pub last_key: String,
}

impl SkipToken {
    /// The token as it stands in a query: letters, digits, `-` and `_` only.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut bytes = Vec::with_capacity(self.last_key.len() + 1);
        bytes.push(FORMAT);
        bytes.extend_from_slice(self.last_key.as_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Reads a token that [`SkipToken::encode`] made.
    ///
    /// # Errors
    /// `InvalidSkipToken` (400).
    pub fn decode(text: &str) -> Result<Self, ArmError> {
        Self::try_decode(text).ok_or_else(ArmError::invalid_skip_token)
    }

    fn try_decode(text: &str) -> Option<Self> {
        if text.len() > LONGEST_TOKEN_BYTES {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let last_key = std::str::from_utf8(bytes.strip_prefix(&[FORMAT])?).ok()?;
        // No key has one, and PostgreSQL takes none.
        let may_be_key = !last_key.contains('\0');
        may_be_key.then(|| Self { last_key: last_key.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn round_trips(last_key in "[^\0]{0,200}") {
            let token = SkipToken { last_key };
            let text = token.encode();
            prop_assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'));
            prop_assert_eq!(SkipToken::decode(&text).unwrap(), token);
        }

        #[test]
        fn any_text_is_answered(text in ".{0,100}") {
            let _ = SkipToken::decode(&text);
        }
    }

    #[test]
    fn the_last_page_has_no_link() {
        let page = Page { value: vec![1], next_link: None };
        assert_eq!(serde_json::to_string(&page).unwrap(), r#"{"value":[1]}"#);
        assert!(SkipToken::decode(&SkipToken { last_key: "a\0b".to_owned() }.encode()).is_err());
        assert!(SkipToken::decode(&"A".repeat(LONGEST_TOKEN_BYTES + 4)).is_err());
    }
}
