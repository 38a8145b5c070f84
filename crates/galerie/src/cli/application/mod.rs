//! `galerie application`.

mod publish;
mod pull;
mod version;

use serde_json::Value;

use super::{
    connection::{ConnectionArgs, GroupArgs},
    document::{moment, some_text, text},
    failure::Result,
    gallery::delete,
    names,
    output::{self, Format, OutputArgs},
};
use crate::client::{ApplicationReference, Client, GalleryReference};

/// List, show or delete gallery applications and their versions; publish and pull packages
#[derive(Debug, clap::Args)]
pub(crate) struct ApplicationArgs {
    #[command(subcommand)]
    command: ApplicationCommand,
}

#[derive(Debug, clap::Subcommand)]
enum ApplicationCommand {
    /// List a gallery's applications
    List {
        /// The gallery's name or ARM id
        #[arg(value_name = "GALLERY", add = names::galleries())]
        gallery: GalleryReference,
        #[command(flatten)]
        group: GroupArgs,
        #[command(flatten)]
        output: OutputArgs,
        #[command(flatten)]
        connection: ConnectionArgs,
    },
    /// Show an application
    Show {
        #[command(flatten)]
        application: OneApplication,
        #[command(flatten)]
        output: OutputArgs,
        #[command(flatten)]
        connection: ConnectionArgs,
    },
    /// Delete an application that has no versions left
    Delete {
        #[command(flatten)]
        application: OneApplication,
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
        #[command(flatten)]
        connection: ConnectionArgs,
    },
    Version(version::VersionArgs),
}

#[derive(Debug, clap::Args)]
struct OneApplication {
    /// GALLERY/APPLICATION, or an ARM id
    #[arg(value_name = "GALLERY/APPLICATION", add = names::applications())]
    application: ApplicationReference,
    #[command(flatten)]
    group: GroupArgs,
}

impl OneApplication {
    async fn path(&self, client: &Client) -> Result<String> {
        Ok(self.application.resolve(client, self.group.resource_group.as_ref()).await?.to_string())
    }
}

pub(crate) async fn run(args: ApplicationArgs) -> Result<()> {
    match args.command {
        ApplicationCommand::List { gallery, group, output, connection } => {
            let client = connection.client()?;
            let gallery = gallery.resolve(&client, group.resource_group.as_ref()).await?;
            list(&client.list(&format!("{gallery}/applications")).await?, output)
        }
        ApplicationCommand::Show { application, output, connection } => {
            let client = connection.client()?;
            let path = application.path(&client).await?;
            show(&client.get(&path, &[]).await?, output)
        }
        ApplicationCommand::Delete { application, yes, connection } => {
            let client = connection.client()?;
            let path = application.path(&client).await?;
            delete(&client, "application", &path, yes).await
        }
        ApplicationCommand::Version(args) => version::run(args).await,
    }
}

fn list(applications: &[Value], output: OutputArgs) -> Result<()> {
    if output.output == Format::Json {
        return output::json(&Value::Array(applications.to_vec()));
    }
    let columns = ["name", "properties.supportedOSType", "location", "properties.description"];
    let row = |application: &Value| columns.map(|column| text(application, column)).to_vec();
    output::table(&["NAME", "OS", "LOCATION", "DESCRIPTION"], applications.iter().map(row).collect())
}

fn show(application: &Value, output: OutputArgs) -> Result<()> {
    if output.output == Format::Json {
        return output::json(application);
    }
    output::properties(vec![
        ("name", some_text(application, "name")),
        ("location", some_text(application, "location")),
        ("os", some_text(application, "properties.supportedOSType")),
        ("description", some_text(application, "properties.description")),
        ("end of life", Some(moment(application, "properties.endOfLifeDate")).filter(|date| !date.is_empty())),
        ("id", some_text(application, "id")),
    ])
}
