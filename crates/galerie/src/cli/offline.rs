//! Doing without a server what is usually asked of one: `--offline`.

use std::path::{Path, PathBuf};

use galerie_control::RequestContext;

use super::failure::Result;
use crate::server::{self, Config, DataDirectory, Gallery};

/// Whether, and as which server.
#[derive(Debug, clap::Args)]
pub(super) struct OfflineArgs {
    /// Without a server: the data directory must not be in use
    #[arg(long)]
    pub(super) offline: bool,
    /// The server's configuration, for --offline and for where the master key lies
    #[arg(long, env = "GALERIE_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
}

/// A gallery that nobody else uses as long as this lives.
pub(super) struct OfflineGallery {
    pub(super) gallery: Gallery,
    /// What the data directory's owner may do.
    pub(super) owner: RequestContext,
    _directory: DataDirectory,
}

impl OfflineArgs {
    /// The server's configuration.
    ///
    /// # Errors
    /// Of a file that cannot be read or says what it must not.
    pub(super) fn config(&self) -> Result<Config> {
        Ok(server::read_config(self.config.as_deref())?)
    }

    /// Opens the gallery of a data directory, for this process alone. What a server that was killed had claimed is released.
    ///
    /// # Errors
    /// When there is none, or a server has it.
    pub(super) async fn open(&self, data_dir: &Path) -> Result<OfflineGallery> {
        let config = self.config()?;
        let directory = DataDirectory::lock_existing(data_dir, &config)?;
        let gallery = Gallery::open(&config, &directory).await?;
        gallery.control.take_over().await.map_err(server::Error::from)?;
        let owner = gallery.owner().await?;
        Ok(OfflineGallery { gallery, owner, _directory: directory })
    }
}
