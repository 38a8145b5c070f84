//! Why a command failed, as its user reads it: what went wrong, and what to do next.

use std::fmt;

use super::output;
use crate::{causes::in_full, client, server};

/// A command's failure.
#[derive(Debug)]
pub(crate) struct Failure {
    message: String,
    advice: Option<String>,
    exit_code: u8,
}

/// A command's result.
pub(crate) type Result<T, E = Failure> = std::result::Result<T, E>;

/// As az: anything that failed.
const FAILED: u8 = 1;
/// As az: what was asked for is not there.
const NOT_FOUND: u8 = 3;
/// As shells: ended by Ctrl-C.
const INTERRUPTED: u8 = 130;

impl Failure {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), advice: None, exit_code: FAILED }
    }

    pub(crate) fn advise(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }

    pub(crate) fn of(error: &dyn std::error::Error) -> Self {
        Self::new(in_full(error))
    }

    /// What is wrong with an image file, by its name.
    pub(crate) fn file(path: &std::path::Path, error: &dyn std::error::Error) -> Self {
        Self::new(format!("{}: {}", path.display(), in_full(error)))
    }

    /// What was asked for is not there.
    pub(crate) fn not_found(mut self) -> Self {
        self.exit_code = NOT_FOUND;
        self
    }

    /// Whether what was asked for is not there.
    pub(crate) fn is_not_found(&self) -> bool {
        self.exit_code == NOT_FOUND
    }

    pub(crate) fn exit_code(&self) -> u8 {
        self.exit_code
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A server's words may be anybody's.
        write!(f, "{}", output::printable(&self.message))?;
        self.advice.as_ref().map_or(Ok(()), |advice| write!(f, "\n  {advice}"))
    }
}

impl From<client::Error> for Failure {
    fn from(error: client::Error) -> Self {
        let exit_code = match &error {
            client::Error::Interrupted => INTERRUPTED,
            error if error.is_not_found() => NOT_FOUND,
            _ => FAILED,
        };
        Self { message: in_full(&error), advice: error.advice(), exit_code }
    }
}

impl From<server::Error> for Failure {
    fn from(error: server::Error) -> Self {
        Self { message: in_full(&error), advice: error.advice(), exit_code: FAILED }
    }
}

impl From<galerie_store::Error> for Failure {
    fn from(error: galerie_store::Error) -> Self {
        Self::of(&error)
    }
}

impl From<galerie_disk::Error> for Failure {
    fn from(error: galerie_disk::Error) -> Self {
        Self::of(&error)
    }
}
