//! Sharing on the wire: what `POST share` takes, and the names of what is shared.
//!
//! A gallery is seen by its consumers under `/SharedGalleries/{unique name}` or `/CommunityGalleries/{public name}`: a
//! proxy, which has no ARM id.

use std::fmt;

use serde::Deserialize;

use crate::names::{DefinitionName, GalleryName, SubscriptionId, VersionName};
use crate::wire_enum::wire_enum;

wire_enum! {
    /// What `POST share` does.
    SharingOperation {
        Add = "Add",
        Remove = "Remove",
        Reset = "Reset",
        EnableCommunity = "EnableCommunity",
    }
}

wire_enum! {
    /// What a gallery can be shared with directly. (The specification's `Community` group is taken by nothing.)
    SharingGroupKind {
        Subscriptions = "Subscriptions",
        AadTenants = "AADTenants",
    }
}

/// The body of `POST share`, as it is sent.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SharingUpdate {
    /// What to do.
    pub operation_type: SharingOperation,
    /// With whom.
    #[serde(default)]
    pub groups: Vec<SharingGroup>,
}

/// One list of ids.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct SharingGroup {
    /// Of what the ids are.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// GUIDs, if they are right.
    pub ids: Vec<String>,
}

/// A gallery as consumers name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GalleryProxy {
    /// By its `identifier.uniqueName`: one that is shared with the viewer.
    Shared(String),
    /// By its public name: one that is published.
    Community(String),
}

impl GalleryProxy {
    /// The name in the path.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Shared(name) | Self::Community(name) => name,
        }
    }

    /// `identifier.uniqueId` of a definition.
    #[must_use]
    pub fn definition_id(&self, definition: &DefinitionName) -> String {
        format!("{self}/Images/{definition}")
    }

    /// `identifier.uniqueId` of a version.
    #[must_use]
    pub fn version_id(&self, definition: &DefinitionName, version: &VersionName) -> String {
        format!("{self}/Images/{definition}/Versions/{}", version.as_str())
    }
}

impl fmt::Display for GalleryProxy {
    /// `identifier.uniqueId` of the gallery.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shared(name) => write!(f, "/SharedGalleries/{name}"),
            Self::Community(name) => write!(f, "/CommunityGalleries/{name}"),
        }
    }
}

/// The subscription and the gallery that a unique name is made of, in any case; `None` when it is none.
#[must_use]
pub fn parse_unique_name(text: &str) -> Option<(SubscriptionId, GalleryName)> {
    /// A GUID with its dashes.
    const GUID_BYTES: usize = 36;
    let (subscription, rest) = text.split_at_checked(GUID_BYTES)?;
    Some((subscription.parse().ok()?, rest.strip_prefix('-')?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::gallery::unique_name;

    #[test]
    fn a_unique_name_leads_back_to_its_parts() {
        let (subscription, gallery) =
            ("f4662c1d-e072-46af-8700-b8ca2968ccab".parse().unwrap(), "my_Gallery.1".parse().unwrap());
        let (found, name) = parse_unique_name(&unique_name(subscription, &gallery)).unwrap();
        assert_eq!((found, name.key()), (subscription, gallery.key()));
        for bad in ["", "-", "f4662c1d-e072-46af-8700-b8ca2968ccab", "f4662c1d-e072-46af-8700-b8ca2968ccab-", "ä"] {
            assert_eq!(parse_unique_name(bad), None, "{bad}");
        }
        assert_eq!(parse_unique_name(&"ä".repeat(40)), None);
    }

    #[test]
    fn reads() {
        let update: SharingUpdate = serde_json::from_value(json!({
            "operationType": "Add", "groups": [{ "type": "AADTenants", "ids": ["x"] }, {}]
        }))
        .unwrap();
        assert_eq!(update.operation_type, SharingOperation::Add);
        assert_eq!(update.groups[0].kind.as_deref(), Some("AADTenants"));
        assert_eq!(update.groups[1], SharingGroup::default());
    }

    #[test]
    fn unique_ids_of_what_is_below() {
        let proxy = GalleryProxy::Community("prefix-1".to_owned());
        let (definition, version) = ("web".parse().unwrap(), "1.0.0".parse().unwrap());
        assert_eq!(proxy.definition_id(&definition), "/CommunityGalleries/prefix-1/Images/web");
        assert_eq!(proxy.version_id(&definition, &version), "/CommunityGalleries/prefix-1/Images/web/Versions/1.0.0");
    }
}
