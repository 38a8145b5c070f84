//! How far work is, as its lease records it.

use std::{
    pin::pin,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// How often a worker reads how far its region is.
const FOLLOW_EVERY: Duration = Duration::from_millis(200);

/// Written by the worker, read by the keeper of its lease.
#[derive(Debug, Default)]
pub(super) struct Progress {
    total_bytes: AtomicU64,
    done_bytes: AtomicU64,
}

impl Progress {
    /// Sets both.
    pub(super) fn set(&self, total_bytes: u64, done_bytes: u64) {
        self.total_bytes.store(total_bytes, Ordering::Relaxed);
        self.done_bytes.store(done_bytes, Ordering::Relaxed);
    }

    /// Bytes to do in all, 0 until known, and bytes done.
    pub(super) fn figures(&self) -> (u64, u64) {
        let total = self.total_bytes.load(Ordering::Relaxed);
        (total, self.done_bytes.load(Ordering::Relaxed).min(total))
    }

    /// Whole percent; 100 only when the work says so elsewhere.
    pub(super) fn percent(&self) -> u8 {
        match self.figures() {
            (0, _) => 0,
            (total, done) => u8::try_from(u128::from(done) * 100 / u128::from(total)).unwrap_or(99).min(99),
        }
    }
}

/// Does `work`, and calls `update` now and then and at its end.
pub(super) async fn follow<T>(work: impl Future<Output = T>, update: impl Fn()) -> T {
    let mut work = pin!(work);
    loop {
        tokio::select! {
            output = &mut work => {
                update();
                return output;
            }
            () = tokio::time::sleep(FOLLOW_EVERY) => update(),
        }
    }
}
