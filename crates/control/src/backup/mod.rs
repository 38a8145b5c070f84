//! Backups of the whole gallery, and what a restore does to a catalogue.
//!
//! The order is the design (`docs/design/backup.md`): hold collection, take a snapshot of the catalogue, copy the packs that
//! its images need, then the catalogue, and at last the manifest, which alone makes it a backup. Whatever ends the process
//! in between leaves nothing that could be restored by accident, and nothing that the next backup has to copy again.

mod create;
mod hold;
mod restore;
#[cfg(test)]
pub(crate) mod tests;
mod waiting;

#[cfg(test)]
pub(crate) use self::tests::restore_elsewhere;
pub use self::{
    create::BackupRequest,
    restore::{CatalogueRestore, restore_catalogue},
};
pub(crate) use self::{
    hold::{is_collection_held, release_hold, release_hold_of},
    waiting::describe_waiting,
};
