//! What the process that listens tells the HTTP layer.

use std::{net::SocketAddr, sync::Arc};

use ipnet::IpNet;

use crate::{Faults, Forward};

/// Everything that is not in the catalogue.
#[derive(Debug, Clone)]
pub struct ApiOptions {
    /// Names that the server answers for beside loopback and the listen address: `gallery.example.com`. With a port, only
    /// that port is meant; without, any, because a forwarder may change it.
    pub hosts: Vec<String>,
    /// Where the server listens.
    pub listen: SocketAddr,
    /// The proxies that are believed when they say whose request they hand on (`X-Forwarded-For`).
    pub trusted_proxies: Vec<IpNet>,
    /// Galerie's version, for people.
    pub version: String,
    /// Whether users may sign in by a device code.
    pub device_code: bool,
    /// Whose budgets of requests are kept.
    pub throttling: Throttling,
    /// What goes wrong on purpose.
    pub faults: Faults,
    /// The way to the other processes of the catalogue, if there are any.
    pub forward: Option<Arc<dyn Forward>>,
}

/// Whose budgets of requests are kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Throttling {
    /// Nobody's: nothing is throttled.
    #[default]
    Off,
    /// Azure Resource Manager's and its compute provider's.
    Azure,
}
