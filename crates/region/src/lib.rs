//! One region's data plane: everything that touches bytes, behind one trait.
//!
//! A region is a name and a store root. The control plane above decides *what* should be where and who may read it; a
//! [`Region`] stages uploads, imports them, copies images from other regions, and reads them. It knows no ARM.

mod blocking;
mod checked_pages;
mod chunk_upload;
pub mod error;
mod faulty;
mod gathering;
pub mod local;
mod open_readers;
mod page_map;
mod page_sums;
pub mod region;
pub mod staging;
pub mod upload;
mod upload_memory;
mod watched_blobs;

pub use galerie_store::{Compression, MinFreeSpace, Space, SpaceSource, Volume, Watermark};

pub use error::{Error, Result};
pub use faulty::{FaultyRegion, RegionTrouble};
pub use gathering::Gathering;
pub use local::{LocalRegion, LocalRegionOptions};
pub use region::{ChunkUpload, Imported, Region};
pub use upload::{UploadId, UploadRange};
