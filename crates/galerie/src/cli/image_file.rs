//! Opening image files that the user names.

use std::{fs::File, path::Path};

use galerie_disk::{Format, OpenImage};

use super::failure::{Failure, Result};

/// Opens an image; without a format it is inspected.
///
/// # Errors
/// What is wrong with the file, by its name.
pub(crate) async fn open(path: &Path, format: Option<Format>) -> Result<OpenImage> {
    let opened = path.to_owned();
    tokio::task::spawn_blocking(move || {
        let file = File::open(&opened).map_err(|error| Failure::file(&opened, &error))?;
        galerie_disk::open(file, format).map_err(|error| Failure::file(&opened, &error))
    })
    .await
    .map_err(|error| Failure::of(&error))?
}
