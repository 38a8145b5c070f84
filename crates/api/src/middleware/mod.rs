//! What every request goes through, outermost first: ids, the client's address, metrics, the log, the audit of refusals, what is
//! left of its body, headers, panics, the host.

pub(crate) mod accepted_host;
pub(crate) mod access_log;
pub(crate) mod audit;
pub(crate) mod catch_panic;
pub(crate) mod client_address;
pub(crate) mod metrics;
pub(crate) mod request_ids;
pub(crate) mod standard_headers;
pub(crate) mod unread_body;
