//! `galerie user`: the people of a tenant's directory.

use std::io::Read;

use serde_json::json;
use uuid::Uuid;

use super::{
    connection::{ConnectionArgs, ListArgs},
    directory::{DeleteArgs, Directory, path},
    document::text,
    failure::{Failure, Result},
    output::{self, Format, OutputArgs},
};

/// Longest password that is read.
const LONGEST_PASSWORD_BYTES: u64 = 4096;

/// Make and look after users
///
/// A user signs in with `az login` or on the server's pages. Users see nothing until they, or a group that they are in, have
/// a role: `az role assignment create --assignee ada@galerie.internal --role Reader --scope ...`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  galerie user list
  galerie user create ada --display-name 'Ada Lovelace'        prints a password that she changes at once
  galerie user password ada                                    the same, for a password that was forgotten
  galerie user role ada --add global-administrator             she may change the directory herself
  galerie user disable ada
  galerie user delete ada@galerie.internal")]
pub(crate) struct UserArgs {
    #[command(subcommand)]
    command: UserCommand,
}

#[derive(Debug, clap::Subcommand)]
enum UserCommand {
    /// List users
    List(ListArgs),
    /// Make a user
    ///
    /// Without --password-stdin a password is made up and printed, once; the user chooses another at the first sign-in.
    Create(CreateArgs),
    /// Give a user another password, which ends all sessions
    Password(PasswordArgs),
    /// Give a user a directory role, or take it
    Role(RoleArgs),
    /// Let a user sign in again
    Enable(NameArgs),
    /// Keep a user out, at once, without deleting anything
    Disable(NameArgs),
    /// Delete a user, with all memberships and role assignments
    Delete(DeleteArgs),
}

#[derive(Debug, clap::Args)]
struct NameArgs {
    /// The user name; without a domain, the tenant's is meant
    #[arg(add = super::names::directory_objects())]
    name: String,
    #[command(flatten)]
    connection: ConnectionArgs,
}

#[derive(Debug, clap::Args)]
struct CreateArgs {
    /// The user name; without a domain, the tenant's is meant
    name: String,
    /// What people call the user [default: the user name]
    #[arg(long, value_name = "TEXT")]
    display_name: Option<String>,
    /// Read the password from standard input
    #[arg(long)]
    password_stdin: bool,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    connection: ConnectionArgs,
}

#[derive(Debug, clap::Args)]
struct PasswordArgs {
    /// The user name; without a domain, the tenant's is meant
    #[arg(add = super::names::directory_objects())]
    name: String,
    /// Read the password from standard input
    #[arg(long)]
    password_stdin: bool,
    #[command(flatten)]
    connection: ConnectionArgs,
}

#[derive(Debug, clap::Args)]
struct RoleArgs {
    /// The user name; without a domain, the tenant's is meant
    #[arg(add = super::names::directory_objects())]
    name: String,
    /// The role to give
    #[arg(long, value_name = "ROLE", required_unless_present = "remove")]
    add: Option<Role>,
    /// The role to take
    #[arg(long, value_name = "ROLE", conflicts_with = "add")]
    remove: Option<Role>,
    #[command(flatten)]
    connection: ConnectionArgs,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Role {
    /// May change everything in the directory
    GlobalAdministrator,
    /// May change applications, service principals and their credentials
    ApplicationAdministrator,
}

impl Role {
    /// Entra's id of the role.
    const fn template(self) -> &'static str {
        match self {
            Self::GlobalAdministrator => "62e90394-69f5-4237-9190-012177145e10",
            Self::ApplicationAdministrator => "9b895d92-2cd3-44c7-9d02-a6ac2d5ea5c3",
        }
    }
}

pub(crate) async fn run(args: UserArgs) -> Result<()> {
    match args.command {
        UserCommand::List(args) => list(args).await,
        UserCommand::Create(args) => create(args).await,
        UserCommand::Password(args) => password(args).await,
        UserCommand::Role(args) => role(args).await,
        UserCommand::Enable(args) => set_enabled(args, true).await,
        UserCommand::Disable(args) => set_enabled(args, false).await,
        UserCommand::Delete(args) => Directory::open(args.connection.clone())?.delete(("user", "users"), &args).await,
    }
}

