//! `galerie pull`.

use std::{
    fs::{File, OpenOptions},
    ops::Range,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use futures::{StreamExt, stream::BoxStream};
use galerie_disk::{
    BlockDevice, ImageDevice,
    export::{ExportFormat, ExportLayout},
};
use galerie_store::{ChunkCache, Extent, ImageReader, Part};
use serde_json::json;

use super::{
    connection::{ConnectionArgs, GroupArgs},
    failure::{Failure, Result},
    interruption::interrupted,
    output::{self, size},
    progress::{Seen, during},
    version_content,
};
use crate::client::{Content, VersionReference};

/// Segments and chunks that are kept for reading on; an image is read once, from front to back.
const CACHE_BYTES: u64 = 32 << 20;

/// Download an image version into a file
///
/// The file is a fixed VHD or the raw disk, by its ending or --format. Every byte is verified; what is zero is a hole in
/// the file. The file appears under its name when it is complete.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  galerie pull myGallery/ubuntu-web/latest -o web.vhd
  galerie pull myGallery/ubuntu-web/1.0.0 --file web.raw --region westeurope
  galerie pull myGallery/ubuntu-web/1.0.0 --file data.raw --lun 0      a data disk")]
pub(crate) struct PullArgs {
    /// GALLERY/DEFINITION/VERSION (VERSION may be `latest`), or an ARM id
    #[arg(value_name = "GALLERY/DEFINITION/VERSION", add = super::names::versions_and_latest())]
    version: VersionReference,
    /// The file to write: .vhd for a fixed VHD, .raw or .img for the raw disk
    #[arg(short = 'o', long = "file", value_name = "FILE")]
    file: PathBuf,
    /// What to write, when the file's ending does not say
    #[arg(long, value_enum, value_name = "FORMAT")]
    format: Option<PullFormat>,
    /// The region to read from; `latest` is the region's
    #[arg(long, value_name = "REGION", add = super::names::regions())]
    region: Option<String>,
    /// A data disk in place of the operating system's
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(0..=63))]
    lun: Option<i32>,
    /// Overwrite the file if it exists
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    group: GroupArgs,
    /// Print what was pulled as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: ConnectionArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum PullFormat {
    Vhd,
    Raw,
}

pub(crate) async fn run(args: PullArgs) -> Result<()> {
    let format = match args.format {
        Some(format) => format,
        None => format_by_ending(&args.file)?,
    };
    check_free(&args.file, args.force)?;
    let client = args.connection.client()?;
    let content = version_content::open(client, &args.version, &args.group, args.region.as_deref(), args.lun).await?;
    let content = Arc::new(content);
    let export = match format {
        PullFormat::Vhd => ExportFormat::FixedVhd,
        PullFormat::Raw => ExportFormat::Raw,
    };
    let length_bytes = write(&content, &args.file, export, args.force).await?;
    report(&args.file, &content, length_bytes, args.json)
}

/// Refuses a file that is there, unless `force` says so, and always what is no file: a device or a pipe would not be written to
/// but replaced.
///
/// # Errors
/// As said.
pub(super) fn check_free(file: &Path, force: bool) -> Result<()> {
    if file == Path::new("-") {
        return Err(Failure::new("an image is written to a file, not to standard output").advise("Name one with -o."));
    }
    let Ok(found) = file.symlink_metadata() else { return Ok(()) };
    if !found.is_file() {
        let what = if found.is_symlink() { "is a symbolic link" } else { "is no regular file" };
        let failure = Failure::new(format!("{} {what}", file.display()));
        return Err(
            failure.advise("Name a new file, or with --force a regular one; it would be replaced, not written to.")
        );
    }
    match force {
        true => Ok(()),
        false => Err(Failure::new(format!("{} exists already", file.display())).advise("--force overwrites it.")),
    }
}

/// Writes content into a file, which appears when it is complete; its length in bytes.
///
/// # Errors
/// Of the file or the server.
pub(super) async fn write(content: &Arc<Content>, file: &Path, export: ExportFormat, force: bool) -> Result<u64> {
    let reader = ImageReader::open(content.clone(), content.manifest_id(), ChunkCache::new(CACHE_BYTES)).await?;
    let device = Counted { device: ImageDevice::new(reader), read_bytes: Arc::default() };
    let layout = ExportLayout::new(export, content.virtual_size_bytes(), &content.manifest_id())?;
    let unfinished = Unfinished::create(file)?;
    let look = || Seen {
        done_bytes: device.read_bytes.load(Ordering::Relaxed),
        note: format!("{} received", size(content.received_bytes())),
    };
    let work = async {
        tokio::select! {
            written = layout.write_to(&device, Arc::clone(&unfinished.file)) => Ok(written?),
            () = interrupted() => Err(crate::client::Error::Interrupted.into()),
        }
    };
    let pulled: Result<()> = during("pulling", content.virtual_size_bytes(), look, work).await;
    pulled?;
    unfinished.finish(file, force).await?;
    Ok(layout.length_bytes())
}

