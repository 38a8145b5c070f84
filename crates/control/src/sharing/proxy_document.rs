//! The documents of proxies: put together from what may be seen. Nothing is taken from the owner's documents but what is
//! named here.

use galerie_arm::{
    ApiVersion, ArmError, Location,
    schema::{ProxyDocument, Shape},
    sharing::GalleryProxy,
    timestamp,
};
use serde_json::{Map, Value, json};

use super::{public_name, state::COMMUNITY_INFO};
use crate::{
    db::{self, Connection, resource::ResourceRow},
    gallery,
    resource::document::{at, integer, is_true, list, text},
    soft_delete,
};

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

/// From where a document is seen, and in which shape.
pub(super) struct Frame {
    pub(super) region: Location,
    pub(super) api_version: ApiVersion,
}

impl Frame {
    /// A gallery.
    pub(super) fn gallery(&self, proxy: &GalleryProxy, row: &ResourceRow) -> Value {
        let (kind, properties) = match proxy {
            GalleryProxy::Shared(_) => (ProxyDocument::SharedGallery, json!({})),
            GalleryProxy::Community(_) => {
                (ProxyDocument::CommunityGallery, json!({ "communityMetadata": community_metadata(&row.document) }))
            }
        };
        self.document(proxy, kind, proxy.name(), "", proxy.to_string(), properties)
    }

    /// A definition.
    pub(super) fn definition(&self, proxy: &GalleryProxy, row: &ResourceRow) -> Value {
        let kind = match proxy {
            GalleryProxy::Shared(_) => ProxyDocument::SharedDefinition,
            GalleryProxy::Community(_) => ProxyDocument::CommunityDefinition,
        };
        let properties = Value::Object(picked(&row.document, "properties", &DEFINITION));
        self.document(proxy, kind, &row.name, "Image", format!("{proxy}/Images/{}", row.name), properties)
    }

    /// A version of `definition`.
    ///
    /// # Errors
    /// Of the catalogue only.
    pub(super) async fn version(
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
        let deletion = soft_delete::deletion_of(tx, row).await?;
        let state = if deletion.is_some() { "SoftDeleted" } else { "Active" };
        properties.insert("imageState".to_owned(), state.into());
        if let Some(deletion) = deletion {
            properties.insert("consumptionEndTime".to_owned(), timestamp::format_ms(deletion.usable_until_ms).into());
        }
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
        if matches!(proxy, GalleryProxy::Community(_)) {
            document.insert("type".to_owned(), format!("Microsoft.Compute/locations/communityGallery{below}").into());
        }
        document.insert("location".to_owned(), self.region.as_str().into());
        document.insert("identifier".to_owned(), json!({ "uniqueId": unique_id }));
        document.insert("properties".to_owned(), properties);
        Shape::of_proxy(kind, self.api_version).project(Value::Object(document))
    }
}

/// The proxy in the gallery's own spelling.
pub(super) fn spelled(proxy: &GalleryProxy, gallery: &ResourceRow) -> GalleryProxy {
    match proxy {
        GalleryProxy::Shared(_) => GalleryProxy::Shared(gallery::unique_name_of(gallery)),
        GalleryProxy::Community(name) => {
            GalleryProxy::Community(public_name::of(&gallery.document).unwrap_or(name).to_owned())
        }
    }
}

/// What the community is told about a gallery's publisher.
pub(super) fn community_metadata(document: &Value) -> Value {
    let names = ["publisherUri", "publisherContact", "eula", "publicNames"];
    Value::Object(picked(document, COMMUNITY_INFO, &names))
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
