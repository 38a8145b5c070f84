//! Content-addressed storage of disk images.
//!
//! Guest bytes are cut into *chunks* (canonical content-defined chunking), the chunks of each 64 MiB of guest space are
//! listed in a *segment*, the segments of an image in a *manifest*. All three are *blobs*: immutable bytes named by
//! their BLAKE3 hash and kept in *packs*. A manifest's id is therefore a Merkle root: equal guest bytes have equal
//! manifest ids in every region.
//!
//! This crate knows bytes and hashes only. Which manifests are alive, who may read them and what they are called is
//! the business of the crates above. The format is described in `docs/design/store-format.md`.

pub mod backend;
pub mod backup;
pub mod blob;
pub mod blocking;
pub mod cache;
pub mod chunking;
pub mod codec;
pub mod collect;
pub mod copy;
pub mod damage;
pub mod direct;
pub mod domain;
pub mod error;
pub mod frame;
pub mod guest;
pub mod id;
pub mod import;
pub mod index;
pub mod inspect;
pub mod manifest;
pub mod pack;
mod presence;
pub mod reader;
pub mod region_store;
pub mod scrub;
pub mod segment;
pub mod space;
pub mod tenant;
mod unreadable;
pub mod verify;
mod wire;
pub mod writer;

pub use blob::{BlobKind, BlobSink, BlobSource, StoredBlob};
pub use cache::ChunkCache;
pub use codec::{Codec, Compression};
pub use collect::{
    CollectReport, CollectSurvey, Collector, CollectorLedger, CollectorOptions, Condemned, PackSum, Roots,
};
pub use copy::{CopyProgress, pull};
pub use damage::DamageNotes;
pub use domain::{Domain, DomainStats};
pub use error::{Error, Result};
pub use guest::{Extent, ExtentKind, GuestBytes, MemoryGuest};
pub use id::{BlobId, ChunkId, ManifestId, SegmentId};
pub use import::{ImportOptions, ImportProgress, Imported, import};
pub use manifest::Manifest;
pub use pack::{CondemnedPacks, PackId};
pub use reader::{ImageReader, Part};
pub use region_store::{Identity, RegionStore, StoreOptions};
pub use scrub::{ScrubbedPack, scrub_next};
pub use segment::{Segment, SegmentEntry};
pub use space::{LowSpace, MinFreeSpace, Space, SpaceSource, Volume, Watermark};
pub use tenant::TenantId;
pub use unreadable::UnreadablePack;
pub use verify::{VerifyOptions, VerifyReport, verify};
pub use writer::DomainWriter;
