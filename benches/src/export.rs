//! Exporting: from the store to a raw file and to a fixed VHD, against decompressing on all cores and doing nothing
//! else, by turns with it; and against writing the same bytes to a file without a store. Files are synced, on both sides, as
//! `galerie pull` does before a file has its name.

use std::{fs::File, os::unix::fs::FileExt, path::Path, sync::Arc};

use futures::TryStreamExt;
use galerie_disk::{
    BlockDevice, ImageDevice,
    export::{ExportFormat, ExportLayout},
};
use galerie_store::{ChunkCache, ImageReader, ImportProgress};

use crate::{
    Bench, Result,
    blocks::{Blocks, CompressedBlocks},
    cpu::{Stopwatch, Took, best},
    machine::{cores, read_into_page_cache},
    report::{Report, Verdict},
    scratch_store::ScratchStore,
    text::rate,
};

const SHARE_MIN: f64 = 0.8;
/// The exporter's cache; a stream goes past it.
const CACHE_BYTES: u64 = 64 << 20;

pub(crate) async fn measure(bench: &Bench, report: &mut Report) -> Result<()> {
    let folder = tempfile::tempdir_in(&bench.scratch)?;
    let store = ScratchStore::open(folder.path(), bench.compression).await?;
    let manifest = store.import(&bench.images.v1, &Arc::new(ImportProgress::default())).await?;
    read_into_page_cache(folder.path())?;
    let reader = ImageReader::open(store.domain.clone(), manifest, ChunkCache::new(CACHE_BYTES)).await?;
    let device = ImageDevice::new(reader);
    let raw = ExportLayout::new(ExportFormat::Raw, device.size_bytes(), &manifest)?;
    let vhd = ExportLayout::new(ExportFormat::FixedVhd, device.size_bytes(), &manifest)?;
    let blocks = Blocks::read(&bench.images.v1)?;
    let (_, compressed) = blocks.compress();

    let mut rounds = Vec::new();
    for _ in 0..bench.rounds() {
        rounds.push(round(&compressed, &blocks, &device, [&raw, &vhd], folder.path()).await?);
    }
    let took = |of: fn(&Round) -> Took| best(&rounds.iter().map(of).collect::<Vec<_>>());
    let (limit, written) = (took(|round| round.decompressed), took(|round| round.written));
    for (what, took, limit_s) in [
        ("export, streamed", took(|round| round.streamed), limit.wall_s),
        ("export to a raw file", took(|round| round.raw), limit.wall_s.max(written.wall_s)),
        ("export to a fixed VHD", took(|round| round.vhd), limit.wall_s.max(written.wall_s)),
    ] {
        let share = limit_s / took.wall_s;
        report
            .row(what, format!("{} ({:.0} % of the limit)", rate(blocks.size_bytes(), took.wall_s), share * 100.0))
            .budget(">= 80 % of decompressing, capped by the disk")
            .beside(match limit_s > limit.wall_s {
                true => format!("writing and syncing alone: {}", rate(blocks.size_bytes(), limit_s)),
                false => format!("zstd -d, {} cores: {}", cores(), rate(blocks.size_bytes(), limit_s)),
            })
            .note(format!(
                "decompressing alone {}; by processor time {:.0} % of it; writing and syncing as many bytes alone: {}, {:.1} s \
                 of processor time",
                rate(blocks.size_bytes(), limit.wall_s),
                limit.cpu_s / took.cpu_s * 100.0,
                rate(blocks.size_bytes(), written.wall_s),
                written.cpu_s
            ))
            .verdict(Verdict::at_least(share, SHARE_MIN))
            .add();
    }
    Ok(())
}

struct Round {
    decompressed: Took,
    written: Took,
    streamed: Took,
    raw: Took,
    vhd: Took,
}

async fn round(
    compressed: &CompressedBlocks,
    blocks: &Blocks,
    device: &ImageDevice,
    [raw, vhd]: [&ExportLayout; 2],
    folder: &Path,
) -> Result<Round> {
    Ok(Round {
        decompressed: compressed.decompress(),
        streamed: stream(raw, device).await?,
        written: write_blocks(blocks, &folder.join("plain"))?,
        raw: write(raw, device, &folder.join("raw")).await?,
        vhd: write(vhd, device, &folder.join("vhd")).await?,
    })
}

/// The whole file, as a download has it, to nowhere.
async fn stream(layout: &ExportLayout, device: &ImageDevice) -> Result<Took> {
    let watch = Stopwatch::start();
    let mut bytes = std::pin::pin!(layout.stream(device, 0..layout.length_bytes())?);
    while let Some(piece) = bytes.try_next().await? {
        std::hint::black_box(piece);
    }
    Ok(watch.took())
}

async fn write(layout: &ExportLayout, device: &ImageDevice, path: &Path) -> Result<Took> {
    let file = Arc::new(File::create(path)?);
    let watch = Stopwatch::start();
    layout.write_to(device, Arc::clone(&file)).await?;
    file.sync_all()?;
    let took = watch.took();
    std::fs::remove_file(path)?;
    Ok(took)
}

fn write_blocks(blocks: &Blocks, path: &Path) -> Result<Took> {
    let file = File::create(path)?;
    let watch = Stopwatch::start();
    let mut at = 0;
    for block in blocks.iter() {
        file.write_all_at(block, at)?;
        at += block.len() as u64;
    }
    file.sync_all()?;
    let took = watch.took();
    std::fs::remove_file(path)?;
    Ok(took)
}
