//! What the process that listens tells the HTTP layer.

use std::net::SocketAddr;

/// Everything that is not in the catalogue.
#[derive(Debug, Clone)]
pub struct ApiOptions {
    /// Names that the server answers for beside loopback and the listen address: `gallery.example.com`. With a port, only
    /// that port is meant; without, any, because a forwarder may change it.
    pub hosts: Vec<String>,
    /// Where the server listens.
    pub listen: SocketAddr,
    /// Galerie's version, for people.
    pub version: String,
}
