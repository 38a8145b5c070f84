//! How guessing is slowed: a pause after wrong passwords, per user and per address. It is never a lock.
//!
//! A user's wrong passwords are counted in the catalogue, before the password is compared, so that neither a restart nor
//! asking many times at once buys a guess. What addresses did is this process's alone and bounded.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use uuid::Uuid;

use crate::db::user::Failures;

/// Wrong passwords in a row that cost nothing.
const FREE_FAILURES: u32 = 5;
/// The pause after the first one that does; it doubles.
const FIRST_PAUSE_MS: i64 = 2_000;
const LONGEST_PAUSE_MS: i64 = 60_000;

/// What one address may get wrong in a window.
const ADDRESS_FAILURES: u32 = 30;
const ADDRESS_WINDOW_MS: i64 = 5 * 60 * 1000;
/// Addresses that are remembered, and users with the addresses they came from.
const MOST_REMEMBERED: usize = 10_000;

/// Until when a user's next attempt must wait; `None` when it need not.
pub(super) fn paused_until(failures: Failures, now_ms: i64) -> Option<i64> {
    let beyond = failures.count.checked_sub(FREE_FAILURES)?;
    let pause_ms = FIRST_PAUSE_MS.saturating_mul(1 << beyond.min(16)).min(LONGEST_PAUSE_MS);
    // A clock that was put back must not make a pause of years.
    let until_ms = failures.last_ms.min(now_ms).saturating_add(pause_ms);
    (until_ms > now_ms).then_some(until_ms)
}

/// What addresses did.
#[derive(Debug, Default)]
pub(super) struct Addresses(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    windows: HashMap<String, Window>,
    /// Where users signed in from, which others' guesses do not hold up.
    known: HashMap<(Uuid, String), i64>,
    /// Names that nobody has, folded. They are slowed like users, or the pause would tell which names there are.
    nobodys: HashMap<String, Failures>,
}

#[derive(Debug)]
struct Window {
    began_ms: i64,
    failures: u32,
}

impl Addresses {
    /// Until when an address must wait.
    pub(super) fn paused_until(&self, address: &str, now_ms: i64) -> Option<i64> {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let window = state.windows.get(address)?;
        let until_ms = window.began_ms.saturating_add(ADDRESS_WINDOW_MS);
        (window.failures >= ADDRESS_FAILURES && until_ms > now_ms && window.began_ms <= now_ms).then_some(until_ms)
    }

    /// Counts something that an address got wrong.
    pub(super) fn failed(&self, address: &str, now_ms: i64) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_over = |window: &Window| window.began_ms.saturating_add(ADDRESS_WINDOW_MS) <= now_ms;
        if state.windows.len() >= MOST_REMEMBERED && !state.windows.contains_key(address) {
            state.windows.retain(|_, window| !is_over(window));
            if state.windows.len() >= MOST_REMEMBERED {
                let oldest = state.windows.iter().min_by_key(|(_, window)| window.began_ms);
                if let Some(oldest) = oldest.map(|(address, _)| address.clone()) {
                    state.windows.remove(&oldest);
                }
            }
        }
        let window = state.windows.entry(address.to_owned()).or_insert(Window { began_ms: now_ms, failures: 0 });
        if is_over(window) || window.began_ms > now_ms {
            *window = Window { began_ms: now_ms, failures: 0 };
        }
        window.failures += 1;
    }

    /// Counts an attempt with a name that nobody has; until when it must wait, if it must.
    pub(super) fn begin_nobodys(&self, name: &str, now_ms: i64) -> Option<i64> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.nobodys.len() >= MOST_REMEMBERED && !state.nobodys.contains_key(name) {
            let oldest = state.nobodys.iter().min_by_key(|(_, failures)| failures.last_ms);
            if let Some(oldest) = oldest.map(|(name, _)| name.clone()) {
                state.nobodys.remove(&oldest);
            }
        }
        let failures = state.nobodys.entry(name.to_owned()).or_insert(Failures { count: 0, last_ms: now_ms });
        let until_ms = paused_until(*failures, now_ms);
        if until_ms.is_none() {
            *failures = Failures { count: failures.count.saturating_add(1), last_ms: now_ms };
        }
        until_ms
    }

    /// Whether a user signed in from an address before.
    pub(super) fn knows(&self, user: Uuid, address: &str) -> bool {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.known.contains_key(&(user, address.to_owned()))
    }

    /// Remembers that a user signed in from an address.
    pub(super) fn remember(&self, user: Uuid, address: &str, now_ms: i64) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.known.len() >= MOST_REMEMBERED {
            let oldest = state.known.iter().min_by_key(|(_, seen_ms)| **seen_ms).map(|(key, _)| key.clone());
            if let Some(oldest) = oldest {
                state.known.remove(&oldest);
            }
        }
        state.known.insert((user, address.to_owned()), now_ms);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_end() {
        let paused = |count, since_ms: i64| paused_until(Failures { count, last_ms: 0 }, since_ms);
        assert_eq!(paused(FREE_FAILURES - 1, 0), None);
        assert_eq!(paused(FREE_FAILURES, 0), Some(FIRST_PAUSE_MS));
        assert_eq!(paused(FREE_FAILURES, FIRST_PAUSE_MS), None);
        assert_eq!(paused(FREE_FAILURES + 2, 0), Some(4 * FIRST_PAUSE_MS));
        assert_eq!(paused(u32::MAX, 0), Some(LONGEST_PAUSE_MS));
        let ahead = Failures { count: FREE_FAILURES, last_ms: i64::MAX };
        assert_eq!(paused_until(ahead, 5), Some(5 + FIRST_PAUSE_MS), "a clock that was put back");
    }

    #[test]
    fn an_address_waits_for_its_window_and_memory_is_bounded() {
        let addresses = Addresses::default();
        for _ in 0..ADDRESS_FAILURES {
            assert_eq!(addresses.paused_until("a", 1), None);
            addresses.failed("a", 1);
        }
        assert_eq!(addresses.paused_until("a", 2), Some(1 + ADDRESS_WINDOW_MS));
        assert_eq!(addresses.paused_until("b", 2), None);
        assert_eq!(addresses.paused_until("a", 1 + ADDRESS_WINDOW_MS), None);
        for number in 0..MOST_REMEMBERED + 10 {
            addresses.failed(&number.to_string(), 10);
            addresses.remember(Uuid::from_u128(number as u128), "x", 10);
        }
        for number in 0..MOST_REMEMBERED + 10 {
            addresses.begin_nobodys(&number.to_string(), 10);
        }
        let state = addresses.0.lock().unwrap();
        let sizes = [state.windows.len(), state.known.len(), state.nobodys.len()];
        assert_eq!(sizes, [MOST_REMEMBERED; 3]);
    }
}
