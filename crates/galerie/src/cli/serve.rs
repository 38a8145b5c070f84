//! `galerie serve`.

use std::path::PathBuf;

use super::{connection::DEFAULT_DATA_DIR, failure::Result};
use crate::server::{
    self, ServeOptions,
    config::{Fault, ThrottlingConfig},
};

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
  galerie serve --data-dir /tmp/try --listen 127.0.0.1:0     any free port; admin.json says which

Trouble on purpose, for testing pipelines (docs/design/faults.md):
  galerie serve --throttling azure                           429 beyond Azure's budgets of requests
  galerie serve --fault region=westeurope,fail=1             the next copy there fails; an update repeats it
  galerie serve --fault region=westeurope,slow=30s           copies there take half a minute longer
  galerie serve --fault region=westeurope,down               nobody reaches what is there
  galerie serve --fault throttle,every=5,retry-after=2s      429 for each fifth request
  galerie serve --fault error=503,share=10%,seed=7           503 for one in ten, the same at each run
  galerie serve --fault error=500,every=3,method=PUT,after   what was done, and the answer lost
  galerie serve --fault latency=100ms..2s                    late answers
  galerie serve --fault clock                                then: galerie admin clock advance 8d")]
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
    /// Whose budgets of requests are kept, in place of the configuration's
    #[arg(long, env = "GALERIE_THROTTLING", value_name = "WHOSE")]
    throttling: Option<ThrottlingConfig>,
    /// Something that goes wrong on purpose, beside the configuration's; may be given several times
    #[arg(long = "fault", value_name = "FAULT")]
    faults: Vec<Fault>,
}

pub(crate) async fn run(args: ServeArgs) -> Result<()> {
    let ServeArgs { data_dir, listen, config, throttling, faults } = args;
    Ok(server::serve(ServeOptions { data_dir, listen, config, throttling, faults }).await?)
}
