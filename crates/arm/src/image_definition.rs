//! The image definition's document: what its versions have in common.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::document::Document;
use crate::error::{ArmError, quoted};
use crate::provisioning_state::ProvisioningState;
use crate::resource_id::ResourceType;
use crate::wire_enum::wire_enum;

wire_enum! {
    /// The operating system.
    OsType {
        Windows = "Windows",
        Linux = "Linux",
    }
}

wire_enum! {
    /// Whether the system still has its machine's identity.
    OsState {
        Generalized = "Generalized",
        Specialized = "Specialized",
    }
}

wire_enum! {
    /// The virtual machine's firmware: BIOS (V1) or UEFI (V2).
    HyperVGeneration {
        V1 = "V1",
        V2 = "V2",
    }
}

wire_enum! {
    /// The processor.
    Architecture {
        X64 = "x64",
        Arm64 = "Arm64",
    }
}

/// A definition, as far as rules look at it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ImageDefinition {
    /// The region, in any spelling.
    pub location: Option<String>,
    /// Tags.
    pub tags: BTreeMap<String, String>,
    /// The rest.
    pub properties: ImageDefinitionProperties,
}

/// A definition's properties.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ImageDefinitionProperties {
    /// Required, immutable.
    pub os_type: Option<OsType>,
    /// Required, immutable.
    pub os_state: Option<OsState>,
    /// Immutable.
    #[serde(rename = "hyperVGeneration")]
    pub hyper_v_generation: Option<HyperVGeneration>,
    /// Immutable.
    pub architecture: Option<Architecture>,
    /// Required, immutable, unique in the gallery.
    pub identifier: Option<Identifier>,
    /// May be changed only with `allow_update_image`.
    pub features: Option<Vec<Feature>>,
    /// Whether `features` may be changed.
    pub allow_update_image: Option<bool>,
    /// What a machine should have.
    pub recommended: Option<Recommended>,
    /// When the image is out of date; must be in the future when it is set.
    pub end_of_life_date: Option<String>,
    /// Where the definition is in its life.
    pub provisioning_state: Option<ProvisioningState>,
}

/// Who publishes what.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Identifier {
    /// Up to 128 characters.
    pub publisher: String,
    /// Up to 64 characters.
    pub offer: String,
    /// Up to 64 characters.
    pub sku: String,
}

/// A named value, such as `SecurityType` = `TrustedLaunch`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Feature {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
    /// The first version that it holds for.
    pub starts_at_version: Option<String>,
}

/// What a machine should have.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Recommended {
    /// How many processors.
    #[serde(rename = "vCPUs")]
    pub vcpus: Option<Range>,
    /// How much memory, in GB.
    pub memory: Option<Range>,
}

/// Least and most; either may be absent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Range {
    /// At least this much.
    pub min: Option<i32>,
    /// At most this much.
    pub max: Option<i32>,
}

impl Document for ImageDefinition {
    const TYPE: ResourceType = ResourceType::ImageDefinition;
}

impl Identifier {
    const LONGEST_PUBLISHER_CHARS: usize = 128;
    const LONGEST_OFFER_CHARS: usize = 64;
    const LONGEST_SKU_CHARS: usize = 64;

    /// Checks lengths and characters: letters, digits, `-`, `.`, `_`, not ending in `.`.
    ///
    /// # Errors
    /// `InvalidParameter` naming the part.
    pub fn check(&self) -> Result<(), ArmError> {
        for (name, value, longest) in [
            ("publisher", &self.publisher, Self::LONGEST_PUBLISHER_CHARS),
            ("offer", &self.offer, Self::LONGEST_OFFER_CHARS),
            ("sku", &self.sku, Self::LONGEST_SKU_CHARS),
        ] {
            let target = format!("galleryImage.properties.identifier.{name}");
            if value.is_empty() {
                let message = format!("Required parameter '{name}' is missing (null).");
                return Err(ArmError::invalid_parameter(&target, message));
            }
            let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
            if value.chars().count() > longest || !value.chars().all(allowed) || value.ends_with('.') {
                let message = format!(
                    "The value '{}' of parameter {name} is invalid. It must have 1 to {longest} letters, digits, dashes, \
                     periods or underscores and must not end with a period.",
                    quoted(value)
                );
                return Err(ArmError::invalid_parameter(&target, message));
            }
        }
        Ok(())
    }

    /// The folded triplet, unique in a gallery: parts cannot contain the slash between them.
    #[must_use]
    pub fn key(&self) -> String {
        format!("{}/{}/{}", self.publisher, self.offer, self.sku).to_lowercase()
    }
}

impl Range {
    /// Checks that least is not above most and neither is below 1.
    ///
    /// # Errors
    /// `InvalidParameter` naming `parameter`.
    pub fn check(self, parameter: &str) -> Result<(), ArmError> {
        for (bound, value) in [("min", self.min), ("max", self.max)] {
            if let Some(value) = value.filter(|value| *value < 1) {
                let parameter = format!("{parameter}.{bound}");
                return Err(ArmError::out_of_range(&parameter, i64::from(value), 1, i64::from(i32::MAX)));
            }
        }
        match (self.min, self.max) {
            (Some(min), Some(max)) if min > max => {
                let message = format!(
                    "The minimum value of {parameter} must not be greater than the maximum value of {parameter}."
                );
                Err(ArmError::invalid_parameter(parameter, message))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn reads() {
        let definition = ImageDefinition::read(&json!({
            "location": "eastus",
            "properties": {
                "osType": "Linux", "osState": "Generalized", "hyperVGeneration": "V2", "architecture": "x64",
                "identifier": { "publisher": "P", "offer": "O", "sku": "S" },
                "recommended": { "vCPUs": { "min": 1, "max": 16 }, "memory": {} },
                "features": [{ "name": "SecurityType", "value": "TrustedLaunch" }]
            }
        }))
        .unwrap();
        let properties = definition.properties;
        assert_eq!(properties.architecture, Some(Architecture::X64));
        assert_eq!(properties.identifier.unwrap().key(), "p/o/s");
        assert_eq!(properties.recommended.unwrap().vcpus.unwrap().max, Some(16));
    }

    #[test]
    fn identifiers_and_ranges() {
        let identifier =
            |publisher: &str| Identifier { publisher: publisher.into(), offer: "o".into(), sku: "s".into() };
        assert!(identifier("my.Publisher-1").check().is_ok());
        for bad in ["", "a.", "a b", "ä", &"x".repeat(129)] {
            assert_eq!(identifier(bad).check().unwrap_err().code, "InvalidParameter", "{bad}");
        }
        let range = |min, max| Range { min, max }.check("vCPUs");
        assert!(range(Some(1), Some(1)).is_ok() && range(None, None).is_ok());
        assert!(range(Some(2), Some(1)).is_err() && range(Some(0), None).is_err());
    }
}
