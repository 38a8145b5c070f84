//! How long work took: on the clock, and on the processors.

use std::time::Instant;

use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

/// What a piece of work took. On a machine that others use too, the processor time is the fairer of the two.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Took {
    /// On the clock.
    pub(crate) wall_s: f64,
    /// On all processors, by this process, user and system.
    pub(crate) cpu_s: f64,
}

/// A clock that was started.
pub(crate) struct Stopwatch {
    started: Instant,
    cpu_s: f64,
}

impl Stopwatch {
    pub(crate) fn start() -> Self {
        Self { started: Instant::now(), cpu_s: process_cpu_s() }
    }

    pub(crate) fn took(&self) -> Took {
        Took { wall_s: self.started.elapsed().as_secs_f64(), cpu_s: process_cpu_s() - self.cpu_s }
    }
}

fn process_cpu_s() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// The shortest wall time and the least processor time of several runs: what is left when nobody else is in the way.
pub(crate) fn best(runs: &[Took]) -> Took {
    let least = |of: fn(&Took) -> f64| runs.iter().map(of).fold(f64::INFINITY, f64::min);
    Took { wall_s: least(|took| took.wall_s), cpu_s: least(|took| took.cpu_s) }
}
