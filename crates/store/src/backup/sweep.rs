//! Removing backups, and what no backup needs.

use std::collections::HashSet;

use super::{manifest::BackupId, repository::Repository};
use crate::{
    Result,
    backend::{Key, list_all},
};

/// What was removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SweepReport {
    /// Packs that no backup needs.
    pub packs: u64,
    /// Their size.
    pub bytes: u64,
    /// Backups that were never finished.
    pub unfinished: u64,
}

impl Repository {
    /// Removes a backup. Its packs stay until [`Repository::sweep`]. Absent is fine.
    ///
    /// # Errors
    /// `Io`, `Unavailable`.
    pub async fn delete(&self, id: &BackupId) -> Result<()> {
        // The manifest first: without it nobody takes the rest for a backup.
        self.backend().delete(&id.manifest_key()).await?;
        self.backend().delete(&id.catalogue_key()).await
    }

    /// Removes packs that no backup needs, and what unfinished backups left. Needs every manifest: where one cannot be read
    /// nothing is removed, since nobody knows what it names.
    ///
    /// # Errors
    /// Of reading manifests; `Io`, `Unavailable`.
    pub async fn sweep(&self) -> Result<SweepReport> {
        let backups = self.backups().await?;
        let mut needed: HashSet<Key> = HashSet::new();
        for id in &backups {
            for (region, tenant, pack) in self.manifest(id).await?.packs() {
                needed.insert(pack.key(region, tenant)?);
                needed.insert(pack.damaged_key(region, tenant)?);
            }
            needed.insert(id.catalogue_key());
            needed.insert(id.manifest_key());
        }
        let mut report = SweepReport::default();
        for object in list_all(self.backend(), "backups/").await? {
            if !needed.contains(&object.key) {
                self.backend().delete(&object.key).await?;
                report.unfinished += 1;
            }
        }
        for prefix in ["packs/", "damaged/"] {
            for object in list_all(self.backend(), prefix).await? {
                if needed.contains(&object.key) {
                    continue;
                }
                self.backend().delete(&object.key).await?;
                if prefix == "packs/" {
                    report.packs += 1;
                    report.bytes += object.size_bytes;
                }
            }
        }
        Ok(report)
    }
}
