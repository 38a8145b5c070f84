//! Trying a version again that failed. Its home region has the image since the first attempt, so nothing is sent: the same
//! PUT with an empty storage profile keeps the source, and starts what failed anew.
//!
//! A version never changes, so another file must not pass for a retry. The file is cut and hashed as for an upload, without
//! compressing or sending, and the manifest's id that comes out is compared with the version's.

use std::sync::{Arc, atomic::Ordering};

use async_trait::async_trait;
use galerie_disk::OpenImage;
use galerie_store::{BlobId, BlobSink, ImportOptions, ImportProgress, ManifestId, StoredBlob, import};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::{PublishArgs, counted};
use crate::{
    cli::{
        document::text,
        failure::{Failure, Result},
        output,
        progress::{Seen, during},
    },
    client::{Client, Content},
};

/// Makes sure that the file is what the failed version was made from, and says what happens.
///
/// # Errors
/// Another file; a file that cannot be read.
pub(super) async fn check_same(
    client: &Arc<Client>,
    path: &str,
    failed: &Value,
    image: &OpenImage,
    args: &PublishArgs,
    progress: &Arc<ImportProgress>,
) -> Result<()> {
    let home = text(failed, "location");
    let kept = match Content::open(Arc::clone(client), path, Some(&home), None).await {
        Ok(content) => content.manifest_id(),
        Err(error) => {
            tracing::debug!(%error, "the failed version cannot be compared");
            output::note(&format!(
                "{} failed before and is tried again with the image that was sent then, whatever {} holds.",
                args.version,
                args.file.display()
            ));
            return Ok(());
        }
    };
    if manifest_of(image, args, progress).await? != kept {
        let problem = format!("{} failed before, and was made from another image", args.version);
        return Err(Failure::new(problem).advise(
            "An image version never changes: publish another number, publish the image that it was made from, or delete it first.",
        ));
    }
    output::note(&format!(
        "{} failed before and is tried again; its image is there and is not sent again.",
        args.version
    ));
    Ok(())
}

/// The id that the file's image has in a store.
async fn manifest_of(image: &OpenImage, args: &PublishArgs, progress: &Arc<ImportProgress>) -> Result<ManifestId> {
    let cancel = CancellationToken::new();
    // The import has threads of its own, which go on when this future is dropped, unless they are told.
    let _stop = cancel.clone().drop_guard();
    let work =
        import(image.guest.clone(), Arc::new(Everything), ImportOptions::default(), Arc::clone(progress), cancel);
    let look = || Seen { done_bytes: progress.read_bytes.load(Ordering::Relaxed), note: counted(progress) };
    let imported = during("comparing", image.guest.virtual_size_bytes(), look, work).await;
    Ok(imported.map_err(|error| Failure::file(&args.file, &error))?.manifest_id)
}

/// Has every blob already, so that an import only names them.
struct Everything;

#[async_trait]
impl BlobSink for Everything {
    fn contains(&self, _: &BlobId) -> galerie_store::Result<bool> {
        Ok(true)
    }

    fn put(&self, _: StoredBlob) -> galerie_store::Result<()> {
        Ok(())
    }

    async fn finish(&self) -> galerie_store::Result<()> {
        Ok(())
    }
}
