//! `.../galleries/{gallery}/softDeletedArtifactTypes/{type}/artifacts/{image}/versions`: what was deleted and can come back.

use galerie_arm::{ArmError, ResourceId};

use super::{
    Answer,
    call::{Call, GET},
    response,
};

/// The only type of artifact that is kept.
const IMAGES: &str = "images";

/// A page of an image definition's soft-deleted versions. `artifact_type` is folded.
pub(super) async fn list(call: Call, artifact_type: &str) -> Answer {
    call.only(&GET)?;
    let context = call.context()?;
    if artifact_type != IMAGES {
        let message =
            format!("The artifact type '{artifact_type}' has no soft-deleted resources. It must be 'Images'.");
        return Err(ArmError::invalid_parameter("artifactType", message).into());
    }
    let definition = definition_of(&call)?;
    let page = call.state.control.soft_deleted_versions(&context, &definition, call.continuation()).await?;
    let next_link = page.continuation.as_deref().map(|continuation| call.next_link(continuation));
    Ok(response::page(&page, next_link.as_deref()))
}

/// The image definition that the artifact's name means.
fn definition_of(call: &Call) -> Result<ResourceId, ArmError> {
    let (gallery, artifact) = (&call.segments[..8], &call.segments[11]);
    ResourceId::parse(&format!("/{}/images/{artifact}", gallery.join("/")), "path")
}
