//! `galerie upload`: writes an image to an upload disk's SAS URL, as Azure's own tools would.

use std::{
    ops::Range,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::{Bytes, BytesMut};
use futures::{StreamExt, TryStreamExt, stream};
use galerie_disk::{
    BlockDevice, Format, GuestDevice,
    export::{ExportFormat, ExportLayout},
};
use galerie_store::{BlobId, ManifestId};

use super::{
    connection::ConnectionArgs,
    failure::{Failure, Result},
    image_file,
    interruption::interrupted,
    output::{self, size},
    progress::{Seen, during},
};
use crate::client::{PAGE_BYTES, PAGES_MAX_BYTES, PageBlob};

/// Writes under way at once; with their size it bounds what is in memory.
const WRITES_MAX: usize = 8;
/// Ranges after which a server tells the rest as one. That one may hold what was never written.
const RANGES_EXACT_MAX: usize = 65_536;

/// Write an image to the SAS URL of an upload disk
///
/// A VHD is written as it is; raw and qcow2 images become a fixed VHD on the way. Zeros are not sent. Without a SAS URL
/// it prints the size that the disk must be made with. A disk that is uploaded has at least 20 MiB, as in Azure: make a smaller image
/// larger first (`qemu-img resize`), or use `galerie publish`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  galerie upload web.qcow2                                the size to say to --upload-size-bytes
  az disk create -g myRG -n web --upload-type Upload --upload-size-bytes $(galerie upload web.qcow2)
  galerie upload web.qcow2 \"$(az disk grant-access -g myRG -n web --access-level Write \\
      --duration-in-seconds 3600 --query accessSAS -o tsv)\"
  az disk revoke-access -g myRG -n web                    imports what was written")]
pub(crate) struct UploadArgs {
    /// The image: raw, fixed VHD or qcow2
    file: PathBuf,
    /// The disk's SAS URL; quote it, it has & in it
    #[arg(value_name = "SAS-URL")]
    sas_url: Option<String>,
    /// What the file is; without it the file is inspected
    #[arg(long, value_name = "FORMAT", value_parser = parse_format)]
    format: Option<Format>,
    /// Go on with an upload of the same file that broke off: what was written is not written again
    #[arg(long)]
    resume: bool,
    #[command(flatten)]
    connection: ConnectionArgs,
}

/// A format's name.
///
/// # Errors
/// The names that there are.
pub(super) fn parse_format(name: &str) -> Result<Format, String> {
    name.parse().map_err(|error: galerie_disk::Error| error.to_string())
}

/// The file as the blob that it becomes.
struct Source {
    device: GuestDevice,
    layout: ExportLayout,
}

/// What is done with a block of the blob.
#[derive(Debug, PartialEq, Eq)]
enum Action {
    Write,
    /// It is zero here and something else there.
    Clear,
    Skip,
}

pub(crate) async fn run(args: UploadArgs) -> Result<()> {
    let source = Arc::new(open(&args).await?);
    let length_bytes = source.layout.length_bytes();
    let Some(sas_url) = &args.sas_url else { return output::line(&length_bytes.to_string()) };
    let blob = PageBlob::new(sas_url, args.connection.clone().ca_file().as_deref())?;
    let there_bytes = blob.length_bytes().await?;
    if there_bytes != length_bytes {
        let problem = format!("the disk takes {there_bytes} bytes, {} has {length_bytes}", args.file.display());
        return Err(Failure::new(problem).advise(format!("Make the disk with --upload-size-bytes {length_bytes}.")));
    }
    let written = blob.page_ranges().await?;
    let (done_bytes, sent_bytes) = (AtomicU64::new(0), AtomicU64::new(0));
    let look = || Seen {
        done_bytes: done_bytes.load(Ordering::Relaxed),
        note: format!("{} sent", size(sent_bytes.load(Ordering::Relaxed))),
    };
    let work = stream::iter(blocks(length_bytes)).map(Ok).try_for_each_concurrent(WRITES_MAX, |block| {
        let (source, blob, written, resume) = (&source, &blob, &written, args.resume);
        let (done_bytes, sent_bytes) = (&done_bytes, &sent_bytes);
        async move {
            let length_bytes = block.end - block.start;
            sent_bytes.fetch_add(source.write_block(blob, block, written, resume).await?, Ordering::Relaxed);
            done_bytes.fetch_add(length_bytes, Ordering::Relaxed);
            Ok::<_, Failure>(())
        }
    });
    let work = async {
        tokio::select! {
            done = work => done,
            () = interrupted() => {
                Err(Failure::from(crate::client::Error::Interrupted).advise("--resume goes on from here."))
            }
        }
    };
    during("uploading", length_bytes, look, work).await?;
    output::note(&format!(
        "Written: {} of {}. Ending the access (az disk revoke-access) imports it.",
        size(sent_bytes.load(Ordering::Relaxed)),
        size(length_bytes)
    ));
    Ok(())
}

