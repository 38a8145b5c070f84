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
use galerie_control::Control;
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
    Own {
        authority: Authority,
        folder: PathBuf,
    },
    /// The authority in the catalogue.
    Shared {
        control: Control,
        folder: PathBuf,
    },
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

    /// As [`ServerTls::open`], for one of several processes: without files, the authority is the catalogue's.
    ///
    /// # Errors
    /// As [`ServerTls::open`]; the catalogue's.
    pub(crate) async fn of_process(
        config: &Config,
        names: Names,
        folder: &Path,
        control: &Control,
    ) -> Result<Self, Error> {
        if config.certificate_file.is_some() {
            return Self::open(config, names, folder);
        }
        let now = SystemTime::now();
        let authority = Authority::of_catalogue(control, folder, &names, now).await?;
        let certificate = authority.server_certificate(folder, &names, now)?;
        let ca_file = Some(authority.certificate_file(folder));
        let source = Source::Shared { control: control.clone(), folder: folder.to_owned() };
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
                Source::Shared { control, folder } => renew_shared(control, folder, &self.names).await,
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

/// A new certificate when the one there comes to its end, or another process has made a new authority.
async fn renew_shared(control: &Control, folder: &Path, names: &Names) -> Result<Option<Certificate>, Error> {
    let now = SystemTime::now();
    Authority::of_catalogue(control, folder, names, now).await?.renewed_certificate(folder, names, now)
}

/// What the processes of a catalogue trust of each other, as PEM: their own authorities, or the one behind their files.
/// `None`: what the system trusts.
///
/// # Errors
/// The catalogue's; `Io`.
pub(crate) async fn peers_authorities(config: &Config, control: &Control) -> Result<Option<String>, Error> {
    match (&config.certificate_file, &config.ca_file) {
        (None, _) => Ok(Some(Authority::certificates_of_catalogue(control).await?.concat())),
        (Some(_), Some(file)) => {
            let read = std::fs::read_to_string(file);
            read.map(Some).map_err(|error| Error::io(format!("read {}", file.display()), error))
        }
        (Some(_), None) => Ok(None),
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
