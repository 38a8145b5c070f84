//! The rules of galleries: a name that is unique in the subscription, and what the service fills in.

use galerie_arm::{ArmError, GalleryName};
use serde_json::{Value, json};

use crate::resource::{
    document::{self, set, text},
    plan::{Plan, Unique, Write},
};

const PERMISSIONS: &str = "properties.sharingProfile.permissions";
const COMMUNITY_INFO: &str = "properties.sharingProfile.communityGalleryInfo";

/// Decides about a write to a gallery.
///
/// # Errors
/// A name that breaks the rule, a change of who may be shared with.
pub(crate) fn plan(write: Write<'_>) -> Result<Plan, ArmError> {
    let name: GalleryName = write.id.name_at(0)?;
    let subscription = write.id.subscription().map(|id| id.to_string()).unwrap_or_default();
    let mut document = write.document.clone();
    if let Some(stored) = write.stored() {
        hold_sharing_still(&mut document, stored)?;
    } else {
        publish_names(&mut document, write.uid)?;
    }
    set(
        &mut document,
        "properties.identifier",
        json!({ "uniqueName": format!("{subscription}-{}", name.as_str().to_uppercase()) }),
    );
    let unique = Unique {
        key: unique_key(&subscription, &name),
        taken: ArmError::gallery_name_not_unique(name.as_str(), &subscription),
    };
    Ok(Plan { unique: Some(unique), ..Plan::immediate(document) })
}

/// What is unique: the folded name in its subscription, whatever the group.
pub(crate) fn unique_key(subscription: &str, name: &GalleryName) -> String {
    format!("gallery:{}:{}", subscription.to_lowercase(), name.key())
}

/// `permissions` is chosen at creation; leaving it out says nothing. `Private` is what its absence means.
fn hold_sharing_still(document: &mut Value, stored: &Value) -> Result<(), ArmError> {
    document::keep(document, stored, "properties.sharingProfile");
    let of = |document: &Value| text(document, PERMISSIONS).unwrap_or("Private").to_owned();
    if !of(document).eq_ignore_ascii_case(&of(stored)) {
        return Err(ArmError::property_change_not_allowed(&format!("gallery.{PERMISSIONS}")));
    }
    for name in ["communityGalleryEnabled", "publicNames"] {
        if let Some(value) = document::at(stored, &format!("{COMMUNITY_INFO}.{name}")) {
            set(document, &format!("{COMMUNITY_INFO}.{name}"), value.clone());
        }
    }
    Ok(())
}

/// A community gallery gets its public name at creation; it is not published before it is enabled.
fn publish_names(document: &mut Value, uid: uuid::Uuid) -> Result<(), ArmError> {
    if !text(document, PERMISSIONS).is_some_and(|permissions| permissions.eq_ignore_ascii_case("Community")) {
        return Ok(());
    }
    let path = format!("{COMMUNITY_INFO}.publicNamePrefix");
    let prefix = document::required_text(document, &path)?;
    let shaped = (5..=16).contains(&prefix.len()) && prefix.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if !shaped {
        let message = "The public name prefix must have 5 to 16 characters, all of them letters and digits.";
        return Err(ArmError::invalid_parameter(&format!("gallery.{path}"), message));
    }
    let public_name = format!("{prefix}-{}", uid.as_hyphenated());
    set(document, &format!("{COMMUNITY_INFO}.communityGalleryEnabled"), false);
    set(document, &format!("{COMMUNITY_INFO}.publicNames"), json!([public_name]));
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::resource::testing::{GALLERY, Given};

    #[test]
    fn the_unique_name_is_filled_in() {
        let plan = plan(Given::new(GALLERY, json!({ "location": "eastus" })).write()).unwrap();
        let expected = format!("{}-MYGALLERY", crate::resource::testing::SUBSCRIPTION);
        assert_eq!(plan.document["properties"]["identifier"]["uniqueName"], expected);
        assert_eq!(plan.unique.unwrap().key, format!("gallery:{}:mygallery", crate::resource::testing::SUBSCRIPTION));
    }

    #[test]
    fn a_dash_is_refused() {
        let id = GALLERY.replace("myGallery", "my-gallery");
        let error = plan(Given::new(&id, json!({})).write()).unwrap_err();
        assert_eq!((error.status, error.target.as_deref()), (400, Some("galleryName")));
    }

    #[test]
    fn sharing_is_chosen_once() {
        let stored = json!({ "properties": { "sharingProfile": { "permissions": "Groups" } } });
        for (sent, expected) in [
            (json!({ "properties": {} }), Ok("Groups")),
            (json!({ "properties": { "sharingProfile": { "permissions": "groups" } } }), Ok("groups")),
            (json!({ "properties": { "sharingProfile": { "permissions": "Private" } } }), Err(409)),
        ] {
            let answer = plan(Given::new(GALLERY, sent.clone()).over(stored.clone()).write());
            let answer = answer.map_err(|error| error.status);
            let seen = answer.as_ref().map(|plan| text(&plan.document, PERMISSIONS).unwrap()).map_err(|status| *status);
            assert_eq!(seen, expected, "{sent}");
        }
    }

    #[test]
    fn a_community_gallery_has_a_public_name_from_the_start() {
        let body = json!({ "properties": { "sharingProfile": { "permissions": "Community",
            "communityGalleryInfo": { "publicNamePrefix": "prefix" } } } });
        let plan = plan(Given::new(GALLERY, body).write()).unwrap();
        let info = &plan.document["properties"]["sharingProfile"]["communityGalleryInfo"];
        assert_eq!(info["communityGalleryEnabled"], false);
        assert!(info["publicNames"][0].as_str().unwrap().starts_with("prefix-"));
    }
}
