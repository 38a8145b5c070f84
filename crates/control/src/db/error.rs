//! What can go wrong between the domain and its tables.

use std::path::PathBuf;

use galerie_arm::ArmError;
use uuid::Uuid;

/// A fault of the catalogue.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Another process held the catalogue too long. Passing.
    #[error("the catalogue is busy")]
    Busy,
    /// A unique key is taken. The plans look first, in the same transaction, so this is a programming error.
    #[error("a unique key is taken: {0}")]
    Taken(String),
    /// A row says something that no program wrote.
    #[error("the catalogue contradicts itself: {0}")]
    Corrupt(String),
    /// The file was written by a later program. It was not touched.
    #[error(
        "the catalogue {path} has schema version {found}, and this program knows versions up to {known}; use the newer program, \
         or restore the copy that it made before it migrated the file"
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its schema.
        found: i64,
        /// The newest schema that this program knows.
        known: i64,
    },
    /// The schema could not be brought up to date; the copy made before is beside the file.
    #[error("migrate the catalogue {path}")]
    Migrate {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: sqlx::migrate::MigrateError,
    },
    /// The file could not be made or copied.
    #[error("{action}")]
    Io {
        /// What was being done, with the path.
        action: String,
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
    /// The database refused a statement.
    #[error("use the catalogue")]
    Sql(#[source] sqlx::Error),
}

/// The result of a table function.
pub(crate) type Result<T, E = Error> = std::result::Result<T, E>;

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::PoolTimedOut => Self::Busy,
            sqlx::Error::Database(database) if database.is_unique_violation() => {
                Self::Taken(database.message().to_owned())
            }
            // SQLITE_BUSY is 5, its extended codes have it in the low byte.
            sqlx::Error::Database(database)
                if database.code().and_then(|code| code.parse::<u32>().ok()).is_some_and(|code| code & 0xff == 5) =>
            {
                Self::Busy
            }
            _ => Self::Sql(error),
        }
    }
}

impl From<Error> for ArmError {
    /// The client learns that it is our fault and a number; the log has the rest under that number.
    fn from(error: Error) -> Self {
        if matches!(error, Error::Busy) {
            return Self::service_unavailable("The catalogue is busy. Try again.");
        }
        let number = Uuid::new_v4();
        tracing::error!(error = &error as &dyn std::error::Error, %number, "catalogue fault");
        Self::internal(&number.to_string())
    }
}
