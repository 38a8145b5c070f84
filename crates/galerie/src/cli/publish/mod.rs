//! `galerie publish`: from an image file to a replicated version in one step.
//!
//! ```text
//! inspect the file -> find or make group, gallery, definition -> temporary upload disk -> write access
//!   -> cut, hash, send what the base version does not have -> end access -> PUT the version -> delete the disk
//!   -> follow the replication
//! ```
//!
//! A version that is there and failed is tried again without the upload; see `retry`.
//!
//! The disk is deleted whatever happens, short of the client being killed. What an upload that broke off had sent is
//! collected by the server; a retry sends it again, and the server stores nothing twice.

mod checks;
pub(super) mod place;
pub(super) mod replication;
mod retry;
pub(super) mod target_region;
pub(super) mod temporary_disk;

use std::{
    collections::HashSet,
    path::PathBuf,
    sync::{Arc, atomic::Ordering},
    time::Instant,
};

use galerie_arm::{Location, VersionName};
use galerie_disk::{Format as ImageFormat, OpenImage};
use galerie_store::{BlobId, ImportOptions, ImportProgress, import};
use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;

use self::{place::Place, target_region::TargetRegion, temporary_disk::TemporaryDisk};
use super::{
    connection::{ConnectionArgs, GroupArgs},
    failure::{Failure, Result},
    image_file,
    interruption::interrupted,
    output::{self, Format, OutputArgs, size},
    progress::{Seen, during},
    upload::parse_format,
    version_deleted,
};
use crate::client::{self, ChunkUpload, Client, Content, VersionReference};

/// What disks are read and written by.
const SECTOR_BYTES: u64 = 512;
/// How many of the base's blobs are remembered, about 64 bytes each; of a larger base, some is sent again.
const KNOWN_BLOBS_MAX: usize = 4 << 20;

/// Publish an image file as an image version
///
/// Reads the file (raw, fixed VHD or qcow2), cuts and compresses it on all cores, sends only what the definition's newest
/// version does not have, makes the version and follows its replication to every target region.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  galerie publish web.qcow2 myGallery/ubuntu-web/1.0.0 --create --target-region eastus
      the first time: makes resource group, gallery and image definition, too
  galerie publish web.qcow2 myGallery/ubuntu-web/1.0.1 --target-region eastus=2 --target-region westeurope
      two replicas in East US, one in West Europe; sends what changed since 1.0.0
  galerie publish win.vhd myGallery/win/2024.3.9 --create --os-type Windows --os-state Specialized
  galerie publish web.qcow2 myGallery/ubuntu-web/1.0.2 -o json | jq -r .id

On another machine than the server's, first: eval \"$(ssh server galerie connect env)\", with the CA file copied along.")]
pub(crate) struct PublishArgs {
    /// The image file
    file: PathBuf,
    /// GALLERY/DEFINITION/VERSION, or an ARM id
    #[arg(value_name = "GALLERY/DEFINITION/VERSION", add = super::names::versions())]
    version: VersionReference,
    /// A region that gets the version, and how many replicas [default: the home region; needed when the gallery is made, too]
    #[arg(short = 't', long = "target-region", value_name = "REGION[=COUNT]", add = super::names::regions())]
    target_regions: Vec<TargetRegion>,
    /// The version's home region: where it is sent to [default: the gallery's, or the first target region]
    #[arg(short, long, value_name = "REGION", value_parser = location, add = super::names::regions())]
    location: Option<Location>,
    #[command(flatten)]
    group: GroupArgs,
    /// Make the resource group, the gallery and the image definition where they are missing
    #[arg(long)]
    create: bool,
    /// A version whose content need not be sent again, by its number; or `none` [default: the newest]
    #[arg(long, value_name = "VERSION")]
    base: Option<String>,
    /// What the file is; without it the file is inspected
    #[arg(long, value_name = "FORMAT", value_parser = parse_format)]
    format: Option<ImageFormat>,
    /// Not to be found as `latest`
    #[arg(long)]
    exclude_from_latest: bool,
    /// When the version should no longer be used (a date); it is only shown
    #[arg(long, value_name = "DATE")]
    end_of_life: Option<String>,
    /// A tag of the version; may be said several times
    #[arg(long = "tag", value_name = "NAME=VALUE", value_parser = tag)]
    tags: Vec<(String, String)>,
    /// Do not wait for the replication
    #[arg(long)]
    no_wait: bool,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    connection: ConnectionArgs,
    // The last, because its heading covers what follows it.
    #[command(flatten)]
    definition: NewDefinition,
}

