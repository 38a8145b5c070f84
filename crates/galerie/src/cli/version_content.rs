//! Opening what a command reads: the content of the version that its user named, or of the `latest` one.

use std::sync::Arc;

use super::{
    connection::GroupArgs,
    failure::{Failure, Result},
};
use crate::client::{Client, Content, Error, VersionReference};

/// Opens a version's content in a region, or in any that has it.
///
/// # Errors
/// When there is none; for `latest` with how to find out why.
pub(super) async fn open(
    client: Arc<Client>,
    version: &VersionReference,
    group: &GroupArgs,
    region: Option<&str>,
    lun: Option<i32>,
) -> Result<Content> {
    let path = version.resolve(&client, group.resource_group.as_ref()).await?;
    let opened = Content::open(client, &path, region, lun).await;
    opened.map_err(|error| match version.version {
        None if matches!(error, Error::Refused { status: 404, .. }) => {
            Failure::from(error).advise(advice(version, region))
        }
        _ => error.into(),
    })
}

fn advice(version: &VersionReference, region: Option<&str>) -> String {
    let definition = format!("{}/{}", version.definition.gallery.gallery, version.definition.definition);
    format!("`galerie version explain-latest {definition} --region {}` says why.", region.unwrap_or("REGION"))
}