async fn open(args: &UploadArgs) -> Result<Source> {
    let image = image_file::open(&args.file, args.format).await?;
    let (image, export) = match image.format {
        // A VHD keeps its own footer: it is sent as the bytes that it is.
        Format::Vhd => (image_file::open(&args.file, Some(Format::Raw)).await?, ExportFormat::Raw),
        Format::Raw | Format::Qcow2 => (image, ExportFormat::FixedVhd),
    };
    // A footer's unique id comes from the manifest's; an upload has none yet, and its footer is not kept.
    let name = ManifestId(BlobId::of(args.file.as_os_str().as_encoded_bytes()));
    let layout = ExportLayout::new(export, image.guest.virtual_size_bytes(), &name)?;
    Ok(Source { device: GuestDevice::new(image.guest), layout })
}

impl Source {
    /// Writes, clears or skips a block; answers how many bytes were sent.
    async fn write_block(
        &self,
        blob: &PageBlob,
        block: Range<u64>,
        written: &[Range<u64>],
        resume: bool,
    ) -> Result<u64> {
        let bytes = self.read(block.clone()).await?;
        let data = data_pages(&bytes);
        let action = plan(block.start, data.as_ref(), block.clone(), written, resume);
        match (action, data) {
            (Action::Write, Some(data)) => {
                let start = block.start + data.start as u64;
                let pages = bytes.slice(data);
                let length_bytes = pages.len() as u64;
                self.clear_around(blob, &block, start..start + length_bytes, written, resume).await?;
                blob.write_pages(start, pages).await?;
                Ok(length_bytes)
            }
            (Action::Clear, _) => {
                blob.clear_pages(block).await?;
                Ok(0)
            }
            _ => Ok(0),
        }
    }

    /// Clears what was written before and is zero now, on both sides of the data.
    async fn clear_around(
        &self,
        blob: &PageBlob,
        block: &Range<u64>,
        data: Range<u64>,
        written: &[Range<u64>],
        resume: bool,
    ) -> Result<()> {
        for side in [block.start..data.start, data.end..block.end] {
            if !resume && overlaps(&side, written) {
                blob.clear_pages(side).await?;
            }
        }
        Ok(())
    }

    async fn read(&self, range: Range<u64>) -> Result<Bytes> {
        let mut bytes = BytesMut::with_capacity(usize::try_from(range.end - range.start).unwrap_or_default());
        let device: &dyn BlockDevice = &self.device;
        let mut pieces = std::pin::pin!(self.layout.stream(device, range)?);
        while let Some(piece) = pieces.try_next().await? {
            bytes.extend_from_slice(&piece);
        }
        Ok(bytes.freeze())
    }
}

/// The blob in blocks of one write each.
fn blocks(length_bytes: u64) -> impl Iterator<Item = Range<u64>> {
    (0..length_bytes.div_ceil(PAGES_MAX_BYTES))
        .map(move |index| index * PAGES_MAX_BYTES..((index + 1) * PAGES_MAX_BYTES).min(length_bytes))
}

