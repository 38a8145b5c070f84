//! `galerie admin`: what is done to a data directory while no server uses it.

use std::path::PathBuf;

use super::{connection::DEFAULT_DATA_DIR, failure::Result, output};
use crate::server;

/// Administer a data directory while its server is stopped
#[derive(Debug, clap::Args)]
pub(crate) struct AdminArgs {
    #[command(subcommand)]
    command: AdminCommand,
}

#[derive(Debug, clap::Subcommand)]
enum AdminCommand {
    /// Make a new administrator; the former ones lose their secrets and their rank
    ///
    /// Writes DIR/admin.json anew. Use it when the secret was lost or seen by others.
    Reset(ResetArgs),
}

#[derive(Debug, clap::Args)]
struct ResetArgs {
    /// The server's data directory
    #[arg(long, env = "GALERIE_DATA_DIR", value_name = "DIR", default_value = DEFAULT_DATA_DIR)]
    data_dir: PathBuf,
    /// The server's configuration, if it has one
    #[arg(long, env = "GALERIE_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
}

pub(crate) async fn run(args: AdminArgs) -> Result<()> {
    let AdminCommand::Reset(ResetArgs { data_dir, config }) = args.command;
    let config = server::read_config(config.as_deref())?;
    let path = server::reset_administrator(&data_dir, &config).await?;
    output::line(&format!("A new administrator is in {}; the former ones can do nothing any more.", path.display()))
}
