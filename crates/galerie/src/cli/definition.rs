//! `galerie definition`.

use serde_json::Value;

use super::{
    cascade::{self, CascadeArgs},
    connection::{ConnectionArgs, GroupArgs},
    document::{at, some_text, text},
    failure::Result,
    gallery::delete,
    output::{self, Format, OutputArgs},
    retention::{self, RetentionArgs},
};
use crate::client::{Client, DefinitionReference, GalleryReference};

/// List, show or delete image definitions, and say which versions are kept
#[derive(Debug, clap::Args)]
pub(crate) struct DefinitionArgs {
    #[command(subcommand)]
    command: DefinitionCommand,
}

#[derive(Debug, clap::Subcommand)]
enum DefinitionCommand {
    /// List a gallery's image definitions
    List {
        /// The gallery's name or ARM id
        #[arg(value_name = "GALLERY", add = super::names::galleries())]
        gallery: GalleryReference,
        #[command(flatten)]
        group: GroupArgs,
        #[command(flatten)]
        output: OutputArgs,
        #[command(flatten)]
        connection: ConnectionArgs,
    },
    /// Show an image definition
    Show {
        #[command(flatten)]
        definition: OneDefinition,
        #[command(flatten)]
        output: OutputArgs,
        #[command(flatten)]
        connection: ConnectionArgs,
    },
    /// Delete an image definition that has no versions left, or with its versions
    Delete {
        #[command(flatten)]
        definition: OneDefinition,
        #[command(flatten)]
        cascade: CascadeArgs,
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
        #[command(flatten)]
        connection: ConnectionArgs,
    },
    Retention(RetentionArgs),
}

#[derive(Debug, clap::Args)]
struct OneDefinition {
    /// GALLERY/DEFINITION, or an ARM id
    #[arg(value_name = "GALLERY/DEFINITION", add = super::names::definitions())]
    definition: DefinitionReference,
    #[command(flatten)]
    group: GroupArgs,
}

impl OneDefinition {
    async fn path(&self, client: &Client) -> Result<String> {
        Ok(self.definition.resolve(client, self.group.resource_group.as_ref()).await?.to_string())
    }
}

pub(crate) async fn run(args: DefinitionArgs) -> Result<()> {
    match args.command {
        DefinitionCommand::List { gallery, group, output, connection } => {
            let client = connection.client()?;
            let gallery = gallery.resolve(&client, group.resource_group.as_ref()).await?;
            list(&client.list(&format!("{gallery}/images")).await?, output)
        }
        DefinitionCommand::Show { definition, output, connection } => {
            let client = connection.client()?;
            let path = definition.path(&client).await?;
            show(&client.get(&path, &[]).await?, output)
        }
        DefinitionCommand::Delete { definition, cascade, yes, connection } => {
            let client = connection.client()?;
            let path = definition.path(&client).await?;
            if cascade.is_asked_for() {
                return cascade::delete_definition(&client, &path, &cascade, yes).await;
            }
            delete(&client, "image definition", &path, yes).await
        }
        DefinitionCommand::Retention(args) => retention::run(args).await,
    }
}

fn list(definitions: &[Value], output: OutputArgs) -> Result<()> {
    if output.output == Format::Json {
        return output::json(&Value::Array(definitions.to_vec()));
    }
    let row = |definition: &Value| {
        vec![
            text(definition, "name"),
            text(definition, "properties.osType"),
            text(definition, "properties.osState"),
            text(definition, "properties.hyperVGeneration"),
            text(definition, "properties.architecture"),
            identifier(definition),
            text(definition, "properties.provisioningState"),
        ]
    };
    let header = ["NAME", "OS", "OS STATE", "GENERATION", "ARCHITECTURE", "PUBLISHER:OFFER:SKU", "STATE"];
    output::table(&header, definitions.iter().map(row).collect())
}

fn show(definition: &Value, output: OutputArgs) -> Result<()> {
    if output.output == Format::Json {
        return output::json(definition);
    }
    output::properties(vec![
        ("name", some_text(definition, "name")),
        ("location", some_text(definition, "location")),
        ("state", some_text(definition, "properties.provisioningState")),
        ("os", some_text(definition, "properties.osType")),
        ("os state", some_text(definition, "properties.osState")),
        ("generation", some_text(definition, "properties.hyperVGeneration")),
        ("architecture", some_text(definition, "properties.architecture")),
        ("identifier", Some(identifier(definition))),
        ("description", some_text(definition, "properties.description")),
        ("end of life", some_text(definition, "properties.endOfLifeDate")),
        ("id", some_text(definition, "id")),
    ])
}

fn identifier(definition: &Value) -> String {
    let identifier = at(definition, "properties.identifier");
    ["publisher", "offer", "sku"].map(|part| text(identifier, part)).join(":")
}
