//! `galerie tenant`: organisations that share a gallery and see nothing of each other.

use uuid::Uuid;

use super::{
    connection::{ConnectionArgs, ListArgs},
    document::{items, text},
    failure::Result,
    output::{self, Format, OutputArgs},
};
use crate::client::Client;

/// Make and look after tenants: organisations that see nothing of each other unless it is shared
///
/// Each has its own directory, subscriptions and images. Only the operator (admin.json's account) may make one.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  galerie tenant list
  galerie tenant create Research --domain research.example
  galerie tenant update --domain gallery.example               of your own tenant
  galerie tenant link --tenant 9c1b...                         a new one-time link for its administrator")]
pub(crate) struct TenantArgs {
    #[command(subcommand)]
    command: TenantCommand,
}

#[derive(Debug, clap::Subcommand)]
enum TenantCommand {
    /// List tenants
    List(ListArgs),
    /// Make a tenant; prints its operator's secret and a link for its first user, once
    Create(CreateArgs),
    /// Give a tenant another name or domain; users keep the names that they have
    Update(UpdateArgs),
    /// Make a new one-time link for a tenant's administrator
    Link(LinkArgs),
}

#[derive(Debug, clap::Args)]
struct CreateArgs {
    /// What people call it
    name: String,
    /// The domain of its users' names [default: one below galerie.internal]
    #[arg(long, value_name = "DOMAIN")]
    domain: Option<String>,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    connection: ConnectionArgs,
}

#[derive(Debug, clap::Args)]
struct UpdateArgs {
    /// The tenant [default: your own]
    #[arg(long, value_name = "UUID")]
    tenant: Option<Uuid>,
    /// What people call it from now on
    #[arg(long, value_name = "TEXT", required_unless_present = "domain")]
    name: Option<String>,
    /// The domain of new users' names
    #[arg(long, value_name = "DOMAIN")]
    domain: Option<String>,
    #[command(flatten)]
    connection: ConnectionArgs,
}

#[derive(Debug, clap::Args)]
struct LinkArgs {
    /// The tenant [default: your own]
    #[arg(long, value_name = "UUID")]
    tenant: Option<Uuid>,
    #[command(flatten)]
    connection: ConnectionArgs,
}

pub(crate) async fn run(args: TenantArgs) -> Result<()> {
    match args.command {
        TenantCommand::List(args) => {
            let client = Client::new(args.connection.profile()?)?;
            let found = client.call("/galerie/tenant/list", &[]).await?;
            let tenants = items(&found, "value").to_vec();
            output::list(args.output.output, tenants, &["NAME", "DOMAIN", "ID"], |tenant| {
                vec![text(tenant, "displayName"), text(tenant, "defaultDomain"), text(tenant, "tenantId")]
            })
        }
        TenantCommand::Create(args) => create(args).await,
        TenantCommand::Update(args) => {
            let client = Client::new(args.connection.profile()?)?;
            let tenant = args.tenant.map(|tenant| tenant.to_string());
            let query: Vec<(&str, &str)> = [
                ("tenant", tenant.as_deref()),
                ("displayName", args.name.as_deref()),
                ("domain", args.domain.as_deref()),
            ]
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?)))
            .collect();
            let changed = client.call("/galerie/tenant/update", &query).await?;
            output::line(&format!("{} ({})", text(&changed, "displayName"), text(&changed, "defaultDomain")))
        }
        TenantCommand::Link(args) => {
            let client = Client::new(args.connection.profile()?)?;
            let tenant = args.tenant.map(|tenant| tenant.to_string());
            let query: Vec<(&str, &str)> = tenant.iter().map(|tenant| ("tenant", tenant.as_str())).collect();
            output::line(&text(&client.call("/galerie/tenant/link", &query).await?, "link"))
        }
    }
}

async fn create(args: CreateArgs) -> Result<()> {
    let client = Client::new(args.connection.profile()?)?;
    let mut query = vec![("displayName", args.name.as_str())];
    query.extend(args.domain.as_deref().map(|domain| ("domain", domain)));
    let made = client.call("/galerie/tenant/create", &query).await?;
    if args.output.output == Format::Json {
        return output::json(&made);
    }
    for (name, member) in [
        ("tenant", "tenantId"),
        ("domain", "defaultDomain"),
        ("subscription", "subscriptionId"),
        ("client id", "clientId"),
        ("secret", "clientSecret"),
        ("link", "link"),
    ] {
        output::line(&format!("{name:<13} {}", text(&made, member)))?;
    }
    output::line("Secret and link are not shown again. The link is for its administrator: once, and within 7 days.")
}
