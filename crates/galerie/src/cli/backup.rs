//! `galerie backup`: making backups, through the running server or without one, and looking after them.

use std::path::{Path, PathBuf};

use galerie_arm::timestamp;
use galerie_control::{BackupRequest, seal_master_key};
use galerie_store::backup::{Access, BackupId, BackupManifest, Repository, RepositoryReport, SweepReport};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use super::{
    connection::{ConnectionArgs, DEFAULT_DATA_DIR},
    document::{items, text},
    failure::{Failure, Result},
    offline::OfflineArgs,
    output::{self, Format, OutputArgs},
};
use crate::client::{self, Client};

/// Where the passphrase is when no file is named.
const PASSPHRASE_VARIABLE: &str = "GALERIE_BACKUP_PASSPHRASE";
/// The shortest passphrase that is taken; a random one of eight words has many times that.
const SHORTEST_PASSPHRASE_CHARS: usize = 12;

/// Make backups of the whole gallery, and look after them
///
/// DEST is a folder, a repository: its backups share the packs that they have in common. `galerie restore` brings one back.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  galerie backup create /mnt/backups --with-master-key --passphrase-file pass.txt
  galerie backup create /mnt/backups --offline --data-dir /srv/galerie     while the server is stopped
  galerie backup list /mnt/backups
  galerie backup verify /mnt/backups                                       read and check everything
  galerie backup prune /mnt/backups --keep 14 --yes")]
pub(crate) struct BackupArgs {
    #[command(subcommand)]
    command: BackupCommand,
}

#[derive(Debug, clap::Subcommand)]
enum BackupCommand {
    /// Make a backup; the server goes on meanwhile
    ///
    /// The server writes it: DEST is a folder of the server's machine, outside its data directory, that it may write to.
    Create(CreateArgs),
    /// Say which backups there are
    List(RepositoryArgs),
    /// Read every pack and catalogue again and check it
    ///
    /// What is damaged is copied anew by the next backup.
    Verify(RepositoryArgs),
    /// Remove one backup, and the packs that no other needs
    Delete(DeleteArgs),
    /// Remove all but the newest backups, and the packs that those do not need
    Prune(PruneArgs),
}

#[derive(Debug, clap::Args)]
struct CreateArgs {
    /// The repository; made when it is not there
    #[arg(value_name = "DEST")]
    repository: PathBuf,
    /// Put the master key into the backup, encrypted with a passphrase
    ///
    /// It is read from DIR/master.key, or where --config says, and encrypted by this command, which therefore runs beside the
    /// server.
    #[arg(long)]
    with_master_key: bool,
    /// The file with the passphrase [default: GALERIE_BACKUP_PASSPHRASE]
    #[arg(long, value_name = "FILE", requires = "with_master_key")]
    passphrase_file: Option<PathBuf>,
    #[command(flatten)]
    offline: OfflineArgs,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    connection: ConnectionArgs,
}

#[derive(Debug, clap::Args)]
struct RepositoryArgs {
    /// The repository
    #[arg(value_name = "DEST")]
    repository: PathBuf,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Debug, clap::Args)]
struct DeleteArgs {
    /// The repository
    #[arg(value_name = "DEST")]
    repository: PathBuf,
    /// The backup
    #[arg(value_name = "ID")]
    backup: BackupId,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
}

#[derive(Debug, clap::Args)]
struct PruneArgs {
    /// The repository
    #[arg(value_name = "DEST")]
    repository: PathBuf,
    /// How many backups stay
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    keep: u32,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
}

pub(crate) async fn run(args: BackupArgs) -> Result<()> {
    match args.command {
        BackupCommand::Create(args) => create(args).await,
        BackupCommand::List(args) => list(args).await,
        BackupCommand::Verify(args) => verify(args).await,
        BackupCommand::Delete(args) => {
            let repository = Repository::open(&args.repository, Access::Change).await?;
            // One that cannot be read can be removed, too.
            if !repository.backups().await?.contains(&args.backup) {
                return Err(Failure::new(format!("there is no backup {}", args.backup)));
            }
            output::confirm(&format!("Remove backup {}?", args.backup), args.yes)?;
            remove(&repository, &[args.backup]).await
        }
        BackupCommand::Prune(args) => {
            let repository = Repository::open(&args.repository, Access::Change).await?;
            let mut backups = repository.backups().await?;
            backups.truncate(backups.len().saturating_sub(args.keep as usize));
            if !backups.is_empty() {
                let names: Vec<String> = backups.iter().map(ToString::to_string).collect();
                output::confirm(&format!("Remove {}?", names.join(", ")), args.yes)?;
            }
            remove(&repository, &backups).await
        }
    }
}

