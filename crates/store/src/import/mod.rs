//! Import: guest bytes in, a manifest out.
//!
//! Segments are cut and hashed on all cores; what the sink does not have is compressed and put. Blobs reach the sink in
//! guest order, so that a pack holds neighbours, and the manifest last. A chunk is looked up before it is compressed,
//! because compressing is ten times dearer than everything else together.
//!
//! Memory is bounded whatever the image: each thread holds a read buffer, and encoded blobs that wait for the segments
//! before them share one budget (see `ordered`).
//!
//! An import that ends early leaves blobs that nothing refers to; the next attempt finds them and goes on from there.

mod cut;
mod ordered;

use std::{
    collections::HashSet,
    num::NonZero,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio_util::sync::CancellationToken;

use crate::{
    BlobId, BlobKind, BlobSink, Compression, Error, GuestBytes, Manifest, ManifestId, Result, SegmentId, StoredBlob,
    blob::blocking,
    blocking::is_in_place,
    chunking::{SEGMENT_SIZE_BYTES, SegmentCutter, segment_length_bytes},
};
use cut::SegmentImport;
use ordered::OrderedSink;

/// How an import runs.
#[derive(Debug, Clone, Default)]
pub struct ImportOptions {
    /// How many threads cut and compress; 0 for one for each core.
    pub threads: usize,
    /// Blobs that are known to be kept, so that the sink need not be asked. Whoever passes them keeps them pinned.
    pub base: Option<Arc<HashSet<BlobId>>>,
}

/// How far an import is. Read it at any time.
#[derive(Debug, Default)]
pub struct ImportProgress {
    /// Guest bytes done, holes included; at the end the virtual size.
    pub read_bytes: AtomicU64,
    /// Of these, zeros that are stored nowhere.
    pub zero_bytes: AtomicU64,
    /// Of these, bytes of chunks that were there already.
    pub known_bytes: AtomicU64,
    /// Of these, bytes of new chunks.
    pub new_bytes: AtomicU64,
    /// What new blobs take, encoded.
    pub stored_bytes: AtomicU64,
}

impl ImportProgress {
    /// Nothing is done yet, for an import that begins anew.
    pub fn begin_again(&self) {
        for count in [&self.read_bytes, &self.zero_bytes, &self.known_bytes, &self.new_bytes, &self.stored_bytes] {
            count.store(0, Ordering::Relaxed);
        }
    }
}

/// What an import made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Imported {
    /// Names the disk's bytes.
    pub manifest_id: ManifestId,
    /// The size the guest sees.
    pub virtual_size_bytes: u64,
}

/// Imports a disk, on threads of its own. When it returns `Ok`, the manifest and all it names are durable in the sink.
///
/// # Errors
/// What the source or the sink answers; `Cancelled`; `Invalid` when the disk is too large.
pub async fn import(
    source: Arc<dyn GuestBytes>,
    sink: Arc<dyn BlobSink>,
    options: ImportOptions,
    progress: Arc<ImportProgress>,
    cancel: CancellationToken,
) -> Result<Imported> {
    let into = Arc::clone(&sink);
    let imported = blocking(move || import_blocking(&*source, &*into, &options, &progress, &cancel)).await?;
    sink.finish().await?;
    Ok(imported)
}

/// As [`import`], on the calling thread and threads that it starts. Not for a runtime's own threads. Nothing is durable
/// before the caller finishes the sink.
///
/// # Errors
/// As [`import`].
pub fn import_blocking(
    source: &dyn GuestBytes,
    sink: &dyn BlobSink,
    options: &ImportOptions,
    progress: &ImportProgress,
    cancel: &CancellationToken,
) -> Result<Imported> {
    let virtual_size_bytes = source.virtual_size_bytes();
    let mut manifest = Manifest::new(virtual_size_bytes)?;
    let import = Import {
        source,
        virtual_size_bytes,
        sink: OrderedSink::new(sink),
        compression: sink.compression(),
        base: options.base.as_deref(),
        progress,
        cancel,
        feeder: Mutex::default(),
        segments: Mutex::default(),
    };
    std::thread::scope(|scope| {
        for _ in 1..threads(options) {
            scope.spawn(|| import.work());
        }
        import.work();
    });
    import.sink.check()?;
    let mut segments = import.segments.into_inner().unwrap_or_else(PoisonError::into_inner);
    segments.sort_unstable();
    segments.into_iter().try_for_each(|(index, segment)| manifest.push(index, segment))?;
    let encoded = manifest.encode();
    let manifest_id = ManifestId(BlobId::of(&encoded));
    if !sink.contains(&manifest_id.0)? {
        let blob = StoredBlob::encode_as(manifest_id.0, BlobKind::Manifest, &encoded, sink.compression());
        progress.stored_bytes.fetch_add(blob.bytes.len() as u64, Ordering::Relaxed);
        sink.put(blob)?;
    }
    Ok(Imported { manifest_id, virtual_size_bytes })
}

