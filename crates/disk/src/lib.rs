//! Virtual disks: reading image files, exporting manifests as files, serving disks over NBD.
//!
//! - [`formats`] decides once what an image file is and opens it as [`galerie_store::GuestBytes`]: the bytes a guest
//!   would see. Files come from strangers; every table is bounded and checked before it is believed, and an image that
//!   refers to any other file is refused.
//! - [`BlockDevice`] is the other direction: something with guest bytes that can be read asynchronously, such as a
//!   manifest in a store ([`ImageDevice`]).
//! - [`export`] lays a block device out as a raw file or a fixed VHD, any byte range of it.
//! - [`Overlay`] is what a guest wrote over such a device, both read as one disk.
//! - [`nbd`] serves block devices to virtual machines, read-only.
//!
//! Nothing here writes an image in place, follows a path found in an image, or knows what a gallery is.

pub mod device;
pub mod error;
pub mod export;
pub mod formats;
pub mod nbd;
pub mod overlay;

pub use device::{BlockDevice, BlockingDevice, GuestDevice, ImageDevice, MemoryDevice};
pub use error::{Error, Result};
pub use formats::{Format, OpenImage, inspect, open};
pub use overlay::Overlay;
