//! What consumers see of shared and community galleries: documents without ARM ids, in one region, read only.
//!
//! A document is put together from what may be seen. Nothing is taken from the owner's document but what is named here.

use galerie_arm::{
    ApiVersion, ArmError, DefinitionName, Location, ResourceId, SubscriptionId, VersionName,
    paging::SkipToken,
    schema::{ProxyDocument, Shape},
    sharing::{GalleryProxy, SharingGroupKind},
};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::reach::{self, Viewer};
use crate::{
    authz,
    control::Control,
    db::{
        self, Connection,
        resource::ResourceRow,
        sharing::{self, SharingGroupRow},
    },
    gallery, latest,
    request::RequestContext,
    resource::document::{at, integer, is_true, list, text},
    source::is_replicated,
};

/// Documents on a page of a list.
const PAGE_ITEMS: u32 = 100;
/// What of a definition consumers see.
const DEFINITION: [&str; 12] = [
    "osType",
    "osState",
    "endOfLifeDate",
    "identifier",
    "recommended",
    "disallowed",
    "hyperVGeneration",
    "features",
    "purchasePlan",
    "architecture",
    "privacyStatementUri",
    "eula",
];

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

/// Who looks, where, and in which shape.
struct Look {
    viewer: Viewer,
    region: Location,
    api_version: ApiVersion,
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
            .ok_or_else(|| ArmError::proxy_not_found(&item.unique_id(), look.region.as_str()))
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
        Ok(Look { viewer, region, api_version: context.api_version })
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
        let Some(gallery) = self.viewer.gallery_in(tx, proxy, &self.region).await? else { return Ok(None) };
        let named = spelled(proxy, &gallery);
        let (ProxyItem::Definition(_, name) | ProxyItem::Version(_, name, _)) = item else {
            return Ok(Some(self.gallery(&named, &gallery)));
        };
        let Some(definition) = self.definition_row(tx, &gallery, name).await? else { return Ok(None) };
        let ProxyItem::Version(_, _, version) = item else {
            return Ok(Some(self.definition(&named, &definition)));
        };
        let key = reach::version_key(&definition, version);
        match db::resource::find(tx, &key).await? {
            Some(row) if is_replicated(tx, &key, self.region.as_str()).await? => {
                Ok(Some(self.version(tx, &named, &definition, &row).await?))
            }
            _ => Ok(None),
        }
    }

    async fn list(&self, tx: &mut Connection, listed: &ProxyList, after: &str) -> Result<ProxyPage, ArmError> {
        let (limit, region) = (PAGE_ITEMS + 1, self.region.as_str());
        let mut page = Paged { items: Vec::new(), last: String::new() };
        match listed {
            ProxyList::Galleries { to_tenant } => {
                let group = self.group(*to_tenant);
                for row in sharing::list_shared(tx, group, region, after, limit).await? {
                    let named = spelled(&GalleryProxy::Shared(String::new()), &row);
                    page.push(self.gallery(&named, &row), row.unique_key.unwrap_or_default());
                }
            }
            ProxyList::Definitions(proxy) => {
                let gallery = self.viewer.gallery_in(tx, proxy, &self.region).await?;
                let gallery = gallery.ok_or_else(|| listed.missing(&self.region))?;
                let named = spelled(proxy, &gallery);
                let after = reach::definition_key(&gallery, after);
                for row in sharing::list_definitions(tx, &gallery.key, region, &after, limit).await? {
                    page.push(self.definition(&named, &row), row.name.to_lowercase());
                }
            }
            ProxyList::Versions(proxy, name) => {
                let gallery = self.viewer.gallery_in(tx, proxy, &self.region).await?;
                let gallery = gallery.ok_or_else(|| listed.missing(&self.region))?;
                let named = spelled(proxy, &gallery);
                let definition = self.definition_row(tx, &gallery, name).await?;
                let definition = definition.ok_or_else(|| listed.missing(&self.region))?;
                for row in self.version_rows(tx, proxy, &definition, after).await? {
                    page.push(self.version(tx, &named, &definition, &row).await?, row.name.clone());
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
            let Some(key) = latest::find(tx, &definition.key, &self.region).await? else { return Ok(Vec::new()) };
            return Ok(db::resource::find(tx, &key).await?.into_iter().collect());
        }
        let after = format!("{}/versions/{after}", definition.key);
        Ok(sharing::list_versions(tx, &definition.key, self.region.as_str(), &after, PAGE_ITEMS + 1).await?)
    }

    /// A definition that is seen in the region.
    async fn definition_row(
        &self,
        tx: &mut Connection,
        gallery: &ResourceRow,
        name: &DefinitionName,
    ) -> Result<Option<ResourceRow>, ArmError> {
        let Some(row) = reach::definition(tx, gallery, name).await? else { return Ok(None) };
        Ok(sharing::is_seen(tx, &row.key, self.region.as_str()).await?.then_some(row))
    }

    fn group(&self, to_tenant: bool) -> SharingGroupRow {
        if to_tenant {
            SharingGroupRow { kind: SharingGroupKind::AadTenants, id: self.viewer.tenant }
        } else {
            SharingGroupRow { kind: SharingGroupKind::Subscriptions, id: self.viewer.subscription }
        }
    }

    fn gallery(&self, proxy: &GalleryProxy, row: &ResourceRow) -> Value {
        let (kind, properties) = match proxy {
            GalleryProxy::Shared(_) => (ProxyDocument::SharedGallery, json!({})),
            GalleryProxy::Community(_) => {
                (ProxyDocument::CommunityGallery, json!({ "communityMetadata": community_metadata(&row.document) }))
            }
        };
        self.document(proxy, kind, proxy.name(), "", proxy.to_string(), properties)
    }

    fn definition(&self, proxy: &GalleryProxy, row: &ResourceRow) -> Value {
        let kind = match proxy {
            GalleryProxy::Shared(_) => ProxyDocument::SharedDefinition,
            GalleryProxy::Community(_) => ProxyDocument::CommunityDefinition,
        };
        let properties = Value::Object(picked(&row.document, "properties", &DEFINITION));
        self.document(proxy, kind, &row.name, "Image", format!("{proxy}/Images/{}", row.name), properties)
    }

    async fn version(
        &self,
        tx: &mut Connection,
        proxy: &GalleryProxy,
        definition: &ResourceRow,
        row: &ResourceRow,
    ) -> Result<Value, ArmError> {
        let kind = match proxy {
            GalleryProxy::Shared(_) => ProxyDocument::SharedVersion,
            GalleryProxy::Community(_) => ProxyDocument::CommunityVersion,
        };
        let profile = "properties.publishingProfile";
        let mut properties = picked(&row.document, profile, &["publishedDate", "endOfLifeDate"]);
        let replica = db::replica::find(tx, &row.key, self.region.as_str()).await?;
        let is_excluded = is_true(&row.document, &format!("{profile}.excludeFromLatest"))
            || replica.is_some_and(|replica| replica.exclude_from_latest);
        properties.insert("excludeFromLatest".to_owned(), is_excluded.into());
        properties.insert("storageProfile".to_owned(), storage_profile(&row.document));
        let id = format!("{proxy}/Images/{}/Versions/{}", definition.name, row.name);
        Ok(self.document(proxy, kind, &row.name, "ImageVersion", id, Value::Object(properties)))
    }

    fn document(
        &self,
        proxy: &GalleryProxy,
        kind: ProxyDocument,
        name: &str,
        below: &str,
        unique_id: String,
        properties: Value,
    ) -> Value {
        let mut document = Map::new();
        document.insert("name".to_owned(), name.into());
        if is_community(proxy) {
            document.insert("type".to_owned(), format!("Microsoft.Compute/locations/communityGallery{below}").into());
        }
        document.insert("location".to_owned(), self.region.as_str().into());
        document.insert("identifier".to_owned(), json!({ "uniqueId": unique_id }));
        document.insert("properties".to_owned(), properties);
        Shape::of_proxy(kind, self.api_version).project(Value::Object(document))
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

/// The proxy in the gallery's own spelling.
fn spelled(proxy: &GalleryProxy, gallery: &ResourceRow) -> GalleryProxy {
    match proxy {
        GalleryProxy::Shared(_) => GalleryProxy::Shared(gallery::unique_name_of(gallery)),
        GalleryProxy::Community(name) => {
            GalleryProxy::Community(super::public_name::of(&gallery.document).unwrap_or(name).to_owned())
        }
    }
}

/// What the community is told about a gallery's publisher.
pub(super) fn community_metadata(document: &Value) -> Value {
    let names = ["publisherUri", "publisherContact", "eula", "publicNames"];
    Value::Object(picked(document, super::state::COMMUNITY_INFO, &names))
}

fn picked(document: &Value, path: &str, names: &[&str]) -> Map<String, Value> {
    let Some(found) = at(document, path) else { return Map::new() };
    let picked = names.iter().filter_map(|name| Some(((*name).to_owned(), at(found, name)?.clone())));
    picked.collect()
}

/// Sizes and caching, without what the disks were made from.
fn storage_profile(document: &Value) -> Value {
    let disk = |image: &Value| {
        let mut shown = Map::new();
        if let Some(size) = integer(image, "sizeInGB") {
            shown.insert("diskSizeGB".to_owned(), size.into());
        }
        shown.insert("hostCaching".to_owned(), text(image, "hostCaching").unwrap_or("None").into());
        shown
    };
    let mut profile = Map::new();
    if let Some(image) = at(document, "properties.storageProfile.osDiskImage") {
        profile.insert("osDiskImage".to_owned(), Value::Object(disk(image)));
    }
    let data = list(document, "properties.storageProfile.dataDiskImages").iter().map(|image| {
        let mut shown = disk(image);
        shown.insert("lun".to_owned(), image["lun"].clone());
        Value::Object(shown)
    });
    let data: Vec<Value> = data.collect();
    if !data.is_empty() {
        profile.insert("dataDiskImages".to_owned(), data.into());
    }
    Value::Object(profile)
}
