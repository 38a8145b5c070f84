//! `--target-region eastus=2`.

use galerie_arm::Location;
use serde_json::{Value, json};

/// A region and how many replicas it gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TargetRegion {
    pub(crate) location: Location,
    pub(crate) replica_count: Option<u32>,
}

impl TargetRegion {
    pub(crate) fn document(&self) -> Value {
        match self.replica_count {
            Some(count) => json!({ "name": self.location.as_str(), "regionalReplicaCount": count }),
            None => json!({ "name": self.location.as_str() }),
        }
    }
}

impl std::str::FromStr for TargetRegion {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, count) = match text.split_once('=') {
            Some((name, count)) => (name, Some(count)),
            None => (text, None),
        };
        let location = Location::normalise(name).ok_or_else(|| format!("'{name}' is not a region's name"))?;
        let replica_count = count
            .map(|count| {
                count
                    .parse()
                    .ok()
                    .filter(|count| *count > 0)
                    .ok_or_else(|| format!("'{count}' is not a number of replicas"))
            })
            .transpose()?;
        Ok(Self { location, replica_count })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_come_with_and_without_a_count() {
        let parsed: TargetRegion = "East US=2".parse().unwrap();
        assert_eq!((parsed.location.as_str(), parsed.replica_count), ("eastus", Some(2)));
        assert_eq!("westeurope".parse::<TargetRegion>().unwrap().replica_count, None);
        for text in ["", "=2", "eastus=0", "eastus=x", "eastus="] {
            assert!(text.parse::<TargetRegion>().is_err(), "{text}");
        }
    }
}
