//! The rules of galleries: a name that is unique in the subscription, and what the service fills in.

pub(crate) mod identity;

use galerie_arm::{ArmError, GalleryName, gallery::SharingPermission};
use serde_json::Value;
use uuid::Uuid;

use self::identity::Offered;
use crate::{
    db::resource::ResourceRow,
    resource::{
        document::{self, set, text},
        plan::{Plan, Unique, Write},
    },
    sharing::{
        public_name,
        state::{COMMUNITY_INFO, PERMISSIONS, PROFILE, SharingState},
    },
    soft_delete::policy,
};

const UNIQUE_NAME: &str = "properties.identifier.uniqueName";
const PREFIX: &str = "publicNamePrefix";

/// Decides about a write to a gallery.
///
/// # Errors
/// A name that breaks the rule, a change of who may be shared with, an identity that it cannot have.
pub(crate) fn plan(write: Write<'_>, offered: Offered) -> Result<Plan, ArmError> {
    let name: GalleryName = write.id.name_at(0)?;
    let subscription = write.id.subscription().ok_or_else(|| write.id.not_found())?;
    let mut document = write.document.clone();
    match write.stored() {
        Some(stored) => {
            hold_sharing_still(&mut document, stored)?;
            // Who does not mention it does not mean to give it up.
            document::keep(&mut document, stored, policy::ENABLED);
        }
        None => begin_sharing(&mut document, write.uid)?,
    }
    policy::fill_in(&mut document)?;
    let effects = identity::fill_in(&mut document, &write, offered)?.into_iter().collect();
    set(&mut document, UNIQUE_NAME, galerie_arm::gallery::unique_name(subscription, &name));
    let subscription = subscription.to_string();
    let unique = Unique {
        key: unique_key(&subscription, &name),
        taken: ArmError::gallery_name_not_unique(name.as_str(), &subscription),
    };
    Ok(Plan { unique: Some(unique), effects, ..Plan::immediate(document) })
}

/// What is unique: the folded name in its subscription, whatever the group.
pub(crate) fn unique_key(subscription: &str, name: &GalleryName) -> String {
    format!("gallery:{}:{}", subscription.to_lowercase(), name.key())
}

/// `identifier.uniqueName`, by which consumers name a gallery that is shared with them.
pub(crate) fn unique_name_of(gallery: &ResourceRow) -> String {
    text(&gallery.document, UNIQUE_NAME).unwrap_or_default().to_owned()
}

/// How it may be shared is chosen now. Only a community gallery has something to tell about its publisher.
fn begin_sharing(document: &mut Value, uid: Uuid) -> Result<(), ArmError> {
    match SharingState::of(document).permissions() {
        SharingPermission::Community => public_name::fill_in(document, uid),
        _ if !document::same(document::at(document, COMMUNITY_INFO), None) => {
            let message = "communityGalleryInfo is for galleries whose sharingProfile.permissions is 'Community'.";
            Err(ArmError::invalid_parameter(&format!("gallery.{COMMUNITY_INFO}"), message))
        }
        _ => Ok(()),
    }
}

