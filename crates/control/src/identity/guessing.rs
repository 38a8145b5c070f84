//! How guessing is slowed: a pause after wrong passwords, per user and per network. It is never a lock. Devices that ask for codes are
//! counted by their network, too: nobody who is not known keeps all others out.
//!
//! Wrong passwords are counted in the catalogue, before the password is compared, so that neither a restart nor another process
//! nor asking many times at once buys a guess: a user's in its row, those of a name that nobody has under its hash. What networks did
//! is this process's alone and bounded; an attempt under way counts there as a failed one.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Mutex, MutexGuard, PoisonError},
};

use uuid::Uuid;

use crate::db::{
    Connection, Result,
    wrong_passwords::{self, Failures},
};

/// Wrong passwords that count and cost nothing.
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

/// Networks that are remembered, and users with the networks they came from.
const MOST_REMEMBERED: usize = 10_000;
/// Networks of one user that are remembered: whoever signs in from everywhere has nobody else's forgotten.
const MOST_KNOWN: usize = 20;
/// Names that nobody has and that are remembered; then the oldest are forgotten.
const MOST_NOBODYS: u32 = 100_000;
/// For how long wrong passwords count, a user's and nobody's: were they to differ, time would tell them apart.
const COUNTED_FOR_MS: i64 = 24 * 60 * 60 * 1000;
/// How far ahead the begin of a window may be: clocks differ a little, and one that was put back must not stretch a window.
const CLOCKS_DIFFER_MS: i64 = 60_000;
/// When to come again where as many attempts are under way as there may be wrong ones.
const ATTEMPTS_END_MS: i64 = 1_000;

/// Before when wrong passwords do not count any more.
fn forgotten_ms(now_ms: i64) -> i64 {
    now_ms.saturating_sub(COUNTED_FOR_MS)
}

/// Forgets the failures that do not count any more, and the oldest where too many names that nobody has are remembered: of users
/// and of nobody alike, or what is forgotten would tell which names there are. How many names that nobody has.
pub(crate) async fn forget(tx: &mut Connection, now_ms: i64) -> Result<u64> {
    let beyond_ms = wrong_passwords::newest_beyond(tx, MOST_NOBODYS).await?;
    let before_ms = beyond_ms.map_or(i64::MIN, |last_ms| last_ms.saturating_add(1)).max(forgotten_ms(now_ms));
    wrong_passwords::forget(tx, before_ms).await
}

/// The failures with one more.
pub(super) fn one_more(failures: Failures, now_ms: i64) -> Failures {
    let count = if failures.last_ms < forgotten_ms(now_ms) { 0 } else { failures.count };
    Failures { count: count.saturating_add(1), last_ms: now_ms }
}

/// Until when a user's next attempt must wait; `None` when it need not.
pub(super) fn paused_until(failures: Failures, now_ms: i64) -> Option<i64> {
    // A clock that was put back must not make a pause of years.
    let counted = forgotten_ms(now_ms)..=now_ms.saturating_add(LONGEST_PAUSE_MS);
    let beyond = failures.count.checked_sub(FREE_FAILURES).filter(|_| counted.contains(&failures.last_ms))?;
    let pause_ms = FIRST_PAUSE_MS.saturating_mul(1 << beyond.min(16)).min(LONGEST_PAUSE_MS);
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
    /// The networks that users signed in from, which others' guesses do not hold up.
    known: HashMap<Uuid, KnownNetworks>,
}

/// Where one user signed in from, the latest last.
#[derive(Debug, Default)]
struct KnownNetworks {
    networks: Vec<String>,
    seen_ms: i64,
}

#[derive(Debug, Default)]
struct Window {
    began_ms: i64,
    count: u32,
    /// Attempts that nobody knows yet whether they fail.
    under_way: u32,
}

/// An attempt to sign in, or to name a device. Unless it is forgiven it has failed: whoever hangs up in between has, too.
#[derive(Debug)]
pub(super) struct Attempt<'a> {
    addresses: &'a Addresses,
    network: String,
    is_forgiven: bool,
}