async fn create(args: CreateArgs) -> Result<()> {
    let destination = std::path::absolute(&args.repository).map_err(|error| Failure::file(&args.repository, &error))?;
    let data_dir = args.connection.data_dir().unwrap_or_else(|| DEFAULT_DATA_DIR.into());
    let sealed_master_key = if args.with_master_key {
        let passphrase = passphrase(args.passphrase_file.as_deref())?.ok_or_else(|| {
            Failure::new("the master key is encrypted with a passphrase")
                .advise(format!("Name a file that holds it (--passphrase-file), or set {PASSPHRASE_VARIABLE}."))
        })?;
        let master_key_file = args.offline.config()?.master_key_file(&data_dir);
        let sealed = seal_master_key(&master_key_file, passphrase.expose_secret());
        Some(sealed.map_err(|error| Failure::of(&error))?)
    } else {
        None
    };
    let report = if args.offline.offline {
        create_offline(&args.offline, &data_dir, &destination, sealed_master_key).await?
    } else {
        let client = Client::patient(args.connection.profile()?)?;
        let body = json!({ "destination": destination, "sealedMasterKey": sealed_master_key });
        client.post("/galerie/backup", &body).await?.body
    };
    if args.output.output == Format::Json {
        output::json(&report)?;
    } else {
        show_created(&report)?;
    }
    if !args.with_master_key {
        // For this line alone nobody's configuration has to be readable.
        let master_key_file = args
            .offline
            .config()
            .map_or_else(|_| data_dir.join("master.key"), |config| config.master_key_file(&data_dir));
        output::note(&format!(
            "The master key is not in this backup, and without it no restored secret opens anything: keep a copy of \
             {} elsewhere, or say --with-master-key.",
            master_key_file.display()
        ));
    }
    match report["missingBlobCount"].as_u64() {
        Some(0) | None => Ok(()),
        Some(_) => Err(Failure::new(
            "the backup is made, but images of the gallery are damaged, and so are they in the backup",
        )
        .advise("`galerie store verify` names them, and heals what another region has.")),
    }
}

async fn create_offline(
    args: &OfflineArgs,
    data_dir: &Path,
    destination: &Path,
    sealed_master_key: Option<String>,
) -> Result<Value> {
    let offline = args.open(data_dir).await?;
    let control = &offline.gallery.control;
    let request = BackupRequest { sealed_master_key, program_version: env!("CARGO_PKG_VERSION").to_owned() };
    let report = control.backup_create(&offline.owner, destination, request).await;
    control.shutdown().await;
    Ok(report.map_err(client::Error::from)?)
}

fn show_created(report: &Value) -> Result<()> {
    let size = |name: &str| output::size(report[name].as_u64().unwrap_or_default());
    output::line(&format!("Backup {} in {}:", text(report, "id"), text(report, "repository")))?;
    output::line(&format!(
        "  {} rows, {} packs of {}",
        text(report, "rows"),
        text(report, "packs"),
        size("packBytes")
    ))?;
    output::line(&format!("  {} packs of {} were copied now", text(report, "copiedPacks"), size("copiedBytes")))?;
    for missing in items(report, "missingBlobs") {
        let (region, blob, manifest) = (text(missing, "region"), text(missing, "blob"), text(missing, "manifest"));
        output::line(&format!("  {region} lacks blob {blob} of image {manifest}"))?;
    }
    Ok(())
}

/// The passphrase of the master key, if there is one.
///
/// # Errors
/// When the file cannot be read, or the passphrase is too short to be one.
pub(super) fn passphrase(file: Option<&Path>) -> Result<Option<SecretString>> {
    let text = match file {
        Some(file) => std::fs::read_to_string(file).map_err(|error| Failure::file(file, &error))?,
        None => match std::env::var(PASSPHRASE_VARIABLE) {
            Ok(text) => text,
            Err(_) => return Ok(None),
        },
    };
    let passphrase = text.trim_end_matches(['\n', '\r']);
    if passphrase.chars().count() < SHORTEST_PASSPHRASE_CHARS {
        return Err(Failure::new(format!("a passphrase has at least {SHORTEST_PASSPHRASE_CHARS} characters")));
    }
    Ok(Some(SecretString::from(passphrase)))
}

