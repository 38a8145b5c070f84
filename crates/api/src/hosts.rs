//! Which hosts this server answers for, and what follows from that: absolute URLs, audiences, issuers.
//!
//! A browser can be led to any name that resolves to us (DNS rebinding), and a URL that we build goes into tokens and
//! links. So the `Host` of a request is accepted only when it is configured, a loopback name or the listen address, and
//! every absolute URL is built from the accepted one.

use std::{collections::BTreeSet, fmt, net::SocketAddr};

/// Longest `Host` that is looked at: a DNS name has 253 characters, a port 5.
const LONGEST_HOST_BYTES: usize = 260;
/// What people and clients call the machine they are on.
const LOOPBACK_NAMES: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];
/// The public cloud's audiences for Azure Resource Manager, which clients without a configured audience ask for.
const PUBLIC_AUDIENCES: [&str; 2] = ["https://management.azure.com", "https://management.core.windows.net"];

/// The public cloud's names of Graph: Microsoft's and its predecessor's.
const PUBLIC_GRAPH: [&str; 2] = ["https://graph.microsoft.com", "https://graph.windows.net"];

/// The hosts of this server.
#[derive(Debug, Clone)]
pub(crate) struct Hosts {
    names: BTreeSet<String>,
    names_with_port: BTreeSet<String>,
}

/// A `Host` that we answer for, as the client wrote it, in small letters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AcceptedHost(String);

impl AcceptedHost {
    /// `https://HOST`, without a slash at the end.
    pub(crate) fn url(&self) -> String {
        format!("https://{}", self.0)
    }

    /// The host and, if there is one, the port.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is a name of the machine itself.
    pub(crate) fn is_loopback(&self) -> bool {
        split_port(&self.0).is_some_and(|(name, _)| LOOPBACK_NAMES.contains(&name))
    }
}

impl fmt::Display for AcceptedHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Hosts {
    /// The configured hosts, loopback, and the address that is listened on unless that is every address.
    pub(crate) fn new(configured: &[String], listen: SocketAddr) -> Self {
        let mut names: BTreeSet<String> = LOOPBACK_NAMES.iter().map(|name| (*name).to_owned()).collect();
        let mut names_with_port = BTreeSet::new();
        for host in configured {
            let host = host.trim().to_ascii_lowercase();
            match split_port(&host) {
                Some((_, Some(_))) => names_with_port.insert(host),
                _ => names.insert(host),
            };
        }
        if !listen.ip().is_unspecified() {
            names.insert(match listen {
                SocketAddr::V4(address) => address.ip().to_string(),
                SocketAddr::V6(address) => format!("[{}]", address.ip()),
            });
        }
        Self { names, names_with_port }
    }

    /// The host, if it is one of ours.
    pub(crate) fn accept(&self, host: &str) -> Option<AcceptedHost> {
        if host.len() > LONGEST_HOST_BYTES {
            return None;
        }
        let host = host.to_ascii_lowercase();
        let (name, _) = split_port(&host)?;
        (self.names.contains(name) || self.names_with_port.contains(&host)).then_some(AcceptedHost(host))
    }

    /// Whether a token with this audience is good for Azure Resource Manager here.
    pub(crate) fn is_arm_audience(&self, audience: &str) -> bool {
        let resource = audience.strip_suffix('/').unwrap_or(audience);
        PUBLIC_AUDIENCES.contains(&resource) || self.accept_url(resource).is_some_and(|(_, path)| path.is_empty())
    }

    /// Whether a token with this audience is good for Graph here.
    pub(crate) fn is_graph_audience(&self, audience: &str) -> bool {
        let resource = audience.strip_suffix('/').unwrap_or(audience);
        PUBLIC_GRAPH.contains(&resource) || self.accept_url(resource).is_some_and(|(_, path)| path == "/msgraph")
    }

    /// Whether this is an issuer's name of ours for `tenant`.
    pub(crate) fn is_issuer(&self, issuer: &str, tenant: &str) -> bool {
        let Some((_, path)) = self.accept_url(issuer) else { return false };
        path == format!("/{tenant}/") || path == format!("/{tenant}/v2.0") || path == "/adfs"
    }

    /// Host and path of an `https` URL, if the host is one of ours.
    pub(crate) fn accept_url<'a>(&self, url: &'a str) -> Option<(AcceptedHost, &'a str)> {
        let rest = url.strip_prefix("https://")?;
        let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        Some((self.accept(host)?, path))
    }
}

/// Name and port; `None` when it cannot be a host. An IPv6 address stands between brackets.
fn split_port(host: &str) -> Option<(&str, Option<u16>)> {
    let end_of_name = if host.starts_with('[') { host.find(']')? + 1 } else { host.find(':').unwrap_or(host.len()) };
    let (name, port) = host.split_at(end_of_name);
    match port.strip_prefix(':') {
        _ if name.is_empty() => None,
        None if port.is_empty() => Some((name, None)),
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => Some((name, Some(digits.parse().ok()?))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts() -> Hosts {
        let configured = ["gallery.example.com".to_owned(), "Other.example:9443".to_owned()];
        Hosts::new(&configured, "10.1.2.3:8443".parse().expect("an address"))
    }

    #[test]
    fn accepts_what_is_ours_and_nothing_else() {
        for host in ["localhost:8443", "LOCALHOST", "127.0.0.1:1", "[::1]:8443", "10.1.2.3:8443", "gallery.example.com"]
        {
            assert!(hosts().accept(host).is_some(), "{host}");
        }
        for host in ["gallery.example.com:99", "other.example:9443"] {
            assert!(hosts().accept(host).is_some(), "{host}");
        }
        let long = format!("{}.example", "a".repeat(300));
        for host in [
            "",
            ":8443",
            "evil.example",
            "other.example",
            "localhost:x",
            "localhost:99999",
            "[::1",
            "a@localhost",
            &long,
        ] {
            assert_eq!(hosts().accept(host), None, "{host}");
        }
        let everywhere = Hosts::new(&[], "0.0.0.0:8443".parse().expect("an address"));
        assert_eq!(everywhere.accept("0.0.0.0:8443"), None);
    }

    #[test]
    fn audiences_with_and_without_a_slash() {
        for audience in
            ["https://management.azure.com", "https://management.core.windows.net/", "https://localhost:8443/"]
        {
            assert!(hosts().is_arm_audience(audience), "{audience}");
        }
        for audience in
            ["https://graph.microsoft.com", "https://localhost:8443/msgraph", "http://localhost", "https://evil/", ""]
        {
            assert!(!hosts().is_arm_audience(audience), "{audience}");
        }
    }

    #[test]
    fn issuers_name_the_tenant() {
        for issuer in ["https://localhost:1/t/", "https://127.0.0.1/t/v2.0", "https://localhost/adfs"] {
            assert!(hosts().is_issuer(issuer, "t"), "{issuer}");
        }
        for issuer in ["https://localhost:1/u/", "https://evil/t/v2.0", "https://localhost/t"] {
            assert!(!hosts().is_issuer(issuer, "t"), "{issuer}");
        }
    }
}
