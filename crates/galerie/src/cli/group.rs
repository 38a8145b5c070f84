//! `galerie group`: groups of a tenant's directory.

use serde_json::json;

use super::{
    connection::{ConnectionArgs, ListArgs},
    directory::{DeleteArgs, Directory, path},
    document::text,
    failure::Result,
    output::{self, OutputArgs},
};

/// Make and look after groups
///
/// A role that is assigned to a group is every member's. Members are users, service principals and other groups.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  galerie group create publishers
  galerie group add publishers ada
  galerie group members publishers
  galerie group remove publishers ada
  galerie group delete publishers")]
pub(crate) struct GroupCommandArgs {
    #[command(subcommand)]
    command: GroupCommand,
}

#[derive(Debug, clap::Subcommand)]
enum GroupCommand {
    /// List groups
    List(ListArgs),
    /// Make a group
    Create(CreateArgs),
    /// List the direct members of a group
    Members(MembersArgs),
    /// Make a user, a service principal or a group a member
    Add(MemberArgs),
    /// End a membership
    Remove(MemberArgs),
    /// Delete a group, with its role assignments; its members stay
    Delete(DeleteArgs),
}

#[derive(Debug, clap::Args)]
struct CreateArgs {
    /// The group's name
    name: String,
    /// What it is for
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    #[command(flatten)]
    connection: ConnectionArgs,
}

#[derive(Debug, clap::Args)]
struct MembersArgs {
    /// The group's name or object id
    #[arg(add = super::names::directory_objects())]
    name: String,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    connection: ConnectionArgs,
}

#[derive(Debug, clap::Args)]
struct MemberArgs {
    /// The group's name or object id
    #[arg(add = super::names::directory_objects())]
    group: String,
    /// A user name, a client id, a display name or an object id
    #[arg(add = super::names::members())]
    member: String,
    #[command(flatten)]
    connection: ConnectionArgs,
}

pub(crate) async fn run(args: GroupCommandArgs) -> Result<()> {
    match args.command {
        GroupCommand::List(args) => {
            let groups = Directory::open(args.connection)?.list("groups", None).await?;
            output::list(args.output.output, groups, &["NAME", "DESCRIPTION", "ID"], |group| {
                vec![text(group, "displayName"), text(group, "description"), text(group, "id")]
            })
        }
        GroupCommand::Create(args) => create(args).await,
        GroupCommand::Members(args) => members(args).await,
        GroupCommand::Add(args) => {
            let directory = Directory::open(args.connection)?;
            let (group, member) =
                (directory.find("groups", &args.group).await?, directory.find_member(&args.member).await?);
            let members = path(&format!("groups/{}/members/$ref", text(&group, "id")));
            directory.client().post(&members, &directory.reference(&member)).await?;
            Ok(())
        }
        GroupCommand::Remove(args) => {
            let directory = Directory::open(args.connection)?;
            let (group, member) =
                (directory.find("groups", &args.group).await?, directory.find_member(&args.member).await?);
            let (group, member) = (text(&group, "id"), text(&member, "id"));
            directory.client().delete(&path(&format!("groups/{group}/members/{member}/$ref"))).await?;
            Ok(())
        }
        GroupCommand::Delete(args) => {
            Directory::open(args.connection.clone())?.delete(("group", "groups"), &args).await
        }
    }
}

async fn create(args: CreateArgs) -> Result<()> {
    let directory = Directory::open(args.connection)?;
    let nickname: String = args.name.chars().filter(char::is_ascii_alphanumeric).collect();
    let body = json!({
        "displayName": args.name,
        "description": args.description,
        "mailNickname": nickname,
        "mailEnabled": false,
        "securityEnabled": true
    });
    let made = directory.make("groups", &body).await?;
    directory.warn_of_namesakes(("group", "groups"), &args.name).await?;
    output::line(&format!("The group {} has the id {}.", text(&made, "displayName"), text(&made, "id")))
}

async fn members(args: MembersArgs) -> Result<()> {
    let directory = Directory::open(args.connection)?;
    let group = directory.find("groups", &args.name).await?;
    let members = directory.list(&format!("groups/{}/members", text(&group, "id")), None).await?;
    output::list(args.output.output, members, &["MEMBER", "KIND", "ID"], |member| {
        // Its name has a period, which elsewhere parts the names of a path.
        let kind = member["@odata.type"].as_str().unwrap_or_default();
        let kind = kind.trim_start_matches("#microsoft.graph.").to_owned();
        let name = match text(member, "userPrincipalName") {
            name if name.is_empty() => text(member, "displayName"),
            name => name,
        };
        vec![name, kind, text(member, "id")]
    })
}
