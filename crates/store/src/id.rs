//! Ids: BLAKE3-256 hashes of content, one type per kind of thing they name.

use std::{fmt, str::FromStr};

/// The BLAKE3-256 hash of a blob's uncompressed bytes, whatever its kind.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlobId(pub [u8; 32]);

impl BlobId {
    /// The id of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }
}

impl fmt::Display for BlobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(blake3::Hash::from_bytes(self.0).to_hex().as_str())
    }
}

impl fmt::Debug for BlobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is not 64 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an id is 64 hexadecimal digits, not '{0}'")]
pub struct ParseIdError(String);

impl FromStr for BlobId {
    type Err = ParseIdError;
    fn from_str(text: &str) -> std::result::Result<Self, ParseIdError> {
        match blake3::Hash::from_hex(text) {
            Ok(hash) => Ok(Self(*hash.as_bytes())),
            Err(_) => Err(ParseIdError(text.chars().take(80).collect())),
        }
    }
}

macro_rules! blob_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub BlobId);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;
            fn from_str(text: &str) -> std::result::Result<Self, ParseIdError> {
                text.parse().map(Self)
            }
        }
    };
}

blob_id! {
    /// Names a chunk of guest bytes.
    ChunkId
}
blob_id! {
    /// Names a segment: the encoded list of the chunks of 64 MiB of guest space.
    SegmentId
}
blob_id! {
    /// Names a manifest, and with it every byte of one disk image.
    ManifestId
}