/// Says what was written.
///
/// # Errors
/// When standard output is closed.
pub(super) fn report(file: &Path, content: &Content, length_bytes: u64, as_json: bool) -> Result<()> {
    if as_json {
        return output::json(&json!({
            "file": file,
            "versionId": content.version_id(),
            "region": content.region(),
            "manifestId": content.manifest_id().to_string(),
            "lengthBytes": length_bytes,
            "receivedBytes": content.received_bytes(),
        }));
    }
    output::note(&format!(
        "{} ({}) from {}, {} received.\n  {}",
        file.display(),
        size(length_bytes),
        content.region(),
        size(content.received_bytes()),
        content.version_id()
    ));
    Ok(())
}

fn format_by_ending(file: &Path) -> Result<PullFormat> {
    let ending = file.extension().and_then(|ending| ending.to_str()).map(str::to_ascii_lowercase);
    match ending.as_deref() {
        Some("vhd") => Ok(PullFormat::Vhd),
        Some("raw" | "img") => Ok(PullFormat::Raw),
        _ => Err(Failure::new(format!("{} does not end in .vhd, .raw or .img", file.display()))
            .advise("Say what to write with --format vhd or --format raw.")),
    }
}

/// A file beside the one that is wanted; gone unless it is finished.
struct Unfinished {
    path: PathBuf,
    file: Arc<File>,
    finished: bool,
}

impl Unfinished {
    fn create(wanted: &Path) -> Result<Self> {
        let mut name = wanted.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}.part", std::process::id()));
        let path = wanted.with_file_name(name);
        let file = OpenOptions::new().write(true).create_new(true).open(&path);
        // Its user knows the name that was asked for.
        let file = file.map_err(|error| Failure::file(wanted, &error))?;
        Ok(Self { path, file: Arc::new(file), finished: false })
    }

    /// Gives the file its name. Unless `force` says so, nothing is replaced: another command may have been faster.
    async fn finish(mut self, wanted: &Path, force: bool) -> Result<()> {
        let (file, from, to) = (Arc::clone(&self.file), self.path.clone(), wanted.to_owned());
        let renamed = tokio::task::spawn_blocking(move || {
            // Whoever could not read the file that was there cannot read this one.
            if force && let Ok(before) = to.symlink_metadata() {
                file.set_permissions(before.permissions())?;
            }
            file.sync_all()?;
            if force {
                std::fs::rename(&from, &to)?
            } else {
                crate::durable::rename_new(&from, &to)?
            }
            crate::durable::sync_folder_of(&to)
        });
        let renamed = renamed.await.map_err(|error| Failure::of(&error))?;
        renamed.map_err(|error| Failure::file(wanted, &error))?;
        self.finished = true;
        Ok(())
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if !self.finished {
            // Nothing more can be done about a file that cannot be removed.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Counts what is streamed.
struct Counted {
    device: ImageDevice,
    read_bytes: Arc<AtomicU64>,
}

#[async_trait]
impl BlockDevice for Counted {
    fn size_bytes(&self) -> u64 {
        self.device.size_bytes()
    }

    async fn read(&self, range_bytes: Range<u64>) -> galerie_disk::Result<Vec<Part>> {
        self.device.read(range_bytes).await
    }

    async fn extents(&self, range_bytes: Range<u64>, max_extents: usize) -> galerie_disk::Result<Vec<Extent>> {
        self.device.extents(range_bytes, max_extents).await
    }

    fn stream(&self, range_bytes: Range<u64>) -> BoxStream<'static, galerie_disk::Result<Part>> {
        let read_bytes = Arc::clone(&self.read_bytes);
        let count = move |part: &galerie_disk::Result<Part>| {
            let length_bytes = part.as_ref().map_or(0, Part::length_bytes);
            read_bytes.fetch_add(length_bytes, Ordering::Relaxed);
        };
        self.device.stream(range_bytes).inspect(count).boxed()
    }
}