/// What a new image definition says of its images.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "New image definition (with --create)")]
struct NewDefinition {
    /// The operating system
    #[arg(long, value_name = "OS", default_value = "Linux", value_parser = ["Linux", "Windows"], ignore_case = true)]
    os_type: String,
    /// Whether machines made from it get an identity of their own
    #[arg(long, value_name = "STATE", default_value = "Generalized", value_parser = ["Generalized", "Specialized"], ignore_case = true)]
    os_state: String,
    /// V2 boots with UEFI, V1 with BIOS
    #[arg(long, value_name = "GENERATION", default_value = "V2", value_parser = ["V1", "V2"], ignore_case = true)]
    hyper_v_generation: String,
    /// The processor
    #[arg(long, value_name = "ARCHITECTURE", default_value = "x64", value_parser = ["x64", "Arm64"], ignore_case = true)]
    architecture: String,
    /// The identifier's first part [default: the gallery's name]
    #[arg(long, value_name = "NAME")]
    publisher: Option<String>,
    /// The identifier's second part [default: the definition's name]
    #[arg(long, value_name = "NAME")]
    offer: Option<String>,
    /// The identifier's third part
    #[arg(long, value_name = "NAME", default_value = "default")]
    sku: String,
}

pub(super) fn location(text: &str) -> Result<Location, String> {
    Location::normalise(text).ok_or_else(|| format!("'{text}' is not a region's name"))
}

fn tag(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or_else(|| format!("'{text}' is not NAME=VALUE"))?;
    Ok((name.to_owned(), value.to_owned()))
}

/// What has no format's mark is taken as raw. A text file that was named by mistake must not become a version.
fn check_guess(args: &PublishArgs, image: &OpenImage) -> Result<()> {
    let is_guess = args.format.is_none() && image.format == ImageFormat::Raw;
    if is_guess && !image.guest.virtual_size_bytes().is_multiple_of(SECTOR_BYTES) {
        let problem = format!("{} is hardly a disk: its size is no multiple of 512 bytes", args.file.display());
        return Err(Failure::new(problem).advise("If its bytes are a disk as they are, say --format raw."));
    }
    Ok(())
}

pub(crate) async fn run(args: PublishArgs) -> Result<()> {
    let started = Instant::now();
    let version_name = args
        .version
        .version
        .clone()
        .ok_or_else(|| Failure::new(format!("{} is not one version: `latest` is found, not made", args.version)))?;
    let image = image_file::open(&args.file, args.format).await?;
    check_guess(&args, &image)?;
    let client = args.connection.clone().client()?;
    checks::check(&client, &args).await?;
    let place = Place::find_or_make(&client, &args).await?;
    let version_path = place.version_path(&version_name);
    let progress = Arc::new(ImportProgress::default());
    match find_failed(&client, &version_path, &args.version).await? {
        Some(failed) => try_again(&client, &place, &version_path, &failed, &image, &args, &progress).await?,
        None => send_and_make(&client, &place, &version_path, &image, &args, &progress).await?,
    }
    if !args.no_wait {
        tokio::select! {
            followed = replication::follow(&client, &version_path) => followed?,
            () = interrupted() => {
                let advice = format!("The version is made; the regions go on. `galerie version show {}` shows them.", args.version);
                return Err(Failure::from(client::Error::Interrupted).advise(advice));
            }
        }
    }
    report(&client, &args, &version_path, &progress, started).await
}

