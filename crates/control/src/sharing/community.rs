//! The list of published galleries, as the Resource Graph query of `az sig list-community` wants it.

use galerie_arm::{
    ArmError, Location, paging::SkipToken, resource_graph::CommunityGalleryQuery, sharing::GalleryProxy,
};
use serde_json::{Value, json};

use super::{proxy_document::community_metadata, public_name};
use crate::{
    control::Control,
    db::sharing::{self, PublishedRow},
};

/// A page of published galleries.
#[derive(Debug, Clone)]
pub struct CommunityPage {
    /// One row for each gallery.
    pub rows: Vec<Value>,
    /// How many there are on all pages.
    pub total: u64,
    /// Where the next page starts; `None` on the last.
    pub skip_token: Option<String>,
}

impl Control {
    /// The published galleries of all tenants. Whoever is signed in may know them.
    ///
    /// # Errors
    /// A continuation that we did not make; the catalogue's.
    pub async fn community_galleries(&self, query: &CommunityGalleryQuery) -> Result<CommunityPage, ArmError> {
        let after = query.skip_token.as_deref().map(SkipToken::decode).transpose()?;
        let after = after.map_or_else(String::new, |token| token.last_key);
        let location = query.location.as_deref().map(|text| Location::normalise(text).ok_or(text));
        let location = match &location {
            None => None,
            Some(Ok(location)) => Some(location.as_str()),
            // What cannot be a region's name has no galleries, as in any query.
            Some(Err(_)) => return Ok(CommunityPage { rows: Vec::new(), total: 0, skip_token: None }),
        };
        let mut tx = self.db().read().await?;
        let mut rows = sharing::list_published(&mut tx, location, &after, query.top + 1).await?;
        let total = sharing::count_published(&mut tx, location).await?;
        let has_more = rows.len() > query.top as usize;
        rows.truncate(query.top as usize);
        let last_key = rows.last().filter(|_| has_more).map(|row| row.public_name.clone());
        let skip_token = last_key.map(|last_key| SkipToken { last_key }.encode());
        Ok(CommunityPage { rows: rows.iter().map(shown).collect(), total, skip_token })
    }
}

fn shown(row: &PublishedRow) -> Value {
    let (location, document) = (row.gallery.location.as_str(), &row.gallery.document);
    let name = public_name::of(document).unwrap_or(&row.public_name);
    json!({
        "id": format!("/providers/Microsoft.Compute/locations/{location}/communityGalleries/{name}"),
        "name": name,
        "type": "microsoft.compute/locations/communitygalleries",
        "location": location,
        "properties": {
            "communityMetadata": community_metadata(document),
            "identifier": { "uniqueId": GalleryProxy::Community(name.to_owned()).to_string() },
        },
    })
}