async fn list(args: RepositoryArgs) -> Result<()> {
    let repository = Repository::open(&args.repository, Access::Read).await?;
    let mut backups = Vec::new();
    for id in repository.backups().await?.into_iter().rev() {
        let manifest = repository.manifest(&id).await;
        backups.push((id, manifest));
    }
    if args.output.output == Format::Json {
        let documents = backups.iter().map(|(id, manifest)| match manifest {
            Ok(manifest) => document(manifest),
            Err(error) => json!({ "id": id.to_string(), "error": error.to_string() }),
        });
        return output::json(&documents.collect());
    }
    let rows = backups.iter().map(|(id, manifest)| match manifest {
        Ok(manifest) => row(manifest),
        Err(error) => vec![id.to_string(), error.to_string()],
    });
    output::table(&["BACKUP", "MADE", "PACKS", "NEW THEN", "MASTER KEY", ""], rows.collect())
}

fn row(manifest: &BackupManifest) -> Vec<String> {
    let bytes = manifest.packs().map(|(_, _, pack)| pack.size_bytes).sum();
    let missing = manifest.missing_blobs().count();
    vec![
        manifest.id.to_string(),
        timestamp::format_ms(manifest.created_ms)[..19].replace('T', " "),
        output::size(bytes),
        output::size(manifest.copied_bytes),
        if manifest.sealed_master_key.is_some() { "sealed" } else { "no" }.to_owned(),
        if missing == 0 { String::new() } else { format!("{missing} blobs missing") },
    ]
}

fn document(manifest: &BackupManifest) -> Value {
    json!({
        "id": manifest.id.to_string(),
        "createdMs": manifest.created_ms,
        "programVersion": manifest.program_version,
        "catalogueId": manifest.catalogue.catalogue_id,
        "schemaVersion": manifest.catalogue.schema_version,
        "rows": manifest.catalogue.rows,
        "packs": manifest.packs().count(),
        "packBytes": manifest.packs().map(|(_, _, pack)| pack.size_bytes).sum::<u64>(),
        "copiedPacks": manifest.copied_packs,
        "copiedBytes": manifest.copied_bytes,
        "masterKey": manifest.sealed_master_key.is_some(),
        "missingBlobCount": manifest.missing_blobs().count(),
    })
}

async fn verify(args: RepositoryArgs) -> Result<()> {
    let repository = Repository::open(&args.repository, Access::Change).await?;
    let report = repository.verify().await?;
    if args.output.output == Format::Json {
        output::json(&verified_document(&report))?;
    } else {
        show_verified(&report)?;
    }
    if report.is_sound() {
        return Ok(());
    }
    Err(Failure::new("backups are damaged")
        .advise("The next `galerie backup create` copies what the gallery still has."))
}

fn verified_document(report: &RepositoryReport) -> Value {
    let lost = report.lost_backups.iter().map(|(id, why)| json!({ "id": id.to_string(), "reason": why }));
    let wrong = report.wrong_packs.iter().map(|wrong| {
        json!({
            "region": wrong.region,
            "pack": wrong.pack.to_string(),
            "reason": wrong.reason,
            "backups": wrong.backups.iter().map(ToString::to_string).collect::<Vec<_>>(),
        })
    });
    json!({
        "sound": report.is_sound(),
        "backups": report.backups.iter().map(|manifest| manifest.id.to_string()).collect::<Vec<_>>(),
        "packs": report.packs,
        "readBytes": report.read_bytes,
        "unneededBytes": report.unneeded_bytes,
        "lostBackups": lost.collect::<Vec<_>>(),
        "wrongPacks": wrong.collect::<Vec<_>>(),
    })
}

fn show_verified(report: &RepositoryReport) -> Result<()> {
    let read = output::size(report.read_bytes);
    output::line(&format!("{} backups, {} packs: {read} read and checked.", report.backups.len(), report.packs))?;
    for (id, why) in &report.lost_backups {
        output::line(&format!("  backup {id} cannot be restored: {why}"))?;
    }
    for wrong in &report.wrong_packs {
        let backups: Vec<String> = wrong.backups.iter().map(ToString::to_string).collect();
        let (region, pack, reason) = (&wrong.region, wrong.pack, &wrong.reason);
        output::line(&format!("  {region}: pack {pack}: {reason}; needed by {}", backups.join(", ")))?;
    }
    if report.unneeded_bytes > 0 {
        let unneeded = output::size(report.unneeded_bytes);
        output::line(&format!(
            "  {unneeded} are of backups that were not finished; `galerie backup prune` removes them"
        ))?;
    }
    Ok(())
}

async fn remove(repository: &Repository, backups: &[BackupId]) -> Result<()> {
    for id in backups {
        repository.delete(id).await?;
        output::line(&format!("Removed backup {id}."))?;
    }
    let SweepReport { packs, bytes, .. } = repository.sweep().await?;
    output::line(&format!("{} freed ({packs} packs that no backup needs any more).", output::size(bytes)))
}
