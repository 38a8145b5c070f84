//! `admin.json`: how the first administrator, and every script, finds and signs in to a server.
//!
//! The file is made once, exclusively, whole and for its owner alone (0600). Each start rewrites the endpoint, atomically; the
//! secret is only ever replaced by `galerie admin reset`. Members that this program does not know are kept.

use std::{
    fs::File,
    io::{ErrorKind, Read},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::durable;

/// The file's name in the data directory.
pub(crate) const ADMIN_FILE: &str = "admin.json";
/// Longer than any such file.
const LONGEST_FILE_BYTES: u64 = 64 * 1024;

/// What the file says. `Debug` is not derived: it would print the secret.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AdminFile {
    /// Where the server listens, as a URL without a trailing slash.
    pub(crate) endpoint: String,
    /// The certificate authority to trust; `None` when the system's own do.
    pub(crate) ca_file: Option<PathBuf>,
    pub(crate) tenant_id: Uuid,
    pub(crate) subscription_id: Uuid,
    pub(crate) client_id: Uuid,
    pub(crate) client_secret: String,
    #[serde(flatten)]
    other: Map<String, Value>,
}

/// Why the file could not be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum AdminFileError {
    #[error("{0} does not exist")]
    Missing(PathBuf),
    #[error("{0} exists already, but the data directory is new; move the file away")]
    Exists(PathBuf),
    #[error("{path} is not an administrator's file: {problem}")]
    Invalid { path: PathBuf, problem: String },
    #[error("{action} {path}")]
    Io { action: &'static str, path: PathBuf, source: std::io::Error },
}

impl AdminFile {
    pub(crate) fn new(
        endpoint: String,
        ca_file: Option<PathBuf>,
        tenant_id: Uuid,
        subscription_id: Uuid,
        client_id: Uuid,
        client_secret: String,
    ) -> Self {
        Self { endpoint, ca_file, tenant_id, subscription_id, client_id, client_secret, other: Map::new() }
    }

    /// Reads a file.
    pub(crate) fn read(path: &Path) -> Result<Self, AdminFileError> {
        let io = |source: std::io::Error| match source.kind() {
            ErrorKind::NotFound => AdminFileError::Missing(path.to_owned()),
            _ => AdminFileError::Io { action: "read", path: path.to_owned(), source },
        };
        let mut text = String::new();
        File::open(path).map_err(io)?.take(LONGEST_FILE_BYTES).read_to_string(&mut text).map_err(io)?;
        // serde_json's messages quote no values, so no secret leaks.
        serde_json::from_str(&text)
            .map_err(|error| AdminFileError::Invalid { path: path.to_owned(), problem: error.to_string() })
    }

    /// Makes the file, which must not be there.
    pub(crate) fn create(&self, path: &Path) -> Result<(), AdminFileError> {
        let io = |source: std::io::Error| match source.kind() {
            ErrorKind::AlreadyExists => AdminFileError::Exists(path.to_owned()),
            _ => AdminFileError::Io { action: "create", path: path.to_owned(), source },
        };
        durable::create(path, self.to_json().as_bytes(), 0o600).map_err(io)
    }

    /// Puts the file in place of the one there, atomically.
    pub(crate) fn replace(&self, path: &Path) -> Result<(), AdminFileError> {
        durable::replace(path, self.to_json().as_bytes(), 0o600).map_err(|source| AdminFileError::Io {
            action: "replace",
            path: path.to_owned(),
            source,
        })
    }

    fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("strings and maps of JSON become JSON");
        text.push('\n');
        text
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn file() -> AdminFile {
        let ids = [1, 2, 3].map(Uuid::from_u128);
        AdminFile::new("https://localhost:1".to_owned(), None, ids[0], ids[1], ids[2], "geheim".to_owned())
    }

    #[test]
    fn it_is_made_once_and_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(ADMIN_FILE);
        file().create(&path).unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert!(matches!(file().create(&path), Err(AdminFileError::Exists(_))));
        assert_eq!(AdminFile::read(&path).unwrap().client_secret, "geheim");
    }

    #[test]
    fn replacing_keeps_the_mode_and_what_others_added() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(ADMIN_FILE);
        let mut text: Map<String, Value> = serde_json::from_str(&file().to_json()).unwrap();
        text.insert("note".to_owned(), Value::from("mine"));
        std::fs::write(&path, serde_json::to_string(&text).unwrap()).unwrap();
        let mut read = AdminFile::read(&path).unwrap();
        read.endpoint = "https://localhost:2".to_owned();
        read.replace(&path).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains("https://localhost:2") && text.contains("\"note\": \"mine\""), "{text}");
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn an_error_never_shows_the_secret() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(ADMIN_FILE);
        std::fs::write(&path, file().to_json().replace("00000000-0000-0000-0000-000000000001", "no")).unwrap();
        let error = AdminFile::read(&path).map(|_| ()).unwrap_err().to_string();
        assert!(!error.contains("geheim"), "{error}");
        assert!(matches!(AdminFile::read(Path::new("/nowhere/x")), Err(AdminFileError::Missing(_))));
    }
}
