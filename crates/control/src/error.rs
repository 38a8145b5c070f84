//! Why the domain cannot be opened or set up. What a request can meet is an `ArmError`.

use galerie_arm::ArmError;
use uuid::Uuid;

use crate::{db, keys::KeyError};

/// A fault of the whole, not of one request.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The catalogue's file cannot be used; see its message.
    #[error(transparent)]
    Catalogue(#[from] db::Error),
    /// The keys cannot be used; see its message.
    #[error(transparent)]
    Keys(#[from] KeyError),
    /// A region's store is another than the one this catalogue knows.
    #[error("the region {region} has the store {found}, and this catalogue knows it with the store {expected}")]
    ForeignStore {
        /// The region.
        region: String,
        /// The store that was opened.
        found: Uuid,
        /// The store in the catalogue.
        expected: Uuid,
    },
    /// Two regions have one name, or a name is none.
    #[error("{0}")]
    Regions(String),
    /// Other processes use the catalogue, a PostgreSQL database, and this one needs it for itself, or the other way round.
    #[error("this PostgreSQL database (and schema) is in use: an offline command needs it while no server runs")]
    CatalogueInUse,
    /// A backup of the catalogue is being made.
    #[error("a backup of this gallery is being made already")]
    BackupUnderWay,
    /// What a backup relies on may be gone: it took too long to answer, or the server stops. What it copied is there.
    #[error("the backup was interrupted; the next one goes on where it ended")]
    BackupInterrupted,
    /// A backup is of all regions, and this process does not serve one that has images.
    #[error(
        "this process does not serve the region {region}, which has images: make the backup through one that serves every region"
    )]
    NotServed {
        /// The region.
        region: String,
    },
    /// The place of backups; see its cause.
    #[error("the repository of backups")]
    Repository(#[source] galerie_store::Error),
    /// A region's store; see its cause.
    #[error("region {region}")]
    Region {
        /// The region.
        region: String,
        /// What went wrong.
        #[source]
        source: galerie_region::Error,
    },
    /// A catalogue is restored into an empty database only.
    #[error("the database has a catalogue already; a backup is restored into an empty one")]
    CatalogueExists,
    /// Nobody would own the tenant any more, or the rights could not be changed; see its cause.
    #[error("change who owns the tenant")]
    Access(#[source] ArmError),
    /// An external issuer cannot be trusted as the configuration says.
    #[error("the external issuer {issuer}: {problem}")]
    ExternalIssuer {
        /// Its name.
        issuer: String,
        /// What is wrong.
        problem: String,
    },
    /// By the machine's clock, or a PostgreSQL database's, the catalogue would live in its own past.
    #[error(
        "this gallery's clock was moved on: serve it with --fault clock, with its catalogue in SQLite; or another gallery in an empty directory"
    )]
    ClockMoved,
    /// There was no first start.
    #[error("this catalogue was never started: it has no tenant yet")]
    NotBootstrapped,
}

impl From<Error> for ArmError {
    fn from(error: Error) -> Self {
        match error {
            Error::Catalogue(error) => error.into(),
            error => {
                let number = Uuid::new_v4();
                tracing::error!(error = &error as &dyn std::error::Error, %number, "the domain failed");
                Self::internal(&number.to_string())
            }
        }
    }
}