/// From the first page to the last that is not zero.
fn data_pages(bytes: &[u8]) -> Option<Range<usize>> {
    let page = PAGE_BYTES as usize;
    let first = bytes.iter().position(|byte| *byte != 0)? / page * page;
    let last = bytes.iter().rposition(|byte| *byte != 0)? / page * page;
    Some(first..(last + page).min(bytes.len()))
}

/// What to do with a block whose data, if any, is `data` (from the block's start), when `written` was written before.
fn plan(
    start_bytes: u64,
    data: Option<&Range<usize>>,
    block: Range<u64>,
    written: &[Range<u64>],
    resume: bool,
) -> Action {
    match data {
        None if !resume && overlaps(&block, written) => Action::Clear,
        None => Action::Skip,
        Some(data) => {
            let data = start_bytes + data.start as u64..start_bytes + data.end as u64;
            let covered = surely(written).iter().any(|range| range.start <= data.start && data.end <= range.end);
            if resume && covered { Action::Skip } else { Action::Write }
        }
    }
}

/// The ranges of a list that were written throughout: not the last of a list that was cut short.
fn surely(written: &[Range<u64>]) -> &[Range<u64>] {
    match written.split_last() {
        Some((_, exact)) if written.len() >= RANGES_EXACT_MAX => exact,
        _ => written,
    }
}

fn overlaps(wanted: &Range<u64>, ranges: &[Range<u64>]) -> bool {
    !wanted.is_empty() && ranges.iter().any(|range| range.start < wanted.end && wanted.start < range.end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_is_cut_to_whole_pages() {
        let mut bytes = vec![0; 4096];
        assert_eq!(data_pages(&bytes), None);
        bytes[1000] = 1;
        assert_eq!(data_pages(&bytes), Some(512..1024));
        bytes[4095] = 1;
        assert_eq!(data_pages(&bytes), Some(512..4096));
    }

    #[test]
    fn what_was_written_decides() {
        let written = [0..4096, 8192..12288];
        let check = |data: Option<Range<usize>>, block: Range<u64>, resume: bool, expected: Action| {
            assert_eq!(plan(block.start, data.as_ref(), block.clone(), &written, resume), expected);
        };
        check(Some(0..4096), 0..4096, true, Action::Skip);
        check(Some(0..4096), 0..4096, false, Action::Write);
        check(Some(0..4096), 4096..8192, true, Action::Write);
        check(Some(0..8192), 0..8192, true, Action::Write);
        check(None, 4096..8192, false, Action::Skip);
        check(None, 0..8192, false, Action::Clear);
        check(None, 0..8192, true, Action::Skip);
    }

    /// Regression: after many ranges a server tells the rest as one, to the blob's end. Resuming took it for written, left out
    /// data and the footer, and could never finish.
    #[test]
    fn the_rest_of_a_list_that_was_cut_is_written_again() {
        let mut written: Vec<Range<u64>> =
            (0..RANGES_EXACT_MAX as u64).map(|index| index * 1024..index * 1024 + 512).collect();
        let last_start = written.last().unwrap().start;
        written.last_mut().unwrap().end = 1 << 40;
        let check = |start: u64, resume: bool, expected: Action| {
            assert_eq!(plan(start, Some(&(0..512)), start..start + 1024, &written, resume), expected, "{start}");
        };
        check(1024, true, Action::Skip);
        check(last_start, true, Action::Write);
        check(last_start + (1 << 30), true, Action::Write);
        // What it says may hold data, so zeros are still cleared there.
        assert_eq!(plan(1 << 30, None, 1 << 30..(1 << 30) + 1024, &written, false), Action::Clear);
        written.pop();
        assert_eq!(surely(&written).len(), written.len());
    }

    #[test]
    fn blocks_cover_the_blob() {
        let found: Vec<_> = blocks(PAGES_MAX_BYTES * 2 + 512).collect();
        assert_eq!(found.len(), 3);
        assert_eq!(found[2], PAGES_MAX_BYTES * 2..PAGES_MAX_BYTES * 2 + 512);
    }
}
