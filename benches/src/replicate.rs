//! Replicating a patched version: what is moved, against what the other region lacks.
//!
//! What is moved is counted where it leaves the source, with what a frame on the wire adds to each blob.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use galerie_store::{
    BlobId, BlobSource, CondemnedPacks, CopyProgress, Domain, ImportProgress, ManifestId, StoredBlob, frame, pull,
};
use tokio_util::sync::CancellationToken;

use crate::{
    Bench, Result,
    report::{Report, Verdict},
    scratch_store::ScratchStore,
    text::size,
};

const MOVED_SHARE_MAX: f64 = 1.02;
const ENTRY_BYTES: u64 = 48;
/// How many blobs are asked for at once when they are counted.
const COUNT_BATCH: usize = 256;

pub(crate) async fn measure(bench: &Bench, report: &mut Report) -> Result<()> {
    let (here, there) = (tempfile::tempdir_in(&bench.scratch)?, tempfile::tempdir_in(&bench.scratch)?);
    let (home, target) = (
        ScratchStore::open(here.path(), bench.compression).await?,
        ScratchStore::open(there.path(), bench.compression).await?,
    );
    let progress = Arc::new(ImportProgress::default());
    let base = home.import(&bench.images.v1, &progress).await?;
    copy(&home.domain, &target.domain, base).await?;
    let patched = home.import(&bench.images.v2, &progress).await?;

    let missing = Missing::count(&home.domain, &target.domain, patched).await?;
    let before = target.pack_bytes();
    let moved_bytes = copy(&home.domain, &target.domain, patched).await?;
    let limit = missing.stored_bytes as f64 * MOVED_SHARE_MAX + (missing.entries * ENTRY_BYTES) as f64;
    report
        .row("replicate a patched version, moved", size(moved_bytes))
        .budget("<= 1.02 x missing + 48 B an entry of changed segments")
        .beside(format!("missing {}, limit {}", size(missing.stored_bytes), size(limit as u64)))
        .note(format!(
            "{} chunks were missing; {} of {} segments changed, with {} entries; the target grew by {}",
            missing.chunks,
            missing.changed_segments,
            missing.segments,
            missing.entries,
            size(target.pack_bytes() - before)
        ))
        .verdict(Verdict::at_most(moved_bytes as f64, limit))
        .add();
    Ok(())
}

/// Replicates an image; how many bytes left the source.
async fn copy(source: &Arc<Domain>, target: &Arc<Domain>, manifest: ManifestId) -> Result<u64> {
    let counted = Counted { source: Arc::clone(source), moved_bytes: AtomicU64::new(0) };
    let (condemned, progress) = (CondemnedPacks::none(), CopyProgress::default());
    pull(target, &counted, manifest, condemned, &progress, &CancellationToken::new()).await?;
    Ok(counted.moved_bytes.into_inner())
}

/// A source that counts what leaves it.
struct Counted {
    source: Arc<Domain>,
    moved_bytes: AtomicU64,
}

#[async_trait]
impl BlobSource for Counted {
    async fn fetch(&self, ids: &[BlobId], listed_by: Option<BlobId>) -> galerie_store::Result<Vec<StoredBlob>> {
        let blobs = self.source.fetch(ids, listed_by).await?;
        let moved: usize = blobs.iter().map(frame::encoded_bytes).sum();
        self.moved_bytes.fetch_add(moved as u64, Ordering::Relaxed);
        Ok(blobs)
    }
}

/// What the target lacks of an image, as the source stores it.
#[derive(Default)]
struct Missing {
    segments: usize,
    changed_segments: usize,
    /// Of changed segments.
    entries: u64,
    chunks: usize,
    stored_bytes: u64,
}

impl Missing {
    async fn count(source: &Domain, target: &Domain, manifest: ManifestId) -> Result<Self> {
        let mut missing = Self::default();
        let mut chunks: HashSet<BlobId> = HashSet::new();
        let manifest = source.manifest(manifest).await?;
        for (_, id) in manifest.segments() {
            missing.segments += 1;
            if target.contains(&id.0)? {
                continue;
            }
            let segment = source.segment(*id).await?;
            missing.changed_segments += 1;
            missing.entries += segment.entries().len() as u64;
            for chunk in segment.entries().iter().filter_map(|entry| entry.chunk) {
                if !target.contains(&chunk.0)? {
                    chunks.insert(chunk.0);
                }
            }
        }
        missing.chunks = chunks.len();
        let chunks: Vec<BlobId> = chunks.into_iter().collect();
        for batch in chunks.chunks(COUNT_BATCH) {
            let stored = source.fetch(batch, None).await?;
            missing.stored_bytes += stored.iter().map(|blob| blob.bytes.len() as u64).sum::<u64>();
        }
        Ok(missing)
    }
}
