//! Fetching what users' links name. Everything that a user has this server fetch goes through here.
//!
//! A link is a stranger's wish that a machine inside asks something for him: the cloud's metadata service, a database without a
//! password, this server itself. So the name is looked up here, once for each step of the way; every address is checked
//! ([`address`]); the connection goes to an address that was checked, whatever the name means a moment later; redirects are
//! followed by hand, each checked as the link itself was. No proxy is asked: it would look the name up again.
//!
//! `https` alone, unless the address is one that the configuration allows. How long it may take and how much may come is
//! bounded. Messages name a link without its query, which may hold a signature, and what the other side says is not repeated.

mod address;
mod lookup;

use std::{
    error::Error as _,
    io,
    net::{IpAddr, SocketAddr},
    path::Path,
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, stream};
use galerie_control::{Fetch, FetchError, Fetched, link_without_query};
use reqwest::{
    Certificate, Response, StatusCode, Url,
    dns::{Addrs, Name, Resolve, Resolving},
    header,
    redirect::Policy,
};
use tokio::time::{Instant, timeout, timeout_at};

use self::{
    address::is_public,
    lookup::{Lookup, SystemLookup},
};
use super::{
    Error,
    config::{AllowedRange, FetchConfig},
};
use crate::causes::in_full;

/// Redirects that are followed.
const MOST_REDIRECTS: usize = 5;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the other side may say nothing.
const STALL_TIMEOUT: Duration = Duration::from_secs(60);

/// The way out.
#[derive(Debug, Clone)]
pub(super) struct HttpFetch {
    lookup: Arc<dyn Lookup>,
    allow: Arc<[AllowedRange]>,
    max_bytes: u64,
    timeout: Duration,
    stall_timeout: Duration,
    /// Authorities that are trusted beside the system's.
    authorities: Vec<Certificate>,
}

impl HttpFetch {
    /// # Errors
    /// `Config`, when `ca_file` cannot be used.
    pub(super) fn new(config: &FetchConfig) -> Result<Self, Error> {
        let authorities = config.ca_file.as_deref().map(read_authorities).transpose()?.unwrap_or_default();
        Ok(Self {
            lookup: Arc::new(SystemLookup),
            allow: config.allow.clone().into(),
            max_bytes: config.max_bytes,
            timeout: Duration::from_secs(config.timeout_s),
            stall_timeout: STALL_TIMEOUT,
            authorities,
        })
    }

    /// Asks for a URL and where it leads, until something answers with bytes.
    async fn follow(&self, first: Url) -> Result<(Url, Response), FetchError> {
        let mut url = first;
        for _ in 0..=MOST_REDIRECTS {
            let response = self.ask(&url).await?;
            if !response.status().is_redirection() || response.status() == StatusCode::NOT_MODIFIED {
                return Ok((url, response));
            }
            let location = response.headers().get(header::LOCATION).and_then(|to| to.to_str().ok());
            let Some(next) = location.and_then(|to| url.join(to).ok()) else {
                return Err(FetchError::Final(format!("{} redirects to nowhere", shown(&url))));
            };
            url = next;
        }
        Err(FetchError::Final(format!("{} redirects too often", shown(&url))))
    }

    /// One request, to an address that was checked.
    async fn ask(&self, url: &Url) -> Result<Response, FetchError> {
        let addresses = self.addresses(url).await?;
        let builder = reqwest::Client::builder()
            .redirect(Policy::none())
            .referer(false)
            .no_proxy()
            .dns_resolver(Arc::new(Checked(addresses)))
            .connect_timeout(CONNECT_TIMEOUT)
            .tls_certs_merge(self.authorities.iter().cloned());
        let client = builder.build().map_err(|error| FetchError::Passing(in_full(&error)))?;
        let request = client.get(url.clone()).header(header::ACCEPT_ENCODING, "identity").send();
        let failed = |why: &str| FetchError::Passing(format!("{} cannot be reached: {why}", shown(url)));
        match timeout(self.stall_timeout, request).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => {
                let error = error.without_url();
                tracing::info!(link = shown(url), error = in_full(&error), "a link cannot be reached");
                Err(failed(told(&error)))
            }
            Err(_) => Err(failed("it does not answer")),
        }
    }

    /// The addresses of a URL's host that may be asked. A name must mean allowed addresses alone: one that means others, too, is
    /// somebody's trick or mistake.
    async fn addresses(&self, url: &Url) -> Result<Vec<SocketAddr>, FetchError> {
        let refused = |why: String| FetchError::Final(format!("{} is not asked: {why}", shown(url)));
        if !matches!(url.scheme(), "http" | "https") {
            return Err(refused("it is neither http nor https".to_owned()));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(refused("it has a user in it".to_owned()));
        }
        let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else {
            return Err(refused("it names no host".to_owned()));
        };
        let literal = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        let found: Vec<SocketAddr> = match literal {
            Ok(address) => vec![SocketAddr::new(address, port)],
            Err(_) => {
                let looked_up = timeout(CONNECT_TIMEOUT, self.lookup.addresses(host, port)).await;
                let unknown = || FetchError::Passing(format!("the host of {} is not found", shown(url)));
                looked_up.map_err(|_| unknown())?.map_err(|error| {
                    tracing::info!(%error, host, "look up the host of a link");
                    unknown()
                })?
            }
        };
        for address in &found {
            let is_allowed = self.allow.iter().any(|range| range.contains(address.ip()));
            if !is_allowed && !is_public(address.ip()) {
                // Whoever sends links is not told where a name of this server's network leads. That it is one shows.
                tracing::info!(link = shown(url), address = %address.ip(), "a link leads to an address that is not public");
                let why = "its host is at an address that is not public; [fetch] allow of the server's configuration can \
                           allow it, and the server's log has the address";
                return Err(refused(why.to_owned()));
            }
            if !is_allowed && url.scheme() == "http" {
                let why = "it is http, which anybody on the way can change; https is fetched, and http from what \
                           [fetch] allow of the server's configuration names";
                return Err(refused(why.to_owned()));
            }
        }
        match found.is_empty() {
            true => Err(FetchError::Passing(format!("the host of {} has no address", shown(url)))),
            false => Ok(found),
        }
    }
}

