//! What a tenant makes from another tenant's image version: the bytes are copied into its own domain.
//!
//! A resource with a row of `foreign_sources` holds nothing yet. Whoever copies pins first and asks then whether the version
//! may still be read ([`check`]), and asks again in the transaction that records the copy.

use galerie_arm::ArmError;

use super::reach::Viewer;
use crate::{
    db::{Connection, foreign_source::ForeignSource, resource::ResourceRow},
    soft_delete,
    source::is_replicated,
};

/// Checks that `consumer`, which is being made from a foreign version, may still be: the version is the same, complete in
/// the consumer's region, and shared, or the reader's by a role, as it was.
///
/// # Errors
/// `GalleryImageNotFound` for anything else, without naming what is the owner's; of the catalogue.
pub(crate) async fn check(tx: &mut Connection, consumer: &ResourceRow, source: &ForeignSource) -> Result<(), ArmError> {
    let gone = || {
        let message =
            "The image version that this is made from is no longer there, or no longer shared with the subscription.";
        ArmError::new(404, "GalleryImageNotFound", message)
    };
    let version =
        soft_delete::find_usable(tx, &source.version).await?.filter(|version| version.uid == source.version_uid);
    let version = version.ok_or_else(gone)?;
    let viewer = Viewer { subscription: consumer.subscription, tenant: consumer.tenant };
    let is_good = is_replicated(tx, &version.key, &consumer.location).await?
        && viewer.still_sees(tx, gallery_key(&version.key), source).await?;
    if is_good { Ok(()) } else { Err(gone()) }
}

/// `.../galleries/g` of `.../galleries/g/images/i/versions/v`.
fn gallery_key(version: &str) -> &str {
    let mut slashes = version.rmatch_indices('/').map(|(at, _)| at);
    slashes.nth(3).map_or(version, |end| &version[..end])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::testing::{GALLERY, VERSION};

    #[test]
    fn a_version_leads_to_its_gallery() {
        assert_eq!(gallery_key(VERSION), GALLERY);
        assert_eq!(gallery_key("x"), "x");
    }
}
