//! `x-ms-range` and `Range`: `bytes=first-last` or `bytes=first-`.

use std::ops::Range;

use axum::http::HeaderMap;

use super::error::Refusal;

/// The range as it was asked for: first byte, and last byte if it was named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) first: u64,
    pub(super) last: Option<u64>,
}

/// The request's range; `x-ms-range` wins over `Range`, as in storage. `None` when neither is there.
///
/// # Errors
/// `InvalidHeaderValue` for another form: suffixes and several ranges are not storage's.
pub(super) fn asked(headers: &HeaderMap) -> Result<Option<Asked>, Refusal> {
    let found = ["x-ms-range", "range"].into_iter().find_map(|name| Some((name, headers.get(name)?)));
    let Some((name, value)) = found else { return Ok(None) };
    value.to_str().ok().and_then(parse).map(Some).ok_or_else(|| Refusal::header(name))
}

fn parse(text: &str) -> Option<Asked> {
    let (first, last) = text.trim().strip_prefix("bytes=")?.split_once('-')?;
    let number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten();
    let first = number(first)?;
    let last = if last.is_empty() { None } else { Some(number(last)?) };
    last.is_none_or(|last| first <= last).then_some(Asked { first, last })
}

impl Asked {
    /// The range within a blob of `length_bytes`, its end cut to the blob's.
    ///
    /// # Errors
    /// `InvalidRange` when it begins at or after the end.
    pub(super) fn within(self, length_bytes: u64) -> Result<Range<u64>, Refusal> {
        if self.first >= length_bytes {
            return Err(Refusal::Range(length_bytes));
        }
        let end = self.last.map_or(length_bytes, |last| last.saturating_add(1).min(length_bytes));
        Ok(self.first..end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        for (text, expected) in [
            ("bytes=0-511", Some((0, Some(511)))),
            ("bytes=512-", Some((512, None))),
            (" bytes=0-0 ", Some((0, Some(0)))),
            ("bytes=-5", None),
            ("bytes=5-4", None),
            ("bytes=0-1,2-3", None),
            ("items=0-1", None),
            ("bytes=+0-1", None),
            ("bytes=0-99999999999999999999", None),
            ("", None),
        ] {
            assert_eq!(parse(text), expected.map(|(first, last)| Asked { first, last }), "{text}");
        }
    }

    #[test]
    fn within_a_blob() {
        let asked = |first, last| Asked { first, last };
        assert_eq!(asked(0, None).within(10).ok(), Some(0..10));
        assert_eq!(asked(3, Some(u64::MAX)).within(10).ok(), Some(3..10));
        assert_eq!(asked(3, Some(3)).within(10).ok(), Some(3..4));
        assert!(asked(10, None).within(10).is_err());
        assert!(asked(0, None).within(0).is_err());
    }
}
