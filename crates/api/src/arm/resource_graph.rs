//! `POST /providers/Microsoft.ResourceGraph/resources`: the one query that `az sig list-community` sends.

use galerie_arm::resource_graph::CommunityGalleryQuery;
use serde_json::json;

use super::{
    Answer,
    call::{Call, POST},
    response,
};

/// A page of published galleries, as Resource Graph answers rows.
pub(super) async fn answer(mut call: Call) -> Answer {
    call.only(&POST)?;
    call.api_version()?;
    let query = CommunityGalleryQuery::read(call.json().await?)?;
    let page = call.state.control.community_galleries(&query).await?;
    let mut document = json!({
        "totalRecords": page.total,
        "count": page.rows.len(),
        "data": page.rows,
        "facets": [],
        "resultTruncated": "false",
    });
    if let Some(token) = page.skip_token {
        document["$skipToken"] = token.into();
    }
    Ok(response::json(200, &document))
}
