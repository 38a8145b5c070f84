//! `galerie connect`: the lines that point another client at this server.

use std::path::Path;

use secrecy::ExposeSecret;
use uuid::Uuid;

use super::{
    connection::ConnectionArgs,
    failure::{Failure, Result},
    output,
    quoting::{for_shell, literal},
};
use crate::client::Profile;

/// Print the lines that connect another client
///
/// The lines hold the administrator's secret: they are for your own shell or a secret store, not for a log.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  galerie connect az                   read them, then paste them into a shell
  eval \"$(galerie connect az)\"         or run them at once
  galerie connect python > demo.py")]
pub(crate) struct ConnectArgs {
    /// The client
    client: ClientKind,
    #[command(flatten)]
    connection: ConnectionArgs,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum ClientKind {
    /// The Azure CLI
    Az,
    /// azure-mgmt-compute for Python
    Python,
    /// @azure/arm-compute for JavaScript
    Js,
    /// GALERIE_... variables for galerie itself, on another machine
    Env,
}

pub(crate) fn run(args: ConnectArgs) -> Result<()> {
    let profile = args.connection.profile()?;
    let text = match args.client {
        ClientKind::Az => az(&profile),
        ClientKind::Python => python(&profile),
        ClientKind::Js => js(&profile),
        ClientKind::Env => env(&profile),
    };
    output::line(text?.trim_end())
}

fn az(profile: &Profile) -> Result<String> {
    let account = profile.application()?;
    let trust = match ca_file(profile)? {
        Some(path) => format!(
            "export REQUESTS_CA_BUNDLE={}   # trust this server; it replaces the public authorities in this shell\n",
            for_shell(path)
        ),
        None => String::new(),
    };
    Ok(format!(
        "export AZURE_CONFIG_DIR=\"$HOME/.azure-galerie-{profile_name}\"   # leaves your other Azure profiles alone\n\
         {trust}\
         az cloud register -n Galerie --endpoint-resource-manager {endpoint} 2>/dev/null || \
         az cloud update -n Galerie --endpoint-resource-manager {endpoint}\n\
         az cloud set -n Galerie\n\
         az config set core.instance_discovery=false core.login_experience_v2=off core.collect_telemetry=false\n\
         printf %s {secret} | az login --service-principal -u {client} -p @- --tenant {tenant}   \
         # through a pipe: arguments show in the list of processes\n\
         # Then, for instance: az group create -n myGalleryRG -l eastus && az sig create -g myGalleryRG -r myGallery\n",
        endpoint = for_shell(profile.endpoint_text()),
        client = account.client_id,
        secret = for_shell(account.client_secret.expose_secret()),
        tenant = account.tenant_id,
        profile_name = az_profile_name(account.tenant_id, account.client_id),
    ))
}

/// The end of an az profile's folder: another for each tenant, and so each gallery, and each account, since az keeps one sign-in
/// after the other in a folder.
fn az_profile_name(tenant: Uuid, client: Uuid) -> String {
    let head = |id: Uuid| id.simple().to_string()[..8].to_owned();
    format!("{}-{}", head(tenant), head(client))
}

fn python(profile: &Profile) -> Result<String> {
    let account = profile.application()?;
    let trust = match ca_file(profile)? {
        Some(path) => format!("import os\n\nos.environ[\"REQUESTS_CA_BUNDLE\"] = {}\n\n", literal(path)),
        None => String::new(),
    };
    Ok(format!(
        "# pip install azure-identity azure-mgmt-compute\n\
         {trust}\
         from azure.identity import ClientSecretCredential\n\
         from azure.mgmt.compute import ComputeManagementClient\n\n\
         endpoint = {endpoint}\n\
         credential = ClientSecretCredential(\n    {tenant},\n    {client},\n    {secret},\n    \
         authority=endpoint,\n    disable_instance_discovery=True,\n)\n\
         compute = ComputeManagementClient(\n    credential,\n    {subscription},\n    \
         base_url=endpoint,\n    credential_scopes=[endpoint + \"/.default\"],\n)\n\
         for gallery in compute.galleries.list():\n    print(gallery.name, gallery.location)\n",
        endpoint = literal(profile.endpoint_text()),
        tenant = literal(&account.tenant_id.to_string()),
        client = literal(&account.client_id.to_string()),
        secret = literal(account.client_secret.expose_secret()),
        subscription = literal(&profile.subscription_id.to_string()),
    ))
}

fn js(profile: &Profile) -> Result<String> {
    let account = profile.application()?;
    let trust = match ca_file(profile)? {
        Some(path) => format!("// run it with NODE_EXTRA_CA_CERTS={}\n", for_shell(path)),
        None => String::new(),
    };
    Ok(format!(
        "// npm install @azure/identity @azure/arm-compute\n\
         {trust}\
         import {{ ClientSecretCredential }} from \"@azure/identity\";\n\
         import {{ ComputeManagementClient }} from \"@azure/arm-compute\";\n\n\
         const endpoint = {endpoint};\n\
         const credential = new ClientSecretCredential({tenant}, {client}, {secret}, {{\n  \
         authorityHost: endpoint,\n  disableInstanceDiscovery: true,\n}});\n\
         const compute = new ComputeManagementClient(credential, {subscription}, {{\n  \
         endpoint,\n  credentials: {{ scopes: [`${{endpoint}}/.default`] }},\n}});\n\
         for await (const gallery of compute.galleries.list()) console.log(gallery.name, gallery.location);\n",
        endpoint = literal(profile.endpoint_text()),
        tenant = literal(&account.tenant_id.to_string()),
        client = literal(&account.client_id.to_string()),
        secret = literal(account.client_secret.expose_secret()),
        subscription = literal(&profile.subscription_id.to_string()),
    ))
}

fn env(profile: &Profile) -> Result<String> {
    let account = profile.application()?;
    let trust = match ca_file(profile)? {
        Some(path) => format!("export GALERIE_CA_FILE={}   # copy the file along\n", for_shell(path)),
        None => String::new(),
    };
    Ok(format!(
        "export GALERIE_ENDPOINT={}\n{trust}export GALERIE_TENANT_ID={}\nexport GALERIE_SUBSCRIPTION_ID={}\n\
         export GALERIE_CLIENT_ID={}\nexport GALERIE_CLIENT_SECRET={}\n",
        for_shell(profile.endpoint_text()),
        account.tenant_id,
        profile.subscription_id,
        account.client_id,
        for_shell(account.client_secret.expose_secret()),
    ))
}

/// The authority's file, which other clients read themselves: as an absolute path.
fn ca_file(profile: &Profile) -> Result<Option<&str>> {
    match profile.ca_file.as_deref().map(Path::to_str) {
        None => Ok(None),
        // It is written into a comment, too, which a line break would end.
        Some(Some(path)) if path.contains(ends_a_line) => {
            Err(Failure::new("the authority's file has a name with a line break or another control character"))
        }
        Some(Some(path)) => Ok(Some(path)),
        Some(None) => Err(Failure::new("the authority's file has a name that is no text")),
    }
}

/// Whether some language takes it for the end of a line, or a terminal for more than a sign.
fn ends_a_line(sign: char) -> bool {
    sign.is_control() || matches!(sign, '\u{2028}' | '\u{2029}')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Regression: what followed a line break in the file's name was JavaScript.
    #[test]
    fn what_would_end_a_comment_is_known() {
        assert!("/x\nprocess.exit()".contains(ends_a_line) && "/x\u{2028}y".contains(ends_a_line));
        assert!(!"/srv/a b/ca.pem".contains(ends_a_line));
    }
}
