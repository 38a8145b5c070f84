//! Time, through an interface, so that a test can move it.

use std::time::{SystemTime, UNIX_EPOCH};

/// Where the present comes from.
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// Milliseconds since the Unix epoch.
    fn now_ms(&self) -> i64;

    /// Whether this is the machine's clock, in whose place a catalogue that processes share goes by the database's. A test's
    /// clock stays what it is.
    fn is_the_machines(&self) -> bool {
        false
    }
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now_ms(&self) -> i64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    }

    fn is_the_machines(&self) -> bool {
        true
    }
}