impl Attempt<'_> {
    /// It does not count.
    pub(super) fn forgive(mut self) {
        self.is_forgiven = true;
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        let mut state = self.addresses.state();
        let Some(windows) = state.windows.get_mut(&Counted::Failures) else { return };
        let Some(window) = windows.get_mut(&self.network) else { return };
        window.under_way = window.under_way.saturating_sub(1);
        window.count = window.count.saturating_add(u32::from(!self.is_forgiven));
        if window.count == 0 && window.under_way == 0 {
            windows.remove(&self.network);
        }
    }
}

/// Whether the clock was put back since a window began.
fn is_ahead(window: &Window, now_ms: i64) -> bool {
    window.began_ms > now_ms.saturating_add(CLOCKS_DIFFER_MS)
}

impl State {
    /// Until when no more may be; `None` when more may.
    fn full_until(&self, counted: Counted, network: &str, now_ms: i64) -> Option<i64> {
        let window = self.windows.get(&counted)?.get(network)?;
        let until_ms = window.began_ms.saturating_add(counted.window_ms());
        (window.count >= counted.most() && until_ms > now_ms && !is_ahead(window, now_ms)).then_some(until_ms)
    }

    /// A network's window; a new one where the last one is over.
    fn window(&mut self, counted: Counted, network: &str, now_ms: i64) -> &mut Window {
        let is_over = |window: &Window| window.began_ms.saturating_add(counted.window_ms()) <= now_ms;
        let windows = self.windows.entry(counted).or_default();
        if windows.len() >= MOST_REMEMBERED && !windows.contains_key(network) {
            windows.retain(|_, window| !is_over(window));
            if windows.len() >= MOST_REMEMBERED {
                let oldest = windows.iter().min_by_key(|(_, window)| window.began_ms);
                if let Some(oldest) = oldest.map(|(network, _)| network.clone()) {
                    windows.remove(&oldest);
                }
            }
        }
        let window = windows.entry(network.to_owned()).or_insert(Window { began_ms: now_ms, ..Window::default() });
        if is_over(window) || is_ahead(window, now_ms) {
            *window = Window { began_ms: now_ms, count: 0, under_way: window.under_way };
        }
        window
    }
}

