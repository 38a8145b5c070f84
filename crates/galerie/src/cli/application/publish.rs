//! `galerie application version publish`: from a file to a replicated version, without a URL.
//!
//! The file goes to a temporary disk, as an image does (`cli::publish`): cut, compressed, and of what the server has only the
//! names. The version is made from the disk, whose bytes are then its package's. Nothing is fetched by anybody.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering},
    time::Instant,
};

use galerie_arm::{Location, ResourceId, SubscriptionId};
use galerie_disk::Format as ImageFormat;
use galerie_store::{ImportOptions, ImportProgress, import};
use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;

use crate::{
    cli::{
        connection::{ConnectionArgs, GroupArgs},
        document::text,
        failure::{Failure, Result},
        image_file,
        interruption::interrupted,
        names,
        output::{self, Format, OutputArgs},
        progress::{Seen, during},
        publish::{
            counted, location,
            place::regions,
            replication,
            target_region::TargetRegion,
            temporary_disk::{self, TemporaryDisk},
        },
    },
    client::{self, ApplicationVersionReference, ChunkUpload, Client},
};

/// Publish a file as a version of an application
///
/// Sends the file, makes the version and follows its replication to every target region.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  galerie application version publish agent.tar.gz myGallery/agent/1.0.0 --create --os-type Linux \\
      --install 'tar xf agent && ./install' --remove './uninstall'
  galerie application version publish agent.zip myGallery/agent/1.1.0 --configuration agent.conf \\
      --package-file-name agent.zip --install install.cmd --remove remove.cmd --target-region eastus --target-region westus")]
pub(super) struct PublishArgs {
    /// The package
    file: PathBuf,
    /// GALLERY/APPLICATION/VERSION, or an ARM id
    #[arg(value_name = "GALLERY/APPLICATION/VERSION", add = names::application_versions())]
    version: ApplicationVersionReference,
    /// How a guest installs it
    #[arg(long, value_name = "COMMAND")]
    install: String,
    /// How a guest removes it
    #[arg(long, value_name = "COMMAND")]
    remove: String,
    /// How a guest updates it from an earlier version [default: remove, then install]
    #[arg(long, value_name = "COMMAND")]
    update: Option<String>,
    /// A default configuration
    #[arg(long, value_name = "FILE")]
    configuration: Option<PathBuf>,
    /// What a guest calls the package [default: the application's name]
    #[arg(long, value_name = "NAME")]
    package_file_name: Option<String>,
    /// What a guest calls the configuration
    #[arg(long, value_name = "NAME")]
    config_file_name: Option<String>,
    /// A region that gets the version, and how many replicas [default: the home region]
    #[arg(short = 't', long = "target-region", value_name = "REGION[=COUNT]", add = names::regions())]
    target_regions: Vec<TargetRegion>,
    /// The version's home region: where it is sent to [default: the gallery's, or the first target region]
    #[arg(short, long, value_name = "REGION", value_parser = location, add = names::regions())]
    location: Option<Location>,
    #[command(flatten)]
    group: GroupArgs,
    /// Make the application where it is missing
    #[arg(long, requires = "os_type")]
    create: bool,
    /// The guests that a new application is for
    #[arg(long, value_name = "OS", value_parser = ["Linux", "Windows"], ignore_case = true)]
    os_type: Option<String>,
    /// Not to be found as `latest`
    #[arg(long)]
    exclude_from_latest: bool,
    /// When the version should no longer be used (a date); it is only shown
    #[arg(long, value_name = "DATE")]
    end_of_life: Option<String>,
    /// Do not wait for the replication
    #[arg(long)]
    no_wait: bool,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    connection: ConnectionArgs,
}

/// Where the version goes.
struct Place {
    version: ResourceId,
    group: String,
    home: Location,
    targets: Vec<TargetRegion>,
}

pub(super) async fn run(args: PublishArgs) -> Result<()> {
    let started = Instant::now();
    let client = args.connection.clone().client()?;
    let place = find_or_make(&client, &args).await?;
    if let Some(existing) = client.find(place.version.as_str(), &[]).await? {
        let state = text(&existing, "properties.provisioningState");
        return Err(Failure::new(format!("{} exists already ({state})", args.version))
            .advise("A version never changes: publish another number, or delete this one first."));
    }
    let progress = Arc::new(ImportProgress::default());
    send_and_make(&client, &place, &args, &progress).await?;
    if !args.no_wait {
        tokio::select! {
            followed = replication::follow(&client, place.version.as_str()) => followed?,
            () = interrupted() => return Err(client::Error::Interrupted.into()),
        }
    }
    if args.output.output == Format::Json {
        return output::json(&client.get(place.version.as_str(), &[("$expand", "ReplicationStatus")]).await?);
    }
    let seconds = started.elapsed().as_secs_f64();
    output::line(&format!("Published {} in {seconds:.1} s: {}.", args.version, counted(&progress)))
}

