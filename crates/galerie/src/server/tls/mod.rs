//! The server's certificate: from its own authority, or from files.
//!
//! The own authority (P-256, ten years) may sign only for this server's names; the server's certificate is renewed by
//! itself long before it ends, and taken into use without a restart. Files are read again when they change.

mod authority;
mod files;
mod names;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use axum_server::tls_rustls::RustlsConfig;
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use tokio_util::sync::CancellationToken;

pub(crate) use self::names::Names;
use self::{authority::Authority, files::CertificateFiles};
use super::{Error, config::Config};

/// How often the certificate's end, or its files, are looked at.
const LOOK_INTERVAL: Duration = Duration::from_secs(60);

/// Where certificates come from.
enum Source {
    Own { authority: Authority, folder: PathBuf },
    Files(CertificateFiles),
}

/// A certificate chain and its key, as PEM.
pub(super) struct Certificate {
    chain_pem: String,
    key_pem: String,
}

/// The listener's TLS.
pub(crate) struct ServerTls {
    source: Source,
    names: Names,
    config: RustlsConfig,
    ca_file: Option<PathBuf>,
}

impl ServerTls {
    /// Finds or makes the certificate for `names`; what is made is kept in `folder`.
    ///
    /// # Errors
    /// `Tls`, `Config` when files are unusable, `Io`.
    pub(crate) fn open(config: &Config, names: Names, folder: &Path) -> Result<Self, Error> {
        let (source, certificate, ca_file) = match (&config.certificate_file, &config.key_file) {
            (Some(certificate), Some(key)) => {
                let files = CertificateFiles::new(certificate.clone(), key.clone());
                let certificate = files.read()?;
                (Source::Files(files), certificate, config.ca_file.clone())
            }
            _ => {
                let now = SystemTime::now();
                let authority = Authority::open(folder, &names, now)?;
                let certificate = authority.server_certificate(folder, &names, now)?;
                let ca_file = authority.certificate_file(folder);
                (Source::Own { authority, folder: folder.to_owned() }, certificate, Some(ca_file))
            }
        };
        let config = RustlsConfig::from_config(Arc::new(certificate.server_config()?));
        Ok(Self { source, names, config, ca_file })
    }

    /// What the listener uses; follows renewals.
    pub(crate) fn config(&self) -> RustlsConfig {
        self.config.clone()
    }

    /// The authority that clients must trust; `None` when theirs do.
    pub(crate) fn ca_file(&self) -> Option<&Path> {
        self.ca_file.as_deref()
    }

    /// Renews until `cancel` fires.
    pub(crate) async fn keep_fresh(mut self, cancel: CancellationToken) {
        while cancel.run_until_cancelled(tokio::time::sleep(LOOK_INTERVAL)).await.is_some() {
            let renewed = match &mut self.source {
                Source::Own { authority, folder } => authority.renew(folder, &self.names, SystemTime::now()),
                Source::Files(files) => files.read_if_changed(),
            };
            let renewed = renewed.and_then(|certificate| certificate.map(|it| it.server_config()).transpose());
            match renewed {
                Ok(Some(config)) => {
                    self.config.reload_from_config(Arc::new(config));
                    tracing::info!("the server has a new certificate");
                }
                Ok(None) => {}
                Err(error) => {
                    tracing::error!(error = &error as &dyn std::error::Error, "the server keeps its old certificate");
                }
            }
        }
    }
}

impl Certificate {
    fn server_config(&self) -> Result<ServerConfig, Error> {
        let failed = |error| Error::tls("read the server's certificate", error);
        let chain: Vec<CertificateDer<'static>> =
            CertificateDer::pem_slice_iter(self.chain_pem.as_bytes()).collect::<Result<_, _>>().map_err(failed)?;
        let key = PrivateKeyDer::from_pem_slice(self.key_pem.as_bytes())
            .map_err(|error| Error::tls("read the server's private key", error))?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| Error::tls("set up TLS", error))?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(|error| Error::tls("use the server's certificate", error))?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(config)
    }
}