impl Addresses {
    /// Begins an attempt from an address.
    ///
    /// # Errors
    /// Until when it must wait.
    pub(super) fn begin(&self, address: &str, now_ms: i64) -> std::result::Result<Attempt<'_>, i64> {
        let (mut state, network) = (self.state(), network(address));
        if let Some(until_ms) = state.full_until(Counted::Failures, &network, now_ms) {
            return Err(until_ms);
        }
        let window = state.window(Counted::Failures, &network, now_ms);
        if window.count.saturating_add(window.under_way) >= Counted::Failures.most() {
            return Err(now_ms.saturating_add(ATTEMPTS_END_MS));
        }
        window.under_way += 1;
        drop(state);
        Ok(Attempt { addresses: self, network, is_forgiven: false })
    }

    /// Whether one more device may ask for a code from an address; then it is counted.
    pub(super) fn may_begin_device(&self, address: &str, now_ms: i64) -> bool {
        let (mut state, network) = (self.state(), network(address));
        let is_full = state.full_until(Counted::Devices, &network, now_ms).is_some();
        if !is_full {
            state.window(Counted::Devices, &network, now_ms).count += 1;
        }
        !is_full
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a user signed in from an address before, or from one beside it.
    pub(super) fn knows(&self, user: Uuid, address: &str) -> bool {
        let state = self.state();
        state.known.get(&user).is_some_and(|known| known.networks.contains(&network(address)))
    }

    /// Remembers that a user signed in from an address.
    pub(super) fn remember(&self, user: Uuid, address: &str, now_ms: i64) {
        let (mut state, network) = (self.state(), network(address));
        if state.known.len() >= MOST_REMEMBERED && !state.known.contains_key(&user) {
            let oldest = state.known.iter().min_by_key(|(_, known)| known.seen_ms).map(|(user, _)| *user);
            if let Some(oldest) = oldest {
                state.known.remove(&oldest);
            }
        }
        let known = state.known.entry(user).or_default();
        known.seen_ms = now_ms;
        known.networks.retain(|other| *other != network);
        known.networks.push(network);
        if known.networks.len() > MOST_KNOWN {
            known.networks.remove(0);
        }
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
        assert_eq!(paused(FREE_FAILURES, COUNTED_FOR_MS + 1), None, "it is forgotten");
        let ahead = |last_ms| paused_until(Failures { count: FREE_FAILURES, last_ms }, 5);
        assert_eq!(ahead(6), Some(5 + FIRST_PAUSE_MS), "another process's clock");
        assert_eq!(ahead(i64::MAX), None, "a clock that was put back");
        assert_eq!(one_more(Failures { count: 4, last_ms: 0 }, 9), Failures { count: 5, last_ms: 9 });
        assert_eq!(one_more(Failures { count: 4, last_ms: 0 }, COUNTED_FOR_MS + 1).count, 1);
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

    /// Regression: one user who signed in from everywhere had all others' addresses forgotten.
    #[test]
    fn a_users_networks_are_its_own() {
        let addresses = Addresses::default();
        let [user, wanderer] = [Uuid::from_u128(1), Uuid::from_u128(2)];
        addresses.remember(user, "2001:db8:1:2::3", 1);
        for number in 0..2 * MOST_REMEMBERED {
            addresses.remember(wanderer, &format!("10.{}.{}.1", number >> 8, number & 255), 2);
        }
        assert!(addresses.knows(user, "2001:db8:1:2::4"), "a neighbour of the address");
        assert!(!addresses.knows(user, "2001:db8:2::3") && !addresses.knows(wanderer, "10.0.0.1"));
        assert_eq!(addresses.state().known[&wanderer].networks.len(), MOST_KNOWN);
    }

    /// Regression: attempts were counted when they had failed, so as many were judged as were sent at once.
    #[test]
    fn attempts_under_way_count_until_they_are_over() {
        let addresses = Addresses::default();
        let mut under_way: Vec<Attempt<'_>> = Vec::new();
        let until_ms = loop {
            match addresses.begin("a", 1) {
                Ok(attempt) => under_way.push(attempt),
                Err(until_ms) => break until_ms,
            }
        };
        assert_eq!((under_way.len(), until_ms), (Counted::Failures.most() as usize, 1 + ATTEMPTS_END_MS));
        drop(under_way.pop());
        assert!(addresses.begin("a", 1).is_err(), "it failed");
        under_way.into_iter().for_each(Attempt::forgive);
        for _ in 0..Counted::Failures.most() - 1 {
            drop(addresses.begin("a", 2).unwrap());
        }
        assert_eq!(addresses.begin("a", 3).unwrap_err(), 1 + Counted::Failures.window_ms());
        addresses.begin("b", 3).unwrap().forgive();
        assert!(!addresses.state().windows[&Counted::Failures].contains_key("b"), "nothing is left of it");
    }

    #[test]
    fn an_address_waits_for_its_window_and_memory_is_bounded() {
        let addresses = Addresses::default();
        let window_ms = Counted::Failures.window_ms();
        for _ in 0..Counted::Failures.most() {
            drop(addresses.begin("a", 1).unwrap());
        }
        assert_eq!(addresses.begin("a", 2).unwrap_err(), 1 + window_ms);
        assert!(addresses.begin("b", 2).is_ok());
        assert!(addresses.begin("a", 1 + window_ms).is_ok());
        assert!(addresses.may_begin_device("a", 2), "it is another thing");
        for number in 0..MOST_REMEMBERED + 10 {
            drop(addresses.begin(&number.to_string(), 10).unwrap());
            addresses.remember(Uuid::from_u128(number as u128), "x", 10);
        }
        let state = addresses.state();
        let sizes = [state.windows[&Counted::Failures].len(), state.known.len()];
        assert_eq!(state.windows[&Counted::Devices].len(), 1, "nobody has that forgotten");
        assert_eq!(sizes, [MOST_REMEMBERED; 2]);
    }
}
