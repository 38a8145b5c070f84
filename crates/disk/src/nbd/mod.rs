//! NBD: disks over a Unix socket, read-only, for virtual machines and copy tools.
//!
//! Source: the NBD project's `doc/proto.md`. Fixed newstyle handshake; structured replies, block status
//! (`base:allocation`) and extended headers when the client asks for them; several connections to one export.
//!
//! ```text
//!   bind ----> Listener --accept--> handshake (timed) --GO/EXPORT_NAME--> transmission --DISC, cancel--> closed
//!                                        |  ABORT, a broken rule, timeout                                   ^
//!                                        +-----------------------------------------------------------------+
//! ```
//!
//! One thread per connection decodes requests out of a buffer, answers cached reads at once, and sends all replies that are
//! ready with one vectored write of the cache's own memory. A read that is not cached runs in the same thread when it
//! comes alone or last, and in a task of its own before others. What a client can make us hold is bounded by `MAX_IN_FLIGHT_*` per
//! connection.
//!
//! It does not do TLS, TCP or writes: guests write to an overlay that QEMU keeps.

mod handshake;
mod options;
mod patience;
mod protocol;
mod reply;
mod request;
mod server;
mod socket;
mod thread;
mod transmission;

pub use handshake::{serve_connection, serve_socket};
pub use server::{Export, Exports, Listener};
