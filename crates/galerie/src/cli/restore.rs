//! `galerie restore`: a gallery from a backup, in an empty data directory.

use std::path::{Path, PathBuf};

use galerie_store::backup::BackupId;
use serde_json::Value;

use super::{
    backup::passphrase,
    connection::DEFAULT_DATA_DIR,
    document::{items, text},
    failure::{Failure, Result},
    output::{self, Format, OutputArgs},
    quoting,
};
use crate::server::{self, MasterKeySource, RestoreOptions};

/// Restore a gallery from a backup
///
/// DIR must be empty, and so must the places of regions that the configuration names. A restore that was interrupted goes on
/// when the same command is given again.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  galerie restore /mnt/backups --data-dir /srv/galerie --passphrase-file pass.txt
  galerie restore /mnt/backups --data-dir /srv/galerie --master-key /safe/master.key --config /etc/galerie.toml
  galerie restore /mnt/backups --data-dir /srv/galerie --new-keys       the master key is lost")]
pub(crate) struct RestoreArgs {
    /// The repository of backups
    #[arg(value_name = "DEST")]
    repository: PathBuf,
    /// Which backup [default: the newest]
    #[arg(long, value_name = "ID")]
    backup: Option<BackupId>,
    /// The data directory to make
    #[arg(long, env = "GALERIE_DATA_DIR", value_name = "DIR", default_value = DEFAULT_DATA_DIR)]
    data_dir: PathBuf,
    /// The configuration of the server that will run there: it names the regions' places, and the database
    #[arg(long, env = "GALERIE_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// The file with the passphrase of the master key in the backup [default: GALERIE_BACKUP_PASSPHRASE]
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
    /// Your copy of the master key, in place of the one in the backup
    #[arg(long, value_name = "FILE", conflicts_with = "passphrase_file")]
    master_key: Option<PathBuf>,
    /// Make new keys: every token, SAS and client secret is worth nothing then
    #[arg(long, conflicts_with_all = ["passphrase_file", "master_key"])]
    new_keys: bool,
    #[command(flatten)]
    output: OutputArgs,
}

pub(crate) async fn run(args: RestoreArgs) -> Result<()> {
    let config = server::read_config(args.config.as_deref())?;
    let master_key = match args.master_key {
        _ if args.new_keys => MasterKeySource::New,
        Some(file) => MasterKeySource::File(file),
        None => MasterKeySource::Passphrase(passphrase(args.passphrase_file.as_deref())?.ok_or_else(|| {
            Failure::new("the master key comes from somewhere").advise(
                "Give its passphrase (--passphrase-file, or GALERIE_BACKUP_PASSPHRASE), your copy (--master-key), or, when it is lost, --new-keys.",
            )
        })?),
    };
    let data_dir = args.data_dir.display().to_string();
    let of_server = Server { data_dir: quoting::for_shell(&data_dir), config: args.config.as_deref() };
    let options =
        RestoreOptions { repository: args.repository, backup: args.backup, data_dir: args.data_dir, master_key };
    let report = server::restore(options, &config).await?;
    if args.output.output == Format::Json {
        return output::json(&report);
    }
    show(&report, &data_dir)?;
    output::line("Next:")?;
    output::line(&format!(
        "  galerie admin reset{}     a new administrator; the secret of the former one is in no backup",
        of_server.options(true)
    ))?;
    output::line(&format!("  galerie serve{}", of_server.options(true)))?;
    output::line(&format!("  galerie store verify{}     until then no garbage is collected", of_server.options(false)))
}

/// The restored gallery's, for commands that a person types next.
struct Server<'a> {
    /// As a shell reads it.
    data_dir: String,
    config: Option<&'a Path>,
}

impl Server<'_> {
    /// What names it; `with_config` for what opens it itself.
    fn options(&self, with_config: bool) -> String {
        let config =
            self.config.filter(|_| with_config).map(|config| quoting::for_shell(&config.display().to_string()));
        let config = config.map(|config| format!(" --config {config}")).unwrap_or_default();
        format!(" --data-dir {}{config}", self.data_dir)
    }
}

fn show(report: &Value, data_dir: &str) -> Result<()> {
    let (packs, bytes) = (text(report, "packs"), output::size(report["bytes"].as_u64().unwrap_or_default()));
    output::line(&format!("Restored backup {} into {data_dir}: {packs} packs, {bytes}.", text(report, "backup")))?;
    let lacking = items(report, "lacking");
    if lacking.is_empty() {
        output::line("Everything that the backup names is there.")?;
    } else {
        output::line(&format!("Not in the backup ({}):", text(report, "lackingCount")))?;
        for lacking in lacking {
            output::line(&format!(
                "  {}: {} ({})",
                text(lacking, "region"),
                text(lacking, "what"),
                text(lacking, "reason")
            ))?;
        }
        output::line("What that hurts:")?;
        let hurt = items(report, "verified")
            .iter()
            .flat_map(|region| items(region, "hurtResources").iter().map(move |hurt| (region, hurt)));
        let mut is_none = true;
        for (region, hurt) in hurt {
            is_none = false;
            let healing =
                if hurt["healing"] == true { "heals from another region once the server runs" } else { "lost" };
            output::line(&format!("  {}: {} ({healing})", text(region, "region"), text(hurt, "id")))?;
        }
        if is_none {
            output::line("  nothing: no image needs it")?;
        }
    }
    Ok(())
}
