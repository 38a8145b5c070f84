//! Accounts by whom they are of, within a bound: what is as if it had never been used is forgotten first, then what was used
//! longest ago.

use std::{collections::HashMap, hash::Hash};

/// Most accounts that are remembered. Beyond it a budget may be found full too early, which harms nobody.
pub(super) const ACCOUNTS_MAX: usize = 16 * 1024;

/// What a ledger keeps.
pub(super) trait Account {
    /// Whether a new one would say the same.
    fn is_as_new(&self, now_ms: i64) -> bool;
    /// When it was used last.
    fn used_ms(&self) -> i64;
}

/// The accounts.
#[derive(Debug)]
pub(super) struct Ledger<K, V>(HashMap<K, V>);

impl<K, V> Default for Ledger<K, V> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K: Eq + Hash + Copy, V: Account> Ledger<K, V> {
    /// The account, made when there is none.
    pub(super) fn entry(&mut self, key: K, now_ms: i64, new: impl FnOnce() -> V) -> &mut V {
        if self.0.len() >= ACCOUNTS_MAX && !self.0.contains_key(&key) {
            self.forget(now_ms);
        }
        self.0.entry(key).or_insert_with(new)
    }

    /// Makes room for at least half as many, so that the work is rare.
    fn forget(&mut self, now_ms: i64) {
        self.0.retain(|_, account| !account.is_as_new(now_ms));
        if self.0.len() > ACCOUNTS_MAX / 2 {
            let mut used: Vec<(i64, K)> = self.0.iter().map(|(key, account)| (account.used_ms(), *key)).collect();
            let surplus = used.len() - ACCOUNTS_MAX / 2;
            used.select_nth_unstable_by_key(surplus, |(used_ms, _)| *used_ms);
            for (_, key) in &used[..surplus] {
                self.0.remove(key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Visit(i64);

    impl Account for Visit {
        fn is_as_new(&self, now_ms: i64) -> bool {
            now_ms - self.0 > 1000
        }
        fn used_ms(&self) -> i64 {
            self.0
        }
    }

    #[test]
    fn strangers_do_not_fill_it() {
        let mut ledger = Ledger::default();
        let many = i64::try_from(ACCOUNTS_MAX).expect("some thousands");
        ledger.entry(-1, 0, || Visit(many));
        for stranger in 0..4 * many {
            ledger.entry(stranger, 0, || Visit(stranger / 1000));
            assert!(ledger.0.len() <= ACCOUNTS_MAX);
        }
        assert!(ledger.0.contains_key(&-1), "what was used last stays");
        while ledger.0.len() < ACCOUNTS_MAX {
            let next = -2 - i64::try_from(ledger.0.len()).expect("some thousands");
            ledger.entry(next, 0, || Visit(0));
        }
        ledger.entry(i64::MIN, 100 * many, || Visit(100 * many));
        assert_eq!(ledger.0.len(), 1, "what is as new is forgotten first");
    }
}
