//! The options of every command that talks to a server.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use galerie_arm::ResourceGroupName;
use uuid::Uuid;

use super::{failure::Result, output::OutputArgs};
use crate::client::{Client, Overrides, Profile};

/// Where `galerie serve` keeps its data when nobody says otherwise.
pub(crate) const DEFAULT_DATA_DIR: &str = "galerie-data";

/// What a secret and a token come in: arguments show in the list of processes.
const CLIENT_SECRET: &str = "GALERIE_CLIENT_SECRET";
const TOKEN: &str = "GALERIE_TOKEN";

/// Which server, and as whom. Without any of these: the server whose data directory is `./galerie-data`.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Connection")]
pub(crate) struct ConnectionArgs {
    /// The server's data directory; its admin.json says the rest [default: galerie-data]
    #[arg(long, env = "GALERIE_DATA_DIR", hide_env_values = true, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// The server's URL, such as https://gallery.example.com:8443
    #[allow(rustdoc::bare_urls, reason = "what a person reads in --help")]
    #[arg(long, env = "GALERIE_ENDPOINT", hide_env_values = true, value_name = "URL")]
    endpoint: Option<String>,
    /// The authority to trust (PEM), if not the system's
    #[arg(long, env = "GALERIE_CA_FILE", hide_env_values = true, hide_short_help = true, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// The account's tenant
    #[arg(long, env = "GALERIE_TENANT_ID", hide_env_values = true, hide_short_help = true, value_name = "UUID")]
    tenant_id: Option<Uuid>,
    /// The subscription to work in
    #[arg(long, env = "GALERIE_SUBSCRIPTION_ID", hide_env_values = true, hide_short_help = true, value_name = "UUID")]
    subscription_id: Option<Uuid>,
    /// The account; its secret is in GALERIE_CLIENT_SECRET
    #[arg(long, env = "GALERIE_CLIENT_ID", hide_env_values = true, hide_short_help = true, value_name = "UUID")]
    client_id: Option<Uuid>,
    /// An external issuer's token, in place of an account; or GALERIE_TOKEN
    #[arg(long, env = "GALERIE_TOKEN_FILE", hide_env_values = true, hide_short_help = true, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

/// What a list takes that is not narrowed.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    pub(crate) output: OutputArgs,
    #[command(flatten)]
    pub(crate) connection: ConnectionArgs,
}

/// The group of a gallery that is given by its name.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct GroupArgs {
    /// The gallery's resource group; looked up by the gallery's name when it is left out
    #[arg(short = 'g', long, value_name = "GROUP", value_parser = group, add = super::names::groups())]
    pub(crate) resource_group: Option<ResourceGroupName>,
}

/// A group's name, with the rule that it breaks as the message.
pub(crate) fn group(text: &str) -> Result<ResourceGroupName, String> {
    text.parse().map_err(|error: galerie_arm::ArmError| error.message)
}

impl ConnectionArgs {
    /// Which server, and as whom.
    ///
    /// # Errors
    /// What is missing.
    pub(crate) fn profile(self) -> Result<Profile> {
        let overrides = Overrides {
            data_dir: self.data_dir,
            endpoint: self.endpoint,
            ca_file: self.ca_file,
            tenant_id: self.tenant_id,
            subscription_id: self.subscription_id,
            client_id: self.client_id,
            client_secret: std::env::var(CLIENT_SECRET).ok().map(Into::into),
            token: std::env::var(TOKEN).ok().filter(|token| !token.is_empty()).map(Into::into),
            token_file: self.token_file,
        };
        Ok(Profile::resolve(overrides, Path::new(DEFAULT_DATA_DIR))?)
    }

    /// A client of the server.
    ///
    /// # Errors
    /// As [`ConnectionArgs::profile`].
    pub(crate) fn client(self) -> Result<Arc<Client>> {
        Ok(Arc::new(Client::new(self.profile()?)?))
    }

    /// Whether there is a secret from elsewhere, and only the working directory says for which server.
    pub(crate) fn sends_a_secret_to_whoever_is_here(&self) -> bool {
        let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let has_secret = self.token_file.is_some() || is_set(CLIENT_SECRET) || is_set(TOKEN);
        has_secret && self.data_dir.is_none() && self.endpoint.is_none()
    }

    /// The data directory that was said.
    pub(crate) fn data_dir(&self) -> Option<PathBuf> {
        self.data_dir.clone()
    }

    /// The authority to trust where only that matters: an explicit one, or that of the server that is known.
    pub(crate) fn ca_file(self) -> Option<PathBuf> {
        self.ca_file.clone().or_else(|| self.profile().ok().and_then(|profile| profile.ca_file))
    }
}
