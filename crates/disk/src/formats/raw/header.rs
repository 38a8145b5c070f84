//! What is known about a raw image: it has no header, so only what its file says.

/// A raw image's facts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    /// The disk's size: the file's length, exactly. No rounding to sectors.
    pub(crate) virtual_size_bytes: u64,
}
