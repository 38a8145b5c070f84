//! `galerie application version pull`.

use std::{path::PathBuf, sync::Arc};

use galerie_disk::export::ExportFormat;

use super::version::OneVersion;
use crate::{
    cli::{connection::ConnectionArgs, failure::Result, names, pull},
    client::Content,
};

/// Where a version's default configuration is, beside its package.
const CONFIGURATION_LUN: i32 = 0;

/// Download a version's package into a file
///
/// Every byte is verified. The file appears under its name when it is complete.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  galerie application version pull myGallery/agent/1.0.0 -o agent.tar.gz
  galerie application version pull myGallery/agent/1.0.0 -o agent.conf --configuration")]
pub(super) struct PullArgs {
    #[command(flatten)]
    version: OneVersion,
    /// The file to write
    #[arg(short = 'o', long = "file", value_name = "FILE")]
    file: PathBuf,
    /// The default configuration in place of the package
    #[arg(long)]
    configuration: bool,
    /// The region to read from [default: the version's own]
    #[arg(long, value_name = "REGION", add = names::regions())]
    region: Option<String>,
    /// Overwrite the file if it exists
    #[arg(long)]
    force: bool,
    /// Print what was pulled as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: ConnectionArgs,
}

pub(super) async fn run(args: PullArgs) -> Result<()> {
    pull::check_free(&args.file, args.force)?;
    let client = args.connection.client()?;
    let path = args.version.path(&client).await?;
    let lun = args.configuration.then_some(CONFIGURATION_LUN);
    let content = Arc::new(Content::open(client, &path, args.region.as_deref(), lun).await?);
    let length_bytes = pull::write(&content, &args.file, ExportFormat::Raw, args.force).await?;
    pull::report(&args.file, &content, length_bytes, args.json)
}
