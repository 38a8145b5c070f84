//! A bucket of tokens: each request takes one, and they come back at a steady rate.

use super::ledger::Account;

/// Tokens are kept in thousandths, so that a rate in seconds is exact by the millisecond.
const WHOLE: i64 = 1000;

/// How large a bucket is and how fast it fills.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rate {
    /// Tokens that it holds.
    pub(super) size: i64,
    /// Tokens that come back in a second.
    pub(super) per_s: i64,
}

/// A bucket.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bucket {
    rate: Rate,
    thousandths: i64,
    filled_ms: i64,
}

impl Bucket {
    pub(super) fn full(rate: Rate, now_ms: i64) -> Self {
        Self { rate, thousandths: rate.size * WHOLE, filled_ms: now_ms }
    }

    /// Puts in what has come back since the last time; nothing when the clock was put back.
    pub(super) fn refill(&mut self, now_ms: i64) {
        self.thousandths = self.thousandths_at(now_ms);
        self.filled_ms = now_ms;
    }

    fn thousandths_at(&self, now_ms: i64) -> i64 {
        let elapsed_ms = now_ms.saturating_sub(self.filled_ms).max(0);
        let come_back = elapsed_ms.saturating_mul(self.rate.per_s);
        self.thousandths.saturating_add(come_back).min(self.rate.size * WHOLE)
    }

    /// In how many seconds there is a token; `None` when there is one now.
    pub(super) fn wait_s(&self) -> Option<u64> {
        let missing = WHOLE - self.thousandths;
        (missing > 0).then(|| u64::try_from(missing).unwrap_or(0).div_ceil((self.rate.per_s * WHOLE).unsigned_abs()))
    }

    /// Takes a token, which must be there.
    pub(super) fn take(&mut self) {
        debug_assert!(self.thousandths >= WHOLE, "a token is asked for first");
        self.thousandths -= WHOLE;
    }

    /// Whole tokens.
    pub(super) fn left(&self) -> i64 {
        self.thousandths / WHOLE
    }
}

impl Account for Bucket {
    fn is_as_new(&self, now_ms: i64) -> bool {
        self.thousandths_at(now_ms) == self.rate.size * WHOLE
    }

    fn used_ms(&self) -> i64 {
        self.filled_ms
    }
}
