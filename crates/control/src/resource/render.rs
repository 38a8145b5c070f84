//! How a row becomes an answer: the stored document, the states of the moment, in the shape of an api-version.

use galerie_arm::{
    ApiVersion, ArmError, ETag, Location, Locations, ResourceType,
    disk::DiskState,
    schema::{DocumentParts, Shape},
};
use serde_json::{Map, Value, json};

use super::{
    Expand,
    document::{list, remove, set, text},
};
use crate::{
    db::{
        self, Connection,
        resource::{ListedRow, ResourceRow},
    },
    replication_status::{self, ReplicaView},
    request::{DocumentText, Resource},
    sharing::{
        groups,
        state::{PERMISSIONS, SharingState},
    },
    target_regions,
};

const TARGETS: &str = "properties.publishingProfile.targetRegions";

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
    let texts = head_texts(&row.name, &row.id, row.resource_type, &row.location);
    let mut document = head(texts, &row.document, &row.etag);
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
        ResourceType::ImageVersion | ResourceType::ApplicationVersion | ResourceType::ScriptVersion => {
            show_version(tx, locations, &row, expand, &mut document).await?;
        }
        ResourceType::Gallery => show_gallery(tx, &row, expand, &mut document).await?,
        _ => {}
    }
    let document = Shape::of(row.resource_type, api_version).project(document);
    Ok(Resource { document, etag: row.etag })
}

/// What a list of one type shows of a resource: what [`resource`] shows when nothing is expanded.
///
/// # Errors
/// `Corrupt` when the stored document is none.
pub(crate) fn listed(row: &ListedRow<'_>, shape: Shape) -> db::Result<DocumentText> {
    if row.resource_type == ResourceType::Gallery {
        return listed_gallery(row, shape);
    }
    let states = [
        ("provisioningState", row.provisioning_state.as_str()),
        ("diskState", row.disk_state.map_or("", DiskState::as_str)),
    ];
    let etag = ETag::new(row.etag).to_string();
    let parts = DocumentParts {
        head: &head_texts(row.name, row.id, row.resource_type, row.location),
        stored: row.document,
        states: if row.disk_state.is_some() { &states } else { &states[..1] },
        hidden: if row.resource_type == ResourceType::ImageVersion {
            &["properties", "securityProfile", "uefiSettings"]
        } else {
            &[]
        },
        etag: &etag,
    };
    let mut text = Vec::with_capacity(row.document.len() + row.id.len() + LISTED_BESIDE_BYTES);
    shape.project_text(&parts, &mut text).map_err(|error| corrupt(row, &error))?;
    Ok(DocumentText::written(text))
}

/// Galleries are few, and what they show of sharing follows from the document.
fn listed_gallery(row: &ListedRow<'_>, shape: Shape) -> db::Result<DocumentText> {
    let stored: Value = serde_json::from_str(row.document).map_err(|error| corrupt(row, &error))?;
    let texts = head_texts(row.name, row.id, row.resource_type, row.location);
    let mut document = head(texts, &stored, row.etag);
    if let Value::Object(stored) = stored {
        for (name, value) in stored {
            document.entry(name).or_insert(value);
        }
    }
    let mut document = Value::Object(document);
    set(&mut document, "properties.provisioningState", row.provisioning_state.as_str());
    show_sharing(row.location, &mut document);
    Ok(DocumentText::from(&shape.project(document)))
}

/// About what a listed document has beside what is stored and its id.
const LISTED_BESIDE_BYTES: usize = 256;

/// A resource without its properties, as lists of all types have it.
///
/// # Errors
/// As [`listed`].
pub(crate) fn generic(row: &ListedRow<'_>) -> db::Result<DocumentText> {
    let stored: Value = serde_json::from_str(row.document).map_err(|error| corrupt(row, &error))?;
    let mut document = head(head_texts(row.name, row.id, row.resource_type, row.location), &stored, row.etag);
    for name in ["sku", "identity", "managedBy", "zones", "extendedLocation"] {
        if let Some(value) = stored.get(name) {
            document.insert(name.to_owned(), value.clone());
        }
    }
    Ok(DocumentText::from(&Value::Object(document)))
}

fn corrupt(row: &ListedRow<'_>, error: &serde_json::Error) -> db::Error {
    db::Error::Corrupt(format!("document of {}: {error}", row.id))
}

/// What every answer begins with, in the order of the real service.
fn head_texts<'a>(
    name: &'a str,
    id: &'a str,
    resource_type: ResourceType,
    location: &'a str,
) -> [(&'static str, &'a str); 4] {
    [("name", name), ("id", id), ("type", resource_type.as_str()), ("location", location)]
}

/// These, tags and entity tag.
fn head(texts: [(&'static str, &str); 4], stored: &Value, etag: &str) -> Map<String, Value> {
    let mut head: Map<String, Value> =
        texts.map(|(name, text)| (name.to_owned(), Value::from(text))).into_iter().collect();
    if let Some(tags) = stored.get("tags") {
        head.insert("tags".to_owned(), tags.clone());
    }
    head.insert("etag".to_owned(), ETag::new(etag).to_string().into());
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
    let mut views: Vec<ReplicaView> = replicas
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
    let targets = list(document, TARGETS).to_vec();
    // Regions that wait until there is something to copy.
    for target in target_regions::stored(document, TARGETS, locations) {
        if views.iter().all(|view| view.region != target.region) {
            views.push(ReplicaView::unknown(target.region));
        }
    }
    set(document, "properties.replicationStatus", replication_status::show(&views, &targets, locations));
    Ok(())
}

/// How far sharing is, of a gallery that is shared, and how it is shared.
fn show_sharing(location: &str, document: &mut Value) -> SharingState {
    let state = SharingState::of(document);
    if state != SharingState::Private {
        // What one region knows all know: the catalogue is one, and the change was one transaction.
        let region = json!({ "region": location, "state": "Succeeded", "details": "" });
        set(document, "properties.sharingStatus", json!({ "aggregatedState": "Succeeded", "summary": [region] }));
    }
    state
}

async fn show_gallery(
    tx: &mut Connection,
    row: &ResourceRow,
    expand: Expand,
    document: &mut Value,
) -> Result<(), ArmError> {
    let state = show_sharing(&row.location, document);
    if expand.sharing_profile_groups && state == SharingState::Groups {
        let groups = db::sharing::groups(tx, &row.key).await?;
        set(document, "properties.sharingProfile.groups", groups::shown(&groups));
    }
    if expand.permissions && text(document, PERMISSIONS).is_none() {
        set(document, PERMISSIONS, state.permissions().as_str());
    }
    Ok(())
}
