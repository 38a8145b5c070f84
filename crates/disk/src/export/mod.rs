//! Disks as files: raw or fixed VHD, any byte range, from any [`crate::BlockDevice`].
//!
//! An exported file is a pure function of the manifest: no clock, no random number, no host name goes into it, so its
//! hash can be published and a range can be served today from one region and tomorrow from another.

mod layout;
mod stream;

pub use layout::{ExportFormat, ExportLayout};
