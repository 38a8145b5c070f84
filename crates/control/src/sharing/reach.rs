//! Who sees what of a shared gallery, and where. Asked in the transaction that reads or accepts.
//!
//! What is not shared with the viewer, not published, or not in the region is `None`, as what does not exist is: no answer
//! tells them apart.

use galerie_arm::{
    ArmError, DefinitionName, Location, ResourceType, VersionName, VersionReference, VersionSelector,
    sharing::{GalleryProxy, parse_unique_name},
};
use uuid::Uuid;

use crate::{
    authz,
    db::{
        self, Connection,
        foreign_source::{ForeignAccess, ForeignSource},
        resource::ResourceRow,
        sharing,
    },
    gallery, latest,
    resource::{Verb, action},
    soft_delete,
    source::{FoundVersion, is_replicated},
};

/// In whose name a shared gallery is looked at or consumed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Viewer {
    /// The subscription.
    pub(crate) subscription: Uuid,
    /// That subscription's tenant.
    pub(crate) tenant: Uuid,
}

impl Viewer {
    /// The gallery behind a proxy, if the viewer sees it somewhere.
    pub(crate) async fn gallery(self, tx: &mut Connection, proxy: &GalleryProxy) -> db::Result<Option<ResourceRow>> {
        let found = match proxy {
            GalleryProxy::Shared(unique_name) => {
                let Some((subscription, name)) = parse_unique_name(unique_name) else { return Ok(None) };
                let key = gallery::unique_key(&subscription.to_string(), &name);
                db::resource::find_by_unique_key(tx, &key).await?
            }
            GalleryProxy::Community(public_name) => return sharing::find_published(tx, public_name).await,
        };
        match found {
            Some(row) if self.is_shared_with(tx, &row.key).await? => Ok(Some(row)),
            _ => Ok(None),
        }
    }

    /// The same, if it is seen in a region.
    pub(crate) async fn gallery_in(
        self,
        tx: &mut Connection,
        proxy: &GalleryProxy,
        region: &Location,
    ) -> db::Result<Option<ResourceRow>> {
        let Some(row) = self.gallery(tx, proxy).await? else { return Ok(None) };
        Ok(sharing::is_seen(tx, &row.key, region.as_str()).await?.then_some(row))
    }

    /// The image version that a shared or community reference means in a region.
    ///
    /// # Errors
    /// `GalleryImageNotFound` for everything that the viewer does not see there.
    pub(crate) async fn version(
        self,
        tx: &mut Connection,
        reference: &VersionReference,
        region: &Location,
    ) -> Result<FoundVersion, ArmError> {
        let text = reference.to_string();
        let missing = || ArmError::gallery_image_not_found(&text, region.as_str());
        let proxy = proxy_of(reference).ok_or_else(missing)?;
        let gallery = self.gallery(tx, &proxy).await?.ok_or_else(missing)?;
        let definition = definition(tx, &gallery, reference.definition()).await?.ok_or_else(missing)?;
        let key = match reference.version() {
            VersionSelector::Exact(name) => version_key(&definition, name),
            VersionSelector::Latest => {
                let none = || ArmError::no_latest_version(&proxy.definition_id(reference.definition()));
                latest::find(tx, &definition.key, region).await?.ok_or_else(none)?
            }
        };
        let row = soft_delete::find_usable(tx, &key).await?.ok_or_else(missing)?;
        if !is_replicated(tx, &key, region.as_str()).await? {
            return Err(missing());
        }
        Ok(FoundVersion { row, definition })
    }

    /// Whether a gallery is shared with the viewer, be it that the viewer does not want to see it.
    pub(super) async fn is_invited(self, tx: &mut Connection, gallery: &str) -> db::Result<bool> {
        sharing::is_offered(tx, gallery, self.subscription, self.tenant).await
    }

    async fn is_shared_with(self, tx: &mut Connection, gallery: &str) -> db::Result<bool> {
        sharing::is_shared(tx, gallery, self.subscription, self.tenant).await
    }

    /// Whether the gallery with this key is still shared as it was when a version of it was resolved.
    pub(crate) async fn still_sees(
        self,
        tx: &mut Connection,
        gallery: &str,
        source: &ForeignSource,
    ) -> db::Result<bool> {
        match source.access {
            ForeignAccess::Shared => self.is_shared_with(tx, gallery).await,
            ForeignAccess::Community => sharing::is_published(tx, gallery).await,
            ForeignAccess::Role(reader) => {
                let read = action(ResourceType::ImageVersion, Verb::Read);
                authz::permits(tx, source.tenant, reader, read, &source.version).await
            }
        }
    }
}

/// The gallery's part of a reference; `None` for one by ids.
fn proxy_of(reference: &VersionReference) -> Option<GalleryProxy> {
    match reference {
        VersionReference::Shared { unique_name, .. } => Some(GalleryProxy::Shared(unique_name.clone())),
        VersionReference::Community { public_name, .. } => Some(GalleryProxy::Community(public_name.clone())),
        VersionReference::Private { .. } => None,
    }
}

/// A definition of a gallery.
pub(crate) async fn definition(
    tx: &mut Connection,
    gallery: &ResourceRow,
    name: &DefinitionName,
) -> db::Result<Option<ResourceRow>> {
    db::resource::find(tx, &definition_key(gallery, name.key())).await
}

/// The key of a definition with this folded name.
pub(crate) fn definition_key(gallery: &ResourceRow, name: &str) -> String {
    format!("{}/images/{name}", gallery.key)
}

/// The key of a definition's version.
pub(crate) fn version_key(definition: &ResourceRow, name: &VersionName) -> String {
    format!("{}/versions/{}", definition.key, name.as_str())
}
