//! `galerie sp`: service principals, which programs sign in as.

use serde_json::{Value, json};

use super::{
    connection::{ConnectionArgs, ListArgs},
    directory::{DeleteArgs, Directory, called, path},
    document::text,
    failure::{Failure, Result},
    output::{self, Format, OutputArgs},
};

/// Make and look after service principals, which programs sign in as
///
/// `az ad sp` does the same and more. A service principal sees nothing until it has a role.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  galerie sp create pipeline                           prints client id and secret, once
  galerie sp secret pipeline                           another secret, beside those that there are
  galerie sp secret pipeline --replace                 another one, and the former ones are good no more
  galerie sp delete pipeline")]
pub(crate) struct SpArgs {
    #[command(subcommand)]
    command: SpCommand,
}

#[derive(Debug, clap::Subcommand)]
enum SpCommand {
    /// List service principals
    List(ListArgs),
    /// Register an application, its service principal and a secret
    Create(CreateArgs),
    /// Make a secret; the only time that it is shown
    Secret(SecretArgs),
    /// Delete an application and its service principal, with all role assignments
    Delete(DeleteArgs),
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

#[derive(Debug, clap::Args)]
struct SecretArgs {
    /// Its name, client id or object id
    #[arg(add = super::names::directory_objects())]
    name: String,
    /// Remove the secrets that there are
    #[arg(long)]
    replace: bool,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    connection: ConnectionArgs,
}

pub(crate) async fn run(args: SpArgs) -> Result<()> {
    match args.command {
        SpCommand::List(args) => {
            let found = Directory::open(args.connection)?.list("servicePrincipals", None).await?;
            output::list(args.output.output, found, &["NAME", "CLIENT ID", "OBJECT ID"], |found| {
                vec![text(found, "displayName"), text(found, "appId"), text(found, "id")]
            })
        }
        SpCommand::Create(args) => create(args).await,
        SpCommand::Secret(args) => secret(args).await,
        SpCommand::Delete(args) => delete(args).await,
    }
}

async fn create(args: CreateArgs) -> Result<()> {
    let directory = Directory::open(args.connection)?;
    let application = directory.make("applications", &json!({ "displayName": args.name })).await?;
    let app_id = text(&application, "appId");
    let principal = directory.make("servicePrincipals", &json!({ "appId": app_id })).await?;
    let made = add_secret(&directory, &text(&application, "id")).await?;
    directory.warn_of_namesakes(("service principal", "servicePrincipals"), &args.name).await?;
    show(&directory, &app_id, &text(&principal, "id"), &made, args.output.output).await
}

async fn secret(args: SecretArgs) -> Result<()> {
    let directory = Directory::open(args.connection)?;
    let principal = directory.find("servicePrincipals", &args.name).await?;
    let application = application(&directory, &principal).await?;
    let id = text(&application, "id");
    if args.replace {
        for former in application["passwordCredentials"].as_array().into_iter().flatten() {
            let body = json!({ "keyId": former["keyId"] });
            directory.client().post(&path(&format!("applications/{id}/removePassword")), &body).await?;
        }
    }
    let made = add_secret(&directory, &id).await?;
    show(&directory, &text(&principal, "appId"), &text(&principal, "id"), &made, args.output.output).await
}

async fn delete(args: DeleteArgs) -> Result<()> {
    let directory = Directory::open(args.connection)?;
    let principal = directory.find("servicePrincipals", &args.name).await?;
    let said = called("service principal", &principal);
    output::confirm(&format!("Delete {said}, with its application and all role assignments?"), args.yes)?;
    match application(&directory, &principal).await {
        Ok(application) => {
            directory.client().delete(&path(&format!("applications/{}", text(&application, "id")))).await?;
        }
        // Another tenant's, or gone.
        Err(_) => {
            directory.client().delete(&path(&format!("servicePrincipals/{}", text(&principal, "id")))).await?;
        }
    }
    output::note(&format!("Deleted {said}."));
    Ok(())
}

async fn application(directory: &Directory, principal: &Value) -> Result<Value> {
    let filter = format!("appId eq '{}'", text(principal, "appId"));
    let found = directory.list("applications", Some(&filter)).await?;
    found.into_iter().next().ok_or_else(|| Failure::new("its application is another tenant's, which alone can do this"))
}

async fn add_secret(directory: &Directory, application: &str) -> Result<Value> {
    let body = json!({ "passwordCredential": { "displayName": "galerie sp" } });
    directory.make(&format!("applications/{application}/addPassword"), &body).await
}

async fn show(directory: &Directory, app_id: &str, principal: &str, made: &Value, format: Format) -> Result<()> {
    // The directory is the caller's tenant's, whichever that is.
    let organization = directory.list("organization", None).await?;
    let tenant = organization.first().map(|tenant| text(tenant, "id")).unwrap_or_default();
    let secret = text(made, "secretText");
    if format == Format::Json {
        return output::json(&json!({
            "appId": app_id,
            "objectId": principal,
            "password": secret,
            "tenant": tenant,
            "expires": made["endDateTime"]
        }));
    }
    for (name, value) in [("client id", app_id), ("secret", &secret), ("tenant", &tenant), ("object id", principal)] {
        output::line(&format!("{name:<10} {value}"))?;
    }
    output::line(&format!("The secret is not shown again. It is good until {}.", text(made, "endDateTime")))
}
