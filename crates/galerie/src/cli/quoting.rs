//! Text that another language reads back as it was.

/// As a POSIX shell reads it back.
pub(super) fn for_shell(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-:".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// As Python and JavaScript read it back: both take JSON's strings.
pub(super) fn literal(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_quoted_is_read_back() {
        assert_eq!(for_shell("/srv/galerie/tls/ca.pem"), "/srv/galerie/tls/ca.pem");
        assert_eq!(for_shell("it's here"), r"'it'\''s here'");
        assert_eq!(for_shell(""), "''");
        assert_eq!(literal("a\"b"), r#""a\"b""#);
    }
}