fn threads(options: &ImportOptions) -> usize {
    match options.threads {
        0 if is_in_place() => 1,
        0 => std::thread::available_parallelism().map_or(1, NonZero::get),
        threads => threads,
    }
}

/// One import, shared by its threads.
struct Import<'a> {
    source: &'a dyn GuestBytes,
    virtual_size_bytes: u64,
    sink: OrderedSink<'a>,
    compression: Compression,
    base: Option<&'a HashSet<BlobId>>,
    progress: &'a ImportProgress,
    cancel: &'a CancellationToken,
    feeder: Mutex<Feeder>,
    segments: Mutex<Vec<(u32, SegmentId)>>,
}

/// Hands out the segments that may hold data.
#[derive(Default)]
struct Feeder {
    next_index: u64,
    next_ordinal: u64,
}

impl Import<'_> {
    /// Works on segments until none is left or something fails.
    fn work(&self) {
        let stop = self.sink.stop_unless_defused();
        let mut cutter = SegmentCutter::new();
        while !self.sink.is_stopped() {
            match self.import_next(&mut cutter) {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => self.sink.stop(error),
            }
        }
        stop.defuse();
    }

    /// Imports the next segment; `false` when none is left.
    fn import_next(&self, cutter: &mut SegmentCutter) -> Result<bool> {
        let Some((ordinal, index)) = self.next_segment()? else { return Ok(false) };
        let start = u64::from(index) * SEGMENT_SIZE_BYTES;
        let end = start + segment_length_bytes(self.virtual_size_bytes, u64::from(index));
        if let Some(id) = SegmentImport::new(self, ordinal).run(cutter, start..end)? {
            self.segments.lock().unwrap_or_else(PoisonError::into_inner).push((index, id));
        }
        Ok(true)
    }

    /// The next segment's place among those that may hold data, and among all.
    fn next_segment(&self) -> Result<Option<(u64, u32)>> {
        let mut feeder = self.feeder.lock().unwrap_or_else(PoisonError::into_inner);
        let from = feeder.next_index * SEGMENT_SIZE_BYTES;
        if from >= self.virtual_size_bytes {
            return Ok(None);
        }
        let data = self.source.next_data(from)?.filter(|data| data.start < self.virtual_size_bytes);
        let Some(data) = data else {
            self.skip_zeros(self.virtual_size_bytes - from);
            feeder.next_index = self.virtual_size_bytes.div_ceil(SEGMENT_SIZE_BYTES);
            return Ok(None);
        };
        let (index, ordinal) = (data.start.max(from) / SEGMENT_SIZE_BYTES, feeder.next_ordinal);
        self.skip_zeros(index * SEGMENT_SIZE_BYTES - from);
        feeder.next_index = index + 1;
        feeder.next_ordinal += 1;
        let index = u32::try_from(index).expect("a disk of at most 64 TiB has at most 2^20 segments");
        Ok(Some((ordinal, index)))
    }

    fn skip_zeros(&self, length_bytes: u64) {
        self.progress.read_bytes.fetch_add(length_bytes, Ordering::Relaxed);
        self.progress.zero_bytes.fetch_add(length_bytes, Ordering::Relaxed);
    }

    /// Whether the blob is kept.
    fn is_kept(&self, id: &BlobId) -> Result<bool> {
        Ok(self.base.is_some_and(|base| base.contains(id)) || self.sink.contains(id)?)
    }

    fn check_cancel(&self) -> Result<()> {
        if self.cancel.is_cancelled() || self.sink.is_stopped() { Err(Error::Cancelled) } else { Ok(()) }
    }
}
