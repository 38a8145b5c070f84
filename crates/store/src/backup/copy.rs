//! Copying what images need into a repository.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use bytes::Bytes;
use futures::{StreamExt, stream};
use tokio_util::sync::CancellationToken;

use super::{
    manifest::{BackedUpPack, MissingBlob, QuarantinedBlob, TenantBackup},
    needed::Needed,
    repository::Repository,
};
use crate::{
    Error, ManifestId, PackId, Result,
    backend::list_all,
    blob::blocking,
    domain::{Domain, complaint},
    pack::{PACK_MAX_BYTES, PackEntry, PackTable, blob_at, salvage, split_pack},
};

/// How many packs are copied at a time; each is in memory as a whole.
const PACKS_MAX: usize = 2;
/// How often the images are walked. Each time more than the first, damage was found and quarantined, or a collector that had
/// begun before the backup deleted a pack; neither goes on for long.
const WALKS_MAX: usize = 64;

/// What a domain contributed to a backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DomainBackup {
    /// What the manifest says of it.
    pub backup: TenantBackup,
    /// Packs that were copied now.
    pub copied_packs: u64,
    /// Their size.
    pub copied_bytes: u64,
}

/// Copies to the repository what these images need and it lacks. Again is fine: what it has is not copied again.
///
/// What is damaged or missing is in the report, and no error. The caller sees to it that what the images need is not
/// deleted meanwhile; an image of which something is gone all the same is reported as one that lacks it.
///
/// # Errors
/// `Cancelled`, `Full`, `Io`, `Unavailable`.
pub async fn back_up_domain(
    domain: &Arc<Domain>,
    region: &str,
    roots: &[ManifestId],
    repository: &Repository,
    cancel: &CancellationToken,
) -> Result<DomainBackup> {
    let mut copied = Copied::default();
    for _ in 0..WALKS_MAX {
        domain.refresh().await?;
        let held = copied.packs.keys().copied().collect::<HashSet<PackId>>();
        let needed = Needed::by(domain, roots, &held, cancel).await?;
        if copied.bring(domain, region, &needed, repository, cancel).await? {
            return copied.report(domain, needed).await;
        }
    }
    Err(Error::Unavailable(format!("packs of {region} come and go while they are backed up")))
}

/// Packs that the repository has for certain.
#[derive(Default)]
struct Copied {
    packs: HashMap<PackId, BackedUpPack>,
    count: u64,
    bytes: u64,
}

/// What became of a pack.
enum Outcome {
    Held(BackedUpPack),
    Copied(BackedUpPack, Soundness),
    /// It is gone, or no pack any more: look for its blobs elsewhere.
    Vanished,
}

/// Whether every blob of a pack matches its id.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Soundness {
    Sound,
    /// What does not was quarantined just now: look for it elsewhere.
    Damaged,
}

impl Copied {
    /// Copies what is missing; whether everything that is needed is there and as it was when it was looked up.
    async fn bring(
        &mut self,
        domain: &Arc<Domain>,
        region: &str,
        needed: &Needed,
        repository: &Repository,
        cancel: &CancellationToken,
    ) -> Result<bool> {
        let sizes: HashMap<PackId, u64> = domain.packs().into_iter().map(|pack| (pack.pack, pack.size_bytes)).collect();
        let wanted: Vec<(PackId, Option<u64>)> = needed
            .packs
            .iter()
            .filter(|pack| !self.packs.contains_key(*pack))
            .map(|pack| (*pack, sizes.get(pack).copied()))
            .collect();
        let mut is_settled = true;
        let mut outcomes = stream::iter(wanted)
            .map(|(pack, size_bytes)| copy_pack(domain, region, pack, size_bytes, repository))
            .buffer_unordered(PACKS_MAX)
            // The compiler cannot prove a future that holds the bare stream `Send`.
            .boxed();
        while let Some(outcome) = outcomes.next().await {
            if cancel.is_cancelled() {
                return Err(Error::Cancelled);
            }
            match outcome? {
                Outcome::Held(pack) => drop(self.packs.insert(pack.pack, pack)),
                Outcome::Copied(pack, soundness) => {
                    self.packs.insert(pack.pack, pack);
                    self.count += 1;
                    self.bytes += pack.size_bytes;
                    is_settled &= soundness == Soundness::Sound;
                }
                Outcome::Vanished => is_settled = false,
            }
        }
        Ok(is_settled)
    }

