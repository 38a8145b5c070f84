//! What consumers see of shared and community galleries: documents without ARM ids, in one region, read only.
//!
//! What a document holds is `proxy_document`'s.

use galerie_arm::{
    ArmError, DefinitionName, Location, ResourceId, SubscriptionId, VersionName,
    paging::SkipToken,
    sharing::{GalleryProxy, SharingGroupKind},
};
use serde_json::Value;
use uuid::Uuid;

use super::{
    proxy_document::{Frame, spelled},
    reach::{self, Viewer},
};
use crate::{
    authz,
    control::Control,
    db::{
        self, Connection,
        resource::ResourceRow,
        sharing::{self, SharingGroupRow},
    },
    latest,
    request::RequestContext,
    soft_delete,
    source::is_replicated,
};

/// Documents on a page of a list.
const PAGE_ITEMS: u32 = 100;

/// From where proxies are looked at.
#[derive(Debug, Clone)]
pub struct ProxyPlace {
    /// The subscription in the path.
    pub subscription: Uuid,
    /// The location in the path, as it was written.
    pub location: String,
}

/// One proxy.
#[derive(Debug, Clone)]
pub enum ProxyItem {
    /// A gallery.
    Gallery(GalleryProxy),
    /// A definition in it.
    Definition(GalleryProxy, DefinitionName),
    /// A version of that.
    Version(GalleryProxy, DefinitionName, VersionName),
}

/// A list of proxies.
#[derive(Debug, Clone)]
pub enum ProxyList {
    /// The galleries that are shared with the subscription, or with its tenant.
    Galleries {
        /// With the tenant.
        to_tenant: bool,
    },
    /// A gallery's definitions.
    Definitions(GalleryProxy),
    /// A definition's versions; of a community gallery only the latest.
    Versions(GalleryProxy, DefinitionName),
}

/// A page of a list.
#[derive(Debug, Clone)]
pub struct ProxyPage {
    /// The documents.
    pub items: Vec<Value>,
    /// Where the next page starts; opaque; `None` on the last.
    pub continuation: Option<String>,
}

/// Who looks, and what is seen from there.
struct Look {
    viewer: Viewer,
    frame: Frame,
}

impl Control {
    /// One proxy.
    ///
    /// # Errors
    /// `AuthorizationFailed` in the subscription; 404 for all that the subscription does not see in the region.
    pub async fn proxy(
        &self,
        context: &RequestContext,
        place: &ProxyPlace,
        item: &ProxyItem,
    ) -> Result<Value, ArmError> {
        let mut tx = self.db().read().await?;
        let look = self.look(&mut tx, context, place, item.action()).await?;
        look.show(&mut tx, item)
            .await?
            .ok_or_else(|| ArmError::proxy_not_found(&item.unique_id(), look.frame.region.as_str()))
    }

    /// A page of proxies; `continuation` is the last page's.
    ///
    /// # Errors
    /// As [`Control::proxy`]; a continuation that we did not make.
    pub async fn proxies(
        &self,
        context: &RequestContext,
        place: &ProxyPlace,
        listed: &ProxyList,
        continuation: Option<&str>,
    ) -> Result<ProxyPage, ArmError> {
        let after = continuation.map(SkipToken::decode).transpose()?.map_or_else(String::new, |token| token.last_key);
        let mut tx = self.db().read().await?;
        let look = self.look(&mut tx, context, place, listed.action()).await?;
        look.list(&mut tx, listed, &after).await
    }

    async fn look(
        &self,
        tx: &mut Connection,
        context: &RequestContext,
        place: &ProxyPlace,
        action: &'static str,
    ) -> Result<Look, ArmError> {
        let scope = ResourceId::of_subscription(SubscriptionId::new(place.subscription));
        authz::authorize(tx, &context.caller, action, &scope).await?;
        let type_name = action.strip_suffix("/read").unwrap_or(action);
        let region = self.locations().require(&place.location, type_name)?.clone();
        let viewer = Viewer { subscription: place.subscription, tenant: context.caller.tenant };
        Ok(Look { viewer, frame: Frame { region, api_version: context.api_version } })
    }
}

/// The action of looking at something below a proxy: `depth` is 0 for galleries, 1 for definitions, 2 for versions.
fn action(is_community: bool, depth: usize) -> &'static str {
    const SHARED: [&str; 3] = [
        "Microsoft.Compute/locations/sharedGalleries/read",
        "Microsoft.Compute/locations/sharedGalleries/images/read",
        "Microsoft.Compute/locations/sharedGalleries/images/versions/read",
    ];
    const COMMUNITY: [&str; 3] = [
        "Microsoft.Compute/locations/communityGalleries/read",
        "Microsoft.Compute/locations/communityGalleries/images/read",
        "Microsoft.Compute/locations/communityGalleries/images/versions/read",
    ];
    if is_community { COMMUNITY[depth] } else { SHARED[depth] }
}

fn is_community(proxy: &GalleryProxy) -> bool {
    matches!(proxy, GalleryProxy::Community(_))
}

impl ProxyItem {
    fn action(&self) -> &'static str {
        match self {
            Self::Gallery(proxy) => action(is_community(proxy), 0),
            Self::Definition(proxy, _) => action(is_community(proxy), 1),
            Self::Version(proxy, ..) => action(is_community(proxy), 2),
        }
    }

    fn unique_id(&self) -> String {
        match self {
            Self::Gallery(proxy) => proxy.to_string(),
            Self::Definition(proxy, definition) => proxy.definition_id(definition),
            Self::Version(proxy, definition, version) => proxy.version_id(definition, version),
        }
    }
}

