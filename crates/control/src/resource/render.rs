//! How a row becomes an answer: the stored document, the states of the moment, in the shape of an api-version.

use galerie_arm::{ApiVersion, ArmError, ETag, Location, Locations, ResourceType, schema::Shape};
use serde_json::{Map, Value, json};

use super::{
    Expand,
    document::{list, remove, set, text},
};
use crate::{
    db::{self, Connection, resource::ResourceRow},
    replication_status::{self, ReplicaView},
    request::Resource,
    sharing::{
        groups,
        state::{PERMISSIONS, SharingState},
    },
};

/// The resource as a client sees it.
///
/// # Errors
/// Of the catalogue only.
pub(crate) async fn resource(
    tx: &mut Connection,
    locations: &Locations,
    mut row: ResourceRow,
    api_version: ApiVersion,
    expand: Expand,
) -> Result<Resource, ArmError> {
    let mut document = head(&row);
    if let Value::Object(stored) = row.document.take() {
        for (name, value) in stored {
            document.entry(name).or_insert(value);
        }
    }
    let mut document = Value::Object(document);
    set(&mut document, "properties.provisioningState", row.provisioning_state.as_str());
    match row.resource_type {
        ResourceType::Disk | ResourceType::Snapshot => {
            if let Some(disk) = db::disk::find(tx, &row.key).await? {
                set(&mut document, "properties.diskState", disk.state.as_str());
            }
        }
        ResourceType::ImageVersion => show_version(tx, locations, &row, expand, &mut document).await?,
        ResourceType::Gallery => show_gallery(tx, &row, expand, &mut document).await?,
        _ => {}
    }
    let document = Shape::of(row.resource_type, api_version).project(document);
    Ok(Resource { document, etag: row.etag })
}

/// A resource without its properties, as lists of all types have it.
pub(crate) fn generic(row: &ResourceRow) -> Resource {
    let mut document = head(row);
    for name in ["sku", "identity", "managedBy", "zones", "extendedLocation"] {
        if let Some(value) = row.document.get(name) {
            document.insert(name.to_owned(), value.clone());
        }
    }
    Resource { document: Value::Object(document), etag: row.etag.clone() }
}

/// What every answer begins with, in the order of the real service.
fn head(row: &ResourceRow) -> Map<String, Value> {
    let mut head = Map::new();
    head.insert("name".to_owned(), row.name.as_str().into());
    head.insert("id".to_owned(), row.id.as_str().into());
    head.insert("type".to_owned(), row.resource_type.as_str().into());
    head.insert("location".to_owned(), row.location.as_str().into());
    if let Some(tags) = row.document.get("tags") {
        head.insert("tags".to_owned(), tags.clone());
    }
    head.insert("etag".to_owned(), ETag::new(&row.etag).to_string().into());
    head
}

async fn show_version(
    tx: &mut Connection,
    locations: &Locations,
    row: &ResourceRow,
    expand: Expand,
    document: &mut Value,
) -> Result<(), ArmError> {
    if !expand.uefi_settings {
        remove(document, "properties.securityProfile.uefiSettings");
    }
    if !expand.replication_status {
        return Ok(());
    }
    let replicas = db::replica::list_for_version(tx, &row.key).await?;
    let views: Vec<ReplicaView> = replicas
        .into_iter()
        .filter_map(|replica| {
            Some(ReplicaView {
                region: Location::normalise(&replica.region)?,
                state: replica.state,
                details: replica.details,
                total_bytes: replica.total_bytes,
                copied_bytes: replica.copied_bytes,
            })
        })
        .collect();
    let targets = list(document, "properties.publishingProfile.targetRegions").to_vec();
    set(document, "properties.replicationStatus", replication_status::show(&views, &targets, locations));
    Ok(())
}

async fn show_gallery(
    tx: &mut Connection,
    row: &ResourceRow,
    expand: Expand,
    document: &mut Value,
) -> Result<(), ArmError> {
    let state = SharingState::of(document);
    if state != SharingState::Private {
        // What one region knows all know: the catalogue is one, and the change was one transaction.
        let region = json!({ "region": row.location, "state": "Succeeded", "details": "" });
        set(document, "properties.sharingStatus", json!({ "aggregatedState": "Succeeded", "summary": [region] }));
    }
    if expand.sharing_profile_groups && state == SharingState::Groups {
        let groups = db::sharing::groups(tx, &row.key).await?;
        set(document, "properties.sharingProfile.groups", groups::shown(&groups));
    }
    if expand.permissions && text(document, PERMISSIONS).is_none() {
        set(document, PERMISSIONS, state.permissions().as_str());
    }
    Ok(())
}
