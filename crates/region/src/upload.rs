//! Names and ranges of staged uploads.

use std::ops::Range;

use uuid::Uuid;

/// Names a staged upload: the uid of the disk that owns it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UploadId(pub Uuid);

impl std::fmt::Display for UploadId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.as_hyphenated().fmt(f)
    }
}

/// A range of an upload that was written (and not cleared since), in bytes.
pub type UploadRange = Range<u64>;
