//! Why a server does not start, or stops.

use std::path::PathBuf;

use crate::admin_file::AdminFileError;

/// What went wrong with the server; variants by what its owner does next.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum Error {
    /// Another process has the data directory.
    #[error("the data directory {} is in use by another galerie{}", .root.display(), of_process(.process.as_ref()))]
    InUse { root: PathBuf, process: Option<u32> },
    /// The configuration, or a file that it names, cannot be used as it is.
    #[error("{0}")]
    Config(String),
    /// The address cannot be listened on.
    #[error("listen on {address}")]
    Listen { address: String, source: std::io::Error },
    /// The certificate authority or the server's certificate.
    #[error("{action}")]
    Tls { action: String, source: Box<dyn std::error::Error + Send + Sync> },
    #[error(transparent)]
    AdminFile(#[from] AdminFileError),
    /// The catalogue.
    #[error(transparent)]
    Control(#[from] galerie_control::Error),
    /// A region's store.
    #[error("region {name}")]
    Region { name: String, source: galerie_region::Error },
    /// A backup was not restored to the end into the directory.
    #[error("a restore into the data directory {} was not finished", .0.display())]
    Unrestored(PathBuf),
    /// A backup cannot be restored as asked.
    #[error("{0}")]
    Restore(String),
    /// A repository of backups, or a store that is made from one.
    #[error(transparent)]
    Store(#[from] galerie_store::Error),
    #[error("{action}")]
    Io { action: String, source: std::io::Error },
}

fn of_process(process: Option<&u32>) -> String {
    process.map_or_else(String::new, |process| format!(" (process {process})"))
}

impl Error {
    pub(crate) fn io(action: impl Into<String>, source: std::io::Error) -> Self {
        Self::Io { action: action.into(), source }
    }

    pub(crate) fn tls(action: impl Into<String>, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Tls { action: action.into(), source: source.into() }
    }

    /// What to do about it, when there is something better to say than the message.
    pub(crate) fn advice(&self) -> Option<String> {
        match self {
            Self::InUse { .. } => {
                Some("Stop that process first, or give this one a directory of its own with --data-dir.".to_owned())
            }
            Self::Listen { source, .. } if source.kind() == std::io::ErrorKind::AddrInUse => {
                Some("Something listens there already. Choose another with --listen HOST:PORT.".to_owned())
            }
            Self::Listen { source, .. } if source.kind() == std::io::ErrorKind::PermissionDenied => {
                Some("Ports below 1024 are the system's. Choose another with --listen HOST:PORT.".to_owned())
            }
            Self::Config(_) => Some("docs/configuration.md explains every option.".to_owned()),
            Self::AdminFile(AdminFileError::Missing(_) | AdminFileError::Invalid { .. }) => {
                Some("`galerie admin reset` makes a new administrator.".to_owned())
            }
            Self::Unrestored(_) => {
                Some("Give the same `galerie restore` again: it goes on where it was interrupted.".to_owned())
            }
            _ => None,
        }
    }
}
