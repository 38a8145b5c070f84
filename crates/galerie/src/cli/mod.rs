//! The command line: one file for each command. Parsing is clap's; a command's `run` does the rest.

mod admin;
mod application;
mod audit;
mod backup;
mod cascade;
mod completions;
mod connect;
mod connection;
mod definition;
mod directory;
mod document;
mod failure;
mod gallery;
mod group;
mod image_file;
mod interruption;
mod names;
mod nbd;
mod offline;
mod output;
mod progress;
mod publish;
mod pull;
mod quota;
mod quoting;
mod regions;
mod restore;
mod retention;
mod serve;
mod sp;
mod store;
mod subscription;
mod tenant;
mod upload;
mod user;
mod version;
mod version_content;
mod version_deleted;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

pub(crate) use self::connection::DEFAULT_DATA_DIR;
use self::failure::{Failure, Result};
use crate::server::logging;

const EXAMPLES: &str = "\
Examples:
  galerie serve                                            start a server in ./galerie-data
  galerie publish web.qcow2 myGallery/ubuntu-web/1.0.0 --create \\
      --target-region eastus=2 --target-region westeurope  publish an image to two regions
  galerie version list myGallery/ubuntu-web                what is there
  galerie pull myGallery/ubuntu-web/latest -o web.vhd      get it back, verified
  galerie nbd myGallery/ubuntu-web/1.0.0 --socket web.sock boot from it without a copy
  galerie connect az                                       use it with the Azure CLI

`galerie COMMAND --help` explains each command.";

/// A shared image gallery that you run yourself
///
/// Galerie speaks Azure Resource Manager, so the Azure CLI and SDKs work against it unchanged; it stores images
/// deduplicated and verified, copies to a region only what that region lacks, and serves disks at once.
#[derive(Debug, Parser)]
#[command(name = "galerie", version, after_help = EXAMPLES, max_term_width = 100, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::ServeArgs),
    Publish(Box<publish::PublishArgs>),
    Pull(pull::PullArgs),
    Nbd(nbd::NbdArgs),
    Upload(upload::UploadArgs),
    Gallery(gallery::GalleryArgs),
    Definition(definition::DefinitionArgs),
    Version(version::VersionArgs),
    Application(application::ApplicationArgs),
    Connect(connect::ConnectArgs),
    Admin(admin::AdminArgs),
    Audit(audit::AuditArgs),
    Store(store::StoreArgs),
    Quota(quota::QuotaArgs),
    User(user::UserArgs),
    Group(group::GroupCommandArgs),
    Sp(sp::SpArgs),
    Tenant(tenant::TenantArgs),
    Subscription(subscription::SubscriptionArgs),
    Backup(backup::BackupArgs),
    Restore(restore::RestoreArgs),
    Completions(completions::CompletionsArgs),
}

/// Runs the command that the arguments name.
pub(crate) fn run() -> ExitCode {
    completions::answer_shell();
    let command = Cli::parse().command;
    match run_command(command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output::note(&format!("galerie: {failure}"));
            ExitCode::from(failure.exit_code())
        }
    }
}

fn run_command(command: Command) -> Result<()> {
    if let Command::Completions(args) = command {
        return completions::run(&args);
    }
    // Fails when a provider is installed already, which is as good.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(format!("start: {error}")))?;
    if !matches!(command, Command::Serve(_)) {
        logging::start_if_asked();
    }
    let result = runtime.block_on(async {
        match command {
            Command::Serve(args) => serve::run(args).await,
            Command::Publish(args) => publish::run(*args).await,
            Command::Pull(args) => pull::run(args).await,
            Command::Nbd(args) => nbd::run(args).await,
            Command::Upload(args) => upload::run(args).await,
            Command::Gallery(args) => gallery::run(args).await,
            Command::Definition(args) => definition::run(args).await,
            Command::Version(args) => version::run(args).await,
            Command::Application(args) => application::run(args).await,
            Command::Connect(args) => connect::run(args),
            Command::Admin(args) => admin::run(args).await,
            Command::Audit(args) => audit::run(args).await,
            Command::Store(args) => store::run(args).await,
            Command::Quota(args) => quota::run(args).await,
            Command::User(args) => user::run(args).await,
            Command::Group(args) => group::run(args).await,
            Command::Sp(args) => sp::run(args).await,
            Command::Tenant(args) => tenant::run(args).await,
            Command::Subscription(args) => subscription::run(args).await,
            Command::Backup(args) => backup::run(args).await,
            Command::Restore(args) => restore::run(args).await,
            Command::Completions(args) => completions::run(&args),
        }
    });
    // What still blocks (a read from a dead disk) must not keep a finished command from ending.
    runtime.shutdown_background();
    result
}

/// The word for the program's own arguments, checked as clap's authors ask.
#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_arguments_are_consistent() {
        super::Cli::command().debug_assert();
    }
}
