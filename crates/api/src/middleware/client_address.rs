//! Whose address a request comes from, for the audit and for slowing whoever guesses.
//!
//! It is the connection's, unless that belongs to a proxy that the configuration trusts (`trusted_proxies`): then it is the
//! last address in `X-Forwarded-For` that is no trusted proxy itself. Anybody can write that header, so from everybody else
//! it is ignored.

use std::net::{IpAddr, SocketAddr};

use axum::{
    extract::{ConnectInfo, Request, State},
    http::{Extensions, HeaderMap, HeaderName, HeaderValue},
    middleware::Next,
    response::Response,
};
use ipnet::IpNet;

use crate::state::ApiState;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// Most addresses that are looked at; a longer way than this has no request.
const MOST_HOPS: usize = 32;

/// Where a request comes from, among its extensions; absent when there is no connection to ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ClientAddress(pub(crate) IpAddr);

impl ClientAddress {
    /// A request's, if it is known.
    pub(crate) fn of(request: &Request) -> Option<IpAddr> {
        Self::among(request.extensions())
    }

    /// The same, of a request that was taken apart.
    pub(crate) fn among(extensions: &Extensions) -> Option<IpAddr> {
        extensions.get::<Self>().map(|address| address.0)
    }
}

/// Notes the address.
pub(crate) async fn layer(State(state): State<ApiState>, mut request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0.ip().to_canonical());
    if let Some(peer) = peer {
        let address = ClientAddress(client(peer, request.headers(), &state.options.trusted_proxies));
        request.extensions_mut().insert(address);
    }
    next.run(request).await
}

/// Tells the process that a request is handed on to where it comes from.
pub(crate) fn hand_on(request: &mut Request) {
    let told = ClientAddress::of(request).and_then(|address| HeaderValue::from_str(&address.to_string()).ok());
    match told {
        Some(address) => request.headers_mut().insert(FORWARDED_FOR, address),
        None => request.headers_mut().remove(FORWARDED_FOR),
    };
}

/// The client's address, seen from a connection of `peer`'s.
fn client(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let is_trusted = |address: &IpAddr| trusted.iter().any(|network| network.contains(address));
    if !is_trusted(&peer) {
        return peer;
    }
    let named = headers.get_all(FORWARDED_FOR).iter().rev();
    let hops = named.flat_map(|value| value.to_str().unwrap_or_default().rsplit(',').map(str::trim)).take(MOST_HOPS);
    let mut farthest = peer;
    for hop in hops {
        // What a trusted proxy did not understand is not a way to hide behind it.
        let Some(address) = parse(hop) else { break };
        farthest = address;
        if !is_trusted(&address) {
            break;
        }
    }
    farthest
}

/// An address as proxies write it, some of them with a port.
fn parse(text: &str) -> Option<IpAddr> {
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    let address = bare.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()));
    address.map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(peer: &str, forwarded: &[&str], expected: &str) {
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append(FORWARDED_FOR, HeaderValue::from_str(value).unwrap());
        }
        let trusted: Vec<IpNet> = ["10.0.0.0/8", "::1/128"].iter().map(|network| network.parse().unwrap()).collect();
        let found = client(peer.parse().unwrap(), &headers, &trusted);
        assert_eq!(found.to_string(), expected, "{peer} {forwarded:?}");
    }

    #[test]
    fn a_stranger_cannot_say_who_he_is() {
        check("192.0.2.7", &[], "192.0.2.7");
        check("192.0.2.7", &["198.51.100.1"], "192.0.2.7");
    }

    #[test]
    fn a_trusted_proxy_is_believed_and_no_further() {
        check("10.1.1.1", &["198.51.100.1"], "198.51.100.1");
        check("::1", &["[2001:db8::5]:4711"], "2001:db8::5");
        // The client wrote the first address itself.
        check("10.1.1.1", &["203.0.113.9, 198.51.100.1, 10.2.2.2"], "198.51.100.1");
        check("10.1.1.1", &["203.0.113.9", "198.51.100.1"], "198.51.100.1");
    }

    #[test]
    fn what_cannot_be_read_ends_the_way() {
        check("10.1.1.1", &["198.51.100.1, unknown"], "10.1.1.1");
        check("10.1.1.1", &[""], "10.1.1.1");
        check("10.1.1.1", &["10.3.3.3"], "10.3.3.3");
    }
}
