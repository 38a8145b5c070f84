//! `galerie quota`: what subscriptions and tenants may hold, and what they do.

use serde_json::Value;
use uuid::Uuid;

use super::{
    connection::ConnectionArgs,
    document::text,
    failure::Result,
    output::{self, Format, OutputArgs},
};
use crate::{client::Client, size::Size};

/// Say and set how much subscriptions and tenants may hold
///
/// Bytes are those that guests see: a disk's, snapshot's or image's size, once for each region it is kept in, from the
/// moment it is accepted. Resources are galleries, definitions, versions, images, disks and snapshots. A tenant's limit is
/// for all of its subscriptions together. Azure's own limits hold beside these, unless they are lifted for the subscription or
/// its tenant.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  galerie quota show
  galerie quota show -o json
  galerie quota set --bytes 2TiB --resources 500               of the subscription that you use
  galerie quota set --tenant 9c1b... --bytes unlimited
  galerie quota set --azure-limits off                         as many galleries, definitions and versions as there is room for")]
pub(crate) struct QuotaArgs {
    #[command(subcommand)]
    command: QuotaCommand,
}

#[derive(Debug, clap::Subcommand)]
enum QuotaCommand {
    /// What is used, and what may be
    Show {
        #[command(flatten)]
        output: OutputArgs,
        #[command(flatten)]
        connection: ConnectionArgs,
    },
    /// Limit a subscription or a tenant; only the operator may
    Set(SetArgs),
}

#[derive(Debug, clap::Args)]
struct SetArgs {
    /// The subscription [default: the one that is used]
    #[arg(long, value_name = "UUID", conflicts_with = "tenant")]
    subscription: Option<Uuid>,
    /// The tenant, in place of a subscription
    #[arg(long, value_name = "UUID")]
    tenant: Option<Uuid>,
    /// The most bytes, such as 500GiB or 2TiB, or `unlimited`
    #[arg(long, value_name = "SIZE", value_parser = bytes, required_unless_present_any = ["resources", "azure_limits"])]
    bytes: Option<String>,
    /// The most resources, or `unlimited`
    #[arg(long, value_name = "COUNT", value_parser = resources)]
    resources: Option<String>,
    /// Whether Azure's limits hold: 100 galleries, 1,000 definitions, 10,000 versions in a region; disks of 2 TiB
    #[arg(long, value_name = "on|off", value_parser = ["on", "off"])]
    azure_limits: Option<String>,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    connection: ConnectionArgs,
}

/// As the server takes it.
const UNLIMITED: &str = "unlimited";

fn bytes(text: &str) -> Result<String, String> {
    if text == UNLIMITED {
        return Ok(text.to_owned());
    }
    text.parse::<Size>().map(|size| size.0.to_string()).map_err(|error| format!("{error}, or 'unlimited'"))
}

fn resources(text: &str) -> Result<String, String> {
    let is_count = text == UNLIMITED || text.parse::<u32>().is_ok();
    if is_count { Ok(text.to_owned()) } else { Err("a number, or 'unlimited'".to_owned()) }
}

pub(crate) async fn run(args: QuotaArgs) -> Result<()> {
    match args.command {
        QuotaCommand::Show { output, connection } => {
            let client = Client::new(connection.profile()?)?;
            let found = client.call("/galerie/quota/show", &[]).await?;
            if output.output == Format::Json {
                return output::json(&found);
            }
            show(found.get("value").and_then(Value::as_array).map_or(&[][..], Vec::as_slice))
        }
        QuotaCommand::Set(args) => set(args).await,
    }
}

async fn set(args: SetArgs) -> Result<()> {
    let client = Client::new(args.connection.profile()?)?;
    let used = client.subscription_path().trim_start_matches("/subscriptions/").to_owned();
    let of = match args.tenant {
        Some(tenant) => ("tenant", tenant.to_string()),
        None => ("subscription", args.subscription.map_or(used, |subscription| subscription.to_string())),
    };
    let mut query = vec![(of.0, of.1.as_str())];
    query.extend(args.bytes.as_deref().map(|bytes| ("bytes", bytes)));
    query.extend(args.resources.as_deref().map(|resources| ("resources", resources)));
    query.extend(args.azure_limits.as_deref().map(|limits| ("azureLimits", limits)));
    let document = client.call("/galerie/quota/set", &query).await?;
    match args.output.output {
        Format::Json => output::json(&document),
        Format::Table => show(std::slice::from_ref(&document)),
    }
}

fn show(scopes: &[Value]) -> Result<()> {
    let header = ["SCOPE", "NAME", "BYTES USED", "OF", "RESOURCES USED", "OF", "AZURE'S LIMITS"];
    let rows = scopes.iter().map(|scope| {
        let number = |what: &str, which: &str| scope.get(what).and_then(|what| what.get(which)).and_then(Value::as_u64);
        let size = |which| number("bytes", which).map(output::size);
        let count = |which| number("resources", which).map(|count| count.to_string());
        let unlimited = || UNLIMITED.to_owned();
        vec![
            text(scope, "scope"),
            text(scope, "name"),
            size("used").unwrap_or_default(),
            size("limit").unwrap_or_else(unlimited),
            count("used").unwrap_or_default(),
            count("limit").unwrap_or_else(unlimited),
            if scope.get("azureLimits").and_then(Value::as_bool) == Some(false) { "off" } else { "on" }.to_owned(),
        ]
    });
    output::table(&header, rows.collect())
}
