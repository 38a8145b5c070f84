//! qcow2, versions 2 and 3, as a self-contained image.
//!
//! Source: QEMU's `docs/interop/qcow2.rst` (QEMU 10.0). Read: every cluster size, deflate and zstd compression, zero
//! clusters, extended L2 entries. Refused: backing files, external data files, encryption, unknown incompatible
//! features, images marked corrupt. Internal snapshots are ignored: the active state is what is read. Reference counts
//! are never looked at, so an image whose *dirty* bit only says that they are stale is read like any other.
//!
//! Nothing here writes: QEMU owns its overlays. [`crate::Overlay`] reads one together with its base.

mod decompress;
mod header;
mod l2_cache;
mod map;
mod parser;
mod reader;

pub use reader::Reader;

pub(crate) use map::Place;
pub(crate) use reader::MAX_RUN_BYTES;
