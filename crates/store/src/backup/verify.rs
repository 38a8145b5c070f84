//! Verifying a repository: every pack that backups need is read and checked, and so are their catalogues.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures::{StreamExt, stream};

use super::{
    manifest::{BackedUpPack, BackupId, BackupManifest},
    repository::Repository,
    restore::read_backed_up,
};
use crate::{
    Error, PackId, Result,
    backend::{Key, list_all},
    domain::complaint,
};

/// How many packs are read at a time; each is in memory as a whole.
const PACKS_MAX: usize = 2;

/// What verifying found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RepositoryReport {
    /// Backups whose manifest and catalogue are sound.
    pub backups: Vec<BackupManifest>,
    /// Backups that cannot be restored, and why.
    pub lost_backups: Vec<(BackupId, String)>,
    /// Packs read.
    pub packs: u64,
    /// Bytes read.
    pub read_bytes: u64,
    /// Packs that are missing or damaged, or that hold damaged blobs that were not known.
    pub wrong_packs: Vec<WrongPack>,
    /// What no backup needs.
    pub unneeded_bytes: u64,
}

/// A pack that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrongPack {
    /// Of which region's store.
    pub region: String,
    /// Its name.
    pub pack: PackId,
    /// What is wrong.
    pub reason: String,
    /// Which backups need it.
    pub backups: Vec<BackupId>,
}

impl RepositoryReport {
    /// Whether all is as it should be. What a gallery lacked when it was backed up does not count.
    pub fn is_sound(&self) -> bool {
        self.lost_backups.is_empty() && self.wrong_packs.is_empty()
    }
}

struct Expected {
    region: String,
    pack: BackedUpPack,
    damaged_key: Key,
    /// Blobs that are known to be damaged.
    quarantined: Vec<crate::BlobId>,
    backups: Vec<BackupId>,
}

impl Repository {
    /// Reads everything and checks it. What is damaged is noted, so that the next backup copies it anew.
    ///
    /// # Errors
    /// `Io`, `Unavailable`; damage is no error but in the report.
    pub async fn verify(&self) -> Result<RepositoryReport> {
        let mut report = RepositoryReport::default();
        let mut expected: BTreeMap<Key, Expected> = BTreeMap::new();
        for id in self.backups().await? {
            match self.check_backup(&id).await {
                Ok(manifest) => {
                    expect(&mut expected, &manifest)?;
                    report.backups.push(manifest);
                }
                Err(error @ (Error::Corrupt(_) | Error::NotFound(_) | Error::Foreign(_))) => {
                    report.lost_backups.push((id, complaint(&error)));
                }
                Err(error) => return Err(error),
            }
        }
        for object in list_all(self.backend(), "packs/").await? {
            if !expected.contains_key(&object.key) {
                report.unneeded_bytes += object.size_bytes;
            }
        }
        let mut checks = stream::iter(expected)
            .map(|(key, expected)| async move { (self.check_pack(&key, &expected).await, expected) })
            .buffer_unordered(PACKS_MAX)
            .boxed();
        while let Some((checked, expected)) = checks.next().await {
            report.packs += 1;
            match checked? {
                Ok(()) => report.read_bytes += expected.pack.size_bytes,
                Err(reason) => {
                    self.note_damage(&expected.damaged_key, &reason).await?;
                    let Expected { region, pack, backups, .. } = expected;
                    report.wrong_packs.push(WrongPack { region, pack: pack.pack, reason, backups });
                }
            }
        }
        Ok(report)
    }

    async fn check_backup(&self, id: &BackupId) -> Result<BackupManifest> {
        let manifest = self.manifest(id).await?;
        self.catalogue(id, &manifest.catalogue).await?;
        Ok(manifest)
    }

    /// What is wrong with a pack, if anything.
    async fn check_pack(&self, key: &Key, expected: &Expected) -> Result<Result<(), String>> {
        match read_backed_up(self, key, &expected.pack).await {
            Ok((_, damaged)) => {
                let new = damaged.iter().filter(|blob| !expected.quarantined.contains(blob)).count();
                Ok(if new == 0 { Ok(()) } else { Err(format!("{new} blobs do not match their ids")) })
            }
            Err(error) if error.is_damage() || matches!(error, Error::NotFound(_) | Error::Invalid(_)) => {
                Ok(Err(complaint(&error)))
            }
            Err(error) => Err(error),
        }
    }

    async fn note_damage(&self, key: &Key, reason: &str) -> Result<()> {
        match self.backend().put(key, vec![Bytes::copy_from_slice(reason.as_bytes())]).await {
            Ok(()) | Err(Error::AlreadyExists(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

fn expect(expected: &mut BTreeMap<Key, Expected>, manifest: &BackupManifest) -> Result<()> {
    for region in &manifest.regions {
        for tenant in &region.tenants {
            for pack in &tenant.packs {
                let known = tenant.quarantined.iter().filter(|damaged| damaged.pack == pack.pack);
                let damaged_key = pack.damaged_key(&region.name, &tenant.tenant)?;
                let entry = expected.entry(pack.key(&region.name, &tenant.tenant)?).or_insert_with(|| Expected {
                    region: region.name.clone(),
                    pack: *pack,
                    damaged_key,
                    quarantined: Vec::new(),
                    backups: Vec::new(),
                });
                entry.quarantined.extend(known.map(|damaged| damaged.blob));
                entry.backups.push(manifest.id.clone());
            }
        }
    }
    Ok(())
}
