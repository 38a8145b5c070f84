//! Measures chunking and importing on raw disk images: `measure FILE...`.
//!
//! Prints the rates of the zero test, of cutting and of hashing; then what the files, in order, add to a store for
//! segments of 16, 64 and 256 MiB and several least zero runs; then real imports into a local store in a temporary
//! folder, each file twice. What the format fixes was chosen with this.

#![allow(clippy::print_stdout, reason = "it prints")]

use std::{
    collections::HashMap,
    error::Error,
    fs::File,
    ops::Range,
    os::unix::fs::FileExt,
    path::Path,
    sync::{Arc, atomic::Ordering},
    time::Instant,
};

use galerie_store::{
    BlobId, BlobKind, BlobSink, ChunkCache, Compression, CondemnedPacks, Domain, GuestBytes, Identity, ImageReader,
    ImportOptions, ImportProgress, ManifestId, RegionStore, Result, StoreOptions, StoredBlob, TenantId,
    backend::LocalBackend,
    chunking::{Piece, SegmentCutter},
    import,
};

const MIB: u64 = 1 << 20;

struct RawFile(File, u64);

impl RawFile {
    fn open(path: &Path) -> std::io::Result<Self> {
        let file = File::open(path)?;
        let size = file.metadata()?.len();
        Ok(Self(file, size))
    }
}

impl GuestBytes for RawFile {
    fn virtual_size_bytes(&self) -> u64 {
        self.1
    }

    fn read_at(&self, offset_bytes: u64, buf: &mut [u8]) -> Result<()> {
        self.0.read_exact_at(buf, offset_bytes).map_err(|source| galerie_store::Error::io("read", source))
    }

    fn next_data(&self, offset_bytes: u64) -> Result<Option<Range<u64>>> {
        use rustix::fs::{SeekFrom, seek};
        let io = |errno: rustix::io::Errno| galerie_store::Error::io("seek", errno.into());
        if offset_bytes >= self.1 {
            return Ok(None);
        }
        match seek(&self.0, SeekFrom::Data(offset_bytes)) {
            Ok(start) => Ok(Some(start..seek(&self.0, SeekFrom::Hole(start)).map_err(io)?)),
            Err(rustix::io::Errno::NXIO) => Ok(None),
            Err(errno) => Err(io(errno)),
        }
    }
}

/// Cuts a file in segments of any size.
fn cut(
    file: &RawFile,
    segment_bytes: u64,
    cutter: &mut SegmentCutter,
    emit: &mut dyn FnMut(u64, Piece<'_>) -> Result<()>,
) -> Result<()> {
    let size = file.virtual_size_bytes();
    for start in (0..size).step_by(segment_bytes as usize) {
        let end = (start + segment_bytes).min(size);
        let mut at = start;
        while at < end {
            let data = file.next_data(at)?.unwrap_or(end..end);
            let (from, to) = (data.start.clamp(at, end), data.end.min(end).max(at));
            cutter.zeros(from - at, &mut |piece| emit(start, piece))?;
            at = from;
            while at < to {
                let space = cutter.space();
                let length = space.len().min((to - at) as usize);
                file.read_at(at, &mut space[..length])?;
                cutter.filled(length, &mut |piece| emit(start, piece))?;
                at += length as u64;
            }
            at = at.max(to);
        }
        cutter.finish(&mut |piece| emit(start, piece))?;
    }
    Ok(())
}

/// What this thread has used of a processor, so that other work on the machine does not count.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds = stat.split_whitespace().next().and_then(|first| first.parse::<f64>().ok());
    nanoseconds.unwrap_or(f64::NAN) / 1e9
}

