//! Serialises types that have a spelling as that text, and reads them back by their own rules.

/// Implements `Serialize` by `Display` and `Deserialize` by `FromStr`.
macro_rules! serde_as_text {
    ($($name:ty),+ $(,)?) => {
        $(
            impl serde::Serialize for $name {
                fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                    serializer.collect_str(self)
                }
            }

            impl<'de> serde::Deserialize<'de> for $name {
                fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                    let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                    text.parse().map_err(serde::de::Error::custom)
                }
            }
        )+
    };
}

use crate::api_version::ApiVersion;
use crate::location::Location;
use crate::names::{
    DefinitionName, DiskName, GalleryName, ManagedImageName, ResourceGroupName, SnapshotName, SubscriptionId,
    VersionName,
};
use crate::resource_id::ResourceId;

serde_as_text!(
    ApiVersion,
    DefinitionName,
    DiskName,
    GalleryName,
    Location,
    ManagedImageName,
    ResourceGroupName,
    ResourceId,
    SnapshotName,
    SubscriptionId,
    VersionName,
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_round_trip() {
        let name: GalleryName = serde_json::from_str("\"My_Gallery\"").unwrap();
        assert_eq!(serde_json::to_string(&name).unwrap(), "\"My_Gallery\"");
        assert!(serde_json::from_str::<GalleryName>("\"my-gallery\"").is_err());
        let version: VersionName = serde_json::from_str("\"1.02.0\"").unwrap();
        assert_eq!(serde_json::to_string(&version).unwrap(), "\"1.02.0\"");
        assert_eq!(serde_json::from_str::<Location>("\"East US 2\"").unwrap().as_str(), "eastus2");
    }
}
