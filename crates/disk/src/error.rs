//! The crate's one error type; variants say what the reader can do next.

/// What went wrong with a disk.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The image is well formed for all we know, and we do not take it. The advice says how to make one that we take.
    #[error("{format} image refused: {reason}; {advice}")]
    Refused {
        /// What the image is, by its usual name.
        format: String,
        /// Why it is not taken.
        reason: String,
        /// What to do instead.
        advice: String,
    },
    /// The image contradicts its own format: truncated, damaged or lying.
    #[error("{format} {structure} at offset {offset_bytes}: {problem}")]
    Corrupt {
        /// The format the image claims.
        format: &'static str,
        /// The part of the file that is wrong.
        structure: &'static str,
        /// Where that part lies in the file, in bytes.
        offset_bytes: u64,
        /// What is wrong with it.
        problem: String,
    },
    /// The caller's argument breaks a stated rule.
    #[error("{0}")]
    Invalid(String),
    /// The store behind a disk failed.
    #[error(transparent)]
    Store(#[from] galerie_store::Error),
    /// The operating system refused.
    #[error("{action}")]
    Io {
        /// What was being done.
        action: String,
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
}

/// The crate's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// Wraps an I/O error with what was being done.
    pub fn io(action: impl Into<String>, source: std::io::Error) -> Self {
        Self::Io { action: action.into(), source }
    }

    /// A refusal of `format`.
    pub(crate) fn refused(format: &str, reason: impl Into<String>, advice: impl Into<String>) -> Self {
        Self::Refused { format: format.to_owned(), reason: reason.into(), advice: advice.into() }
    }
}

impl From<Error> for galerie_store::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::Store(inner) => inner,
            Error::Io { action, source } => Self::io(action, source),
            Error::Corrupt { .. } => Self::Corrupt(error.to_string()),
            Error::Refused { .. } | Error::Invalid(_) => Self::Invalid(error.to_string()),
        }
    }
}
