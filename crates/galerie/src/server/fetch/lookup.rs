//! What hosts' names mean.

use std::{io, net::SocketAddr};

use async_trait::async_trait;

/// Knows the addresses of names. Asked once for each request: what a name means a moment later does not matter.
#[async_trait]
pub(super) trait Lookup: Send + Sync + std::fmt::Debug {
    /// The addresses of a host.
    ///
    /// # Errors
    /// When nobody knows.
    async fn addresses(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>>;
}

/// As the system says.
#[derive(Debug)]
pub(super) struct SystemLookup;

#[async_trait]
impl Lookup for SystemLookup {
    async fn addresses(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        Ok(tokio::net::lookup_host((host, port)).await?.collect())
    }
}
