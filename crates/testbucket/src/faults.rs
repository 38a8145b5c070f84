//! What goes wrong on a server, decided by a seed.

use std::sync::atomic::{AtomicU64, Ordering};

/// How a server treats `If-None-Match` on a PUT.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ConditionalPuts {
    /// As Amazon's does: the one that comes second is refused.
    #[default]
    Honoured,
    /// It says that it does not know the header.
    Refused,
    /// It never looks at the header, and overwrites.
    Ignored,
}

/// Whether the bucket is where it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Bucket {
    /// It is.
    #[default]
    There,
    /// The server says that there is no such bucket.
    Gone,
    /// Something else answers, a proxy perhaps, that finds nothing whatever it is asked for.
    Unknown,
}

/// How often what goes wrong, each in requests of a thousand.
#[derive(Debug, Clone, Copy, Default)]
pub struct Faults {
    /// Decides which requests; the same seed and the same sequence of requests give the same faults.
    pub seed: u64,
    /// `503 SlowDown`, and nothing was done.
    pub throttled_per_mille: u64,
    /// `500 InternalError`, and nothing was done.
    pub failed_per_mille: u64,
    /// The connection ends without an answer, and nothing was done.
    pub dropped_per_mille: u64,
    /// The connection ends without an answer although everything was done.
    pub unanswered_per_mille: u64,
    /// The answer comes late.
    pub slow_per_mille: u64,
    /// How PUTs that create only are treated.
    pub conditional_puts: ConditionalPuts,
    /// Where the bucket is.
    pub bucket: Bucket,
}

/// What happens to one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Answered,
    Throttled,
    Failed,
    Dropped,
    Unanswered,
    Slow,
}

/// Draws fates.
#[derive(Debug)]
pub(crate) struct Fates {
    pub(crate) faults: Faults,
    state: AtomicU64,
}

impl Fates {
    pub(crate) fn new(faults: Faults) -> Self {
        Self { faults, state: AtomicU64::new(faults.seed) }
    }

    /// One request, one draw: what went wrong before does not change what goes wrong next.
    pub(crate) fn draw(&self) -> Fate {
        let faults = &self.faults;
        let mut number = self.next() % 1000;
        for (per_mille, fate) in [
            (faults.throttled_per_mille, Fate::Throttled),
            (faults.failed_per_mille, Fate::Failed),
            (faults.dropped_per_mille, Fate::Dropped),
            (faults.unanswered_per_mille, Fate::Unanswered),
            (faults.slow_per_mille, Fate::Slow),
        ] {
            if number < per_mille {
                return fate;
            }
            number -= per_mille;
        }
        Fate::Answered
    }

    /// The next number of SplitMix64 (Steele, Lea, Flood 2014).
    fn next(&self) -> u64 {
        const STEP: u64 = 0x9E37_79B9_7F4A_7C15;
        let mut z = self.state.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}
