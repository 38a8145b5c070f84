//! References to gallery applications that people write: `GALLERY/APPLICATION/VERSION`, or a full ARM id.

use std::{fmt, str::FromStr};

use galerie_arm::{ApplicationName, ResourceGroupName, ResourceId, ResourceType, VersionName};

use super::{
    Client, GalleryReference, Result,
    reference::{child, gallery_and_names, name},
};

/// An application, as written.
#[derive(Debug, Clone)]
pub(crate) struct ApplicationReference {
    pub(crate) gallery: GalleryReference,
    pub(crate) application: ApplicationName,
}

/// A version of one, as written.
#[derive(Debug, Clone)]
pub(crate) struct ApplicationVersionReference {
    pub(crate) application: ApplicationReference,
    pub(crate) version: VersionName,
}

impl FromStr for ApplicationReference {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (gallery, names) = gallery_and_names(text, ResourceType::Application, "GALLERY/APPLICATION")?;
        Ok(Self { gallery, application: name(&names[1])? })
    }
}

impl FromStr for ApplicationVersionReference {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (gallery, names) =
            gallery_and_names(text, ResourceType::ApplicationVersion, "GALLERY/APPLICATION/VERSION")?;
        let application = ApplicationReference { gallery, application: name(&names[1])? };
        Ok(Self { application, version: name(&names[2])? })
    }
}

impl fmt::Display for ApplicationVersionReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ApplicationReference { gallery, application } = &self.application;
        write!(f, "{}/{application}/{}", gallery.gallery, self.version)
    }
}

impl ApplicationReference {
    /// The application's id.
    ///
    /// # Errors
    /// As [`GalleryReference::resolve`].
    pub(crate) async fn resolve(&self, client: &Client, group: Option<&ResourceGroupName>) -> Result<ResourceId> {
        Ok(self.of(&self.gallery.resolve(client, group).await?))
    }

    /// The application's id in this gallery.
    pub(crate) fn of(&self, gallery: &ResourceId) -> ResourceId {
        child(gallery, "applications", self.application.as_str())
    }
}

impl ApplicationVersionReference {
    /// The version's id.
    ///
    /// # Errors
    /// As [`GalleryReference::resolve`].
    pub(crate) async fn resolve(&self, client: &Client, group: Option<&ResourceGroupName>) -> Result<ResourceId> {
        Ok(self.of(&self.application.resolve(client, group).await?))
    }

    /// The version's id in this application.
    pub(crate) fn of(&self, application: &ResourceId) -> ResourceId {
        child(application, "versions", self.version.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_written_short_or_in_full() {
        let id = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/g/providers/Microsoft.Compute\
                  /galleries/a/applications/b/versions/1.2.3";
        for (text, expected) in [
            ("myGallery/agent/1.0.0", Some("myGallery/agent/1.0.0")),
            (id, Some("a/b/1.2.3")),
            ("myGallery/agent", None),
            ("myGallery/agent/latest", None),
            ("myGallery/agent-/1.0.0", None),
            (&id.replace("applications", "images"), None),
        ] {
            let found = text.parse::<ApplicationVersionReference>().ok().map(|found| found.to_string());
            assert_eq!(found.as_deref(), expected, "{text}");
        }
    }
}
