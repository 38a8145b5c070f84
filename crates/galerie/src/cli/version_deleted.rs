//! Versions that were deleted: those that can come back, bringing one back, and deleting one for good.

use serde_json::{Value, json};

use super::{
    document::{moment, text},
    failure::{Failure, Result},
    output::{self, OutputArgs},
};
use crate::client::Client;

/// Lists what can be restored of a definition.
pub(super) async fn list(client: &Client, definition: &str, output: OutputArgs) -> Result<()> {
    let deleted = of(client, definition).await?;
    let header = ["VERSION", "HOME", "DELETED", "USABLE UNTIL", "RESTORABLE UNTIL"];
    output::list(output.output, deleted, &header, |version| {
        vec![
            text(version, "name"),
            text(version, "location"),
            moment(version, "properties.softDeletedTime"),
            moment(version, "properties.consumptionEndTime"),
            moment(version, "properties.hardDeletionTargetTime"),
        ]
    })
}

/// Brings a version back as it was.
pub(super) async fn restore(client: &Client, path: &str) -> Result<()> {
    let accepted = client.patch(path, &json!({ "properties": { "restore": true } })).await?;
    let name = name_of(path);
    client.wait(&format!("restore image version {name}"), accepted).await?;
    output::note(&format!("Restored image version {name}."));
    Ok(())
}

/// Deletes a version for good, be it there or deleted before.
pub(super) async fn delete_for_good(client: &Client, path: &str, yes: bool) -> Result<()> {
    let name = name_of(path);
    // A delete of something that is not there succeeds; a person who mistyped wants to know.
    if client.find(path, &[]).await?.is_none() && !is_deleted(client, path).await? {
        return Err(Failure::new(format!(
            "there is no image version {name}, nor was one deleted that could come back"
        )));
    }
    output::confirm(&format!("Delete image version {name} for good?"), yes)?;
    let accepted = client.delete_for_good(path).await?;
    client.wait(&format!("delete image version {name}"), accepted).await?;
    output::note(&format!("Deleted image version {name} for good."));
    Ok(())
}

/// Whether the version at a path was deleted and can come back.
pub(super) async fn is_deleted(client: &Client, path: &str) -> Result<bool> {
    let (definition, name) = path.rsplit_once("/versions/").unwrap_or((path, ""));
    Ok(of(client, definition).await?.iter().any(|version| text(version, "name") == name))
}

/// What can be restored of a definition.
pub(super) async fn of(client: &Client, definition: &str) -> Result<Vec<Value>> {
    Ok(client.list(&collection_of(definition)?).await?)
}

/// Where a definition's soft-deleted versions are listed.
fn collection_of(definition: &str) -> Result<String> {
    let (gallery, name) = definition
        .rsplit_once("/images/")
        .ok_or_else(|| Failure::new("that is no image definition's id".to_owned()))?;
    Ok(format!("{gallery}/softDeletedArtifactTypes/Images/artifacts/{name}/versions"))
}

fn name_of(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}
