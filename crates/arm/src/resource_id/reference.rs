//! References to image versions, as disks, VMs and other versions write them.
//!
//! `{definition id}/versions/1.2.3`, `.../versions/latest` and `{definition id}` (which means latest); and the same below
//! `/SharedGalleries/{unique name}/Images/{image}` and `/CommunityGalleries/{public name}/Images/{image}`.

use std::fmt;

use super::{LONGEST_ID_BYTES, ResourceId, ResourceType, is_segment};
use crate::error::ArmError;
use crate::names::{DefinitionName, GalleryName, ResourceGroupName, SubscriptionId, VersionName};

/// Which version of a definition is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VersionSelector {
    /// The highest that is not excluded and is replicated to the region in question.
    Latest,
    /// This one.
    Exact(VersionName),
}

/// A reference to an image version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VersionReference {
    /// By the definition's own id.
    Private {
        /// The subscription.
        subscription: SubscriptionId,
        /// The resource group.
        group: ResourceGroupName,
        /// The gallery.
        gallery: GalleryName,
        /// The definition.
        definition: DefinitionName,
        /// Which version of it.
        version: VersionSelector,
    },
    /// Through a gallery that is shared with the caller.
    Shared {
        /// The gallery's `identifier.uniqueName`.
        unique_name: String,
        /// The definition.
        definition: DefinitionName,
        /// Which version of it.
        version: VersionSelector,
    },
    /// Through a community gallery.
    Community {
        /// The gallery's public name.
        public_name: String,
        /// The definition.
        definition: DefinitionName,
        /// Which version of it.
        version: VersionSelector,
    },
}

impl VersionReference {
    /// Reads a reference. `target` is the property that held it, for the error.
    ///
    /// # Errors
    /// `InvalidParameter` or `LinkedInvalidPropertyId` naming `target`; what is wrong with a name in it.
    pub fn parse(text: &str, target: &str) -> Result<Self, ArmError> {
        match Self::parse_proxy(text) {
            Some(reference) => reference,
            None => Self::from_id(&ResourceId::parse(text, target)?, target),
        }
    }

    /// The reference that an id of a definition or a version is.
    ///
    /// # Errors
    /// `InvalidParameter` when it is the id of something else.
    pub fn from_id(id: &ResourceId, target: &str) -> Result<Self, ArmError> {
        let version = match (id.resource_type(), id.chain().nth(2)) {
            (Some(ResourceType::ImageDefinition), _) => VersionSelector::Latest,
            (Some(ResourceType::ImageVersion), Some((_, version))) => VersionSelector::parse(version)?,
            _ => return Err(not_an_image(id.as_str(), target)),
        };
        let (Some(subscription), Some(group)) = (id.subscription(), id.group().cloned()) else {
            return Err(not_an_image(id.as_str(), target));
        };
        Ok(Self::Private { subscription, group, gallery: id.name_at(0)?, definition: id.name_at(1)?, version })
    }

    /// `None` when the text does not begin as a shared or community reference.
    fn parse_proxy(text: &str) -> Option<Result<Self, ArmError>> {
        if text.len() > LONGEST_ID_BYTES {
            return None;
        }
        let segments: Vec<&str> = text.split('/').filter(|segment| !segment.is_empty()).take(7).collect();
        let [kind, gallery, images, definition, rest @ ..] = &segments[..] else { return None };
        let is_shared = kind.eq_ignore_ascii_case("SharedGalleries");
        if !is_shared && !kind.eq_ignore_ascii_case("CommunityGalleries") {
            return None;
        }
        if !images.eq_ignore_ascii_case("Images") || !is_segment(gallery) {
            return None;
        }
        let version = match rest {
            [] => Ok(VersionSelector::Latest),
            [versions, version] if versions.eq_ignore_ascii_case("Versions") => VersionSelector::parse(version),
            _ => return None,
        };
        Some((|| {
            let (gallery, definition, version) = ((*gallery).to_owned(), definition.parse()?, version?);
            Ok(if is_shared {
                Self::Shared { unique_name: gallery, definition, version }
            } else {
                Self::Community { public_name: gallery, definition, version }
            })
        })())
    }

    /// Which version is meant.
    #[must_use]
    pub const fn version(&self) -> &VersionSelector {
        match self {
            Self::Private { version, .. } | Self::Shared { version, .. } | Self::Community { version, .. } => version,
        }
    }

    /// The definition's name.
    #[must_use]
    pub const fn definition(&self) -> &DefinitionName {
        match self {
            Self::Private { definition, .. } | Self::Shared { definition, .. } | Self::Community { definition, .. } => {
                definition
            }
        }
    }
}

impl VersionSelector {
    fn parse(text: &str) -> Result<Self, ArmError> {
        if text.eq_ignore_ascii_case("latest") { Ok(Self::Latest) } else { text.parse().map(Self::Exact) }
    }
}

fn not_an_image(id: &str, target: &str) -> ArmError {
    let message =
        format!("The id '{}' is not the id of a gallery image or a gallery image version.", crate::error::quoted(id));
    ArmError::invalid_parameter(target, message)
}

impl fmt::Display for VersionReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let version = match self.version() {
            VersionSelector::Latest => "latest",
            VersionSelector::Exact(version) => version.as_str(),
        };
        match self {
            Self::Private { subscription, group, gallery, definition, .. } => {
                write!(f, "{}/versions/{version}", ResourceId::of_definition(*subscription, group, gallery, definition))
            }
            Self::Shared { unique_name, definition, .. } => {
                write!(f, "/SharedGalleries/{unique_name}/Images/{definition}/Versions/{version}")
            }
            Self::Community { public_name, definition, .. } => {
                write!(f, "/CommunityGalleries/{public_name}/Images/{definition}/Versions/{version}")
            }
        }
    }
}