/// How it is shared is not a write's to change; leaving it out says nothing. `Private` is what its absence means. What a
/// community is told about the publisher may change, all but the names.
fn hold_sharing_still(document: &mut Value, stored: &Value) -> Result<(), ArmError> {
    let Some(sent) = document::at(document, PROFILE).cloned() else {
        document::keep(document, stored, PROFILE);
        return Ok(());
    };
    let of = |document: &Value| text(document, PERMISSIONS).map(str::to_lowercase);
    let kept = SharingState::of(stored).permissions();
    if of(document).is_some_and(|sent| !sent.eq_ignore_ascii_case(kept.as_str())) {
        return Err(ArmError::property_change_not_allowed(&format!("gallery.{PERMISSIONS}")));
    }
    let sent_info = document::at(&sent, "communityGalleryInfo").cloned();
    let sent_prefix = sent_info.as_ref().and_then(|info| text(info, PREFIX)).map(str::to_owned);
    let kept_prefix = text(stored, &format!("{COMMUNITY_INFO}.{PREFIX}"));
    if sent_prefix.is_some_and(|prefix| kept_prefix != Some(prefix.as_str())) {
        return Err(ArmError::property_change_not_allowed(&format!("gallery.{COMMUNITY_INFO}.{PREFIX}")));
    }
    let told = sent_info.filter(|info| !document::same(Some(info), None));
    set(document, PROFILE, document::at(stored, PROFILE).cloned().unwrap_or_default());
    match (told, kept) {
        (None, _) => {}
        (Some(info), SharingPermission::Community) => {
            for name in ["publisherUri", "publisherContact", "eula"] {
                if let Some(value) = document::at(&info, name) {
                    set(document, &format!("{COMMUNITY_INFO}.{name}"), value.clone());
                }
            }
        }
        (Some(_), _) => return Err(ArmError::property_change_not_allowed(&format!("gallery.{COMMUNITY_INFO}"))),
    }
    if document::at(document, PROFILE).is_none() {
        document::remove(document, PROFILE);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::resource::testing::{GALLERY, Given};

    fn plan(write: Write<'_>) -> Result<Plan, ArmError> {
        super::plan(write, Offered { principal: Uuid::from_u128(1), tenant: Uuid::from_u128(2) })
    }

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
            (json!({ "properties": { "sharingProfile": { "permissions": "groups" } } }), Ok("Groups")),
            (json!({ "properties": { "sharingProfile": { "permissions": "Private" } } }), Err(409)),
        ] {
            let answer = plan(Given::new(GALLERY, sent.clone()).over(stored.clone()).write());
            let answer = answer.map_err(|error| error.status);
            let seen = answer.as_ref().map(|plan| text(&plan.document, PERMISSIONS).unwrap()).map_err(|status| *status);
            assert_eq!(seen, expected, "{sent}");
        }
    }

    #[test]
    fn a_write_never_changes_how_a_gallery_is_shared() {
        let info = |more: &[(&str, &str)]| {
            let mut info = json!({ "publicNamePrefix": "prefix", "publicNames": ["prefix-1"],
                "communityGalleryEnabled": true, "eula": "old" });
            for (name, value) in more {
                info[*name] = (*value).into();
            }
            info
        };
        let community = |info: Value| json!({ "permissions": "Community", "communityGalleryInfo": info });
        let (private, groups) = (json!({ "permissions": "Private" }), json!({ "permissions": "Groups" }));
        let published = community(info(&[]));
        let none = Value::Null;
        let table = [
            (&none, &none, Ok(none.clone())),
            (&none, &private, Ok(none.clone())),
            (&none, &groups, Err("permissions")),
            (&none, &published, Err("permissions")),
            (&private, &none, Ok(private.clone())),
            (&private, &json!({ "permissions": "private" }), Ok(private.clone())),
            (&private, &groups, Err("permissions")),
            (&groups, &none, Ok(groups.clone())),
            (&groups, &groups, Ok(groups.clone())),
            (&groups, &private, Err("permissions")),
            (&groups, &json!({ "communityGalleryInfo": { "eula": "x" } }), Err("communityGalleryInfo")),
            (&published, &none, Ok(published.clone())),
            (&published, &published, Ok(published.clone())),
            (&published, &json!({ "permissions": "COMMUNITY" }), Ok(published.clone())),
            (&published, &private, Err("permissions")),
            (&published, &community(json!({ "eula": "new" })), Ok(community(info(&[("eula", "new")])))),
            (&published, &community(json!({ "publicNamePrefix": "other1" })), Err("publicNamePrefix")),
        ];
        for (stored, sent, expected) in table {
            let document = |profile: &Value| match profile {
                Value::Null => json!({ "properties": {} }),
                profile => json!({ "properties": { "sharingProfile": profile } }),
            };
            let answer = plan(Given::new(GALLERY, document(sent)).over(document(stored)).write());
            let answer = answer.map(|plan| plan.document["properties"]["sharingProfile"].clone());
            match (answer, expected) {
                (Ok(kept), Ok(expected)) => assert_eq!(kept, expected, "{stored} {sent}"),
                (Err(error), Err(property)) => {
                    assert_eq!((error.status, error.code.as_ref()), (409, "PropertyChangeNotAllowed"));
                    assert!(error.target.as_deref().is_some_and(|target| target.ends_with(property)), "{error:?}");
                }
                (answer, expected) => panic!("{stored} {sent}: {answer:?}, not {expected:?}"),
            }
        }
    }

    #[test]
    fn only_a_community_gallery_tells_about_its_publisher() {
        let body = json!({ "properties": { "sharingProfile": { "permissions": "Groups",
            "communityGalleryInfo": { "publicNamePrefix": "prefix" } } } });
        let error = plan(Given::new(GALLERY, body).write()).unwrap_err();
        assert_eq!((error.status, error.code.as_ref()), (400, "InvalidParameter"));
    }

    #[test]
    fn a_community_gallery_has_a_public_name_from_the_start() {
        let body = json!({ "properties": { "sharingProfile": { "permissions": "Community",
            "communityGalleryInfo": { "publicNamePrefix": "prefix" } } } });
        let plan = self::plan(Given::new(GALLERY, body).write()).unwrap();
        let info = &plan.document["properties"]["sharingProfile"]["communityGalleryInfo"];
        assert_eq!(info["communityGalleryEnabled"], false);
        assert!(info["publicNames"][0].as_str().unwrap().starts_with("prefix-"));
    }
}
