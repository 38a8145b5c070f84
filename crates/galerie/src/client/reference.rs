//! References that people write: `GALLERY/DEFINITION/VERSION`, or a full ARM id.
//!
//! A gallery's name is unique in its subscription, so the group need not be said: it is looked up.

use galerie_arm::{
    DefinitionName, GalleryName, ResourceGroupName, ResourceId, ResourceType, SubscriptionId, VersionName,
};
use serde_json::Value;

use super::{Client, Error, Result};

/// A gallery, as written.
#[derive(Debug, Clone)]
pub(crate) struct GalleryReference {
    subscription: Option<SubscriptionId>,
    group: Option<ResourceGroupName>,
    pub(crate) gallery: GalleryName,
}

/// A definition, as written.
#[derive(Debug, Clone)]
pub(crate) struct DefinitionReference {
    pub(crate) gallery: GalleryReference,
    pub(crate) definition: DefinitionName,
}

/// A version, as written; `None` means `latest`.
#[derive(Debug, Clone)]
pub(crate) struct VersionReference {
    pub(crate) definition: DefinitionReference,
    pub(crate) version: Option<VersionName>,
}

/// The parts of a reference, before the group is known.
struct Parts<'a> {
    subscription: Option<SubscriptionId>,
    group: Option<ResourceGroupName>,
    names: Vec<&'a str>,
}

/// Takes a reference apart into `count` names. `form` is how it is written, for the message.
fn parts<'a>(
    text: &'a str,
    resource_type: ResourceType,
    id: &'a mut Option<ResourceId>,
    form: &str,
) -> Result<Parts<'a>, String> {
    let count = form.split('/').count();
    if !text.starts_with('/') {
        let names: Vec<_> = text.split('/').collect();
        return match names.len() == count {
            true => Ok(Parts { subscription: None, group: None, names }),
            false => Err(format!("'{text}' is not {form}, nor an ARM id")),
        };
    }
    let parsed = ResourceId::parse(text, "reference").map_err(|error| error.message)?;
    if parsed.resource_type() != Some(resource_type) {
        return Err(format!("'{text}' is the id of something else than {form}"));
    }
    let parsed = id.insert(parsed);
    Ok(Parts {
        subscription: parsed.subscription(),
        group: parsed.group().cloned(),
        names: parsed.chain().map(|(_, name)| name).collect(),
    })
}

/// Takes a reference apart into its gallery and all names, the gallery's first. `form` as for [`parts`].
pub(super) fn gallery_and_names(
    text: &str,
    resource_type: ResourceType,
    form: &str,
) -> Result<(GalleryReference, Vec<String>), String> {
    let mut id = None;
    let Parts { subscription, group, names } = parts(text, resource_type, &mut id, form)?;
    let gallery = GalleryReference { subscription, group, gallery: name(names[0])? };
    Ok((gallery, names.into_iter().map(str::to_owned).collect()))
}

/// A name, with the rule that it breaks as the message.
pub(super) fn name<N: std::str::FromStr<Err = galerie_arm::ArmError>>(text: &str) -> Result<N, String> {
    text.parse().map_err(|error: galerie_arm::ArmError| error.message)
}

/// A version's number.
fn version_name(text: &str) -> Result<VersionName, String> {
    name(text).map_err(|rule: String| format!("{rule} Or it is `latest`."))
}

impl std::str::FromStr for GalleryReference {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut id = None;
        let Parts { subscription, group, names } = parts(text, ResourceType::Gallery, &mut id, "GALLERY")?;
        Ok(Self { subscription, group, gallery: name(names[0])? })
    }
}

impl std::str::FromStr for DefinitionReference {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut id = None;
        let Parts { subscription, group, names } =
            parts(text, ResourceType::ImageDefinition, &mut id, "GALLERY/DEFINITION")?;
        let gallery = GalleryReference { subscription, group, gallery: name(names[0])? };
        Ok(Self { gallery, definition: name(names[1])? })
    }
}

impl std::str::FromStr for VersionReference {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut id = None;
        let Parts { subscription, group, names } =
            parts(text, ResourceType::ImageVersion, &mut id, "GALLERY/DEFINITION/VERSION")?;
        let gallery = GalleryReference { subscription, group, gallery: name(names[0])? };
        let definition = DefinitionReference { gallery, definition: name(names[1])? };
        let version = if names[2].eq_ignore_ascii_case("latest") { None } else { Some(version_name(names[2])?) };
        Ok(Self { definition, version })
    }
}

impl std::fmt::Display for VersionReference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let version = self.version.as_ref().map_or("latest", VersionName::as_str);
        write!(f, "{}/{}/{version}", self.definition.gallery.gallery, self.definition.definition)
    }
}

