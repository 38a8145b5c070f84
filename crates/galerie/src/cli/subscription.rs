//! `galerie subscription`: what a tenant's groups and galleries are in.

use serde_json::Value;

use super::{
    connection::{ConnectionArgs, ListArgs},
    document::text,
    failure::Result,
    output::{self, Format, OutputArgs},
};
use crate::client::Client;

/// List and make subscriptions: what resource groups and galleries are in
///
/// A subscription belongs to one tenant for good; quotas and roles can be a subscription's.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  galerie subscription list
  galerie subscription create Staging
  GALERIE_SUBSCRIPTION_ID=... galerie gallery list             work in it")]
pub(crate) struct SubscriptionArgs {
    #[command(subcommand)]
    command: SubscriptionCommand,
}

#[derive(Debug, clap::Subcommand)]
enum SubscriptionCommand {
    /// List the subscriptions that you can see
    List(ListArgs),
    /// Make a subscription in your tenant; you own it
    Create(CreateArgs),
}

#[derive(Debug, clap::Args)]
struct CreateArgs {
    /// What people call it
    name: String,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    connection: ConnectionArgs,
}

pub(crate) async fn run(args: SubscriptionArgs) -> Result<()> {
    match args.command {
        SubscriptionCommand::List(args) => {
            let client = Client::new(args.connection.profile()?)?;
            show(client.list("/subscriptions").await?, args.output.output)
        }
        SubscriptionCommand::Create(args) => {
            let client = Client::new(args.connection.profile()?)?;
            let made = client.call("/galerie/subscription/create", &[("displayName", &args.name)]).await?;
            show(vec![made], args.output.output)
        }
    }
}

fn show(found: Vec<Value>, format: Format) -> Result<()> {
    output::list(format, found, &["NAME", "ID", "TENANT"], |found| {
        vec![text(found, "displayName"), text(found, "subscriptionId"), text(found, "tenantId")]
    })
}
