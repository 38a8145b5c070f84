//! What new work leaves free, as the configuration says it.

use galerie_region::MinFreeSpace;
use serde::Deserialize;

use crate::size::Size;

/// What is kept free of a volume: `"20GiB"`, `"5%"`, or the smaller of both: `"5%, 10GiB"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct MinFree(pub(crate) MinFreeSpace);

impl TryFrom<String> for MinFree {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let invalid = || format!("\"{text}\" is neither a size such as \"20GiB\" nor a share such as \"5%\", nor both");
        let mut min = MinFreeSpace::default();
        for part in text.split(',').map(str::trim) {
            let is_second = match part.strip_suffix('%') {
                Some(percent) => {
                    let percent = percent.trim().parse().ok().filter(|percent| *percent < 100).ok_or_else(invalid)?;
                    min.percent.replace(percent).is_some()
                }
                None => min.bytes.replace(part.parse::<Size>().map_err(|_| invalid())?.0).is_some(),
            };
            if is_second {
                return Err(invalid());
            }
        }
        Ok(Self(min))
    }
}
