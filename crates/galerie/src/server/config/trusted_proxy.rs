//! Whom the server believes when it says whose request it hands on.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::Deserialize;

/// An address, `"10.0.0.5"`, or a network, `"10.0.0.0/8"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct TrustedProxy(pub(crate) IpNet);

impl TryFrom<String> for TrustedProxy {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let network = text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
        let invalid =
            || format!("\"{text}\" is neither an address such as \"10.0.0.5\" nor a network such as \"10.0.0.0/8\"");
        network.map(Self).ok_or_else(invalid)
    }
}
