//! Bringing packs from a repository into an empty store.

use bytes::Bytes;
use futures::{StreamExt, stream};

use super::{
    manifest::{BackedUpPack, TenantBackup},
    repository::{Repository, is_there},
};
use crate::{
    BlobId, Error, PackId, Result, TenantId,
    backend::{Backend, Key},
    blob::blocking,
    domain::complaint,
    pack::{PACK_MAX_BYTES, blob_at, split_pack},
};

/// How many packs are copied at a time; each is in memory as a whole.
const PACKS_MAX: usize = 2;
/// What a quarantine record says of a blob that came damaged.
const CAME_DAMAGED: &[u8] = b"damaged in the backup that this store was restored from";

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RestoredDomain {
    /// Packs that are there now.
    pub packs: u64,
    /// Their size.
    pub bytes: u64,
    /// Packs that the repository does not have, or not as the manifest says, and why.
    pub lacking_packs: Vec<(PackId, String)>,
    /// Blobs that do not match their ids. They are quarantined.
    pub damaged_blobs: Vec<(PackId, BlobId)>,
}

impl RestoredDomain {
    /// Whether everything came back.
    pub fn is_whole(&self) -> bool {
        self.lacking_packs.is_empty() && self.damaged_blobs.is_empty()
    }
}

/// Brings a tenant's packs into a store. Again is fine: what is there is not brought again. What the repository lacks is in
/// the answer, and no error: what is left may be all that there is.
///
/// # Errors
/// `Full`, `Io`, `Unavailable`.
pub async fn restore_domain(
    repository: &Repository,
    region: &str,
    backup: &TenantBackup,
    store: &dyn Backend,
) -> Result<RestoredDomain> {
    let mut restored = RestoredDomain::default();
    // Before the packs: what must not be used is not there without the record that says so.
    for damaged in &backup.quarantined {
        put_record(store, &backup.tenant, damaged.pack, damaged.blob).await?;
    }
    let mut outcomes = stream::iter(&backup.packs)
        .map(|pack| restore_pack(repository, region, &backup.tenant, pack, store))
        .buffer_unordered(PACKS_MAX)
        .boxed();
    while let Some(outcome) = outcomes.next().await {
        let (pack, outcome) = outcome?;
        match outcome {
            Ok(damaged) => {
                restored.packs += 1;
                restored.bytes += pack.size_bytes;
                let known = |blob: &BlobId| {
                    backup.quarantined.iter().any(|known| known.pack == pack.pack && known.blob == *blob)
                };
                let new = damaged.into_iter().filter(|blob| !known(blob));
                restored.damaged_blobs.extend(new.map(|blob| (pack.pack, blob)));
            }
            Err(why) => restored.lacking_packs.push((pack.pack, why)),
        }
    }
    Ok(restored)
}

/// The blobs that came damaged; or why the pack cannot be had.
type Brought = Result<Vec<BlobId>, String>;

async fn restore_pack<'a>(
    repository: &Repository,
    region: &str,
    tenant: &TenantId,
    pack: &'a BackedUpPack,
    store: &dyn Backend,
) -> Result<(&'a BackedUpPack, Brought)> {
    let target = pack.pack.key(tenant);
    if is_there(store, &target, pack).await? {
        return Ok((pack, Ok(Vec::new())));
    }
    let (bytes, damaged) = match read_backed_up(repository, &pack.key(region, tenant)?, pack).await {
        Ok(read) => read,
        Err(error) if error.is_damage() || matches!(error, Error::NotFound(_) | Error::Invalid(_)) => {
            return Ok((pack, Err(complaint(&error))));
        }
        Err(error) => return Err(error),
    };
    for blob in &damaged {
        put_record(store, tenant, pack.pack, *blob).await?;
    }
    match store.put(&target, vec![bytes]).await {
        // It was there, and another one, or torn by other hands than ours: never overwritten, verifying finds it.
        Err(Error::AlreadyExists(_)) => Ok((pack, Err("the store has another pack of this name".to_owned()))),
        other => other.map(|()| (pack, Ok(damaged))),
    }
}

/// A pack as the manifest says it is, and the blobs in it that do not match their ids.
///
/// # Errors
/// `NotFound`; `Corrupt` when it is another pack or none.
pub(super) async fn read_backed_up(
    repository: &Repository,
    key: &Key,
    pack: &BackedUpPack,
) -> Result<(Bytes, Vec<BlobId>)> {
    let bytes = repository.backend().get(key, PACK_MAX_BYTES as u64).await?;
    let (name, expected, size_bytes) = (pack.pack, pack.table, pack.size_bytes);
    blocking(move || {
        let table = split_pack(&bytes, name)?;
        if bytes.len() as u64 != size_bytes || table.checksum() != expected {
            return Err(Error::Corrupt(format!("pack {name} is not the one that was backed up")));
        }
        let is_wrong = |entry: &&_| blob_at(&bytes, 0, entry).and_then(|blob| blob.decode()).is_err();
        let damaged = table.entries.iter().filter(is_wrong).map(|entry| entry.id).collect();
        Ok((bytes, damaged))
    })
    .await
}

async fn put_record(store: &dyn Backend, tenant: &TenantId, pack: PackId, blob: BlobId) -> Result<()> {
    let key: Key = format!("tenants/{tenant}/quarantine/{pack}.{blob}").parse()?;
    match store.put(&key, vec![Bytes::from_static(CAME_DAMAGED)]).await {
        Ok(()) | Err(Error::AlreadyExists(_)) => Ok(()),
        Err(error) => Err(error),
    }
}
