//! The `api-version` of a request: a date, perhaps a preview of one.
//!
//! Every date is accepted (clients pin very different ones at once); [`crate::schema`] maps it to the shape we know.

use std::fmt;
use std::str::FromStr;

use crate::error::ArmError;

/// `YYYY-MM-DD` or `YYYY-MM-DD-preview`. Ordered by date; a preview comes before the version of the same date.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ApiVersion {
    year: u16,
    month: u8,
    day: u8,
    stable: bool,
}

/// The longest spelling there is; longer text is refused before it is looked at.
const LONGEST_TEXT_BYTES: usize = "2024-03-03-preview".len();

impl ApiVersion {
    /// A stable version of a day. For constants: the date is not checked.
    #[must_use]
    pub const fn stable(year: u16, month: u8, day: u8) -> Self {
        Self { year, month, day, stable: true }
    }

    /// Whether this is a preview.
    #[must_use]
    pub const fn is_preview(self) -> bool {
        !self.stable
    }

    /// Reads the query parameter of a request to `resource_type` (named in the error, such as `galleries/images`).
    ///
    /// # Errors
    /// `MissingApiVersionParameter` when it is absent or empty, `InvalidApiVersionParameter` when it is no version.
    pub fn from_query(value: Option<&str>) -> Result<Self, ArmError> {
        match value.map(str::trim) {
            None | Some("") => Err(ArmError::missing_api_version()),
            Some(text) => text.parse(),
        }
    }

    fn parse_text(text: &str) -> Option<Self> {
        if text.len() > LONGEST_TEXT_BYTES || !text.is_ascii() {
            return None;
        }
        let (date, suffix) = text.split_at_checked(10)?;
        let stable = match suffix {
            "" => true,
            _ if suffix.eq_ignore_ascii_case("-preview") => false,
            _ => return None,
        };
        let bytes = date.as_bytes();
        let digits_are_digits = bytes.iter().enumerate().all(|(at, byte)| matches!(at, 4 | 7) || byte.is_ascii_digit());
        if !digits_are_digits || bytes[4] != b'-' || bytes[7] != b'-' {
            return None;
        }
        let (year, month, day) = (date[..4].parse().ok()?, date[5..7].parse().ok()?, date[8..].parse().ok()?);
        let calendar_month = time::Month::try_from(month).ok()?;
        time::Date::from_calendar_date(i32::from(year), calendar_month, day).ok()?;
        Some(Self { year, month, day, stable })
    }
}

impl FromStr for ApiVersion {
    type Err = ArmError;

    fn from_str(text: &str) -> Result<Self, ArmError> {
        Self::parse_text(text).ok_or_else(|| ArmError::invalid_api_version(text))
    }
}

impl fmt::Display for ApiVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.year, self.month, self.day)?;
        if self.stable { Ok(()) } else { f.write_str("-preview") }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn refuses_what_is_no_date() {
        let month_13 = "2024-13-01";
        for text in [
            "",
            "2024",
            "2024-3-3",
            month_13,
            "2023-02-29",
            "2024-03-03-",
            "2024-03-03-beta",
            "２024-03-03",
            "+024-03-03",
        ] {
            assert_eq!(text.parse::<ApiVersion>().unwrap_err().code, "InvalidApiVersionParameter", "{text}");
        }
        assert_eq!(ApiVersion::from_query(None).unwrap_err().code, "MissingApiVersionParameter");
        assert_eq!(ApiVersion::from_query(Some("")).unwrap_err().code, "MissingApiVersionParameter");
    }

    #[test]
    fn a_preview_comes_before_its_version() {
        let preview: ApiVersion = "2024-03-03-preview".parse().unwrap();
        assert!(preview.is_preview());
        assert!(preview < ApiVersion::stable(2024, 3, 3));
        assert!(preview > ApiVersion::stable(2024, 3, 2));
    }

    proptest! {
        #[test]
        fn spelling_round_trips_and_orders_like_text(a in 0_i32..900_000, b in 0_i32..900_000, preview: bool) {
            let text = |day: i32| {
                let date = time::Date::from_julian_day(1_721_426 + day).unwrap();
                format!("{:04}-{:02}-{:02}", date.year(), u8::from(date.month()), date.day())
            };
            let (first, second): (ApiVersion, ApiVersion) = (text(a).parse().unwrap(), text(b).parse().unwrap());
            prop_assert_eq!(first.cmp(&second), text(a).cmp(&text(b)));
            let spelled = if preview { format!("{first}-preview") } else { first.to_string() };
            prop_assert_eq!(spelled.parse::<ApiVersion>().unwrap().to_string(), spelled);
        }

        #[test]
        fn any_text_is_answered(text in ".{0,40}") {
            let _ = text.parse::<ApiVersion>();
        }
    }
}
