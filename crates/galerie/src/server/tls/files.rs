//! A certificate from files that somebody else renews.

use std::{
    path::{Path, PathBuf},
    time::SystemTime,
};

use super::Certificate;
use crate::server::Error;

/// The files, and when they were changed when they were last read.
pub(super) struct CertificateFiles {
    certificate: PathBuf,
    key: PathBuf,
    seen: Option<[SystemTime; 2]>,
}

impl CertificateFiles {
    pub(super) fn new(certificate: PathBuf, key: PathBuf) -> Self {
        let mut files = Self { certificate, key, seen: None };
        files.seen = files.changed().ok();
        files
    }

    pub(super) fn read(&self) -> Result<Certificate, Error> {
        let read = |path: &Path, what: &str| {
            std::fs::read_to_string(path).map_err(|error| Error::Config(format!("{what} {}: {error}", path.display())))
        };
        Ok(Certificate {
            chain_pem: read(&self.certificate, "certificate_file")?,
            key_pem: read(&self.key, "key_file")?,
        })
    }

    /// The certificate, when a file has changed since it was last read.
    pub(super) fn read_if_changed(&mut self) -> Result<Option<Certificate>, Error> {
        let changed = self.changed()?;
        if self.seen == Some(changed) {
            return Ok(None);
        }
        let certificate = self.read()?;
        // Both files change, one after the other: only a pair that fits is taken, the other is looked at again.
        certificate.server_config()?;
        self.seen = Some(changed);
        Ok(Some(certificate))
    }

    fn changed(&self) -> Result<[SystemTime; 2], Error> {
        let of = |path: &Path| {
            path.metadata()
                .and_then(|metadata| metadata.modified())
                .map_err(|error| Error::io(format!("look at {}", path.display()), error))
        };
        Ok([of(&self.certificate)?, of(&self.key)?])
    }
}
