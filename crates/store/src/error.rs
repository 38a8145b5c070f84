//! The crate's one error type; variants say what the reader can do next.

use rustix::io::Errno;

use crate::space::LowSpace;

/// What went wrong in a store.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The thing named is not there. An answer, not a fault: ask elsewhere.
    #[error("{0} is not in the store")]
    NotFound(String),
    /// The key is taken. Names of packs are random, so this means a programming error or a foreign writer.
    #[error("{0} exists already")]
    AlreadyExists(String),
    /// Bytes contradict their hash, checksum or format. Never served; re-read, quarantined, healed.
    #[error("{0}")]
    Corrupt(String),
    /// The caller's argument breaks a stated rule.
    #[error("{0}")]
    Invalid(String),
    /// The store belongs to another catalogue, region, epoch or format version.
    #[error("{0}")]
    Foreign(String),
    /// No space left. Free some and retry.
    #[error("no space left while {action}")]
    Full {
        /// What was being done.
        action: String,
    },
    /// Less is free than is kept free. It passes when there is room.
    #[error(transparent)]
    LowSpace(LowSpace),
    /// The store cannot be reached now. Retry later.
    #[error("{0}")]
    Unavailable(String),
    /// The work was cancelled by its owner.
    #[error("cancelled")]
    Cancelled,
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
    /// Whether the bytes asked for are lost where they lie: they contradict their hash, or the medium does not give them
    /// back. Reading the same once more may still help; another copy will.
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Corrupt(_) => true,
            // EIO is what a bad sector is read as; file systems with checksums answer the others.
            Self::Io { source, .. } => source
                .raw_os_error()
                .map(Errno::from_raw_os_error)
                .is_some_and(|errno| matches!(errno, Errno::IO | Errno::BADMSG | Errno::UCLEAN)),
            _ => false,
        }
    }

    /// Wraps an I/O error with what was being done; a full disk becomes [`Error::Full`].
    pub fn io(action: impl Into<String>, source: std::io::Error) -> Self {
        match source.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => Self::Full { action: action.into() },
            _ => Self::Io { action: action.into(), source },
        }
    }

    /// The same error once more, for somebody else who waits for the same thing.
    pub fn again(&self) -> Self {
        match self {
            Self::NotFound(what) => Self::NotFound(what.clone()),
            Self::AlreadyExists(what) => Self::AlreadyExists(what.clone()),
            Self::Corrupt(why) => Self::Corrupt(why.clone()),
            Self::Invalid(why) => Self::Invalid(why.clone()),
            Self::Foreign(why) => Self::Foreign(why.clone()),
            Self::Full { action } => Self::Full { action: action.clone() },
            Self::Unavailable(why) => Self::Unavailable(why.clone()),
            Self::LowSpace(low) => Self::LowSpace(*low),
            Self::Cancelled => Self::Cancelled,
            Self::Io { action, source } => {
                let source = match source.raw_os_error() {
                    Some(number) => std::io::Error::from_raw_os_error(number),
                    None => std::io::Error::new(source.kind(), source.to_string()),
                };
                Self::Io { action: action.clone(), source }
            }
        }
    }
}
