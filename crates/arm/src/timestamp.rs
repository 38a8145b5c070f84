//! Points in time on the wire: RFC 3339 text in documents, milliseconds since 1970 (UTC) inside.

use time::format_description::well_known::{Iso8601, Rfc3339};
use time::{Date, OffsetDateTime, PrimitiveDateTime};

/// Text longer than this is no time and is not looked at.
const LONGEST_TEXT_BYTES: usize = 64;

/// Formats milliseconds since 1970 as Compute does: `2019-03-29T07:28:47.266+00:00`. Out of range (before year 1 or after
/// 9999) is answered with the nearest end of the range.
#[must_use]
pub fn format_ms(unix_ms: i64) -> String {
    const YEAR_9999_MS: i64 = 253_402_300_799_999;
    const YEAR_1_MS: i64 = -62_135_596_800_000;
    let clamped_ms = unix_ms.clamp(YEAR_1_MS, YEAR_9999_MS);
    let moment = OffsetDateTime::from_unix_timestamp_nanos(i128::from(clamped_ms) * 1_000_000)
        .expect("clamped to the years that the calendar has");
    let (year, month, day) = (moment.year(), u8::from(moment.month()), moment.day());
    let (hour, minute, second, milli) = (moment.hour(), moment.minute(), moment.second(), moment.millisecond());
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}+00:00")
}

/// Reads a date (`2050-07-01`) or a date and time, with or without an offset (none means UTC). `None` when it is neither.
#[must_use]
pub fn parse_ms(text: &str) -> Option<i64> {
    let text = text.trim();
    if text.len() > LONGEST_TEXT_BYTES {
        return None;
    }
    let moment = OffsetDateTime::parse(text, &Rfc3339)
        .or_else(|_| OffsetDateTime::parse(text, &Iso8601::DEFAULT))
        .or_else(|_| PrimitiveDateTime::parse(text, &Iso8601::DEFAULT).map(PrimitiveDateTime::assume_utc))
        .or_else(|_| Date::parse(text, &Iso8601::DEFAULT).map(|date| date.midnight().assume_utc()))
        .ok()?;
    i64::try_from(moment.unix_timestamp_nanos().div_euclid(1_000_000)).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_what_clients_send() {
        assert_eq!(parse_ms("1970-01-02"), Some(86_400_000));
        assert_eq!(parse_ms("1970-01-01T00:00:01Z"), Some(1000));
        assert_eq!(parse_ms("1970-01-01T01:00:00+01:00"), Some(0));
        assert_eq!(parse_ms("1970-01-01T00:00:00.25"), Some(250));
        assert_eq!(parse_ms("2019-03-29T07:28:47.2665486+00:00"), Some(1_553_844_527_266));
        for text in ["", "soon", "2024-02-30", "2024-01-01T25:00:00Z"] {
            assert_eq!(parse_ms(text), None, "{text}");
        }
    }

    #[test]
    fn far_away_is_clamped() {
        assert!(format_ms(i64::MAX).starts_with("9999-12-31T23:59:59.999"));
        assert!(format_ms(i64::MIN).starts_with("0001-01-01T00:00:00.000"));
    }

    proptest! {
        #[test]
        fn round_trips(unix_ms in -62_135_596_800_000_i64..253_402_300_799_999) {
            prop_assert_eq!(parse_ms(&format_ms(unix_ms)), Some(unix_ms));
        }
    }
}
