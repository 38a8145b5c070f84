//! `galerie nbd`.

use std::{path::PathBuf, sync::Arc};

use galerie_disk::{
    ImageDevice,
    nbd::{Exports, Listener},
};
use galerie_store::{ChunkCache, ImageReader};
use tokio_util::sync::CancellationToken;

use super::{
    connection::{ConnectionArgs, GroupArgs},
    failure::{Failure, Result},
    output::{self, size},
    version_content,
};
use crate::{client::VersionReference, signals::Signals};

/// Serve an image version to NBD clients on this machine
///
/// Read-only, on a Unix socket that only you can connect to. Nothing is copied first: what a client reads is fetched over
/// HTTPS with your own credentials, verified, and kept in memory within --cache-mib. Ctrl-C ends it.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  galerie nbd myGallery/ubuntu-web/1.0.0 --region westeurope --socket web.sock
  nbdinfo 'nbd+unix:///?socket=web.sock'
  qemu-img create -f qcow2 -b 'nbd+unix:///?socket=web.sock' -F raw overlay.qcow2
  qemu-system-x86_64 -m 1G -drive file=overlay.qcow2,if=virtio      boot it without a copy")]
pub(crate) struct NbdArgs {
    /// GALLERY/DEFINITION/VERSION (VERSION may be `latest`), or an ARM id
    #[arg(value_name = "GALLERY/DEFINITION/VERSION", add = super::names::versions_and_latest())]
    version: VersionReference,
    /// The Unix socket to make
    #[arg(long, value_name = "PATH")]
    socket: PathBuf,
    /// The region to read from; `latest` is the region's
    #[arg(long, value_name = "REGION", add = super::names::regions())]
    region: Option<String>,
    /// A data disk in place of the operating system's
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(0..=63))]
    lun: Option<i32>,
    /// How much is kept in memory, in MiB
    #[arg(long, value_name = "MIB", default_value_t = 256)]
    cache_mib: u64,
    #[command(flatten)]
    group: GroupArgs,
    #[command(flatten)]
    connection: ConnectionArgs,
}

pub(crate) async fn run(args: NbdArgs) -> Result<()> {
    let client = args.connection.client()?;
    let content = version_content::open(client, &args.version, &args.group, args.region.as_deref(), args.lun).await?;
    let content = Arc::new(content);
    let cache = ChunkCache::new(args.cache_mib << 20);
    let reader = ImageReader::open(content.clone(), content.manifest_id(), cache).await?;
    let listener = Listener::bind(&args.socket)?;
    let stop = CancellationToken::new();
    let mut signals = Signals::hear().map_err(|error| Failure::new(format!("listen for signals: {error}")))?;
    output::line(&format!(
        "Serving {} ({}) from {}\n  nbd+unix:///?socket={}",
        content.version_id(),
        size(content.virtual_size_bytes()),
        content.region(),
        args.socket.display()
    ))?;
    let ended = stop.clone();
    tokio::spawn(async move {
        signals.next().await;
        ended.cancel();
    });
    listener.serve(Exports::single(Arc::new(ImageDevice::new(reader))), stop).await;
    output::note(&format!("Served; {} received.", size(content.received_bytes())));
    Ok(())
}
