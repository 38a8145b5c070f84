//! `galerie gallery`.

use serde_json::Value;

use super::{
    cascade::{self, CascadeArgs},
    connection::{ConnectionArgs, GroupArgs},
    document::{group_of, some_text, text},
    failure::Result,
    output::{self, Format, OutputArgs},
};
use crate::client::{Client, GalleryReference};

/// List, show or delete galleries
#[derive(Debug, clap::Args)]
pub(crate) struct GalleryArgs {
    #[command(subcommand)]
    command: GalleryCommand,
}

#[derive(Debug, clap::Subcommand)]
enum GalleryCommand {
    /// List the galleries of the subscription, or of a group
    List {
        #[command(flatten)]
        group: GroupArgs,
        #[command(flatten)]
        output: OutputArgs,
        #[command(flatten)]
        connection: ConnectionArgs,
    },
    /// Show a gallery
    Show {
        #[command(flatten)]
        gallery: OneGallery,
        #[command(flatten)]
        output: OutputArgs,
        #[command(flatten)]
        connection: ConnectionArgs,
    },
    /// Delete a gallery that has no image definitions left, or with everything in it
    Delete {
        #[command(flatten)]
        gallery: OneGallery,
        #[command(flatten)]
        cascade: CascadeArgs,
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
        #[command(flatten)]
        connection: ConnectionArgs,
    },
}

#[derive(Debug, clap::Args)]
struct OneGallery {
    /// The gallery's name or ARM id
    #[arg(value_name = "GALLERY", add = super::names::galleries())]
    gallery: GalleryReference,
    #[command(flatten)]
    group: GroupArgs,
}

impl OneGallery {
    async fn path(&self, client: &Client) -> Result<String> {
        Ok(self.gallery.resolve(client, self.group.resource_group.as_ref()).await?.to_string())
    }
}

pub(crate) async fn run(args: GalleryArgs) -> Result<()> {
    match args.command {
        GalleryCommand::List { group, output, connection } => list(&*connection.client()?, &group, output).await,
        GalleryCommand::Show { gallery, output, connection } => show(&*connection.client()?, &gallery, output).await,
        GalleryCommand::Delete { gallery, cascade, yes, connection } => {
            let client = connection.client()?;
            let path = gallery.path(&client).await?;
            if cascade.is_asked_for() {
                return cascade::delete_gallery(&client, &path, &cascade, yes).await;
            }
            delete(&client, "gallery", &path, yes).await
        }
    }
}

async fn list(client: &Client, group: &GroupArgs, output: OutputArgs) -> Result<()> {
    let scope = match &group.resource_group {
        Some(group) => client.group_path(group.as_str()),
        None => client.subscription_path(),
    };
    let galleries = client.list(&format!("{scope}/providers/Microsoft.Compute/galleries")).await?;
    if output.output == Format::Json {
        return output::json(&Value::Array(galleries));
    }
    if galleries.is_empty() {
        output::note(
            "There is no gallery that you may see; `galerie publish FILE GALLERY/DEFINITION/VERSION --create` makes one.",
        );
        return Ok(());
    }
    let row = |gallery: &Value| {
        vec![
            text(gallery, "name"),
            group_of(gallery),
            text(gallery, "location"),
            text(gallery, "properties.provisioningState"),
            text(gallery, "properties.description"),
        ]
    };
    output::table(&["NAME", "GROUP", "LOCATION", "STATE", "DESCRIPTION"], galleries.iter().map(row).collect())
}

async fn show(client: &Client, gallery: &OneGallery, output: OutputArgs) -> Result<()> {
    let document = client.get(&gallery.path(client).await?, &[]).await?;
    if output.output == Format::Json {
        return output::json(&document);
    }
    output::properties(vec![
        ("name", some_text(&document, "name")),
        ("group", Some(group_of(&document))),
        ("location", some_text(&document, "location")),
        ("state", some_text(&document, "properties.provisioningState")),
        ("description", some_text(&document, "properties.description")),
        ("unique name", some_text(&document, "properties.identifier.uniqueName")),
        ("soft delete", Some(soft_delete(&document).to_owned())),
        ("tags", some_text(&document, "tags").filter(|tags| tags != "{}")),
        ("id", some_text(&document, "id")),
    ])
}

/// Whether versions that are deleted can come back.
fn soft_delete(gallery: &Value) -> &'static str {
    match gallery["properties"]["softDeletePolicy"]["isSoftDeleteEnabled"].as_bool() {
        Some(true) => "on: deleted versions can come back for a while",
        _ => "off: what is deleted is gone",
    }
}

/// Deletes a resource, whatever it is, after asking.
///
/// # Errors
/// When there is none; what the server says.
pub(crate) async fn delete(client: &Client, kind: &str, path: &str, yes: bool) -> Result<()> {
    // A delete of something that is not there succeeds; a person who mistyped wants to know.
    client.get(path, &[]).await?;
    let name = path.rsplit('/').next().unwrap_or(path);
    output::confirm(&format!("Delete {kind} {name}?"), yes)?;
    let accepted = client.delete(path).await?;
    client.wait(&format!("delete {kind} {name}"), accepted).await?;
    output::note(&format!("Deleted {kind} {name}."));
    Ok(())
}