async fn list(args: ListArgs) -> Result<()> {
    let users = Directory::open(args.connection)?.list("users", None).await?;
    output::list(args.output.output, users, &["NAME", "DISPLAY NAME", "STATE", "ID"], |user| {
        let state = if user["accountEnabled"] == true { "" } else { "disabled" };
        vec![text(user, "userPrincipalName"), text(user, "displayName"), state.to_owned(), text(user, "id")]
    })
}

async fn create(args: CreateArgs) -> Result<()> {
    let directory = Directory::open(args.connection)?;
    let name = directory.user_name(&args.name).await?;
    let (password, is_made_up) = new_password(args.password_stdin)?;
    let display_name = args.display_name.unwrap_or_else(|| args.name.clone());
    let body = json!({
        "userPrincipalName": name,
        "displayName": display_name,
        "accountEnabled": true,
        "passwordProfile": { "password": password, "forceChangePasswordNextSignIn": is_made_up }
    });
    let mut made = directory.make("users", &body).await?;
    if args.output.output == Format::Json {
        if is_made_up {
            made["password"] = password.into();
        }
        return output::json(&made);
    }
    let name = text(&made, "userPrincipalName");
    output::line(&format!("{name} is a user now, with the id {}.", text(&made, "id")))?;
    tell(is_made_up, &password)?;
    output::note(&format!(
        "Without a role a user sees nothing: az role assignment create --assignee {name} --role Reader --scope \
         /subscriptions/{}",
        directory.client().profile().subscription_id
    ));
    Ok(())
}

async fn password(args: PasswordArgs) -> Result<()> {
    let directory = Directory::open(args.connection)?;
    let user = directory.find("users", &args.name).await?;
    let (password, is_made_up) = new_password(args.password_stdin)?;
    let body = json!({ "passwordProfile": { "password": password, "forceChangePasswordNextSignIn": is_made_up } });
    directory.client().patch(&path(&format!("users/{}", text(&user, "id"))), &body).await?;
    output::line(&format!("{} has another password; all sessions are ended.", text(&user, "userPrincipalName")))?;
    tell(is_made_up, &password)
}

/// The password of standard input, or one that is made up.
fn new_password(is_piped: bool) -> Result<(String, bool)> {
    if !is_piped {
        return Ok((Uuid::new_v4().simple().to_string(), true));
    }
    let mut text = String::new();
    let read = std::io::stdin().take(LONGEST_PASSWORD_BYTES).read_to_string(&mut text);
    read.map_err(|error| Failure::new(format!("read the password: {error}")))?;
    Ok((text.trim_end_matches(['\r', '\n']).to_owned(), false))
}

fn tell(is_made_up: bool, password: &str) -> Result<()> {
    if !is_made_up {
        return Ok(());
    }
    output::line(&format!("The password, until the first sign-in: {password}"))
}

async fn role(args: RoleArgs) -> Result<()> {
    let directory = Directory::open(args.connection)?;
    let user = directory.find("users", &args.name).await?;
    let (id, assignments) = (text(&user, "id"), path("roleManagement/directory/roleAssignments"));
    if let Some(role) = args.add {
        let body = json!({ "principalId": id, "roleDefinitionId": role.template(), "directoryScopeId": "/" });
        directory.client().post(&assignments, &body).await?;
        return Ok(());
    }
    let filter = format!("principalId eq '{id}'");
    let held = directory.list("roleManagement/directory/roleAssignments", Some(&filter)).await?;
    let wanted = args.remove.map(Role::template).unwrap_or_default();
    let found = held.iter().find(|held| text(held, "roleDefinitionId") == wanted);
    let found = found.ok_or_else(|| Failure::new("the user does not have this role"))?;
    directory.client().delete(&format!("{assignments}/{}", text(found, "id"))).await?;
    Ok(())
}

async fn set_enabled(args: NameArgs, is_enabled: bool) -> Result<()> {
    let directory = Directory::open(args.connection)?;
    let user = directory.find("users", &args.name).await?;
    let body = json!({ "accountEnabled": is_enabled });
    directory.client().patch(&path(&format!("users/{}", text(&user, "id"))), &body).await?;
    Ok(())
}
