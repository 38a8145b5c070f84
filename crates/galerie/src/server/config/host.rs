//! Hosts, as the configuration names them: what clients call the server, and where other processes reach it.

use std::net::{IpAddr, SocketAddr};

use serde::Deserialize;

/// A name or address of the server, with the port that clients use when it is not the listener's.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Host {
    pub(crate) name: String,
    pub(crate) port: Option<u16>,
}

impl TryFrom<String> for Host {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let invalid = || format!("'{text}' is not a host: use a DNS name or an IP address, without https://");
        // An IPv6 address has colons of its own; with a port it wears brackets.
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self { name: address.to_string(), port: None });
        }
        if let Ok(address) = text.parse::<SocketAddr>() {
            return Ok(Self { name: address.ip().to_string(), port: Some(address.port()) });
        }
        let (name, port) = match text.rsplit_once(':') {
            Some((name, port)) => (name, Some(port.parse().ok().filter(|port| *port != 0).ok_or_else(invalid)?)),
            None => (text.as_str(), None),
        };
        if is_dns_name(name) { Ok(Self { name: name.to_ascii_lowercase(), port }) } else { Err(invalid()) }
    }
}

impl Host {
    /// As URLs and `Host` headers write it: an IPv6 address in brackets, the port if there is one.
    pub(crate) fn authority(&self) -> String {
        let name = match self.name.parse::<std::net::Ipv6Addr>() {
            Ok(address) => format!("[{address}]"),
            Err(_) => self.name.clone(),
        };
        self.port.map_or_else(|| name.clone(), |port| format!("{name}:{port}"))
    }
}

/// Labels of letters, digits and inner dashes (RFC 1123, section 2.1); no wildcard.
fn is_dns_name(name: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    name.len() <= 253 && name.split('.').all(is_label)
}

/// Where another process reaches this one: `https://HOST[:PORT]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct PeerUrl(pub(crate) Host);

impl PeerUrl {
    /// Without a slash at the end.
    pub(crate) fn as_url(&self) -> String {
        format!("https://{}", self.0.authority())
    }
}

impl TryFrom<String> for PeerUrl {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let invalid = || format!("'{text}' is not a process's address, such as https://10.0.0.5:8443");
        let host =
            text.strip_prefix("https://").map(|host| host.strip_suffix('/').unwrap_or(host)).ok_or_else(invalid)?;
        Host::try_from(host.to_owned()).map(Self).map_err(|_| invalid())
    }
}
