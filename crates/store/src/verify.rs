//! Verifying a domain: every pack is read again, every blob decoded and checked, and every live image walked.
//!
//! Nothing is changed unless asked for: with `quarantine`, damaged blobs are left out from then on, so that the next
//! copy of their image brings them again, and those that were and read now are served again.

use std::{collections::HashSet, sync::Arc};

use bytes::Bytes;
use futures::{StreamExt, stream};
use tokio_util::sync::CancellationToken;

use crate::{
    BlobId, BlobKind, Error, ManifestId, PackId, Result, Segment,
    blob::{BlobSource, blocking},
    domain::{Domain, complaint},
    index::IndexedPack,
    pack::{PACK_MAX_BYTES, PackEntry, blob_at, split_pack},
};

/// How many packs are read at a time; each is in memory as a whole.
const PACKS_MAX: usize = 2;

/// How to verify.
#[derive(Debug, Clone, Default)]
pub struct VerifyOptions {
    /// Leave damaged blobs out from now on.
    pub quarantine: bool,
    /// The manifests that must be complete.
    pub roots: Vec<ManifestId>,
}

/// A blob that does not match its id or cannot be read, each time it was tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DamagedBlob {
    /// The pack it lies in.
    pub pack: PackId,
    /// The blob.
    pub id: BlobId,
    /// What it should be.
    pub kind: BlobKind,
    /// What is wrong.
    pub reason: String,
}

/// What verifying found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct VerifyReport {
    /// Packs read.
    pub packs: u64,
    /// Blobs checked.
    pub blobs: u64,
    /// Bytes read.
    pub read_bytes: u64,
    /// Packs that cannot be read as a whole, or are no packs, and why. Of those whose table can be read, what is lost is
    /// among the damaged blobs.
    pub damaged_packs: Vec<(PackId, String)>,
    /// Blobs that do not match their ids or cannot be read, and were not known to.
    pub damaged_blobs: Vec<DamagedBlob>,
    /// Blobs that had been left out before as damaged, and still are. They stay until their pack is collected, and hurt
    /// nobody unless they are missing.
    pub known_damaged: u64,
    /// Blobs that a manifest needs and no pack has, each with one such manifest.
    pub missing_blobs: Vec<(ManifestId, BlobId)>,
}

impl VerifyReport {
    /// Whether every image is complete, and nothing was found to be damaged that was not known to be.
    pub fn is_sound(&self) -> bool {
        self.damaged_packs.is_empty() && self.damaged_blobs.is_empty() && self.missing_blobs.is_empty()
    }
}

/// A pack, checked.
pub(crate) struct CheckedPack {
    pack: PackId,
    pub(crate) blobs: u64,
    read_bytes: u64,
    /// Why it cannot be read as a whole.
    pub(crate) complaint: Option<String>,
    pub(crate) damaged: Vec<DamagedBlob>,
}

impl CheckedPack {
    /// The blobs that do not read.
    pub(crate) fn damaged_ids(&self) -> Vec<BlobId> {
        self.damaged.iter().map(|damaged| damaged.id).collect()
    }
}

/// Verifies a domain.
///
/// # Errors
/// `Io`, `Unavailable`, `Cancelled`; damage is no error but in the report.
pub async fn verify(domain: &Arc<Domain>, options: &VerifyOptions, cancel: &CancellationToken) -> Result<VerifyReport> {
    domain.refresh().await?;
    let unreadable = domain.unreadable_packs().into_iter().map(|(pack, unreadable)| (pack, unreadable.reason));
    let mut report = VerifyReport { damaged_packs: unreadable.collect(), ..VerifyReport::default() };
    let packs = domain.packs();
    let mut checks = stream::iter(packs).map(|pack| check_named(domain, pack)).buffer_unordered(PACKS_MAX);
    while let Some(checked) = checks.next().await {
        if cancel.is_cancelled() {
            return Err(Error::Cancelled);
        }
        match checked {
            (_, Ok(checked)) => add(domain, options, checked, &mut report).await?,
            // Collected meanwhile.
            (IndexedPack { pack, .. }, Err(error @ Error::NotFound(_))) => domain.forget_if_gone(pack, &error),
            (IndexedPack { pack, size_bytes, .. }, Err(error)) if error.is_damage() => {
                let reason = complaint(&error);
                if options.quarantine {
                    domain.give_up(pack, size_bytes, reason.clone());
                }
                report.damaged_packs.push((pack, reason));
            }
            (_, Err(error)) => return Err(error),
        }
    }
    for root in &options.roots {
        if cancel.is_cancelled() {
            return Err(Error::Cancelled);
        }
        walk(domain, *root, &mut report).await?;
    }
    Ok(report)
}