#[async_trait]
impl Fetch for HttpFetch {
    async fn open(&self, url: &str) -> Result<Fetched, FetchError> {
        let until = Instant::now() + self.timeout;
        let url = Url::parse(url).map_err(|_| FetchError::Final("the link is no URL".to_owned()))?;
        let too_slow = FetchError::Passing(format!("{} took longer than {} s", shown(&url), self.timeout.as_secs()));
        let (url, response) = timeout_at(until, self.follow(url)).await.map_err(|_| too_slow.clone())??;
        check_status(&url, response.status())?;
        let length_bytes = response.content_length();
        let too_long = FetchError::Final(format!(
            "{} is longer than {} bytes, the most that is fetched ([fetch] max_bytes)",
            shown(&url),
            self.max_bytes
        ));
        if length_bytes.is_some_and(|length| length > self.max_bytes) {
            return Err(too_long);
        }
        let stalled =
            FetchError::Passing(format!("{} sent nothing for {} s", shown(&url), self.stall_timeout.as_secs()));
        let (most_bytes, stall_timeout) = (self.max_bytes, self.stall_timeout);
        let state = Some((response, 0_u64));
        let body = stream::unfold(state, move |state| {
            let (url, too_slow, too_long, stalled) = (url.clone(), too_slow.clone(), too_long.clone(), stalled.clone());
            async move {
                let (mut response, so_far_bytes) = state?;
                let piece = timeout_at(until, timeout(stall_timeout, response.chunk())).await;
                let piece: Result<Option<Bytes>, FetchError> = match piece {
                    Err(_) => Err(too_slow),
                    Ok(Err(_)) => Err(stalled),
                    Ok(Ok(Err(error))) => {
                        let error = error.without_url();
                        tracing::info!(link = shown(&url), error = in_full(&error), "a link broke off");
                        Err(FetchError::Passing(format!("{} broke off", shown(&url))))
                    }
                    Ok(Ok(Ok(piece))) => Ok(piece),
                };
                match piece {
                    Ok(None) => None,
                    Ok(Some(piece)) if so_far_bytes + piece.len() as u64 > most_bytes => Some((Err(too_long), None)),
                    Ok(Some(piece)) => {
                        let so_far_bytes = so_far_bytes + piece.len() as u64;
                        Some((Ok(piece), Some((response, so_far_bytes))))
                    }
                    Err(error) => Some((Err(error), None)),
                }
            }
        });
        Ok(Fetched { length_bytes, body: body.boxed() })
    }
}

/// What an answer without the bytes means.
fn check_status(url: &Url, status: StatusCode) -> Result<(), FetchError> {
    if status == StatusCode::OK {
        return Ok(());
    }
    let why = format!("{} answered {status}", shown(url));
    let passes =
        status.is_server_error() || matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS);
    Err(if passes { FetchError::Passing(why) } else { FetchError::Final(why) })
}

/// What whoever sent a link is told of a failed request. What there is beyond that, the names in a certificate for one, is in the log.
fn told(error: &reqwest::Error) -> &'static str {
    let mut cause = error.source();
    while let Some(found) = cause {
        if let Some(rustls::Error::InvalidCertificate(_)) = found.downcast_ref() {
            return "its certificate is not trusted; [fetch] ca_file names who else is";
        }
        cause = match found.downcast_ref::<io::Error>() {
            Some(failed) if failed.kind() == io::ErrorKind::ConnectionRefused => return "the connection is refused",
            // An io::Error's source is that of what is in it, which would be passed over.
            Some(failed) => failed.get_ref().map(|inner| inner as &dyn std::error::Error),
            None => found.source(),
        };
    }
    if error.is_connect() { "no connection comes about" } else { "it does not answer as HTTP says" }
}

/// A URL as messages have it.
fn shown(url: &Url) -> String {
    link_without_query(url.as_str()).to_owned()
}

/// Whatever name is asked for, what was checked is answered.
#[derive(Debug)]
struct Checked(Vec<SocketAddr>);

impl Resolve for Checked {
    fn resolve(&self, _name: Name) -> Resolving {
        let addresses = self.0.clone();
        Box::pin(async move { Ok(Box::new(addresses.into_iter()) as Addrs) })
    }
}

fn read_authorities(path: &Path) -> Result<Vec<Certificate>, Error> {
    let failed = |problem: String| Error::Config(format!("fetch: ca_file {}: {problem}", path.display()));
    let pem = std::fs::read(path).map_err(|error| failed(error.to_string()))?;
    Certificate::from_pem_bundle(&pem).map_err(|error| failed(error.to_string()))
}

#[cfg(test)]
mod tests;