impl ProxyList {
    fn action(&self) -> &'static str {
        match self {
            Self::Galleries { .. } => action(false, 0),
            Self::Definitions(proxy) => action(is_community(proxy), 1),
            Self::Versions(proxy, _) => action(is_community(proxy), 2),
        }
    }

    fn missing(&self, region: &Location) -> ArmError {
        let id = match self {
            Self::Galleries { .. } => String::new(),
            Self::Definitions(proxy) => proxy.to_string(),
            Self::Versions(proxy, definition) => proxy.definition_id(definition),
        };
        ArmError::proxy_not_found(&id, region.as_str())
    }
}

impl Look {
    /// The document; `None` when the viewer does not see it here.
    async fn show(&self, tx: &mut Connection, item: &ProxyItem) -> Result<Option<Value>, ArmError> {
        let (ProxyItem::Gallery(proxy) | ProxyItem::Definition(proxy, _) | ProxyItem::Version(proxy, ..)) = item;
        let Some(gallery) = self.viewer.gallery_in(tx, proxy, &self.frame.region).await? else { return Ok(None) };
        let named = spelled(proxy, &gallery);
        let (ProxyItem::Definition(_, name) | ProxyItem::Version(_, name, _)) = item else {
            return Ok(Some(self.frame.gallery(&named, &gallery)));
        };
        let Some(definition) = self.definition_row(tx, &gallery, name).await? else { return Ok(None) };
        let ProxyItem::Version(_, _, version) = item else {
            return Ok(Some(self.frame.definition(&named, &definition)));
        };
        let key = reach::version_key(&definition, version);
        match soft_delete::find_usable(tx, &key).await? {
            Some(row) if is_replicated(tx, &key, self.frame.region.as_str()).await? => {
                Ok(Some(self.frame.version(tx, &named, &definition, &row).await?))
            }
            _ => Ok(None),
        }
    }

    async fn list(&self, tx: &mut Connection, listed: &ProxyList, after: &str) -> Result<ProxyPage, ArmError> {
        let (limit, region) = (PAGE_ITEMS + 1, self.frame.region.as_str());
        let mut page = Paged { items: Vec::new(), last: String::new() };
        match listed {
            ProxyList::Galleries { to_tenant } => {
                let group = self.group(*to_tenant);
                for row in sharing::list_shared(tx, group, self.viewer.subscription, region, after, limit).await? {
                    let named = spelled(&GalleryProxy::Shared(String::new()), &row);
                    page.push(self.frame.gallery(&named, &row), row.unique_key.unwrap_or_default());
                }
            }
            ProxyList::Definitions(proxy) => {
                let gallery = self.viewer.gallery_in(tx, proxy, &self.frame.region).await?;
                let gallery = gallery.ok_or_else(|| listed.missing(&self.frame.region))?;
                let named = spelled(proxy, &gallery);
                let after = reach::definition_key(&gallery, after);
                for row in sharing::list_definitions(tx, &gallery.key, region, &after, limit).await? {
                    page.push(self.frame.definition(&named, &row), row.name.to_lowercase());
                }
            }
            ProxyList::Versions(proxy, name) => {
                let gallery = self.viewer.gallery_in(tx, proxy, &self.frame.region).await?;
                let gallery = gallery.ok_or_else(|| listed.missing(&self.frame.region))?;
                let named = spelled(proxy, &gallery);
                let definition = self.definition_row(tx, &gallery, name).await?;
                let definition = definition.ok_or_else(|| listed.missing(&self.frame.region))?;
                for row in self.version_rows(tx, proxy, &definition, after).await? {
                    page.push(self.frame.version(tx, &named, &definition, &row).await?, row.name.clone());
                }
            }
        }
        Ok(page.finish())
    }

    /// All complete versions of a shared definition; of a community definition only the latest.
    async fn version_rows(
        &self,
        tx: &mut Connection,
        proxy: &GalleryProxy,
        definition: &ResourceRow,
        after: &str,
    ) -> Result<Vec<ResourceRow>, ArmError> {
        if is_community(proxy) {
            let Some(key) = latest::find(tx, &definition.key, &self.frame.region).await? else { return Ok(Vec::new()) };
            return Ok(db::resource::find(tx, &key).await?.into_iter().collect());
        }
        let after = format!("{}/versions/{after}", definition.key);
        Ok(sharing::list_versions(tx, &definition.key, self.frame.region.as_str(), &after, PAGE_ITEMS + 1).await?)
    }

    /// A definition that is seen in the region.
    async fn definition_row(
        &self,
        tx: &mut Connection,
        gallery: &ResourceRow,
        name: &DefinitionName,
    ) -> Result<Option<ResourceRow>, ArmError> {
        let Some(row) = reach::definition(tx, gallery, name).await? else { return Ok(None) };
        Ok(sharing::is_seen(tx, &row.key, self.frame.region.as_str()).await?.then_some(row))
    }

    fn group(&self, to_tenant: bool) -> SharingGroupRow {
        if to_tenant {
            SharingGroupRow { kind: SharingGroupKind::AadTenants, id: self.viewer.tenant }
        } else {
            SharingGroupRow { kind: SharingGroupKind::Subscriptions, id: self.viewer.subscription }
        }
    }
}

/// A page in the making.
struct Paged {
    items: Vec<Value>,
    last: String,
}

impl Paged {
    /// Adds a document; `key` is where a page after it starts. What is more than a page only tells that there is more.
    fn push(&mut self, document: Value, key: String) {
        if self.items.len() < PAGE_ITEMS as usize {
            self.last = key;
        }
        self.items.push(document);
    }

    fn finish(mut self) -> ProxyPage {
        let has_more = self.items.len() > PAGE_ITEMS as usize;
        self.items.truncate(PAGE_ITEMS as usize);
        let continuation = has_more.then(|| SkipToken { last_key: self.last }.encode());
        ProxyPage { items: self.items, continuation }
    }
}
