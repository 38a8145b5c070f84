//! The HTTPS listener: HTTP/1.1 and HTTP/2, with a limit on how long a client may take to say something.

use std::{
    net::{SocketAddr, TcpListener, ToSocketAddrs},
    time::Duration,
};

use axum::Router;
use axum_server::{Handle, accept::NoDelayAcceptor, tls_rustls::RustlsAcceptor, tls_rustls::RustlsConfig};

use super::Error;

const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// From the handshake's end to the first request's headers.
const FIRST_REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// Also how long a connection may idle between requests; longer than the clients' pools keep one (60 s at most).
const HEADER_TIMEOUT: Duration = Duration::from_secs(75);
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(20);
/// Requests under way on one HTTP/2 connection.
const STREAMS_MAX: u32 = 128;
/// How much a client may send ahead of what was read: of one request, and of all of a connection.
const STREAM_WINDOW_BYTES: u32 = 2 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 8 << 20;

/// Listens on `HOST:PORT`. The listener takes no connection before it is served.
///
/// # Errors
/// `Listen`, when the address is none or cannot be had.
pub(crate) fn bind(address: &str) -> Result<(TcpListener, SocketAddr), Error> {
    let failed = |source| Error::Listen { address: address.to_owned(), source };
    let addresses: Vec<SocketAddr> = address.to_socket_addrs().map_err(failed)?.collect();
    let listener = TcpListener::bind(addresses.as_slice()).map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

/// Serves until `handle` is told to stop; then requests under way end within the time given there.
///
/// # Errors
/// `Io`, when the listener fails for good.
pub(crate) async fn serve(
    listener: TcpListener,
    tls: RustlsConfig,
    routes: Router,
    handle: Handle<SocketAddr>,
) -> Result<(), Error> {
    let failed = |source| Error::io("serve HTTPS", source);
    let acceptor = RustlsAcceptor::new(tls).handshake_timeout(HANDSHAKE_TIMEOUT).acceptor(NoDelayAcceptor::new());
    let mut server = axum_server::from_tcp(listener)
        .map_err(failed)?
        .acceptor(acceptor)
        .handle(handle)
        .first_request_timeout(FIRST_REQUEST_TIMEOUT)
        .accept_error_handler(|peer, error| tracing::debug!(?peer, %error, "connection not accepted"));
    server.http_builder().http1().header_read_timeout(HEADER_TIMEOUT);
    server
        .http_builder()
        .http2()
        .max_concurrent_streams(STREAMS_MAX)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .keep_alive_interval(KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT);
    server.serve(routes.into_make_service_with_connect_info::<SocketAddr>()).await.map_err(failed)
}
