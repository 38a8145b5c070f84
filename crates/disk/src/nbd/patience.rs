//! How long a connection's thread looks for the next request before it sleeps.
//!
//! A processor that sleeps takes some 20 µs to wake up, in a virtual machine more, which is longer than a cached read takes;
//! so QEMU's event loop and KVM's halts look again for a while before they sleep, and so does this. The while adapts: it
//! grows while requests come soon after a reply, and is nothing for a guest that is idle or slow. At most half of the
//! processors look at once, and none where there is only one: the client may need it.

use std::{
    num::NonZero,
    sync::{
        LazyLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

/// Nobody who takes longer is looked out for.
const LONGEST: Duration = Duration::from_micros(100);
/// The first while.
const SHORTEST: Duration = Duration::from_micros(10);

/// One thread's patience.
#[derive(Debug, Default)]
pub(super) struct Patience {
    window: Duration,
}

impl Patience {
    /// How long to look before sleeping.
    pub(super) fn window(&self) -> Duration {
        self.window
    }

    /// Learns from how long it took, looking and sleeping together, until something came.
    pub(super) fn learn(&mut self, took: Duration) {
        if took <= self.window {
            return;
        }
        self.window = if took < LONGEST {
            (self.window * 2).clamp(SHORTEST, LONGEST)
        } else {
            // Twice forgotten is gone.
            Some(self.window / 2).filter(|window| *window >= SHORTEST).unwrap_or_default()
        };
    }
}

static LOOKING: AtomicUsize = AtomicUsize::new(0);
static LOOKING_MAX: LazyLock<usize> =
    LazyLock::new(|| std::thread::available_parallelism().map_or(1, NonZero::get) / 2);

/// The right to keep a processor busy with looking; given back when dropped.
#[derive(Debug)]
pub(super) struct Looking(());

impl Looking {
    /// `None` when as many look as may.
    pub(super) fn begin() -> Option<Self> {
        if LOOKING.fetch_add(1, Ordering::Relaxed) < *LOOKING_MAX {
            return Some(Self(()));
        }
        LOOKING.fetch_sub(1, Ordering::Relaxed);
        None
    }
}

impl Drop for Looking {
    fn drop(&mut self) {
        LOOKING.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(waits_us: &[u64]) -> Duration {
        let mut patience = Patience::default();
        waits_us.iter().for_each(|wait| patience.learn(Duration::from_micros(*wait)));
        patience.window()
    }

    #[test]
    fn grows_to_what_a_busy_client_takes_and_no_further() {
        assert_eq!(after(&[]), Duration::ZERO);
        assert_eq!(after(&[30]), SHORTEST);
        assert_eq!(after(&[30, 30, 30]), Duration::from_micros(40));
        assert_eq!(after(&[30; 100]), Duration::from_micros(40));
        assert_eq!(after(&[99; 100]), LONGEST);
    }

    #[test]
    fn an_idle_client_is_not_looked_out_for() {
        assert_eq!(after(&[1_000_000; 10]), Duration::ZERO);
        let busy_then_idle = [[30; 10], [5000; 10]].concat();
        assert_eq!(after(&busy_then_idle), Duration::ZERO);
        // One slow answer among many makes it look shorter, not stop.
        assert_eq!(after(&[30, 30, 30, 5000]), Duration::from_micros(20));
    }

    #[test]
    fn no_more_than_half_of_the_processors_look() {
        let mut looking = Vec::new();
        while let Some(one) = Looking::begin() {
            looking.push(one);
        }
        // Other tests of this process may look, too.
        assert!(looking.len() <= *LOOKING_MAX);
        assert!(Looking::begin().is_none());
        looking.clear();
        assert_eq!(Looking::begin().is_some(), *LOOKING_MAX > 0);
    }
}
