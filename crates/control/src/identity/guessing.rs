//! How guessing is slowed: a pause after wrong passwords, per user and per network. It is never a lock. Devices that ask for codes are
//! counted by their network, too: nobody who is not known keeps all others out.
//!
//! A user's wrong passwords are counted in the catalogue, before the password is compared, so that neither a restart nor
//! asking many times at once buys a guess. What networks did is this process's alone and bounded.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Mutex, MutexGuard, PoisonError},
};

use uuid::Uuid;

use crate::db::user::Failures;

/// Wrong passwords in a row that cost nothing.
const FREE_FAILURES: u32 = 5;
/// The pause after the first one that does; it doubles.
const FIRST_PAUSE_MS: i64 = 2_000;
const LONGEST_PAUSE_MS: i64 = 60_000;

/// What is counted by network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Counted {
    /// Wrong passwords and user codes.
    Failures,
    /// Devices that asked for a code.
    Devices,
}

impl Counted {
    /// How many there may be in a window. A site behind one address has all its devices there.
    const fn most(self) -> u32 {
        match self {
            Self::Failures => 30,
            Self::Devices => 500,
        }
    }

    const fn window_ms(self) -> i64 {
        match self {
            Self::Failures => 5 * 60 * 1000,
            Self::Devices => 15 * 60 * 1000,
        }
    }
}

/// Who an address stands for: itself, or of IPv6 the 48 bits that a site has at most (RFC 6177, section 2).
fn network(address: &str) -> String {
    match address.parse::<IpAddr>().map(|address| address.to_canonical()) {
        Ok(IpAddr::V6(address)) => format!("{:x}/48", address.to_bits() >> 80),
        Ok(IpAddr::V4(address)) => address.to_string(),
        Err(_) => address.to_owned(),
    }
}

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
    /// Of each kind, by network: whoever fills the one does not have the other forgotten.
    windows: HashMap<Counted, HashMap<String, Window>>,
    /// Where users signed in from, which others' guesses do not hold up.
    known: HashMap<(Uuid, String), i64>,
    /// Names that nobody has, folded. They are slowed like users, or the pause would tell which names there are.
    nobodys: HashMap<String, Failures>,
}

#[derive(Debug)]
struct Window {
    began_ms: i64,
    count: u32,
}

impl State {
    /// Until when no more may be; `None` when more may.
    fn full_until(&self, counted: Counted, network: &str, now_ms: i64) -> Option<i64> {
        let window = self.windows.get(&counted)?.get(network)?;
        let until_ms = window.began_ms.saturating_add(counted.window_ms());
        (window.count >= counted.most() && until_ms > now_ms && window.began_ms <= now_ms).then_some(until_ms)
    }

    fn count(&mut self, counted: Counted, network: String, now_ms: i64) {
        let is_over = |window: &Window| window.began_ms.saturating_add(counted.window_ms()) <= now_ms;
        let windows = self.windows.entry(counted).or_default();
        if windows.len() >= MOST_REMEMBERED && !windows.contains_key(&network) {
            windows.retain(|_, window| !is_over(window));
            if windows.len() >= MOST_REMEMBERED {
                let oldest = windows.iter().min_by_key(|(_, window)| window.began_ms);
                if let Some(oldest) = oldest.map(|(network, _)| network.clone()) {
                    windows.remove(&oldest);
                }
            }
        }
        let window = windows.entry(network).or_insert(Window { began_ms: now_ms, count: 0 });
        if is_over(window) || window.began_ms > now_ms {
            *window = Window { began_ms: now_ms, count: 0 };
        }
        window.count += 1;
    }
}

impl Addresses {
    /// Until when an address must wait.
    pub(super) fn paused_until(&self, address: &str, now_ms: i64) -> Option<i64> {
        self.state().full_until(Counted::Failures, &network(address), now_ms)
    }

    /// Counts something that an address got wrong.
    pub(super) fn failed(&self, address: &str, now_ms: i64) {
        self.state().count(Counted::Failures, network(address), now_ms);
    }

    /// Whether one more device may ask for a code from an address; then it is counted.
    pub(super) fn may_begin_device(&self, address: &str, now_ms: i64) -> bool {
        let (mut state, network) = (self.state(), network(address));
        let is_full = state.full_until(Counted::Devices, &network, now_ms).is_some();
        if !is_full {
            state.count(Counted::Devices, network, now_ms);
        }
        !is_full
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts an attempt with a name that nobody has; until when it must wait, if it must.
    pub(super) fn begin_nobodys(&self, name: &str, now_ms: i64) -> Option<i64> {
        let mut state = self.state();
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
        let state = self.state();
        state.known.contains_key(&(user, address.to_owned()))
    }

    /// Remembers that a user signed in from an address.
    pub(super) fn remember(&self, user: Uuid, address: &str, now_ms: i64) {
        let mut state = self.state();
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

    /// Regression: who has a network of IPv6 has 2^80 addresses.
    #[test]
    fn a_site_is_one_whatever_its_addresses() {
        let addresses = Addresses::default();
        let mut begun = 0;
        while addresses.may_begin_device(&format!("2001:db8:1:{begun:x}::1"), 1) {
            begun += 1;
        }
        assert_eq!(begun, Counted::Devices.most());
        assert!(!addresses.may_begin_device("2001:db8:1:2:ffff:ffff:ffff:ffff", 1));
        for other in ["2001:db8:2::1", "2001:db8::2", "192.0.2.1", "192.0.2.2", ""] {
            assert!(addresses.may_begin_device(other, 1), "{other}");
        }
        assert_eq!(network("::ffff:192.0.2.1"), network("192.0.2.1"));
        assert!(addresses.may_begin_device("2001:db8:1:2::1", 1 + Counted::Devices.window_ms()));
    }

    #[test]
    fn an_address_waits_for_its_window_and_memory_is_bounded() {
        let addresses = Addresses::default();
        let window_ms = Counted::Failures.window_ms();
        for _ in 0..Counted::Failures.most() {
            assert_eq!(addresses.paused_until("a", 1), None);
            addresses.failed("a", 1);
        }
        assert_eq!(addresses.paused_until("a", 2), Some(1 + window_ms));
        assert_eq!(addresses.paused_until("b", 2), None);
        assert_eq!(addresses.paused_until("a", 1 + window_ms), None);
        assert!(addresses.may_begin_device("a", 2), "it is another thing");
        for number in 0..MOST_REMEMBERED + 10 {
            addresses.failed(&number.to_string(), 10);
            addresses.remember(Uuid::from_u128(number as u128), "x", 10);
        }
        for number in 0..MOST_REMEMBERED + 10 {
            addresses.begin_nobodys(&number.to_string(), 10);
        }
        let state = addresses.state();
        let sizes = [state.windows[&Counted::Failures].len(), state.known.len(), state.nobodys.len()];
        assert_eq!(state.windows[&Counted::Devices].len(), 1, "nobody has that forgotten");
        assert_eq!(sizes, [MOST_REMEMBERED; 3]);
    }
}
