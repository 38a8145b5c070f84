//! Assertions that were shown here, so that none is used twice.
//!
//! They are remembered by the certificate that signed them: whoever else has it registered, and wherever they are shown, they are
//! the same ones, and nobody without its key takes any of its room. Applications that share a certificate share its `jti`s. What is
//! remembered in all is bounded by the tenant whose application, or service principal, has the certificate: however many certificates
//! a tenant makes, and wherever it shows what they sign, it takes its own room.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use uuid::Uuid;

/// Of one certificate. Who makes an assertion for each request makes as many within its ten minutes at most.
const MOST_OF_ONE: usize = 5_000;
/// Of one tenant's certificates.
const MOST_OF_TENANT: usize = 50_000;

/// Those that a process remembers.
#[derive(Debug, Default)]
pub(super) struct SeenAssertions(Mutex<Seen>);

#[derive(Debug, Default)]
struct Seen {
    /// By the certificate's SHA-256, and the `jti`.
    shown: HashMap<String, HashMap<String, Shown>>,
    of_tenant: HashMap<Uuid, usize>,
    /// When what had ended was last forgotten, in seconds since 1970: looking at all of it is not done for each request.
    swept_s: u64,
}

#[derive(Debug)]
struct Shown {
    tenant: Uuid,
    /// In seconds since 1970. Afterwards it is refused for its age, and need not be remembered.
    ends_s: u64,
}

impl SeenAssertions {
    /// Remembers one that is new.
    ///
    /// # Errors
    /// It was there; or there is no room for it, so that nobody could tell.
    pub(super) fn remember(
        &self,
        tenant: Uuid,
        certificate: &str,
        jti: &str,
        ends_s: u64,
        now_s: u64,
    ) -> Result<(), &'static str> {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.shown.get(certificate).is_some_and(|of_one| of_one.contains_key(jti)) {
            return Err("it was used before (jti)");
        }
        if seen.is_full(tenant, certificate) {
            seen.sweep(now_s);
        }
        if seen.is_full(tenant, certificate) {
            return Err(
                "too many assertions are good at once: make them for ten minutes, and use a token while it lasts",
            );
        }
        *seen.of_tenant.entry(tenant).or_default() += 1;
        seen.shown.entry(certificate.to_owned()).or_default().insert(jti.to_owned(), Shown { tenant, ends_s });
        Ok(())
    }
}

impl Seen {
    fn is_full(&self, tenant: Uuid, certificate: &str) -> bool {
        self.shown.get(certificate).is_some_and(|of_one| of_one.len() >= MOST_OF_ONE)
            || self.of_tenant.get(&tenant).is_some_and(|count| *count >= MOST_OF_TENANT)
    }

    fn sweep(&mut self, now_s: u64) {
        if self.swept_s == now_s {
            return;
        }
        self.swept_s = now_s;
        let mut of_tenant = HashMap::new();
        self.shown.retain(|_, of_one| {
            of_one.retain(|_, shown| shown.ends_s > now_s);
            of_one.values().for_each(|shown| *of_tenant.entry(shown.tenant).or_default() += 1);
            !of_one.is_empty()
        });
        self.of_tenant = of_tenant;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Uuid = Uuid::from_u128(1);
    const OTHER: Uuid = Uuid::from_u128(2);

    /// Regression: one application's assertions filled the room of all, and nobody signed in with a certificate any more.
    #[test]
    fn who_fills_the_room_fills_its_own() {
        let seen = SeenAssertions::default();
        let remember = |tenant, certificate: usize, jti: usize, now_s| {
            seen.remember(tenant, &certificate.to_string(), &jti.to_string(), 100, now_s)
        };
        let certificates = MOST_OF_TENANT / MOST_OF_ONE;
        for certificate in 0..certificates {
            for jti in 0..MOST_OF_ONE {
                remember(ONE, certificate, jti, 1).unwrap();
            }
            assert!(remember(OTHER, certificate, MOST_OF_ONE, 1).unwrap_err().contains("too many"));
        }
        assert!(remember(ONE, certificates, 0, 1).unwrap_err().contains("too many"));
        remember(OTHER, certificates, 0, 1).unwrap();
        // When they have ended there is room again.
        remember(ONE, certificates, 1, 100).unwrap();
        remember(ONE, 0, 0, 100).unwrap();
    }

    /// Regression: another one with the same `jti`, which ended earlier, took the place of the one that was shown; when it was
    /// forgotten, that one was good again. Wherever it is shown, it is the same one.
    #[test]
    fn what_was_shown_is_remembered_to_its_end() {
        let seen = SeenAssertions::default();
        seen.remember(ONE, "c", "j", 100, 1).unwrap();
        for (tenant, ends_s, now_s) in [(ONE, 100, 1), (OTHER, 10, 1), (ONE, 50, 99)] {
            assert!(seen.remember(tenant, "c", "j", ends_s, now_s).unwrap_err().contains("used before"));
        }
        seen.0.lock().unwrap().sweep(99);
        assert!(seen.remember(OTHER, "c", "j", 200, 99).unwrap_err().contains("used before"));
        seen.remember(OTHER, "another", "j", 200, 99).unwrap();
    }
}
