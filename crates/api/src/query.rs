//! URLs and forms, taken apart: percent-decoding, paths, queries.
//!
//! Names in queries compare without regard to case, as the real service has it (`$Expand`, `api-Version`).

/// Most parameters of one query or form; what follows is not looked at.
const MOST_PARAMETERS: usize = 64;

/// The parameters of a query or a form body, decoded, in order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    /// Reads `a=b&c=d`. A parameter that does not decode to UTF-8 is left out. A NUL, which PostgreSQL does not take in a
    /// text, becomes U+FFFD, as in HTML.
    pub(crate) fn parse(text: Option<&str>) -> Self {
        let pairs = text.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()).take(MOST_PARAMETERS);
        let decoded = pairs.filter_map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let text = |part: &str| decode(part, true).map(|decoded| decoded.replace('\0', "\u{FFFD}"));
            Some((text(name)?, text(value)?))
        });
        Self(decoded.collect())
    }

    /// The first value of a parameter.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The parameters, but for one, as they stand in a URL, without a leading `?`.
    pub(crate) fn encode_without(&self, left_out: &str) -> String {
        let kept = self.0.iter().filter(|(name, _)| !name.eq_ignore_ascii_case(left_out));
        let pairs: Vec<String> = kept.map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
        pairs.join("&")
    }
}

/// The segments of a path, decoded; empty ones (doubled and trailing slashes) are left out. `None` when a segment does
/// not decode or would become several.
pub(crate) fn segments(path: &str) -> Option<Vec<String>> {
    path.split('/').filter(|segment| !segment.is_empty()).map(segment).collect()
}

fn segment(text: &str) -> Option<String> {
    decode(text, false).filter(|decoded| !decoded.contains(['/', '\0']))
}

/// Decodes `%41` (and `+`, in queries and forms). A `%` without two hexadecimal digits stands for itself. `None` when
/// the result is not UTF-8.
pub(crate) fn decode(text: &str, plus_is_space: bool) -> Option<String> {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let escaped = (*byte == b'%').then(|| hex_pair(bytes.get(at + 1..at + 3)?)).flatten();
        match (byte, escaped) {
            (_, Some(value)) => {
                decoded.push(value);
                at += 2;
            }
            (b'+', _) if plus_is_space => decoded.push(b' '),
            (byte, _) => decoded.push(*byte),
        }
        at += 1;
    }
    String::from_utf8(decoded).ok()
}

fn hex_pair(pair: &[u8]) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let value = digit(*pair.first()?)? * 16 + digit(*pair.get(1)?)?;
    u8::try_from(value).ok()
}

/// Encodes everything but RFC 3986's unreserved characters and `$`, which ARM's parameters begin with.
pub(crate) fn encode(text: &str) -> String {
    use std::fmt::Write as _;
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~$".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn paths_tolerate_slashes_but_not_hidden_ones() {
        assert_eq!(segments("//a/b%20c//"), Some(vec!["a".to_owned(), "b c".to_owned()]));
        assert_eq!(segments("/a%2Fb"), None);
        assert_eq!(segments("/a%00b"), None);
        assert_eq!(segments("/%FF"), None);
        assert_eq!(segments("/100%"), Some(vec!["100%".to_owned()]));
    }

    #[test]
    fn queries_are_found_in_any_case() {
        let query = Query::parse(Some("Api-Version=1&$expand=a+b%2B&x"));
        assert_eq!(
            (query.get("api-version"), query.get("$Expand"), query.get("x")),
            (Some("1"), Some("a b+"), Some(""))
        );
        assert_eq!(query.get("y"), None);
        let nul = Query::parse(Some("a%00=b%00c"));
        assert_eq!(nul.get("a\u{FFFD}"), Some("b\u{FFFD}c"));
        assert_eq!(query.encode_without("API-VERSION"), "$expand=a%20b%2B&x=");
    }

    proptest! {
        #[test]
        fn what_is_encoded_decodes(text in ".{0,60}") {
            prop_assert_eq!(decode(&encode(&text), true), Some(text));
        }

        #[test]
        fn any_text_is_answered(text in "[%0-9a-fA-F+&=/.]{0,60}") {
            let _ = Query::parse(Some(&text));
            let _ = segments(&text);
        }
    }
}
