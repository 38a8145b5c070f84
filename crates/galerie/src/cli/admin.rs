//! `galerie admin`: a new administrator or one-time link, while no server runs; new token keys, which processes serve the
//! catalogue, and the clock of a server that is for testing.

use std::path::PathBuf;

use secrecy::ExposeSecret;
use serde_json::Value;

use super::{
    connection::{ConnectionArgs, DEFAULT_DATA_DIR},
    document::text,
    failure::Result,
    output::{self, Format, OutputArgs},
};
use crate::{client::Client, server, span::Span};

/// Make a new administrator, link or token key, list the server's processes, or move its clock
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
    /// Make a new one-time link, by which a person becomes an administrator; an earlier one is good no more
    ///
    /// Whoever opens the link, once and within 7 days, chooses a user name and a password, administers the directory and owns
    /// everything in it. While the server runs, `galerie tenant link` does the same.
    Link(ResetArgs),
    /// Make a new key that signs tokens; it takes over within an hour, and nobody is signed out
    ///
    /// The server does so by itself every 90 days. Do it when a key may have been seen by others: tokens that it signed are
    /// refused within three hours, when it is retired.
    RotateKeys(RotateArgs),
    /// List the processes that serve the catalogue, as the server sees them
    Processes(ProcessesArgs),
    /// Say what time it is for a server that was started with --fault clock, or move it on
    Clock(ClockArgs),
}

/// Soft deletion, leases, the ends of SAS and tokens, and token keys follow the clock. So do tokens that clients hold: after more
/// than an hour they sign in again.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  galerie serve --fault clock                 a server whose clock can be moved
  galerie admin clock show
  galerie admin clock advance 8d              what was deleted softly a week ago is gone
  galerie admin clock advance 90m             tokens and SAS of an hour have ended")]
struct ClockArgs {
    #[command(subcommand)]
    command: ClockCommand,
}

#[derive(Debug, clap::Subcommand)]
enum ClockCommand {
    /// What time it is for the server
    Show {
        #[command(flatten)]
        output: OutputArgs,
        #[command(flatten)]
        connection: ConnectionArgs,
    },
    /// Move the server's clock on; there is no way back
    Advance {
        /// By how much, such as 90s, 45m, 2h or 8d
        #[arg(value_name = "TIME")]
        by: Span,
        #[command(flatten)]
        output: OutputArgs,
        #[command(flatten)]
        connection: ConnectionArgs,
    },
}

#[derive(Debug, clap::Args)]
struct ProcessesArgs {
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    connection: ConnectionArgs,
}

#[derive(Debug, clap::Args)]
struct RotateArgs {
    #[command(flatten)]
    connection: ConnectionArgs,
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
    match args.command {
        AdminCommand::Reset(args) => reset(args).await,
        AdminCommand::Link(args) => link(args).await,
        AdminCommand::RotateKeys(args) => rotate_keys(args).await,
        AdminCommand::Processes(args) => processes(args).await,
        AdminCommand::Clock(args) => clock(args).await,
    }
}

async fn clock(args: ClockArgs) -> Result<()> {
    let (output, document) = match args.command {
        ClockCommand::Show { output, connection } => {
            (output, Client::new(connection.profile()?)?.call("/galerie/clock/show", &[]).await?)
        }
        ClockCommand::Advance { by, output, connection } => {
            // A part of a second would be lost on the way.
            let seconds = by.0.as_millis().div_ceil(1000).to_string();
            let client = Client::new(connection.profile()?)?;
            (output, client.call("/galerie/clock/advance", &[("seconds", &seconds)]).await?)
        }
    };
    if output.output == Format::Json {
        return output::json(&document);
    }
    let ahead_s = document["aheadMs"].as_u64().unwrap_or(0) / 1000;
    let (days, hours, minutes) = (ahead_s / 86_400, ahead_s / 3600 % 24, ahead_s / 60 % 60);
    let ahead = format!("{days} d {hours} h {minutes} min {} s ahead of the machine's clock", ahead_s % 60);
    output::line(&format!("{}, {ahead}", text(&document, "now")))
}

async fn processes(args: ProcessesArgs) -> Result<()> {
    let client = Client::new(args.connection.profile()?)?;
    let listed = client.list("/galerie/processes").await?;
    if args.output.output == Format::Json {
        return output::json(&Value::Array(listed));
    }
    if listed.is_empty() {
        return output::line("One process, which has the catalogue to itself.");
    }
    let row = |process: &Value| {
        let regions = process["regions"].as_array().map(Vec::as_slice).unwrap_or_default();
        let regions: Vec<&str> = regions.iter().filter_map(Value::as_str).collect();
        let seen_s = process["lastSeenMsAgo"].as_u64().unwrap_or(0) / 1000;
        let columns = [text(process, "id"), text(process, "state"), text(process, "url"), regions.join(", ")];
        columns.into_iter().chain([format!("{seen_s} s ago"), text(process, "version")]).collect()
    };
    output::table(&["PROCESS", "STATE", "ADDRESS", "REGIONS", "SEEN", "VERSION"], listed.iter().map(row).collect())
}

async fn reset(ResetArgs { data_dir, config }: ResetArgs) -> Result<()> {
    let config = server::read_config(config.as_deref())?;
    let path = server::reset_administrator(&data_dir, &config).await?;
    output::line(&format!("A new administrator is in {}; the former ones can do nothing any more.", path.display()))
}

async fn link(ResetArgs { data_dir, config }: ResetArgs) -> Result<()> {
    let config = server::read_config(config.as_deref())?;
    let link = server::reset_link(&data_dir, &config).await?;
    output::line(&format!("Start the server, then open this link once, within 7 days:\n\n  {}", link.expose_secret()))
}

async fn rotate_keys(args: RotateArgs) -> Result<()> {
    let client = Client::new(args.connection.profile()?)?;
    client.call("/galerie/keys/rotate", &[]).await?;
    output::line("A new key will sign tokens within an hour; the former one is retired when its last token has ended.")
}
