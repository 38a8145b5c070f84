//! What can go wrong between the domain and its tables.

use galerie_arm::ArmError;
use sqlx::sqlite::SqliteError;
use uuid::Uuid;

/// A fault of the catalogue.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Another process held the catalogue too long. Passing.
    #[error("the catalogue is busy")]
    Busy,
    /// The file system of the catalogue has no room. Nothing was written; room mends it.
    #[error("the catalogue's file system is full")]
    Full(#[source] sqlx::Error),
    /// The file cannot be read or written now: read-only, or its disk fails. Whoever looks after the machine can mend it.
    #[error("the catalogue's file cannot be used")]
    Unavailable(#[source] sqlx::Error),
    /// PostgreSQL ended the transaction, because it cannot be put in order with another one. `transact!` does it again.
    #[error("another transaction was faster")]
    LostRace,
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
            sqlx::Error::Database(database) => match database.try_downcast_ref::<SqliteError>() {
                Some(_) => Self::of_sqlite(error),
                None => Self::of_postgres(error),
            },
            sqlx::Error::Io(_) | sqlx::Error::Tls(_) => Self::Unavailable(error),
            _ => Self::Sql(error),
        }
    }
}

// https://www.sqlite.org/rescode.html; the low byte, an extended code has more above it.
const SQLITE_BUSY: u32 = 5;
const SQLITE_READONLY: u32 = 8;
/// Also what a full file system makes of the log's index, which is memory-mapped.
const SQLITE_IOERR: u32 = 10;
const SQLITE_FULL: u32 = 13;
const SQLITE_CANTOPEN: u32 = 14;

impl Error {
    fn of_sqlite(error: sqlx::Error) -> Self {
        match code_of(&error).and_then(|code| code.parse::<u32>().ok()).map(|code| code & 0xff) {
            Some(SQLITE_BUSY) => Self::Busy,
            Some(SQLITE_FULL) => Self::Full(error),
            Some(SQLITE_READONLY | SQLITE_IOERR | SQLITE_CANTOPEN) => Self::Unavailable(error),
            _ => Self::Sql(error),
        }
    }

    /// The codes are those of PostgreSQL's appendix A; the first two characters are their class.
    fn of_postgres(error: sqlx::Error) -> Self {
        match code_of(&error).unwrap_or_default().as_str() {
            // serialization_failure, deadlock_detected
            "40001" | "40P01" => Self::LostRace,
            // disk_full
            "53100" => Self::Full(error),
            // read_only_sql_transaction: a standby, or a reading transaction of ours.
            "25006" => Self::Unavailable(error),
            // Connections, resources, an operator's intervention, the system's own faults.
            code if ["08", "53", "57", "58"].iter().any(|class| code.starts_with(class)) => Self::Unavailable(error),
            _ => Self::Sql(error),
        }
    }
}

fn code_of(error: &sqlx::Error) -> Option<String> {
    Some(error.as_database_error()?.code()?.into_owned())
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