/// `known`: what was left out of the pack before it was read.
async fn add(
    domain: &Domain,
    options: &VerifyOptions,
    (known, checked): (Vec<BlobId>, CheckedPack),
    report: &mut VerifyReport,
) -> Result<()> {
    report.packs += 1;
    report.blobs += checked.blobs;
    report.read_bytes += checked.read_bytes;
    if options.quarantine {
        domain.lift_quarantine(checked.pack, &checked.damaged_ids()).await?;
    }
    report.damaged_packs.extend(checked.complaint.map(|complaint| (checked.pack, complaint)));
    let (known, new): (Vec<_>, Vec<_>) = checked.damaged.into_iter().partition(|damaged| known.contains(&damaged.id));
    report.known_damaged += known.len() as u64;
    for damaged in new.iter().filter(|_| options.quarantine) {
        // What cannot be recorded is reported all the same.
        let _ = domain.quarantine(checked.pack, damaged.id, &damaged.reason).await;
    }
    report.damaged_blobs.extend(new);
    Ok(())
}

async fn check_named(domain: &Domain, pack: IndexedPack) -> (IndexedPack, Result<(Vec<BlobId>, CheckedPack)>) {
    let known = domain.index().quarantined_in(&pack.pack);
    (pack, check_pack(domain, pack).await.map(|checked| (known, checked)))
}

/// Checks a pack's blobs. Damage is what fails each time: a blob that is wrong at first is read again.
pub(crate) async fn check_pack(
    domain: &Domain,
    IndexedPack { pack, size_bytes, .. }: IndexedPack,
) -> Result<CheckedPack> {
    let mut checked = CheckedPack { pack, blobs: 0, read_bytes: size_bytes, complaint: None, damaged: Vec::new() };
    let suspects = match check_whole(domain, pack).await {
        Ok((blobs, suspects)) => {
            checked.blobs = blobs;
            suspects
        }
        Err(error) if error.is_damage() || matches!(error, Error::Invalid(_)) => {
            // A bad sector spoils the reading of the whole; blob by blob the others are good.
            let table = domain.table(pack, size_bytes).await?;
            checked.blobs = table.entries.len() as u64;
            checked.complaint = Some(complaint(&error));
            table.entries
        }
        Err(error) => return Err(error),
    };
    for entry in suspects {
        match domain.read_blob(pack, &entry).await {
            Ok(_) => {}
            Err(error) if error.is_damage() => {
                checked.damaged.push(DamagedBlob { pack, id: entry.id, kind: entry.kind, reason: complaint(&error) });
            }
            Err(error) => return Err(error),
        }
    }
    Ok(checked)
}

/// Reads a pack as a whole: how many blobs it has, and which do not decode.
async fn check_whole(domain: &Domain, pack: PackId) -> Result<(u64, Vec<PackEntry>)> {
    let bytes = domain.backend().get(&pack.key(domain.tenant()), PACK_MAX_BYTES as u64).await?;
    blocking(move || check_blobs(pack, &bytes)).await
}

fn check_blobs(pack: PackId, bytes: &Bytes) -> Result<(u64, Vec<PackEntry>)> {
    let table = split_pack(bytes, pack)?;
    let blobs = table.entries.len() as u64;
    let is_wrong = |entry: &PackEntry| blob_at(bytes, 0, entry).and_then(|blob| blob.decode()).is_err();
    Ok((blobs, table.entries.into_iter().filter(is_wrong).collect()))
}

/// Which of these images lack something.
///
/// # Errors
/// `Io`, `Unavailable`, `Cancelled`.
pub async fn find_missing(
    domain: &Arc<Domain>,
    roots: &[ManifestId],
    cancel: &CancellationToken,
) -> Result<Vec<ManifestId>> {
    domain.refresh().await?;
    let mut damaged = Vec::new();
    for root in roots {
        if cancel.is_cancelled() {
            return Err(Error::Cancelled);
        }
        let mut report = VerifyReport::default();
        walk(domain, *root, &mut report).await?;
        if !report.missing_blobs.is_empty() {
            damaged.push(*root);
        }
    }
    Ok(damaged)
}

/// Adds what an image needs and does not have.
async fn walk(domain: &Domain, root: ManifestId, report: &mut VerifyReport) -> Result<()> {
    let manifest = match domain.manifest(root).await {
        Ok(manifest) => manifest,
        Err(Error::NotFound(_) | Error::Corrupt(_)) => {
            report.missing_blobs.push((root, root.0));
            return Ok(());
        }
        Err(error) => return Err(error),
    };
    let mut seen = HashSet::new();
    for (_, id) in manifest.segments().iter().filter(|(_, id)| seen.insert(*id)) {
        match domain.fetch_decoded(&[id.0], Some(root.0)).await.and_then(|bytes| Segment::decode(&bytes[0])) {
            Ok(segment) => {
                for chunk in segment.entries().iter().filter_map(|entry| entry.chunk) {
                    if !domain.contains(&chunk.0)? {
                        report.missing_blobs.push((root, chunk.0));
                    }
                }
            }
            Err(Error::NotFound(_) | Error::Corrupt(_)) => report.missing_blobs.push((root, id.0)),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
