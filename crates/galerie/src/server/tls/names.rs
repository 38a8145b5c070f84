//! The names that a server's certificate is for.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use serde::{Deserialize, Serialize};

use crate::server::config::Host;

/// DNS names and addresses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Names {
    pub(crate) dns: BTreeSet<String>,
    pub(crate) ip: BTreeSet<IpAddr>,
}

impl Names {
    /// The hosts of the configuration, loopback, and the address that the server listens on, if it is one address.
    pub(crate) fn of(hosts: &[Host], listen: SocketAddr) -> Self {
        let mut names = Self {
            dns: BTreeSet::from(["localhost".to_owned()]),
            ip: BTreeSet::from([IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)]),
        };
        if !listen.ip().is_unspecified() {
            names.ip.insert(listen.ip());
        }
        for host in hosts {
            match host.name.parse() {
                Ok(address) => names.ip.insert(address),
                Err(_) => names.dns.insert(host.name.clone()),
            };
        }
        names
    }

    /// These and those.
    pub(crate) fn and(mut self, other: &Self) -> Self {
        self.dns.extend(other.dns.iter().cloned());
        self.ip.extend(&other.ip);
        self
    }

    /// Whether all of `other` are among these.
    pub(crate) fn include(&self, other: &Self) -> bool {
        self.dns.is_superset(&other.dns) && self.ip.is_superset(&other.ip)
    }
}
