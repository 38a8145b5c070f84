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
    /// Sets both, unless less of the whole would be done than before: who watches sees it wait, not go back, while more turns
    /// out to be to do.
    pub(super) fn set(&self, total_bytes: u64, done_bytes: u64) {
        let (total_before, done_before) = self.figures();
        let is_less =
            u128::from(done_bytes) * u128::from(total_before) < u128::from(done_before) * u128::from(total_bytes);
        if is_less || (total_bytes == 0 && total_before > 0) {
            return;
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_waits_and_never_goes_back() {
        let progress = Progress::default();
        let percent = |total, done| {
            progress.set(total, done);
            progress.percent()
        };
        assert_eq!([percent(0, 10), percent(100, 10), percent(200, 15), percent(200, 50)], [0, 10, 10, 25]);
        assert_eq!([percent(0, 0), percent(200, 200), percent(400, 399)], [25, 99, 99]);
        assert_eq!(progress.figures(), (200, 200));
    }
}