/// Sends the image to a temporary disk, and makes the version from it.
async fn send_and_make(
    client: &Arc<Client>,
    place: &Place,
    version_path: &str,
    image: &OpenImage,
    args: &PublishArgs,
    progress: &Arc<ImportProgress>,
) -> Result<()> {
    let name = temporary_disk::name();
    let upload = async {
        let disk =
            TemporaryDisk::create(client, &place.group, &place.home, &name, image.guest.virtual_size_bytes()).await?;
        send(client, place, &disk, image, args, progress).await?;
        disk.end_access(client).await?;
        let profile = json!({ "osDiskImage": { "source": { "id": disk.path() } } });
        Ok::<_, Failure>(client.put(version_path, &document(args, place, place.home.as_str(), profile)).await?)
    };
    let uploaded = tokio::select! {
        uploaded = upload => uploaded,
        () = interrupted() => Err(client::Error::Interrupted.into()),
    };
    // Also when making it failed or was interrupted half-way: deleting what is not there is fine.
    if let Err(error) = temporary_disk::delete(client, &place.group, &name).await {
        output::note(&format!("The temporary disk {name} is left behind: {error}"));
    }
    uploaded.map(|_| ())
}

/// Tries a version again that failed, with the image that it has. It stays in its own region, whatever is said now.
async fn try_again(
    client: &Arc<Client>,
    place: &Place,
    version_path: &str,
    failed: &Value,
    image: &OpenImage,
    args: &PublishArgs,
    progress: &Arc<ImportProgress>,
) -> Result<()> {
    tokio::select! {
        same = retry::check_same(client, version_path, failed, image, args, progress) => same?,
        () = interrupted() => return Err(client::Error::Interrupted.into()),
    }
    let home = super::document::text(failed, "location");
    client.put(version_path, &document(args, place, &home, json!({}))).await?;
    Ok(())
}

/// A version never changes: one that is there is in the way, unless it failed and is tried again.
async fn find_failed(client: &Client, path: &str, version: &VersionReference) -> Result<Option<Value>> {
    let Some(existing) = client.find(path, &[]).await? else {
        // Who may not ask hears it from the server, at the end.
        return match version_deleted::is_deleted(client, path).await {
            Ok(true) => Err(Failure::new(format!("{version} was deleted, and can come back")).advise(
                "Publish another number, `galerie version restore` it, or `galerie version delete --permanently`.",
            )),
            _ => Ok(None),
        };
    };
    match super::document::text(&existing, "properties.provisioningState").as_str() {
        "Failed" => Ok(Some(existing)),
        state => Err(Failure::new(format!("{version} exists already ({state})"))
            .advise("An image version never changes: publish another number, or delete this one first.")),
    }
}

/// Sends the image to the disk: what the base version does not have, or all of it where the server lacks something of what it should
/// have. Then the base is damaged, which sending all heals, or a process died with the upload.
async fn send(
    client: &Arc<Client>,
    place: &Place,
    disk: &TemporaryDisk,
    image: &OpenImage,
    args: &PublishArgs,
    progress: &Arc<ImportProgress>,
) -> Result<()> {
    let base = find_base(client, place, args.base.as_deref()).await?;
    let had_base = base.is_some();
    match send_beside(base, client, disk, image, args, progress).await? {
        Err(error) if error.lacks_input() || (had_base && error.is_damage()) => {
            let base = if had_base { "the base version or of " } else { "" };
            output::note(&format!("The server lacks a part of {base}what was sent ({error}). Sending all of it."));
            progress.begin_again();
            Ok(send_beside(None, client, disk, image, args, progress).await??)
        }
        sent => Ok(sent?),
    }
}

