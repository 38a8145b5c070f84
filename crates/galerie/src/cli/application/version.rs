//! `galerie application version`.

use galerie_arm::VersionName;
use serde_json::Value;

use super::{OneApplication, publish, pull};
use crate::{
    cli::{
        connection::{ConnectionArgs, GroupArgs},
        document::{items, moment, some_text, target_regions, text},
        failure::Result,
        gallery::delete,
        names,
        output::{self, Format, OutputArgs},
    },
    client::{ApplicationVersionReference, Client},
};

/// List, show, publish, pull or delete versions of an application
#[derive(Debug, clap::Args)]
pub(super) struct VersionArgs {
    #[command(subcommand)]
    command: VersionCommand,
}

#[derive(Debug, clap::Subcommand)]
enum VersionCommand {
    /// List an application's versions, newest first
    List {
        #[command(flatten)]
        application: OneApplication,
        #[command(flatten)]
        output: OutputArgs,
        #[command(flatten)]
        connection: ConnectionArgs,
    },
    /// Show a version and how far each region is
    Show {
        #[command(flatten)]
        version: OneVersion,
        #[command(flatten)]
        output: OutputArgs,
        #[command(flatten)]
        connection: ConnectionArgs,
    },
    Publish(Box<publish::PublishArgs>),
    Pull(pull::PullArgs),
    /// Delete a version and its package
    Delete {
        #[command(flatten)]
        version: OneVersion,
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
        #[command(flatten)]
        connection: ConnectionArgs,
    },
}

#[derive(Debug, clap::Args)]
pub(super) struct OneVersion {
    /// GALLERY/APPLICATION/VERSION, or an ARM id
    #[arg(value_name = "GALLERY/APPLICATION/VERSION", add = names::application_versions())]
    version: ApplicationVersionReference,
    #[command(flatten)]
    group: GroupArgs,
}

impl OneVersion {
    pub(super) async fn path(&self, client: &Client) -> Result<String> {
        Ok(self.version.resolve(client, self.group.resource_group.as_ref()).await?.to_string())
    }
}

pub(super) async fn run(args: VersionArgs) -> Result<()> {
    match args.command {
        VersionCommand::List { application, output, connection } => {
            let client = connection.client()?;
            let path = application.path(&client).await?;
            let mut versions = client.list(&format!("{path}/versions")).await?;
            versions.sort_by_key(|version| std::cmp::Reverse(text(version, "name").parse::<VersionName>().ok()));
            list(&versions, output)
        }
        VersionCommand::Show { version, output, connection } => {
            let client = connection.client()?;
            let path = version.path(&client).await?;
            show(&client.get(&path, &[("$expand", "ReplicationStatus")]).await?, output)
        }
        VersionCommand::Publish(args) => publish::run(*args).await,
        VersionCommand::Pull(args) => pull::run(args).await,
        VersionCommand::Delete { version, yes, connection } => {
            let client = connection.client()?;
            let path = version.path(&client).await?;
            delete(&client, "application version", &path, yes).await
        }
    }
}

fn list(versions: &[Value], output: OutputArgs) -> Result<()> {
    if output.output == Format::Json {
        return output::json(&Value::Array(versions.to_vec()));
    }
    let row = |version: &Value| {
        vec![
            text(version, "name"),
            text(version, "properties.provisioningState"),
            text(version, "location"),
            target_regions(version),
            moment(version, "properties.publishingProfile.publishedDate"),
        ]
    };
    let header = ["VERSION", "STATE", "HOME", "TARGET REGIONS", "PUBLISHED"];
    output::table(&header, versions.iter().map(row).collect())
}

fn show(version: &Value, output: OutputArgs) -> Result<()> {
    if output.output == Format::Json {
        return output::json(version);
    }
    let of_profile = |path: &str| some_text(version, &format!("properties.publishingProfile.{path}"));
    output::properties(vec![
        ("version", some_text(version, "name")),
        ("state", some_text(version, "properties.provisioningState")),
        ("home", some_text(version, "location")),
        ("package", of_profile("source.mediaLink")),
        ("configuration", of_profile("source.defaultConfigurationLink")),
        ("install", of_profile("manageActions.install")),
        ("remove", of_profile("manageActions.remove")),
        ("update", of_profile("manageActions.update")),
        ("end of life", of_profile("endOfLifeDate")),
        ("id", some_text(version, "id")),
    ])?;
    let columns = ["region", "state", "progress", "details"];
    let rows = items(version, "properties.replicationStatus.summary");
    let rows = rows.iter().map(|replica| columns.map(|column| text(replica, column)).to_vec());
    output::line("")?;
    output::table(&["REGION", "STATE", "PERCENT", "DETAILS"], rows.collect())
}