impl GalleryReference {
    /// The gallery's id: in the group that was said, or in the one where it is found.
    ///
    /// # Errors
    /// `GalleryNotListed` when no gallery of the subscription that the caller may list has the name.
    pub(crate) async fn resolve(&self, client: &Client, group: Option<&ResourceGroupName>) -> Result<ResourceId> {
        let not_listed = || Error::GalleryNotListed { gallery: self.gallery.to_string() };
        match self.find(client, group).await {
            Ok(found) => found.ok_or_else(not_listed),
            // The list is all that was asked for so far.
            Err(error) if error.is_forbidden() => Err(not_listed()),
            Err(error) => Err(error),
        }
    }

    /// As [`GalleryReference::resolve`]; `None` when it has to be looked for and is not there.
    pub(crate) async fn find(&self, client: &Client, group: Option<&ResourceGroupName>) -> Result<Option<ResourceId>> {
        let subscription = self.subscription.unwrap_or(SubscriptionId::new(client.profile().subscription_id));
        if let Some(group) = self.group.as_ref().or(group) {
            return Ok(Some(ResourceId::of_gallery(subscription, group, &self.gallery)));
        }
        let galleries =
            client.list(&format!("{}/providers/Microsoft.Compute/galleries", client.subscription_path())).await?;
        let ids = galleries.iter().filter_map(|gallery| gallery.get("id").and_then(Value::as_str));
        for id in ids {
            let id = ResourceId::parse(id, "id").map_err(|error| Error::nonsense("list galleries", error.message))?;
            if id.name_at::<GalleryName>(0).is_ok_and(|name| name == self.gallery) {
                return Ok(Some(id));
            }
        }
        Ok(None)
    }
}

impl DefinitionReference {
    /// The definition's id.
    ///
    /// # Errors
    /// As [`GalleryReference::resolve`].
    pub(crate) async fn resolve(&self, client: &Client, group: Option<&ResourceGroupName>) -> Result<ResourceId> {
        Ok(self.of(&self.gallery.resolve(client, group).await?))
    }

    /// The definition's id in this gallery.
    pub(crate) fn of(&self, gallery: &ResourceId) -> ResourceId {
        child(gallery, "images", self.definition.as_str())
    }
}

impl VersionReference {
    /// The version's id; ends in `latest` when that was asked for.
    ///
    /// # Errors
    /// As [`GalleryReference::resolve`].
    pub(crate) async fn resolve(&self, client: &Client, group: Option<&ResourceGroupName>) -> Result<String> {
        let definition = self.definition.resolve(client, group).await?;
        let version = self.version.as_ref().map_or("latest", VersionName::as_str);
        Ok(format!("{definition}/versions/{version}"))
    }

    /// The id of a version that was named.
    ///
    /// # Errors
    /// `Invalid` when `latest` was asked for where a name is needed.
    pub(crate) async fn resolve_named(&self, client: &Client, group: Option<&ResourceGroupName>) -> Result<ResourceId> {
        let definition = self.definition.resolve(client, group).await?;
        match &self.version {
            Some(version) => Ok(child(&definition, "versions", version.as_str())),
            None => Err(Error::Invalid(format!("{self} is not one version: name it by its number"))),
        }
    }
}

/// The id of a child whose name was parsed.
pub(super) fn child(parent: &ResourceId, collection: &str, name: &str) -> ResourceId {
    let text = format!("{parent}/{collection}/{name}");
    ResourceId::parse(&text, "id").expect("an id with one more valid name is an id")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Result<&str, &str>) {
        match (text.parse::<VersionReference>(), expected) {
            (Ok(found), Ok(expected)) => assert_eq!(found.to_string(), expected),
            (Err(found), Err(expected)) => assert!(found.contains(expected), "{found}"),
            (found, expected) => panic!("{text}: {found:?}, not {expected:?}"),
        }
    }

    #[test]
    fn versions_are_written_short_or_in_full() {
        check("myGallery/ubuntu-web/1.0.0", Ok("myGallery/ubuntu-web/1.0.0"));
        check("myGallery/ubuntu-web/LATEST", Ok("myGallery/ubuntu-web/latest"));
        let subscription = "/subscriptions/00000000-0000-0000-0000-000000000001";
        let id =
            format!("{subscription}/resourceGroups/g/providers/Microsoft.Compute/galleries/a/images/b/versions/1.2.3");
        check(&id, Ok("a/b/1.2.3"));
        check(&format!("{subscription}/resourceGroups/g"), Err("something else"));
        check("myGallery/ubuntu-web", Err("GALLERY/DEFINITION/VERSION"));
        check("myGallery/ubuntu-web/1.0", Err("Major(int).Minor(int).Patch(int)"));
        check("my-gallery/ubuntu-web/1.0.0", Err("dashes, are disallowed"));
    }
}