/// Sends what a base does not have. The outer error is the image file's, the inner one the server's.
async fn send_beside(
    base: Option<(String, HashSet<BlobId>)>,
    client: &Client,
    disk: &TemporaryDisk,
    image: &OpenImage,
    args: &PublishArgs,
    progress: &Arc<ImportProgress>,
) -> Result<Result<(), client::Error>> {
    let ca_file = client.profile().ca_file.as_deref();
    let upload = match ChunkUpload::open(client, disk.sas_url(), ca_file, base).await {
        Ok(upload) => upload,
        Err(error) => return Ok(Err(error)),
    };
    let cancel = CancellationToken::new();
    // The import has threads of its own, which go on when this future is dropped, unless they are told.
    let _stop = cancel.clone().drop_guard();
    let work = import(image.guest.clone(), upload.clone(), ImportOptions::default(), Arc::clone(progress), cancel);
    let look = || Seen { done_bytes: progress.read_bytes.load(Ordering::Relaxed), note: counted(progress) };
    let imported = during("publishing", image.guest.virtual_size_bytes(), look, work).await;
    match (imported, upload.take_failure()) {
        (_, Some(failure)) => Ok(Err(failure)),
        (Ok(imported), None) => Ok(upload.commit(imported.manifest_id).await),
        // What is not the upload's fault is the file's.
        (Err(error), None) => Err(Failure::file(&args.file, &error)),
    }
}

/// The version that is built upon, and what it has; `None` when there is none, or it is not in the home region.
async fn find_base(
    client: &Arc<Client>,
    place: &Place,
    base: Option<&str>,
) -> Result<Option<(String, HashSet<BlobId>)>> {
    let asked = match base {
        Some("none") => return Ok(None),
        None if place.definition_is_new => return Ok(None),
        Some(version) => {
            let name: VersionName = version
                .parse()
                .map_err(|error: galerie_arm::ArmError| Failure::new(format!("--base: {}", error.message)))?;
            name.as_str().to_owned()
        }
        None => "latest".to_owned(),
    };
    let path = format!("{}/versions/{asked}", place.definition);
    let read = async {
        let content = Content::open(Arc::clone(client), &path, Some(place.home.as_str()), None).await?;
        let known = content.known_blobs(KNOWN_BLOBS_MAX).await?;
        Ok::<_, client::Error>((content.version_id().to_owned(), known))
    };
    match read.await {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.is_not_found() && base.is_none() => Ok(None),
        // Sending all of an image like it heals it.
        Err(error) if error.is_damage() && base.is_none() => {
            output::note(&format!("The newest version cannot be built upon ({error}). Sending all of the image."));
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

/// The version's document.
fn document(args: &PublishArgs, place: &Place, home: &str, storage_profile: Value) -> Value {
    let mut profile = Map::new();
    profile.insert("targetRegions".to_owned(), place.targets.iter().map(TargetRegion::document).collect());
    if args.exclude_from_latest {
        profile.insert("excludeFromLatest".to_owned(), Value::Bool(true));
    }
    if let Some(date) = &args.end_of_life {
        profile.insert("endOfLifeDate".to_owned(), Value::from(date.as_str()));
    }
    let tags: Map<String, Value> =
        args.tags.iter().map(|(name, value)| (name.clone(), Value::from(value.as_str()))).collect();
    json!({
        "location": home,
        "tags": tags,
        "properties": {
            "storageProfile": storage_profile,
            "publishingProfile": profile,
        },
    })
}

/// How much was new and how much was not.
pub(super) fn counted(progress: &ImportProgress) -> String {
    let of = |counter: &std::sync::atomic::AtomicU64| size(counter.load(Ordering::Relaxed));
    format!("{} new, {} known, {} sent", of(&progress.new_bytes), of(&progress.known_bytes), of(&progress.stored_bytes))
}

async fn report(
    client: &Client,
    args: &PublishArgs,
    path: &str,
    progress: &ImportProgress,
    started: Instant,
) -> Result<()> {
    if args.output.output == Format::Json {
        return output::json(&client.get(path, &[("$expand", "ReplicationStatus")]).await?);
    }
    output::line(&format!(
        "Published {} in {:.1} s: {}.",
        args.version,
        started.elapsed().as_secs_f64(),
        counted(progress)
    ))
}
