//! Regions: `eastus2` inside and in `location`, `East US 2` where Azure shows display names (target regions).
//!
//! Any spelling is read (`East US 2`, `EastUS2`, `east-us-2` is another name). A configuration may define regions of its own,
//! with or without a display name; [`Locations`] is the set that a server offers.

mod azure;

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use crate::error::{ArmError, UnknownValue};

/// Longest region name, in characters.
const LONGEST_NAME_CHARS: usize = 64;

/// A region's normalised name: lower-case ASCII letters, digits, `-` and `_`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Location(Box<str>);

impl Location {
    /// Normalises any spelling: spaces go, letters become small. `None` when that leaves no name.
    #[must_use]
    pub fn normalise(text: &str) -> Option<Self> {
        let mut name = String::with_capacity(text.len().min(LONGEST_NAME_CHARS));
        for c in text.chars().filter(|c| *c != ' ') {
            let allowed = c.is_ascii_alphanumeric() || c == '-' || c == '_';
            if !allowed || name.len() >= LONGEST_NAME_CHARS {
                return None;
            }
            name.push(c.to_ascii_lowercase());
        }
        (!name.is_empty()).then(|| Self(name.into()))
    }

    /// The normalised name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Azure's display name of this region; the name itself when Azure has none.
    #[must_use]
    pub fn azure_display_name(&self) -> &str {
        azure::display_name(&self.0).unwrap_or(&self.0)
    }
}

impl FromStr for Location {
    type Err = UnknownValue;

    fn from_str(text: &str) -> Result<Self, UnknownValue> {
        Self::normalise(text).ok_or_else(|| UnknownValue::new("Location", text))
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The regions that a server offers, with their display names. Iterates in the order of names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Locations {
    display_names: BTreeMap<Location, String>,
}

impl Locations {
    /// The set of these regions; a display name of `None` is Azure's, or else the region's name.
    #[must_use]
    pub fn new(regions: impl IntoIterator<Item = (Location, Option<String>)>) -> Self {
        let with_display = |(location, display): (Location, Option<String>)| {
            let display = display.unwrap_or_else(|| location.azure_display_name().to_owned());
            (location, display)
        };
        Self { display_names: regions.into_iter().map(with_display).collect() }
    }

    /// The offered region that `text` means, by name or by display name, in any spelling.
    #[must_use]
    pub fn find(&self, text: &str) -> Option<&Location> {
        let by_name = Location::normalise(text).and_then(|name| self.display_names.get_key_value(&name));
        let by_display = || self.display_names.iter().find(|(_, display)| same_display(display, text));
        by_name.or_else(by_display).map(|(location, _)| location)
    }

    /// Like [`Locations::find`], for a `location` property of `resource_type`.
    ///
    /// # Errors
    /// `LocationNotAvailableForResourceType` with the regions there are.
    pub fn require(&self, text: &str, resource_type: &str) -> Result<&Location, ArmError> {
        self.find(text).ok_or_else(|| {
            let offered: Vec<&str> = self.display_names.keys().map(Location::as_str).collect();
            ArmError::location_not_available(text, resource_type, &offered)
        })
    }

    /// What to show for a region; also for one that is not offered any more.
    #[must_use]
    pub fn display_name<'a>(&'a self, location: &'a Location) -> &'a str {
        self.display_names.get(location).map_or_else(|| location.azure_display_name(), String::as_str)
    }

    /// Every region with its display name.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&Location, &str)> {
        self.display_names.iter().map(|(location, display)| (location, display.as_str()))
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.display_names.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.display_names.is_empty()
    }
}

/// Whether two display names are the same but for case and spaces.
fn same_display(display: &str, text: &str) -> bool {
    let folded =
        |text: &str| text.chars().filter(|c| !c.is_whitespace()).flat_map(char::to_lowercase).collect::<String>();
    text.len() <= LONGEST_NAME_CHARS * 4 && folded(display) == folded(text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn location(text: &str) -> Location {
        Location::normalise(text).expect("a name")
    }

    #[test]
    fn any_spelling_is_one_region() {
        for text in ["East US 2", "eastus2", "EastUS2", " EAST us 2 "] {
            assert_eq!(location(text).as_str(), "eastus2");
            assert_eq!(location(text).azure_display_name(), "East US 2");
        }
        for text in ["", "  ", "east/us", "öst", &"x".repeat(65)] {
            assert_eq!(Location::normalise(text), None, "{text}");
        }
    }

    #[test]
    fn own_regions_have_own_display_names() {
        let offered = Locations::new([
            (location("eastus"), None),
            (location("muc-1"), Some("Werk München".to_owned())),
            (location("lab"), None),
        ]);
        assert_eq!(offered.find("werk münchen").map(Location::as_str), Some("muc-1"));
        assert_eq!(offered.display_name(&location("MUC-1")), "Werk München");
        assert_eq!(offered.display_name(&location("lab")), "lab");
        assert_eq!(offered.display_name(&location("East US")), "East US");
        assert_eq!(offered.display_name(&location("gone")), "gone");
        let error = offered.require("westus", "Microsoft.Compute/galleries").unwrap_err();
        assert!(error.message.contains("'eastus,lab,muc-1'"), "{}", error.message);
    }

    #[test]
    fn azures_table_agrees_with_the_rule() {
        for (name, display) in azure::REGIONS {
            assert_eq!(location(display).as_str(), *name);
        }
        let mut names: Vec<_> = azure::REGIONS.iter().map(|(name, _)| name).collect();
        names.dedup();
        assert_eq!(names.len(), azure::REGIONS.len());
    }

    proptest! {
        #[test]
        fn normalising_twice_changes_nothing(text in ".{0,80}") {
            if let Some(once) = Location::normalise(&text) {
                prop_assert_eq!(Location::normalise(once.as_str()), Some(once));
            }
        }
    }
}
