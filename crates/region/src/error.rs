//! The crate's error type.

use std::io::ErrorKind;

use galerie_store::LowSpace;

/// What went wrong in a region.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The bytes that were uploaded are not a disk we take. Final; the message is for the user.
    #[error("{0}")]
    Refused(String),
    /// The upload or image named is not here.
    #[error("{0}")]
    NotFound(String),
    /// The caller's argument breaks a stated rule.
    #[error("{0}")]
    Invalid(String),
    /// The region's disk is full. Passing: space may be freed.
    #[error("no space left in the region while {0}")]
    Full(String),
    /// The region's volume has less room than is kept free. Passing; what is asked for again when there is room works.
    #[error(transparent)]
    LowSpace(LowSpace),
    /// Too much is under way. Passing.
    #[error("{0}")]
    Busy(String),
    /// The region's owner stopped the work.
    #[error("cancelled")]
    Cancelled,
    /// The store failed; see its source.
    #[error("{action}")]
    Store {
        /// What was being done.
        action: String,
        /// Why it failed.
        #[source]
        source: galerie_store::Error,
    },
    /// The operating system refused.
    #[error("{action}")]
    Io {
        /// What was being done, with the path.
        action: String,
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
}

/// The crate's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// Whether trying the same again later may succeed.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Full(_) | Self::LowSpace(_) | Self::Busy(_) | Self::Io { .. } => true,
            Self::Store { source, .. } => {
                !matches!(source, galerie_store::Error::Invalid(_) | galerie_store::Error::Foreign(_))
            }
            Self::Refused(_) | Self::NotFound(_) | Self::Invalid(_) | Self::Cancelled => false,
        }
    }

    /// Whether the region cannot be written to: its file system turned read-only, or its owner changed. Somebody must
    /// mend that.
    pub fn is_unwritable(&self) -> bool {
        let (Self::Io { source, .. } | Self::Store { source: galerie_store::Error::Io { source, .. }, .. }) = self
        else {
            return false;
        };
        matches!(source.kind(), ErrorKind::ReadOnlyFilesystem | ErrorKind::PermissionDenied)
    }
}

/// Names what was being done when the store failed; what the store says of a full disk or a cancellation keeps its meaning.
/// A missing blob does not: inside a store it is damage, and passes when the blob is brought again.
pub(crate) fn store_error(action: impl Into<String>) -> impl Fn(galerie_store::Error) -> Error {
    let action = action.into();
    move |source| match source {
        galerie_store::Error::Full { .. } => Error::Full(action.clone()),
        galerie_store::Error::LowSpace(low) => Error::LowSpace(low),
        galerie_store::Error::Cancelled => Error::Cancelled,
        source => Error::Store { action: action.clone(), source },
    }
}
