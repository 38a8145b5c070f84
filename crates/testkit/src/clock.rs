//! A clock that a test moves.

use std::sync::atomic::{AtomicI64, Ordering};

use galerie_control::{Clock, SystemClock};

/// Stands still until it is moved. Starts at the machine's time, so that what checks tokens elsewhere agrees.
#[derive(Debug)]
pub struct VirtualClock(AtomicI64);

impl VirtualClock {
    /// A clock that stands at the present.
    #[must_use]
    pub fn now() -> Self {
        Self(AtomicI64::new(SystemClock.now_ms()))
    }

    /// Moves time on.
    pub fn advance_ms(&self, ms: i64) {
        self.0.fetch_add(ms, Ordering::SeqCst);
    }
}

impl Clock for VirtualClock {
    fn now_ms(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }
}
