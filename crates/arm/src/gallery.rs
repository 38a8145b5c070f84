//! The gallery's document.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::document::Document;
use crate::names::{GalleryName, SubscriptionId};
use crate::provisioning_state::ProvisioningState;
use crate::resource_id::ResourceType;
use crate::wire_enum::wire_enum;

wire_enum! {
    /// How a gallery may be shared, besides by roles. Chosen when it is made.
    SharingPermission {
        Private = "Private",
        Groups = "Groups",
        Community = "Community",
    }
}

/// A gallery, as far as rules look at it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Gallery {
    /// The region, in any spelling.
    pub location: Option<String>,
    /// Tags.
    pub tags: BTreeMap<String, String>,
    /// The rest.
    pub properties: GalleryProperties,
}

/// A gallery's properties.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GalleryProperties {
    /// Free text; may be changed.
    pub description: Option<String>,
    /// Where the gallery is in its life.
    pub provisioning_state: Option<ProvisioningState>,
    /// Sharing, if it is used.
    pub sharing_profile: Option<SharingProfile>,
    /// Soft deletion, if it is used.
    pub soft_delete_policy: Option<SoftDeletePolicy>,
}

/// How the gallery is shared.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SharingProfile {
    /// Absent means [`SharingPermission::Private`].
    pub permissions: Option<SharingPermission>,
    /// What a community gallery tells about its publisher.
    pub community_gallery_info: Option<CommunityGalleryInfo>,
}

/// What a community gallery tells about its publisher.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CommunityGalleryInfo {
    /// The publisher's web page.
    pub publisher_uri: Option<String>,
    /// The publisher's mail address or page.
    pub publisher_contact: Option<String>,
    /// Licence terms.
    pub eula: Option<String>,
    /// What the public name begins with: 5 to 16 letters and digits.
    pub public_name_prefix: Option<String>,
}

/// Whether deleted versions can come back.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SoftDeletePolicy {
    /// Absent means no.
    pub is_soft_delete_enabled: Option<bool>,
    /// How long a deleted version can be restored, in days.
    pub retention_period_in_days: Option<i64>,
    /// How long it can still be recovered after that, in days.
    pub grace_period_in_days: Option<i64>,
}

impl Document for Gallery {
    const TYPE: ResourceType = ResourceType::Gallery;
}

/// `identifier.uniqueName`: the subscription and the name in capitals.
#[must_use]
pub fn unique_name(subscription: SubscriptionId, gallery: &GalleryName) -> String {
    format!("{subscription}-{}", gallery.as_str().to_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn reads() {
        let gallery = Gallery::read(&json!({
            "location": "East US", "tags": { "a": "b" },
            "properties": { "description": "", "sharingProfile": { "permissions": "Groups" }, "identifier": {} }
        }))
        .unwrap();
        assert_eq!(gallery.properties.sharing_profile.unwrap().permissions, Some(SharingPermission::Groups));
        assert_eq!(gallery.properties.description.as_deref(), Some(""));
    }

    #[test]
    fn unique_names_shout() {
        let subscription = "f4662c1d-e072-46af-8700-b8ca2968ccab".parse().unwrap();
        let name = unique_name(subscription, &"my_Gallery".parse().unwrap());
        assert_eq!(name, "f4662c1d-e072-46af-8700-b8ca2968ccab-MY_GALLERY");
    }
}
