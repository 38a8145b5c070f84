//! Backups: repositories of packs that several backups share, and the manifests that make them backups.
//!
//! A [`Repository`] is a set of objects in a backend. [`back_up_domain`] copies into it what images of a domain need and it
//! lacks; [`Repository::commit`] puts the manifest, last, and only then there is a backup; [`restore_domain`] brings packs
//! into an empty store. What the catalogue is, and which images it needs, the crates above know. Objects, order and
//! reasons: `docs/design/backup.md`.

mod copy;
mod manifest;
mod needed;
mod repository;
mod restore;
mod sweep;
mod text;
mod verify;

pub use copy::{DomainBackup, back_up_domain};
pub use manifest::{
    BackedUpPack, BackupId, BackupManifest, CatalogueCopy, MissingBlob, QuarantinedBlob, RegionBackup, TenantBackup,
};
pub use repository::{Access, REPOSITORY_FORMAT_VERSION, Repository};
pub use restore::{RestoredDomain, restore_domain};
pub use sweep::SweepReport;
pub use verify::{RepositoryReport, WrongPack};
