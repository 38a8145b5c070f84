//! A boot storm: many guests start one version at once, through one and through several processes with a cache each.
//!
//! The reading path is the real one, from the packs to what an export would answer; only the network is left out. What is
//! counted (what the region's store is asked for, and processor time) is what `docs/design/scale.md` reckons with.
//!
//! Guests replay a trace with the shape of a measured one: a Debian server's boot to its login over NBD made 4,006 reads of
//! 122.6 MiB in all, 112.3 MiB of it unique, which lie in 268 different MiB and in 103 different 4 MiB of the disk. The trace's
//! places are drawn once, with a fixed seed, from where the image has data. All guests read it in the same order, each begins
//! somewhat later than the one before, and after every read it is another guest's turn.

use std::{
    ops::Range,
    sync::{Arc, atomic::Ordering},
};

use galerie_store::{
    ChunkCache, Compression, ExtentKind, ImageReader, ImportProgress, ManifestId, backend::LocalBackend,
};
use tokio::task::JoinSet;

use crate::{
    Bench, Result,
    counted_origin::{CountedOrigin, OriginLoad},
    cpu::{Stopwatch, Took},
    images::Random,
    machine::read_into_page_cache,
    report::Report,
    scratch_store::ScratchStore,
    text::{mib, size},
};

const GUESTS: usize = 1000;
const PROCESSES: [usize; 3] = [1, 4, 16];
const CACHE_BYTES: u64 = 384 << 20;

const MIB: u64 = 1 << 20;
const BLOCK_BYTES: u64 = 4096;
/// The measured trace.
const READS: usize = 4006;
const READ_BYTES: u64 = 1226 * MIB / 10;
const UNIQUE_BYTES: u64 = 1123 * MIB / 10;
const TOUCHED_MIBS: usize = 268;
const TOUCHED_MIBS_IN_4: usize = 103;
const SEED: u64 = 4006;
/// Guests that begin at the same time; the others follow, as many after every read.
const BEGIN_TOGETHER: usize = 8;

pub(crate) async fn measure(bench: &Bench, report: &mut Report) -> Result<()> {
    let folder = tempfile::tempdir_in(&bench.scratch)?;
    let origin = Arc::new(CountedOrigin::new(Arc::new(LocalBackend::open(folder.path().join("store")).await?)));
    let importer = ScratchStore::open_on(origin.clone(), &folder.path().join("index"), bench.compression).await?;
    let progress = Arc::new(ImportProgress::default());
    let manifest = importer.import(&bench.images.v1, &progress).await?;
    let stored_bytes = progress.stored_bytes.load(Ordering::Relaxed);
    read_into_page_cache(folder.path())?;
    let trace = Arc::new(trace(&*open(&importer, manifest).await?).await?);

    // What one guest alone needs is what all the others are compared with.
    let alone = storm(&origin, folder.path(), manifest, &trace, 1, 1).await?.0;
    report
        .row("boot storm, 1 guest: read from the store", size(alone.read_bytes))
        .beside(format!("in {} requests; the image has {} stored", alone.requests, size(stored_bytes)))
        .add();
    for processes in PROCESSES {
        let (load, took) = storm(&origin, folder.path(), manifest, &trace, processes, GUESTS).await?;
        let noun = if processes == 1 { "process" } else { "processes" };
        report
            .row(format!("boot storm, {GUESTS} guests, {processes} {noun}: read from the store"), size(load.read_bytes))
            .budget("one guest's, for each process")
            .beside(format!(
                "{:.2} x one guest's for each process; {:.2} MiB and {:.1} requests a guest",
                load.read_bytes as f64 / (alone.read_bytes * processes as u64) as f64,
                mib(load.read_bytes) / GUESTS as f64,
                load.requests as f64 / GUESTS as f64,
            ))
            .note(format!(
                "{:.1} ms of processor time a guest; {:.1} s on the clock without any network",
                took.cpu_s * 1e3 / GUESTS as f64,
                took.wall_s
            ))
            .add();
    }
    Ok(())
}

async fn open(store: &ScratchStore, manifest: ManifestId) -> Result<Arc<ImageReader>> {
    Ok(ImageReader::open(store.domain.clone(), manifest, ChunkCache::new(CACHE_BYTES)).await?)
}

