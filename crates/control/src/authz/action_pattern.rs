//! Patterns of actions: `Microsoft.Compute/*/read`. A `*` stands for any text, slashes included; case does not matter.

use serde::{Deserialize, Serialize};

/// A pattern as a role has it, in its own spelling.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct ActionPattern(String);

impl ActionPattern {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it stands for an action (which itself has no `*`).
    ///
    /// On a mismatch after a `*` that star takes one byte more: at most pattern times action steps, without recursion.
    pub(crate) fn matches(&self, action: &str) -> bool {
        let (pattern, action) = (self.0.as_bytes(), action.as_bytes());
        let (mut at, mut read) = (0, 0);
        let mut star: Option<(usize, usize)> = None;
        while read < action.len() {
            match pattern.get(at) {
                Some(b'*') => {
                    star = Some((at, read));
                    at += 1;
                }
                Some(byte) if byte.eq_ignore_ascii_case(&action[read]) => {
                    at += 1;
                    read += 1;
                }
                _ => {
                    let Some((star_at, taken)) = star else { return false };
                    star = Some((star_at, taken + 1));
                    at = star_at + 1;
                    read = taken + 1;
                }
            }
        }
        pattern[at..].iter().all(|byte| *byte == b'*')
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn stars_take_any_text_and_case_does_not_matter() {
        for (pattern, action, expected) in [
            ("*", "Microsoft.Compute/disks/read", true),
            ("*/read", "Microsoft.Compute/galleries/images/read", true),
            ("*/read", "Microsoft.Compute/galleries/write", false),
            ("microsoft.compute/DISKS/Read", "Microsoft.Compute/disks/read", true),
            ("Microsoft.Compute/galleries/*", "Microsoft.Compute/galleries/share/action", true),
            ("Microsoft.Compute/galleries/*", "Microsoft.Compute/galleries", false),
            ("Microsoft.Compute/*/read", "Microsoft.Compute/galleries/images/versions/read", true),
            ("Microsoft.Compute/*/read", "Microsoft.Compute/read", false),
            ("Microsoft.Compute/disks/read", "Microsoft.Compute/disks/readx", false),
            ("Microsoft.Compute/disks/readx", "Microsoft.Compute/disks/read", false),
            ("*ab*ab", "xabab", true),
            ("*ab*ab", "xab", false),
            ("", "", true),
            ("", "x", false),
            ("**", "", true),
        ] {
            assert_eq!(ActionPattern::new(pattern).matches(action), expected, "{pattern} {action}");
        }
    }

    /// By the book: a star is nothing, or a byte and itself.
    fn by_definition(pattern: &[u8], action: &[u8]) -> bool {
        match (pattern.split_first(), action.split_first()) {
            (Some((b'*', rest)), more) => {
                by_definition(rest, action) || more.is_some_and(|(_, left)| by_definition(pattern, left))
            }
            (Some((one, rest)), Some((other, left))) => one.eq_ignore_ascii_case(other) && by_definition(rest, left),
            (None, None) => true,
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn it_matches_what_the_definition_does(pattern in "[aAb/*]{0,8}", action in "[aAb/]{0,10}") {
            let expected = by_definition(pattern.as_bytes(), action.as_bytes());
            prop_assert_eq!(ActionPattern::new(pattern).matches(&action), expected);
        }
    }
}
