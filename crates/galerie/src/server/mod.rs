//! The server: what `galerie serve` runs, in the order in which things are opened, served and put down again.
//!
//! ```text
//! configuration -> log -> lock -> listen -> certificate -> catalogue, stores -> administrator -> workers -> serve
//! SIGTERM, SIGINT -> not ready -> take no more connections -> let requests end -> stop workers -> close
//! ```
//! One of several processes has its certificate after the catalogue, which holds the authority that they share.
//!
//! The data directory belongs to one process. Everything that a start changes in it is safe to do again, so that a start
//! that was killed anywhere is followed by one that works.

pub(crate) mod config;
mod data_directory;
mod error;
mod fetch;
mod gallery;
mod issuer_documents;
mod listener;
pub(crate) mod logging;
mod metrics;
mod peers;
mod restore;
mod stopping;
mod tls;
mod welcome;

use std::{
    io::ErrorKind,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use axum_server::Handle;
use galerie_api::{ApiOptions, Forward};
use galerie_control::{Bootstrap, Control, NewAdministrator, OneTimeLink, ProcessOptions};
use secrecy::{ExposeSecret, SecretString};
use tokio_util::sync::CancellationToken;

pub(crate) use self::{
    config::Config,
    data_directory::DataDirectory,
    error::Error,
    gallery::Gallery,
    restore::{MasterKeySource, RestoreOptions, restore},
};
use self::{
    config::{Fault, ThrottlingConfig},
    metrics::Metrics,
    peers::Peers,
    stopping::{Drain, stop_on_signal},
    tls::{Names, ServerTls},
    welcome::Welcome,
};
use crate::{
    admin_file::{AdminFile, AdminFileError},
    signals::Signals,
};

/// What the command line says.
#[derive(Debug, Clone)]
pub(crate) struct ServeOptions {
    pub(crate) data_dir: PathBuf,
    /// `HOST:PORT`; port 0 for any that is free.
    pub(crate) listen: String,
    pub(crate) config: Option<PathBuf>,
    /// In place of the configuration's.
    pub(crate) throttling: Option<ThrottlingConfig>,
    /// Beside the configuration's.
    pub(crate) faults: Vec<Fault>,
}

/// Reads the configuration, or takes the defaults.
///
/// # Errors
/// `Config`.
pub(crate) fn read_config(path: Option<&Path>) -> Result<Config, Error> {
    path.map_or_else(|| Ok(Config::default()), Config::read)?.with_environment()
}

/// Serves until the process is told to end.
///
/// # Errors
/// Why it cannot start, or why it stopped by itself.
pub(crate) async fn serve(options: ServeOptions) -> Result<(), Error> {
    // Before anything is opened: a service manager may change its mind while a large gallery still starts.
    let mut signals = Signals::hear().map_err(|source| Error::io("listen for signals", source))?;
    let config = read_config(options.config.as_deref())?.with_options(options.throttling, &options.faults)?;
    logging::start(&config)?;
    config.check_processes()?;
    for fault in &config.faults {
        tracing::warn!(fault = fault.text, "something goes wrong on purpose: this server is for testing clients");
    }
    let issuers = issuer_documents::external_issuers(&config.external_issuers)?;
    let directory = DataDirectory::lock(&options.data_dir)?;
    restore::refuse_unfinished(&directory)?;
    let (listener, address) = listener::bind(&options.listen)?;
    let names = names(&config, address);
    let is_shared = config.database.is_some();
    let tls = if is_shared { None } else { Some(ServerTls::open(&config, names.clone(), &directory.tls())?) };
    let endpoint = endpoint(&config, address);
    let metrics = Metrics::start(config.metrics_listen().map_err(Error::Config)?).await?;
    refuse_foreign_admin_file(&config, &directory)?;
    let gallery = tokio::select! {
        gallery = Gallery::open_to_serve(&config, &directory) => gallery?,
        // What was opened is given back by the process's end; a crash at any point is harmless, so this is too.
        () = signals.next() => {
            tracing::info!("stopped before it was ready");
            return Ok(());
        }
    };
    let tls = match tls {
        Some(tls) => tls,
        None => ServerTls::of_process(&config, names, &directory.tls(), &gallery.control).await?,
    };
    let admin_file = update_admin_file(&gallery, &directory, &endpoint, tls.ca_file()).await?;
    gallery.control.identity().trust(issuers).await?;
    let link = gallery.control.first_link().await?;
    let link = link.map(|link| setup_url(&endpoint, &link));
    let welcome = Welcome {
        endpoint: &endpoint,
        link: link.as_ref().map(|link| link.expose_secret()),
        data_dir: &options.data_dir,
        regions: gallery.region_names(),
        admin_file: admin_file.as_deref(),
        ca_file: tls.ca_file(),
        metrics: metrics.as_ref().and_then(Metrics::address),
        faults: &config.faults,
    }
    .text();
    let api = ApiOptions {
        hosts: config.hosts.iter().map(config::Host::authority).collect(),
        listen: address,
        trusted_proxies: config.trusted_proxies.iter().map(|proxy| proxy.0).collect(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        device_code: config.sign_in.device_code,
        throttling: config.throttling.into(),
        faults: config.faults_of_answers(),
        forward: is_shared
            .then(|| -> Arc<dyn Forward> { Arc::new(Peers::new(config.clone(), gallery.control.clone())) }),
    };
    galerie_api::describe_metrics();
    let routes = galerie_api::router(gallery.control.clone(), api);
    let stopping = CancellationToken::new();
    let handle = Handle::new();
    let tls_config = tls.config();
    tokio::spawn(tls.keep_fresh(stopping.clone()));
    if let Some(metrics) = metrics {
        tokio::spawn(metrics.serve(stopping.clone()));
    }
    let drain = Drain {
        delay: Duration::from_secs(config.drain_delay_s),
        limit: Duration::from_secs(config.shutdown_timeout_s),
    };
    tokio::spawn(stop_on_signal(signals, handle.clone(), gallery.control.clone(), drain));
    tokio::spawn(greet(handle.clone(), welcome));
    if is_shared {
        let (id, url) = (directory.process_id()?, config.advertise.as_ref().map(config::PeerUrl::as_url));
        let version = env!("CARGO_PKG_VERSION").to_owned();
        gallery.control.join(ProcessOptions { id, url, version, hints: true }).await?;
    } else {
        gallery.control.take_over().await?;
    }
    gallery.control.start();
    let served = listener::serve(listener, tls_config, routes, handle).await;
    stopping.cancel();
    gallery.control.shutdown().await;
    tracing::info!("stopped");
    drop(directory);
    served
}

/// The names that the server's certificate is for.
fn names(config: &Config, address: SocketAddr) -> Names {
    let advertised = config.advertise.iter().map(|url| url.0.clone());
    let hosts: Vec<config::Host> = config.hosts.iter().cloned().chain(advertised).collect();
    Names::of(&hosts, address)
}

/// Where clients find the server: the first configured host, or this machine.
fn endpoint(config: &Config, address: SocketAddr) -> String {
    let authority = match config.hosts.first() {
        Some(host) if host.port.is_some() => host.authority(),
        Some(host) => format!("{}:{}", host.authority(), address.port()),
        None if address.ip().is_loopback() || address.ip().is_unspecified() => format!("localhost:{}", address.port()),
        None => address.to_string(),
    };
    format!("https://{}", authority.strip_suffix(":443").unwrap_or(&authority))
}

/// A new catalogue makes a new administrator, whose file must not overwrite another's.
fn refuse_foreign_admin_file(config: &Config, directory: &DataDirectory) -> Result<(), Error> {
    let path = directory.admin_file();
    if config.database.is_none() && !directory.database().exists() && path.exists() {
        Err(AdminFileError::Exists(path).into())
    } else {
        Ok(())
    }
}

/// Makes the administrator and its file, or writes the endpoint of this start into the file there is. `None` when the
/// file is gone; the server does not need it.
async fn update_admin_file(
    gallery: &Gallery,
    directory: &DataDirectory,
    endpoint: &str,
    ca_file: Option<&Path>,
) -> Result<Option<PathBuf>, Error> {
    let path = directory.admin_file();
    if let Some(NewAdministrator { tenant, subscription, client_id, client_secret }) =
        new_administrator(&gallery.control, &path).await?
    {
        let (endpoint, ca_file) = (endpoint.to_owned(), ca_file.map(Path::to_owned));
        let secret = client_secret.expose_secret().to_owned();
        AdminFile::new(endpoint, ca_file, tenant, subscription, client_id, secret).create(&path)?;
        gallery.control.administrator_is_delivered().await?;
        return Ok(Some(path));
    }
    let mut file = match AdminFile::read(&path) {
        Err(AdminFileError::Missing(_)) => {
            tracing::warn!(path = %path.display(), "no administrator's file here: it is with the first process of the catalogue, or gone; `galerie admin reset` makes another");
            return Ok(None);
        }
        file => file?,
    };
    // A start that was killed may have written it last.
    gallery.control.administrator_is_delivered().await?;
    if file.endpoint != endpoint || file.ca_file.as_deref() != ca_file {
        file.endpoint = endpoint.to_owned();
        file.ca_file = ca_file.map(Path::to_owned);
        match file.replace(&path) {
            // A full disk must not keep the server from what empties it.
            Err(AdminFileError::Io { source, .. }) if source.kind() == ErrorKind::StorageFull => tracing::error!(
                path = %path.display(),
                endpoint,
                "no space to write this start's endpoint into the administrator's file: clients that read it find the former \
                 one. Make space, and restart"
            ),
            replaced => replaced?,
        }
    }
    Ok(Some(path))
}

/// The administrator whose file is still to be made: the first one; or another in its place when a start was killed after it
/// had made the first one, and before it had written the secret down.
async fn new_administrator(control: &Control, path: &Path) -> Result<Option<NewAdministrator>, Error> {
    let Bootstrap { tenant, subscription, client_id, client_secret, .. } = control.bootstrap().await?;
    match client_secret {
        Some(client_secret) => Ok(Some(NewAdministrator { tenant, subscription, client_id, client_secret })),
        None if !path.exists() => Ok(control.undelivered_administrator().await?),
        None => Ok(None),
    }
}

/// Makes a new administrator in a data directory that no server uses, and writes its file.
///
/// # Errors
/// `InUse` while a server runs, `Config` or `Control` when there never was one.
pub(crate) async fn reset_administrator(data_dir: &Path, config: &Config) -> Result<PathBuf, Error> {
    let directory = DataDirectory::lock_existing(data_dir, config)?;
    let path = directory.admin_file();
    let former = match AdminFile::read(&path) {
        Ok(file) => Some(file),
        Err(AdminFileError::Missing(_) | AdminFileError::Invalid { .. }) => None,
        Err(error) => return Err(error.into()),
    };
    let gallery = Gallery::open(config, &directory).await?;
    gallery.control.take_over().await?;
    let written = write_new_administrator(&gallery.control, config, &directory, former).await;
    gallery.control.shutdown().await;
    written.map(|()| path)
}

/// Makes a new administrator, and its file in place of the former one.
async fn write_new_administrator(
    control: &Control,
    config: &Config,
    directory: &DataDirectory,
    former: Option<AdminFile>,
) -> Result<(), Error> {
    let reset = control.reset_administrator().await?;
    let own_ca = config.certificate_file.is_none().then(|| directory.tls().join("ca.pem"));
    let (endpoint, ca_file) = match former {
        Some(former) => (former.endpoint, former.ca_file),
        // The next start writes the right one.
        None => ("https://localhost:8443".to_owned(), config.ca_file.clone().or(own_ca)),
    };
    let secret = reset.client_secret.expose_secret().to_owned();
    let file = AdminFile::new(endpoint, ca_file, reset.tenant, reset.subscription, reset.client_id, secret);
    file.replace(&directory.admin_file())?;
    Ok(control.administrator_is_delivered().await?)
}

/// Where a one-time link leads.
fn setup_url(endpoint: &str, link: &OneTimeLink) -> SecretString {
    SecretString::from(format!("{endpoint}/setup?code={}", link.code.expose_secret()))
}

/// Makes a new one-time link for the first tenant, in a data directory that no server uses.
///
/// # Errors
/// As [`reset_administrator`].
pub(crate) async fn reset_link(data_dir: &Path, config: &Config) -> Result<SecretString, Error> {
    let directory = DataDirectory::lock_existing(data_dir, config)?;
    let endpoint = AdminFile::read(&directory.admin_file())
        .map_or_else(|_| "https://localhost:8443".to_owned(), |file| file.endpoint);
    let gallery = Gallery::open(config, &directory).await?;
    gallery.control.take_over().await?;
    let made = async {
        let tenant = gallery.control.bootstrapped().await?.tenant;
        gallery.control.reset_link(tenant).await
    };
    let made = made.await;
    gallery.control.shutdown().await;
    Ok(setup_url(&endpoint, &made?))
}

/// Prints where to go next, once connections are taken.
async fn greet(handle: Handle<SocketAddr>, welcome: String) {
    use std::io::Write;
    if handle.listening().await.is_some() {
        let mut out = std::io::stdout().lock();
        // Nobody may be reading.
        let _ = out.write_all(welcome.as_bytes()).and_then(|()| out.flush());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::config::Host;

    fn check(hosts: &[&str], address: &str, expected: &str) {
        let hosts = hosts.iter().map(|host| Host::try_from((*host).to_owned()).unwrap()).collect();
        let config = Config { hosts, ..Config::default() };
        assert_eq!(endpoint(&config, address.parse().unwrap()), expected);
    }

    #[test]
    fn the_endpoint_is_what_clients_reach() {
        check(&[], "127.0.0.1:8443", "https://localhost:8443");
        check(&[], "[::1]:8443", "https://localhost:8443");
        check(&[], "0.0.0.0:8443", "https://localhost:8443");
        check(&[], "10.1.2.3:8443", "https://10.1.2.3:8443");
        check(&["gallery.example.com", "other"], "0.0.0.0:8443", "https://gallery.example.com:8443");
        check(&["gallery.example.com:443"], "0.0.0.0:8443", "https://gallery.example.com");
        check(&["fd00::1"], "0.0.0.0:8443", "https://[fd00::1]:8443");
    }
}