/// Lets `guests` read the trace through `processes`, each with an index and a cache of its own, both cold.
async fn storm(
    origin: &Arc<CountedOrigin>,
    folder: &std::path::Path,
    manifest: ManifestId,
    trace: &Arc<Vec<Range<u64>>>,
    processes: usize,
    guests: usize,
) -> Result<(OriginLoad, Took)> {
    let (mut stores, mut readers) = (Vec::new(), Vec::new());
    let indexes = tempfile::tempdir_in(folder)?;
    for process in 0..processes {
        let index = indexes.path().join(process.to_string());
        let store = ScratchStore::open_on(origin.clone(), &index, Compression::default()).await?;
        readers.push(open(&store, manifest).await?);
        stores.push(store);
    }
    // Following the packs' tables is a process' start, not a guest's.
    origin.take();
    let watch = Stopwatch::start();
    let mut running = JoinSet::new();
    for guest in 0..guests {
        let (reader, trace) = (Arc::clone(&readers[guest % processes]), Arc::clone(trace));
        running.spawn(async move {
            for _ in 0..guest / BEGIN_TOGETHER {
                tokio::task::yield_now().await;
            }
            for range in trace.iter() {
                reader.read_parts(range.clone()).await?;
                tokio::task::yield_now().await;
            }
            Ok::<_, galerie_store::Error>(())
        });
    }
    while let Some(guest) = running.join_next().await {
        guest??;
    }
    Ok((origin.take(), watch.took()))
}

/// A trace with the measured boot's shape, over where the image has data.
pub(crate) async fn trace(reader: &ImageReader) -> Result<Vec<Range<u64>>> {
    let mut random = Random::new(SEED);
    let places = places(&full_mibs(reader).await?, &mut random);
    let read_blocks = (UNIQUE_BYTES / READS as u64).div_ceil(BLOCK_BYTES);
    let reads_per_place =
        READS * usize::try_from(UNIQUE_BYTES / MIB)? / usize::try_from(READ_BYTES / MIB)? / places.len();
    let mut reads = Vec::with_capacity(READS);
    for place in places {
        // A file is read from its start to its end.
        let length = reads_per_place as u64 * read_blocks;
        let mut block =
            place * (MIB / BLOCK_BYTES) + random.next() % (MIB / BLOCK_BYTES - length.min(MIB / BLOCK_BYTES - 1));
        for _ in 0..reads_per_place {
            reads.push(block * BLOCK_BYTES..(block + read_blocks) * BLOCK_BYTES);
            block += read_blocks;
        }
    }
    // What is read again was read before.
    while reads.len() < READS {
        let again = usize::try_from(random.next() % reads.len() as u64)?;
        reads.push(reads[again].clone());
    }
    let end_bytes = reader.virtual_size_bytes();
    reads.retain(|read| read.end <= end_bytes);
    Ok(reads)
}

/// The MiBs of the image that have data, in 4 MiB groups.
async fn full_mibs(reader: &ImageReader) -> Result<Vec<Vec<u64>>> {
    let mut groups: Vec<Vec<u64>> = Vec::new();
    let mut last_group = u64::MAX;
    for extent in reader.extents(0..reader.virtual_size_bytes()).await? {
        if extent.kind != ExtentKind::Data {
            continue;
        }
        for mib in extent.range_bytes.start.div_ceil(MIB)..extent.range_bytes.end / MIB {
            if mib / 4 != last_group {
                groups.push(Vec::new());
                last_group = mib / 4;
            }
            groups.last_mut().expect("one was just pushed").push(mib);
        }
    }
    Ok(groups)
}

/// Some MiBs of some groups, in the order in which they are read: anywhere on the disk, neighbours after one another.
fn places(groups: &[Vec<u64>], random: &mut Random) -> Vec<u64> {
    let mut groups: Vec<&[u64]> = groups.iter().map(Vec::as_slice).collect();
    shuffle(&mut groups, random);
    groups.truncate(TOUCHED_MIBS_IN_4);
    let each = TOUCHED_MIBS.div_ceil(TOUCHED_MIBS_IN_4);
    let places = groups.iter().flat_map(|group| group.iter().take(each).copied());
    places.take(TOUCHED_MIBS).collect()
}

fn shuffle<T>(items: &mut [T], random: &mut Random) {
    for index in (1..items.len()).rev() {
        let other = random.next() % (index as u64 + 1);
        items.swap(index, usize::try_from(other).expect("no more than the index"));
    }
}
