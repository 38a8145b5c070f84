//! What can go wrong between the domain and its tables.

use galerie_arm::ArmError;
use rusqlite::ErrorCode;
use uuid::Uuid;

/// What a database's driver says.
pub(super) type Cause = Box<dyn std::error::Error + Send + Sync>;

/// A fault of the catalogue.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Another process held the catalogue too long. Passing.
    #[error("the catalogue is busy")]
    Busy,
    /// The file system of the catalogue has no room. Nothing was written; room mends it.
    #[error("the catalogue's file system is full")]
    Full(#[source] Cause),
    /// The file cannot be read or written now: read-only, or its disk fails. Whoever looks after the machine can mend it.
    #[error("the catalogue's file cannot be used")]
    Unavailable(#[source] Cause),
    /// PostgreSQL ended the transaction, because it cannot be put in order with another one. `transact!` does it again.
    #[error("another transaction was faster")]
    LostRace,
    /// This process has closed the catalogue: it is ending.
    #[error("the catalogue is closed")]
    Closed,
    /// A unique key is taken. The plans look first, in the same transaction, so this is a programming error.
    #[error("a unique key is taken: {0}")]
    Taken(String),
    /// A row says something that no program wrote.
    #[error("the catalogue contradicts itself: {0}")]
    Corrupt(String),
    /// The file was written by a later program. It was not touched.
    #[error(
        "the catalogue {catalogue} has schema version {found}, and this program knows versions up to {known}; use the newer program, \
         or restore the copy that it made before it migrated the file"
    )]
    Newer {
        /// The file or database.
        catalogue: String,
        /// Its schema.
        found: i64,
        /// The newest schema that this program knows.
        known: i64,
    },
    /// The schema could not be brought up to date. Of a file, the copy made before is beside it.
    #[error("migrate the catalogue {catalogue}")]
    Migrate {
        /// The file or database.
        catalogue: String,
        /// Why.
        #[source]
        source: Cause,
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
    Sql(#[source] Cause),
}

/// The result of a table function.
pub(crate) type Result<T, E = Error> = std::result::Result<T, E>;

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::ffi::{SQLITE_CONSTRAINT_PRIMARYKEY, SQLITE_CONSTRAINT_UNIQUE};
        let failure = error.sqlite_error();
        if let Some(SQLITE_CONSTRAINT_UNIQUE | SQLITE_CONSTRAINT_PRIMARYKEY) = failure.map(|it| it.extended_code) {
            return Self::Taken(error.to_string());
        }
        match failure.map(|it| it.code) {
            Some(ErrorCode::DatabaseBusy) => Self::Busy,
            Some(ErrorCode::DiskFull) => Self::Full(error.into()),
            // The second one is also what a full file system makes of the log's index, which is memory-mapped.
            Some(ErrorCode::ReadOnly | ErrorCode::SystemIoFailure | ErrorCode::CannotOpen) => {
                Self::Unavailable(error.into())
            }
            _ => Self::Sql(error.into()),
        }
    }
}

impl From<sqlx::Error> for Error {
    /// The codes are those of PostgreSQL's appendix A; the first two characters are their class.
    fn from(error: sqlx::Error) -> Self {
        let database = match &error {
            sqlx::Error::PoolTimedOut => return Self::Busy,
            sqlx::Error::PoolClosed => return Self::Closed,
            sqlx::Error::Io(_) | sqlx::Error::Tls(_) => return Self::Unavailable(error.into()),
            sqlx::Error::Database(database) => database,
            _ => return Self::Sql(error.into()),
        };
        if database.is_unique_violation() {
            return Self::Taken(database.message().to_owned());
        }
        match database.code().unwrap_or_default().as_ref() {
            // serialization_failure, deadlock_detected
            "40001" | "40P01" => Self::LostRace,
            // disk_full
            "53100" => Self::Full(error.into()),
            // read_only_sql_transaction: a standby, or a reading transaction of ours.
            "25006" => Self::Unavailable(error.into()),
            // Connections, resources, an operator's intervention, the system's own faults.
            code if ["08", "53", "57", "58"].iter().any(|class| code.starts_with(class)) => {
                Self::Unavailable(error.into())
            }
            _ => Self::Sql(error.into()),
        }
    }
}

/// What clients are told of a full catalogue.
const CATALOGUE_FULL: &str = "The file system of the server's catalogue is full, so nothing can be changed. Make room on it \
                              (in the data directory, or where it lies), then try again.";
/// What clients are told of a catalogue whose file cannot be used.
const CATALOGUE_UNAVAILABLE: &str = "The server's catalogue cannot be read or written: its file system is read-only, full or \
                                     failing. The server's log has the details. Mend it, then try again.";

impl From<Error> for ArmError {
    /// What whoever looks after the server can mend is named; of the rest the client learns that it is our fault, and a
    /// number under which the log has more.
    fn from(error: Error) -> Self {
        match &error {
            Error::Busy | Error::LostRace => return Self::service_unavailable("The catalogue is busy. Try again."),
            Error::Full(_) => {
                tracing::error!(error = &error as &dyn std::error::Error, "the catalogue cannot be written");
                return Self::insufficient_storage(CATALOGUE_FULL);
            }
            Error::Unavailable(_) => {
                tracing::error!(error = &error as &dyn std::error::Error, "the catalogue cannot be used");
                return Self::service_unavailable(CATALOGUE_UNAVAILABLE);
            }
            _ => {}
        }
        let number = Uuid::new_v4();
        tracing::error!(error = &error as &dyn std::error::Error, %number, "catalogue fault");
        Self::internal(&number.to_string())
    }
}