async fn find_or_make(client: &Client, args: &PublishArgs) -> Result<Place> {
    let reference = &args.version.application;
    let gallery = reference.gallery.resolve(client, args.group.resource_group.as_ref()).await?;
    let document = client.get(gallery.as_str(), &[]).await?;
    let gallery_location = Location::normalise(&text(&document, "location"));
    let (home, targets) = regions(args.location.as_ref(), &args.target_regions, gallery_location.as_ref())?;
    let application = reference.of(&gallery);
    if client.find(application.as_str(), &[]).await?.is_none() {
        let (true, Some(os_type)) = (args.create, &args.os_type) else {
            return Err(Failure::new(format!("there is no application '{}'", reference.application))
                .advise("Say --create and --os-type to have it made."));
        };
        let location = gallery_location.as_ref().unwrap_or(&home);
        let document = json!({ "location": location.as_str(), "properties": { "supportedOSType": os_type } });
        let accepted = client.put(application.as_str(), &document).await?;
        client.wait("make the application", accepted).await?;
        output::note(&format!("Made application {} ({os_type}).", reference.application));
    }
    let (subscription, group) = (gallery.subscription(), gallery.group());
    let group = match (subscription, group) {
        (Some(subscription), Some(group)) => group_path(subscription, group.as_str()),
        _ => return Err(Failure::new(format!("{gallery} is in no resource group"))),
    };
    Ok(Place { version: args.version.of(&application), group, home, targets })
}

fn group_path(subscription: SubscriptionId, group: &str) -> String {
    format!("/subscriptions/{subscription}/resourceGroups/{group}")
}

/// Sends the files to temporary disks, and makes the version from them.
async fn send_and_make(
    client: &Arc<Client>,
    place: &Place,
    args: &PublishArgs,
    progress: &Arc<ImportProgress>,
) -> Result<()> {
    let names = [temporary_disk::name(), temporary_disk::name()];
    let upload = async {
        let package = send(client, place, &names[0], &args.file, progress).await?;
        let configuration = match &args.configuration {
            Some(file) => Some(send(client, place, &names[1], file, &Arc::default()).await?),
            None => None,
        };
        let document = document(args, place, &package, configuration.as_deref());
        Ok::<_, Failure>(client.put(place.version.as_str(), &document).await?)
    };
    let made = tokio::select! {
        made = upload => made,
        () = interrupted() => Err(client::Error::Interrupted.into()),
    };
    // Also when making it failed or was interrupted half-way: deleting what is not there is fine.
    let used = if args.configuration.is_some() { &names[..] } else { &names[..1] };
    for name in used {
        if let Err(error) = temporary_disk::delete(client, &place.group, name).await {
            output::note(&format!("The temporary disk {name} is left behind: {error}"));
        }
    }
    made.map(|_| ())
}

/// Sends a file to a temporary disk; its id. The disk has exactly the file's bytes.
async fn send(
    client: &Arc<Client>,
    place: &Place,
    name: &str,
    file: &Path,
    progress: &Arc<ImportProgress>,
) -> Result<String> {
    let opened = image_file::open(file, Some(ImageFormat::Raw)).await?;
    let length_bytes = opened.guest.virtual_size_bytes();
    let disk = TemporaryDisk::create(client, &place.group, &place.home, name, length_bytes).await?;
    let upload = ChunkUpload::open(client, disk.sas_url(), client.profile().ca_file.as_deref(), None).await?;
    let cancel = CancellationToken::new();
    // The import has threads of its own, which go on when this future is dropped, unless they are told.
    let _stop = cancel.clone().drop_guard();
    let work = import(opened.guest.clone(), upload.clone(), ImportOptions::default(), Arc::clone(progress), cancel);
    let look = || Seen { done_bytes: progress.read_bytes.load(Ordering::Relaxed), note: counted(progress) };
    let imported =
        during("publishing", length_bytes, look, work).await.map_err(|error| match upload.take_failure() {
            Some(failure) => Failure::from(failure),
            // What is not the upload's fault is the file's.
            None => Failure::file(file, &error),
        })?;
    upload.commit(imported.manifest_id).await?;
    disk.end_access(client).await?;
    Ok(disk.path().to_owned())
}

/// The version's document.
fn document(args: &PublishArgs, place: &Place, package: &str, configuration: Option<&str>) -> Value {
    let with = |members: &[(&str, Option<&str>)]| -> Value {
        let said = members.iter().filter_map(|(name, value)| Some(((*name).to_owned(), Value::from((*value)?))));
        Value::Object(said.collect::<Map<_, _>>())
    };
    let mut profile = json!({
        "source": with(&[("mediaLink", Some(package)), ("defaultConfigurationLink", configuration)]),
        "manageActions": with(&[
            ("install", Some(args.install.as_str())),
            ("remove", Some(args.remove.as_str())),
            ("update", args.update.as_deref()),
        ]),
        "settings": with(&[
            ("packageFileName", args.package_file_name.as_deref()),
            ("configFileName", args.config_file_name.as_deref()),
        ]),
        "targetRegions": place.targets.iter().map(TargetRegion::document).collect::<Value>(),
        "excludeFromLatest": args.exclude_from_latest,
    });
    if let Some(date) = &args.end_of_life {
        profile["endOfLifeDate"] = Value::from(date.as_str());
    }
    json!({ "location": place.home.as_str(), "properties": { "publishingProfile": profile } })
}