fn rates(file: &RawFile) -> Result<()> {
    let (mut cutter, mut data_bytes) = (SegmentCutter::new(), 0_u64);
    for (what, hashes) in [("read and cut", false), ("again", false), ("and hash", true)] {
        let start = cpu_seconds();
        data_bytes = 0;
        cut(file, 64 * MIB, &mut cutter, &mut |_, piece| {
            if let Piece::Data(bytes) = piece {
                data_bytes += bytes.len() as u64;
                if hashes {
                    std::hint::black_box(BlobId::of(bytes));
                }
            }
            Ok(())
        })?;
        println!("{what:>14}: {:6.2} GB/s of data, per core", data_bytes as f64 / 1e9 / (cpu_seconds() - start));
    }
    let mut noise = vec![0; 256 << 20];
    blake3::Hasher::new().update(b"noise").finalize_xof().fill(&mut noise);
    galerie_store::chunking::cut(&noise);
    let (start, mut rest, mut cuts) = (cpu_seconds(), noise.as_slice(), 0);
    while !rest.is_empty() {
        rest = &rest[galerie_store::chunking::cut(rest)..];
        cuts += 1;
    }
    println!("{:>14}: {:6.2} GB/s of noise, {cuts} chunks", "gear", noise.len() as f64 / 1e9 / (cpu_seconds() - start));
    noise.fill(0);
    let start = cpu_seconds();
    for block in noise.chunks(MIB as usize) {
        let space = cutter.space();
        space.copy_from_slice(block);
        cutter.filled(block.len(), &mut |_| Ok(()))?;
    }
    println!("{:>14}: {:6.2} GB/s, copying included", "zeros", noise.len() as f64 / 1e9 / (cpu_seconds() - start));
    cutter.finish(&mut |_| Ok(()))?;
    println!("{:>14}: {} MiB", "data", data_bytes / MIB);
    Ok(())
}

/// What each file adds, as `(stored MiB, chunks)`, and how many segments of the last are new.
fn stored(
    files: &[RawFile],
    segment_bytes: u64,
    zero_run_min_bytes: usize,
    sizes: &mut HashMap<BlobId, u64>,
) -> Result<()> {
    const PACK_ENTRY_BYTES: u64 = 48;
    let mut kept: HashMap<BlobId, u64> = HashMap::new();
    let mut line = format!("{:>4} MiB, {:>3} KiB:", segment_bytes / MIB, zero_run_min_bytes / 1024);
    for file in files {
        let mut cutter = SegmentCutter::with_zero_run_min_bytes(zero_run_min_bytes);
        let mut segments: HashMap<u64, Vec<u8>> = HashMap::new();
        let mut chunks = 0_u64;
        cut(file, segment_bytes, &mut cutter, &mut |segment, piece| {
            let list = segments.entry(segment).or_default();
            match piece {
                Piece::Zero(length) => list.extend(length.to_le_bytes()),
                Piece::Data(bytes) => {
                    chunks += 1;
                    let id = BlobId::of(bytes);
                    list.extend(id.0);
                    list.extend((bytes.len() as u32).to_le_bytes());
                    let size = *sizes.entry(id).or_insert_with(|| {
                        StoredBlob::encode_as(id, BlobKind::Chunk, bytes, Compression::Zstd).bytes.len() as u64
                    });
                    kept.insert(id, size + PACK_ENTRY_BYTES);
                }
            }
            Ok(())
        })?;
        let lists = segments.values().filter(|list| list.len() > 4);
        let (mut all, mut new) = (0, 0);
        for list in lists {
            all += 1;
            new += u64::from(kept.insert(BlobId::of(list), list.len() as u64 + PACK_ENTRY_BYTES).is_none());
        }
        let total: u64 = kept.values().sum();
        line += &format!("  {:7.1} MiB ({chunks} chunks, {new} of {all} segments new)", total as f64 / MIB as f64);
    }
    println!("{line}");
    Ok(())
}

