//! Lengths of time as people write them: `200ms`, `5s`, `10m`, `2h`, `8d`.

use std::{fmt, str::FromStr, time::Duration};

/// Longest that is taken: ten years.
const LONGEST: Duration = Duration::from_secs(3653 * 24 * 3600);

/// A length of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Span(pub(crate) Duration);

/// A text that is no length of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotASpan;

impl fmt::Display for NotASpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "a length of time is a whole number of ms, s, m, h or d, such as 200ms, 5s or 8d, and ten years at most",
        )
    }
}

impl std::error::Error for NotASpan {}

impl FromStr for Span {
    type Err = NotASpan;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let unit_ms: u64 = match unit {
            "ms" => 1,
            "s" => 1000,
            "m" => 60 * 1000,
            "h" => 3600 * 1000,
            "d" => 24 * 3600 * 1000,
            _ => return Err(NotASpan),
        };
        let number: u64 = number.parse().map_err(|_| NotASpan)?;
        let span = number.checked_mul(unit_ms).map(Duration::from_millis).ok_or(NotASpan)?;
        if span <= LONGEST { Ok(Self(span)) } else { Err(NotASpan) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read() {
        for (text, ms) in [
            ("200ms", Some(200)),
            ("0s", Some(0)),
            ("5s", Some(5000)),
            ("10m", Some(600_000)),
            ("2h", Some(7_200_000)),
            ("8d", Some(691_200_000)),
            ("3653d", Some(3653 * 86_400_000)),
            ("3654d", None),
            ("5", None),
            ("", None),
            ("s", None),
            ("-5s", None),
            ("1.5s", None),
            ("5 s", None),
            ("5S", None),
            ("99999999999999999999s", None),
            ("18446744073709551615d", None),
        ] {
            let found = text.parse::<Span>().ok().map(|span| span.0.as_millis());
            assert_eq!(found, ms, "{text}");
        }
    }
}
