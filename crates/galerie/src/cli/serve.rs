//! `galerie serve`.

use std::path::PathBuf;

use super::{connection::DEFAULT_DATA_DIR, failure::Result};
use crate::server::{self, ServeOptions};

/// Start a server
///
/// On an empty directory it makes a tenant, a subscription, three regions, a certificate authority and an administrator,
/// whose credentials are in DIR/admin.json. A second start finds everything as it was. SIGTERM and Ctrl-C let requests
/// under way end; interrupted work goes on at the next start.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  galerie serve
  galerie serve --data-dir /srv/galerie --listen 0.0.0.0:443 --config /etc/galerie.toml
  galerie serve --data-dir /tmp/try --listen 127.0.0.1:0     any free port; admin.json says which")]
pub(crate) struct ServeArgs {
    /// Where everything is kept; made when there is none
    #[arg(long, env = "GALERIE_DATA_DIR", value_name = "DIR", default_value = DEFAULT_DATA_DIR)]
    data_dir: PathBuf,
    /// Where to listen for HTTPS; port 0 for any that is free
    #[arg(long, env = "GALERIE_LISTEN", value_name = "HOST:PORT", default_value = "127.0.0.1:8443")]
    listen: String,
    /// A configuration (TOML); docs/configuration.md explains every option
    #[arg(long, env = "GALERIE_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
}

pub(crate) async fn run(args: ServeArgs) -> Result<()> {
    let ServeArgs { data_dir, listen, config } = args;
    Ok(server::serve(ServeOptions { data_dir, listen, config }).await?)
}
