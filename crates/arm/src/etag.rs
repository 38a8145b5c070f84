//! Entity tags and the conditions that clients build from them (RFC 9110, sections 8.8.3 and 13.1).
//!
//! Opt-in: a request without conditions is never refused here.

use std::fmt;

use crate::error::ArmError;

/// A strong entity tag: opaque text, written between quotes. Changes with intent, not with progress.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ETag(Box<str>);

/// Longest header that is read, in bytes.
const LONGEST_HEADER_BYTES: usize = 8 * 1024;
/// Most tags in one header.
const MOST_TAGS: usize = 64;

impl ETag {
    /// A tag from its opaque text; quotes and control characters, which no tag can hold, are left out.
    #[must_use]
    pub fn new(opaque: &str) -> Self {
        let is_kept = |c: &char| *c != '"' && !c.is_control();
        if opaque.chars().all(|c| is_kept(&c)) {
            return Self(opaque.into());
        }
        Self(opaque.chars().filter(is_kept).collect::<String>().into())
    }

    /// The opaque text, without quotes.
    #[must_use]
    pub fn opaque(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ETag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0)
    }
}

/// What `If-Match` or `If-None-Match` lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntityTags {
    /// `*`: whatever exists.
    Any,
    /// These tags. A weak one (`W/"x"`) never matches, as `If-Match` compares strongly and we issue no weak tags.
    List(Vec<ETag>),
}

impl EntityTags {
    /// Reads a header's value: `*`, or tags between quotes, separated by commas. A single tag without quotes is accepted,
    /// because some clients send them so.
    ///
    /// # Errors
    /// `InvalidParameter` naming `header`.
    pub fn parse(header: &str, value: &str) -> Result<Self, ArmError> {
        let value = value.trim();
        if value == "*" {
            return Ok(Self::Any);
        }
        Self::parse_list(value).map(Self::List).ok_or_else(|| {
            let message = format!("The value of the header '{header}' is not a list of entity tags.");
            ArmError::invalid_parameter(header, message)
        })
    }

    fn parse_list(value: &str) -> Option<Vec<ETag>> {
        if value.is_empty() || value.len() > LONGEST_HEADER_BYTES {
            return None;
        }
        if !value.contains(['"', ',']) {
            return Some(vec![ETag::new(value)]);
        }
        let (mut tags, mut rest) = (Vec::new(), value);
        loop {
            let (weak, quoted) = rest.strip_prefix("W/").map_or((false, rest), |quoted| (true, quoted));
            let (opaque, after) = quoted.strip_prefix('"')?.split_once('"')?;
            if !weak {
                tags.push(ETag::new(opaque));
            }
            match after.trim_start() {
                "" => return Some(tags),
                more => rest = more.strip_prefix(',')?.trim_start(),
            }
            if tags.len() > MOST_TAGS {
                return None;
            }
        }
    }

    /// Whether the current tag (`None`: nothing exists) is among these.
    #[must_use]
    pub fn matches(&self, current: Option<&ETag>) -> bool {
        match (self, current) {
            (_, None) => false,
            (Self::Any, Some(_)) => true,
            (Self::List(tags), Some(current)) => tags.contains(current),
        }
    }
}

/// The conditions of a request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Precondition {
    /// Go on only when the current tag is one of these.
    pub if_match: Option<EntityTags>,
    /// Go on only when it is none of these.
    pub if_none_match: Option<EntityTags>,
}

impl Precondition {
    /// Reads both headers.
    ///
    /// # Errors
    /// `InvalidParameter` when one does not parse.
    pub fn from_headers(if_match: Option<&str>, if_none_match: Option<&str>) -> Result<Self, ArmError> {
        Ok(Self {
            if_match: if_match.map(|value| EntityTags::parse("If-Match", value)).transpose()?,
            if_none_match: if_none_match.map(|value| EntityTags::parse("If-None-Match", value)).transpose()?,
        })
    }

    /// Checks a write against the current tag (`None`: nothing exists).
    ///
    /// # Errors
    /// `PreconditionFailed` (412).
    pub fn check(&self, current: Option<&ETag>) -> Result<(), ArmError> {
        if self.if_match.as_ref().is_some_and(|tags| !tags.matches(current)) {
            return Err(ArmError::precondition_failed(match current {
                Some(_) => "the resource has changed since (If-Match).",
                None => "the resource does not exist (If-Match).",
            }));
        }
        if self.if_none_match.as_ref().is_some_and(|tags| tags.matches(current)) {
            return Err(ArmError::precondition_failed("the resource already exists (If-None-Match)."));
        }
        Ok(())
    }

    /// Whether a read may be answered 304: the caller holds the current state.
    #[must_use]
    pub fn is_not_modified(&self, current: &ETag) -> bool {
        self.if_none_match.as_ref().is_some_and(|tags| tags.matches(Some(current)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(if_match: Option<&str>, if_none_match: Option<&str>, current: Option<&str>) -> u16 {
        let current = current.map(ETag::new);
        match Precondition::from_headers(if_match, if_none_match).and_then(|asked| asked.check(current.as_ref())) {
            Ok(()) => 200,
            Err(error) => error.status,
        }
    }

    #[test]
    fn conditions() {
        for (if_match, if_none_match, current, expected) in [
            (None, None, None, 200),
            (Some("*"), None, Some("a"), 200),
            (Some("*"), None, None, 412),
            (Some("\"a\""), None, Some("a"), 200),
            (Some("a"), None, Some("a"), 200),
            (Some("\"b\", W/\"a\" ,\"c\""), None, Some("a"), 412),
            (Some("\"b\",\"a\""), None, Some("a"), 200),
            (None, Some("*"), Some("a"), 412),
            (None, Some("*"), None, 200),
            (None, Some("\"b\""), Some("a"), 200),
            (Some(""), None, Some("a"), 400),
            (Some("\"a"), None, Some("a"), 400),
            (Some("\"a\" \"b\""), None, Some("a"), 400),
        ] {
            assert_eq!(check(if_match, if_none_match, current), expected, "{if_match:?} {if_none_match:?} {current:?}");
        }
    }

    #[test]
    fn quotes_cannot_be_smuggled_in() {
        assert_eq!(ETag::new("a\"b\r\n").to_string(), "\"ab\"");
    }
}
