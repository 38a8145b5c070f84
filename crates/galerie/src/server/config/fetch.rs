//! `[fetch]`: what users' links may have this server fetch.

use std::{net::IpAddr, path::PathBuf};

use ipnet::IpNet;
use serde::Deserialize;

/// The largest package that Azure takes.
const MAX_BYTES: u64 = 2 << 30;
const TIMEOUT_S: u64 = 60 * 60;

/// What is fetched, and from where.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct FetchConfig {
    /// Addresses that are not public and may be asked all the same, and which may be asked by http.
    pub(crate) allow: Vec<AllowedRange>,
    /// The most that is fetched of one link.
    pub(crate) max_bytes: u64,
    /// How long fetching one link may take.
    pub(crate) timeout_s: u64,
    /// Authorities (PEM) that are trusted beside the system's.
    pub(crate) ca_file: Option<PathBuf>,
}

impl Default for FetchConfig {
    fn default() -> Self {
        Self { allow: Vec::new(), max_bytes: MAX_BYTES, timeout_s: TIMEOUT_S, ca_file: None }
    }
}

impl FetchConfig {
    pub(super) fn check(&self) -> Result<(), String> {
        if self.max_bytes == 0 || self.timeout_s == 0 {
            return Err("max_bytes and timeout_s of [fetch] are at least 1".to_owned());
        }
        Ok(())
    }
}

/// An address, or a range of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct AllowedRange(IpNet);

impl AllowedRange {
    /// Whether an address is in it; one that is written as an IPv6 address is the IPv4 address that it means.
    pub(crate) fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
    }
}

impl TryFrom<String> for AllowedRange {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let range = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
        range.map(Self).map_err(|_| format!("'{text}' is neither an address nor a range such as 10.0.0.0/8"))
    }
}