    async fn report(self, domain: &Domain, needed: Needed) -> Result<DomainBackup> {
        let packs: Vec<BackedUpPack> = needed.packs.iter().map(|pack| self.packs[pack]).collect();
        let records = list_all(&**domain.backend(), &domain.quarantine_prefix()).await?;
        let quarantined = records.iter().filter_map(|record| {
            let (pack, blob) = record.key.name().split_once('.')?;
            Some(QuarantinedBlob { pack: pack.parse().ok()?, blob: blob.parse().ok()? })
        });
        let quarantined = quarantined.filter(|damaged| needed.packs.contains(&damaged.pack)).collect();
        let missing: Vec<MissingBlob> = needed.missing;
        let backup = TenantBackup { tenant: domain.tenant().clone(), packs, quarantined, missing };
        Ok(DomainBackup { backup, copied_packs: self.count, copied_bytes: self.bytes })
    }
}

async fn copy_pack(
    domain: &Arc<Domain>,
    region: &str,
    pack: PackId,
    size_bytes: Option<u64>,
    repository: &Repository,
) -> Result<Outcome> {
    let Some(size_bytes) = size_bytes else { return Ok(Outcome::Vanished) };
    let table = match domain.table(pack, size_bytes).await {
        Ok(table) => table,
        Err(Error::NotFound(_)) => return Ok(Outcome::Vanished),
        Err(error) if error.is_damage() => {
            domain.give_up(pack, size_bytes, complaint(&error));
            return Ok(Outcome::Vanished);
        }
        Err(error) => return Err(error),
    };
    let entry = BackedUpPack::of(&table, size_bytes);
    if repository.holds(region, domain.tenant(), &entry).await? {
        return Ok(Outcome::Held(entry));
    }
    let bytes = match read_whole(domain, &table, size_bytes).await {
        Err(Error::NotFound(_)) => return Ok(Outcome::Vanished),
        other => other?,
    };
    let (bytes, soundness) = check(domain, table, bytes).await?;
    repository.put_pack(region, domain.tenant(), &entry, bytes).await?;
    metrics::counter!("galerie_backup_copied_bytes_total").increment(size_bytes);
    Ok(Outcome::Copied(entry, soundness))
}

/// A pack's bytes, with zeros for what the medium does not give back.
async fn read_whole(domain: &Domain, table: &PackTable, size_bytes: u64) -> Result<Bytes> {
    let key = table.pack.key(domain.tenant());
    match domain.backend().get(&key, PACK_MAX_BYTES as u64).await {
        Ok(bytes) if bytes.len() as u64 == size_bytes && split_pack(&bytes, table.pack).is_ok() => Ok(bytes),
        Err(error) if !error.is_damage() => Err(error),
        _ => salvage(&**domain.backend(), &key, table).await,
    }
}

/// Checks every blob. What does not match is read once more, in case the bytes changed on their way, and quarantined if
/// that does not help.
async fn check(domain: &Domain, table: PackTable, bytes: Bytes) -> Result<(Bytes, Soundness)> {
    let pack = table.pack;
    let (bytes, suspects) = blocking(move || {
        let is_wrong = |entry: &PackEntry| blob_at(&bytes, 0, entry).and_then(|blob| blob.decode()).is_err();
        let suspects: Vec<PackEntry> = table.entries.iter().filter(|entry| is_wrong(entry)).copied().collect();
        Ok((bytes, suspects))
    })
    .await?;
    if suspects.is_empty() {
        return Ok((bytes, Soundness::Sound));
    }
    let (mut mended, mut soundness) = (bytes.to_vec(), Soundness::Sound);
    for entry in suspects {
        match domain.read_blob(pack, &entry).await {
            Ok(blob) => {
                let start = entry.offset_bytes as usize;
                mended[start..start + blob.bytes.len()].copy_from_slice(&blob.bytes);
            }
            Err(error) if error.is_damage() => {
                domain.quarantine(pack, entry.id, &complaint(&error)).await?;
                soundness = Soundness::Damaged;
            }
            Err(error) => return Err(error),
        }
    }
    Ok((mended.into(), soundness))
}