/// Reads of the first 256 MiB: for the first time, and from the cache.
async fn reads(domain: &Arc<Domain>, manifest: ManifestId) -> Result<()> {
    const READS: u64 = 2000;
    const SMALL: u64 = 4096;
    let size = 256 * MIB;
    let random = |n: u64| (n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 20) % (size / SMALL) * SMALL;
    let reader = ImageReader::open(domain.clone(), manifest, ChunkCache::new(384 * MIB)).await?;
    let start = Instant::now();
    for n in 0..READS {
        reader.read_parts(random(n)..random(n) + SMALL).await?;
    }
    println!("first touch, 4 KiB at random, depth 1: {:.0} reads/s", READS as f64 / start.elapsed().as_secs_f64());
    let reader = ImageReader::open(domain.clone(), manifest, ChunkCache::new(384 * MIB)).await?;
    for what in ["first touch", "cached"] {
        let start = Instant::now();
        for at in (0..size).step_by(MIB as usize) {
            reader.read_parts(at..at + MIB).await?;
        }
        println!("{what}, 1 MiB in order: {:.2} GB/s", size as f64 / 1e9 / start.elapsed().as_secs_f64());
    }
    let (mut parts, mut hits, start) = (Vec::new(), 0, cpu_seconds());
    for n in 0..READS * 500 {
        parts.clear();
        hits += u64::from(reader.read_cached(random(n)..random(n) + SMALL, &mut parts));
    }
    let per_read = (cpu_seconds() - start) / (READS * 500) as f64;
    println!("cached, 4 KiB at random: {:.0} ns of a core each, {hits} of {} hit", per_read * 1e9, READS * 500);
    Ok(())
}

async fn imports(paths: &[String]) -> std::result::Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir_in(Path::new(&paths[0]).parent().unwrap_or(Path::new(".")))?;
    let backend = Arc::new(LocalBackend::open(folder.path().join("store")).await?);
    let identity =
        Identity { catalogue_id: uuid::Uuid::nil(), region: "here".into(), expected_store_id: None, epoch: 1 };
    let store =
        RegionStore::open_or_create(backend, identity, &folder.path().join("index"), StoreOptions::default()).await?;
    let domain = store.domain(&"measure".parse::<TenantId>()?).await?;
    let mut last = None;
    for path in paths.iter().flat_map(|path| [path, path]) {
        let source = Arc::new(RawFile::open(Path::new(path))?);
        let writer: Arc<dyn BlobSink> = domain.writer(CondemnedPacks::none()).await?;
        let progress = Arc::new(ImportProgress::default());
        let start = Instant::now();
        let imported =
            import(source, writer, ImportOptions::default(), Arc::clone(&progress), Default::default()).await?;
        last = Some(imported.manifest_id);
        let (seconds, load) =
            (start.elapsed().as_secs_f64(), |n: &std::sync::atomic::AtomicU64| n.load(Ordering::Relaxed));
        let (new, known) = (load(&progress.new_bytes), load(&progress.known_bytes));
        println!(
            "{:.12}: {seconds:6.2} s, new {} MiB, known {} MiB, {:.3} GB/s of data, stored {} MiB in all",
            imported.manifest_id.to_string(),
            new / MIB,
            known / MIB,
            (new + known) as f64 / 1e9 / seconds,
            domain.stats().pack_bytes / MIB
        );
    }
    let stats = domain.stats();
    println!("{stats:?}");
    println!(
        "index: {:.1} bytes on disk and {:.2} in memory for each blob",
        stats.index.disk_bytes as f64 / stats.blobs as f64,
        stats.index.memory_bytes as f64 / stats.blobs as f64
    );
    reads(&domain, last.ok_or("no file")?).await?;
    let status = std::fs::read_to_string("/proc/self/status")?;
    status.lines().filter(|line| line.starts_with("VmHWM")).for_each(|line| println!("{line}"));
    Ok(())
}

#[tokio::main]
async fn main() -> std::result::Result<(), Box<dyn Error>> {
    let mut paths: Vec<String> = std::env::args().skip(1).collect();
    let imports_only = paths.first().is_some_and(|first| first == "--imports");
    if imports_only {
        paths.remove(0);
    }
    if paths.is_empty() {
        return Err("measure [--imports] FILE...".into());
    }
    if !imports_only {
        let files = paths.iter().map(|path| RawFile::open(Path::new(path))).collect::<std::io::Result<Vec<_>>>()?;
        rates(&files[0])?;
        let mut sizes = HashMap::new();
        for (segment_mib, zero_run_kib) in [(64, 4), (64, 16), (64, 64), (16, 16), (256, 16)] {
            stored(&files, segment_mib * MIB, zero_run_kib * 1024, &mut sizes)?;
        }
    }
    imports(&paths).await
}
