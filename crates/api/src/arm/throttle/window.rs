//! How many requests of an operation group came in three minutes, and in half an hour.
//!
//! A window begins with its first request and ends after its time; the next request begins another. Public answers of the real
//! service show its names, its figures, and a beginning and an end; how exactly its windows follow each other they do not.

use galerie_arm::error::Overdrawn;

use super::{group::Group, ledger::Account};

/// The windows: what names add, and for how long, in ms.
const LENGTHS: [(&str, i64); 2] = [("3Min", 3 * 60 * 1000), ("30Min", 30 * 60 * 1000)];

/// The windows of a group in a subscription.
#[derive(Debug)]
pub(super) struct Windows {
    windows: [Window; 2],
    used_ms: i64,
}

#[derive(Debug, Clone, Copy)]
struct Window {
    begin_ms: i64,
    requests: u32,
}

impl Windows {
    pub(super) fn new(now_ms: i64) -> Self {
        Self { windows: [Window { begin_ms: now_ms, requests: 0 }; 2], used_ms: now_ms }
    }

    /// Counts a request; the budgets that it overdraws.
    pub(super) fn count(&mut self, group: &Group, now_ms: i64) -> Vec<Overdrawn> {
        self.used_ms = now_ms;
        let mut overdrawn = Vec::new();
        for (window, (suffix, length_ms), allowed) in self.with_budgets(group) {
            if window.is_over(length_ms, now_ms) {
                *window = Window { begin_ms: now_ms, requests: 0 };
            }
            window.requests = window.requests.saturating_add(1);
            if window.requests > allowed {
                overdrawn.push(Overdrawn {
                    operation_group: format!("{}{suffix}", group.name),
                    begin_ms: window.begin_ms,
                    end_ms: window.begin_ms.saturating_add(length_ms),
                    allowed,
                    measured: window.requests,
                });
            }
        }
        overdrawn
    }

    fn with_budgets(&mut self, group: &Group) -> impl Iterator<Item = (&mut Window, (&'static str, i64), u32)> {
        let (windows, lengths) = (self.windows.iter_mut(), LENGTHS.into_iter());
        windows.zip(lengths).zip(group.requests).map(|((window, length), allowed)| (window, length, allowed))
    }

    /// What is left of each budget, by its name.
    pub(super) fn left(&self, group: &Group) -> [(String, u32); 2] {
        let left = |at: usize| {
            let (suffix, _) = LENGTHS[at];
            (format!("{}{suffix}", group.name), group.requests[at].saturating_sub(self.windows[at].requests))
        };
        [left(0), left(1)]
    }
}

impl Window {
    /// Whether its time is over, or has not come yet: the clock was put back.
    fn is_over(&self, length_ms: i64, now_ms: i64) -> bool {
        now_ms < self.begin_ms || now_ms >= self.begin_ms.saturating_add(length_ms)
    }
}

impl Account for Windows {
    fn is_as_new(&self, now_ms: i64) -> bool {
        self.windows.iter().zip(LENGTHS).all(|(window, (_, length_ms))| window.is_over(length_ms, now_ms))
    }

    fn used_ms(&self) -> i64 {
        self.used_ms
    }
}
