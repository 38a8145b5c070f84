//! `galerie definition retention`: which of a definition's versions are kept, and which go by themselves.

use serde_json::{Value, json};

use super::{
    connection::{ConnectionArgs, GroupArgs},
    document::{at, items, moment, some_text, text},
    failure::Result,
    output::{self, Format, OutputArgs},
};
use crate::client::{Client, DefinitionReference};

/// Say which versions are kept; the others can be deleted
///
/// A policy keeps the highest versions, as many as it says, and what is younger than it says. It never deletes what is
/// `latest` anywhere, pinned, excluded from latest, in use, being made, failed, or protected until its end of life. In a
/// gallery with a soft-delete policy what it deletes can be restored.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  galerie definition retention run lab/web --dry-run --keep 3 --older-than-days 30     before there is a policy
  galerie definition retention set lab/web --keep 3 --older-than-days 30
  galerie definition retention run lab/web --dry-run
  galerie definition retention run lab/web
  galerie definition retention set lab/web --keep 3 --older-than-days 30 --automatic
  galerie version pin lab/web/1.4.0")]
pub(crate) struct RetentionArgs {
    #[command(subcommand)]
    command: RetentionCommand,
}

#[derive(Debug, clap::Subcommand)]
enum RetentionCommand {
    /// Set the policy, in place of the one there is
    Set(SetArgs),
    /// Show the policy
    Show {
        #[command(flatten)]
        definition: OneDefinition,
        #[command(flatten)]
        output: OutputArgs,
        #[command(flatten)]
        connection: ConnectionArgs,
    },
    /// Remove the policy; no version is touched
    Remove {
        #[command(flatten)]
        definition: OneDefinition,
        #[command(flatten)]
        connection: ConnectionArgs,
    },
    /// Delete what the policy says, or only say what that is, and why the rest stays
    Run(RunArgs),
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
        let id = self.definition.resolve(client, self.group.resource_group.as_ref()).await?;
        Ok(path_of(id.as_str()))
    }
}

#[derive(Debug, clap::Args)]
struct SetArgs {
    #[command(flatten)]
    definition: OneDefinition,
    /// How many of the highest versions stay; at least 1
    #[arg(long, value_name = "COUNT")]
    keep: u32,
    /// What is younger stays, too
    #[arg(long, value_name = "DAYS", default_value_t = 0)]
    older_than_days: u32,
    /// Run it by itself, every hour, from now on
    #[arg(long)]
    automatic: bool,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    connection: ConnectionArgs,
}

#[derive(Debug, clap::Args)]
struct RunArgs {
    #[command(flatten)]
    definition: OneDefinition,
    /// Only say what would be deleted, and why
    #[arg(long)]
    dry_run: bool,
    /// Try this in place of the policy, with --dry-run
    #[arg(long, value_name = "COUNT", requires = "dry_run")]
    keep: Option<u32>,
    /// Try this in place of the policy, with --dry-run
    #[arg(long, value_name = "DAYS", requires = "keep")]
    older_than_days: Option<u32>,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    connection: ConnectionArgs,
}

/// Where the server keeps what is said about the retention of a definition or a version.
pub(super) fn path_of(id: &str) -> String {
    format!("/galerie/retention{id}")
}

pub(crate) async fn run(args: RetentionArgs) -> Result<()> {
    match args.command {
        RetentionCommand::Set(args) => {
            let client = args.connection.client()?;
            let body = json!({ "keep": args.keep, "olderThanDays": args.older_than_days, "automatic": args.automatic });
            let accepted = client.put(&args.definition.path(&client).await?, &body).await?;
            show(&accepted.body, args.output)
        }
        RetentionCommand::Show { definition, output, connection } => {
            let client = connection.client()?;
            show(&client.get(&definition.path(&client).await?, &[]).await?, output)
        }
        RetentionCommand::Remove { definition, connection } => {
            let client = connection.client()?;
            client.delete(&definition.path(&client).await?).await?;
            output::note("Removed the retention policy.");
            Ok(())
        }
        RetentionCommand::Run(args) => run_policy(args).await,
    }
}

async fn run_policy(args: RunArgs) -> Result<()> {
    let client = args.connection.client()?;
    let path = args.definition.path(&client).await?;
    let (keep, days) = (args.keep.map(|keep| keep.to_string()), args.older_than_days.map(|days| days.to_string()));
    let mut query = vec![("dryRun", "true")];
    query.extend(keep.as_deref().map(|keep| ("keep", keep)));
    query.extend(days.as_deref().map(|days| ("olderThanDays", days)));
    let planned = client.call(&path, &query).await?;
    if args.dry_run {
        return print(&planned, args.output);
    }
    let going: Vec<String> = items(&planned, "versions")
        .iter()
        .filter(|version| goes(version))
        .map(|version| text(version, "version"))
        .collect();
    if going.is_empty() {
        output::note("There is nothing to delete.");
        return print(&planned, args.output);
    }
    output::confirm(&format!("Delete {} ({})?", versions(going.len()), going.join(", ")), args.yes)?;
    // What was agreed to, and nothing that has come to it since.
    let done = client.post(&path, &json!({ "at": text(&planned, "at"), "versions": going })).await?.body;
    let deleted =
        items(&done, "versions").iter().filter(|version| at(version, "deleted").as_bool() == Some(true)).count();
    output::note(&format!("Deleted {}.", versions(deleted)));
    print(&done, args.output)
}

fn goes(version: &Value) -> bool {
    text(version, "decision") == "Delete"
}

fn versions(count: usize) -> String {
    if count == 1 { "1 version".to_owned() } else { format!("{count} versions") }
}

/// What becomes of each version, and why.
fn print(outcome: &Value, output: OutputArgs) -> Result<()> {
    if output.output == Format::Json {
        return output::json(outcome);
    }
    let row = |version: &Value| {
        let decision = match (goes(version), at(version, "deleted").as_bool()) {
            (true, Some(true)) => "deleted",
            (true, Some(false)) => "kept: it changed meanwhile",
            (true, None) => "would be deleted",
            (false, _) => "kept",
        };
        vec![text(version, "version"), moment(version, "publishedDate"), decision.to_owned(), text(version, "why")]
    };
    let rows = items(outcome, "versions").iter().map(row).collect();
    output::table(&["VERSION", "PUBLISHED", "DECISION", "WHY"], rows)
}

fn show(policy: &Value, output: OutputArgs) -> Result<()> {
    if output.output == Format::Json {
        return output::json(policy);
    }
    let automatic = at(policy, "automatic").as_bool() == Some(true);
    output::properties(vec![
        ("definition", some_text(policy, "definition")),
        ("keep", some_text(policy, "keep").map(|keep| format!("the last {keep}"))),
        ("and what is younger than", some_text(policy, "olderThanDays").map(|days| format!("{days} days"))),
        ("runs", Some(if automatic { "by itself, every hour" } else { "when it is told to" }.to_owned())),
        ("set by", some_text(policy, "setBy")),
        ("set at", Some(moment(policy, "setAt"))),
    ])
}
