//! Passwords: argon2id, on a bounded pool.
//!
//! A hash takes 19 MiB and tens of milliseconds, which is what makes guessing dear; so few are computed at once, some wait, and
//! more than that are refused, whoever asks. Each tenant has a share of the places to wait in: whoever asks without a pause for one
//! keeps no other tenant's users from signing in.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use argon2::{Algorithm, Argon2, Params, PasswordHasher, PasswordVerifier, Version};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Semaphore;
use uuid::Uuid;

use super::IdentityError;
use crate::keys::random;

/// OWASP's first choice for argon2id (Password Storage Cheat Sheet): 19 MiB, two passes, one lane.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;
const SALT_BYTES: usize = 16;
/// Hashes computed at once: 38 MiB.
const AT_ONCE: usize = 2;
/// Those of one tenant that wait and are computed, about a second's worth, and those of all.
const MOST_WAITING_OF_TENANT: usize = 32;
const MOST_WAITING: usize = 256;

/// Characters of the shortest password (NIST SP 800-63B, section 3.1.1.2) and bytes of the longest.
const SHORTEST_CHARS: usize = 8;
const LONGEST_BYTES: usize = 256;

/// Of no password: what is compared with when a user is not there, or has none.
const NOBODYS: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// Why a text cannot be a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WeakPassword {
    /// Too few characters.
    #[error("a password has at least {SHORTEST_CHARS} characters")]
    Short,
    /// More than is hashed.
    #[error("a password has at most {LONGEST_BYTES} bytes")]
    Long,
    /// The former one.
    #[error("a new password is another than the former one")]
    Same,
    /// The user's name, or one character again and again.
    #[error("a password is not the user's name, nor one character again and again")]
    Obvious,
}

/// Checks a new password of a user.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn check(password: &SecretString, user_name: &str) -> Result<(), WeakPassword> {
    let text = password.expose_secret();
    if text.chars().count() < SHORTEST_CHARS {
        return Err(WeakPassword::Short);
    }
    if text.len() > LONGEST_BYTES {
        return Err(WeakPassword::Long);
    }
    let mut chars = text.chars();
    let is_one = chars.next().is_some_and(|first| chars.all(|next| next == first));
    let folded = text.to_lowercase();
    let name = user_name.to_lowercase();
    if is_one || folded == name || Some(folded.as_str()) == name.split('@').next() {
        return Err(WeakPassword::Obvious);
    }
    Ok(())
}

/// Hashes and compares.
#[derive(Debug, Clone)]
pub(crate) struct Passwords {
    waiting: Arc<Mutex<HashMap<Option<Uuid>, usize>>>,
    computing: Arc<Semaphore>,
}

/// A place to wait in, while it is held.
struct Place<'a> {
    passwords: &'a Passwords,
    tenant: Option<Uuid>,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut waiting = self.passwords.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = waiting.get_mut(&self.tenant) {
            *count -= 1;
            if *count == 0 {
                waiting.remove(&self.tenant);
            }
        }
    }
}

impl Passwords {
    pub(crate) fn new() -> Self {
        Self { waiting: Arc::default(), computing: Arc::new(Semaphore::new(AT_ONCE)) }
    }

    /// A new password of a tenant's user, as it is kept.
    ///
    /// # Errors
    /// `Busy`; `Hashing`, when the system has no randomness or no memory.
    pub(crate) async fn hash(&self, tenant: Uuid, password: SecretString) -> Result<String, IdentityError> {
        self.compute(Some(tenant), move || {
            let salt = random::<SALT_BYTES>().ok()?;
            let hash = hasher().hash_password_with_salt(password.expose_secret().as_bytes(), salt.as_slice());
            hash.ok().map(|hash| hash.to_string())
        })
        .await?
        .ok_or(IdentityError::Hashing)
    }

    /// Whether it is the password of the hash; without a hash it takes as long, and is not. `tenant`: whose user is meant, if it is
    /// known.
    ///
    /// # Errors
    /// `Busy`; `Hashing`.
    pub(crate) async fn matches(
        &self,
        tenant: Option<Uuid>,
        password: SecretString,
        hash: Option<String>,
    ) -> Result<bool, IdentityError> {
        if password.expose_secret().len() > LONGEST_BYTES {
            return Ok(false);
        }
        self.compute(tenant, move || {
            let known = hash.as_deref().unwrap_or(NOBODYS);
            let is_it = hasher().verify_password(password.expose_secret().as_bytes(), known).is_ok();
            is_it && hash.is_some()
        })
        .await
    }

    fn place(&self, tenant: Option<Uuid>) -> Result<Place<'_>, IdentityError> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let own = waiting.get(&tenant).copied().unwrap_or(0);
        if own >= MOST_WAITING_OF_TENANT || waiting.values().sum::<usize>() >= MOST_WAITING {
            return Err(IdentityError::Busy);
        }
        waiting.insert(tenant, own + 1);
        Ok(Place { passwords: self, tenant })
    }

    async fn compute<T: Send + 'static>(
        &self,
        tenant: Option<Uuid>,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, IdentityError> {
        let _waits = self.place(tenant)?;
        let computes = self.computing.clone().acquire_owned().await.map_err(|_| IdentityError::Busy)?;
        // The permit goes with the work: a caller that stops waiting does not make room for another hash.
        let work = move || {
            let done = work();
            drop(computes);
            done
        };
        galerie_store::blocking::run(work).await.map_err(|_| IdentityError::Hashing)
    }
}

fn hasher() -> Argon2<'static> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None).expect("within argon2's bounds");
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TENANT: Uuid = Uuid::nil();

    fn secret(text: &str) -> SecretString {
        SecretString::from(text)
    }

    #[tokio::test]
    async fn a_password_is_kept_as_argon2id_and_known_again() {
        let passwords = Passwords::new();
        let hash = passwords.hash(TENANT, secret("correct horse")).await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert_ne!(hash, passwords.hash(TENANT, secret("correct horse")).await.unwrap(), "two salts");
        assert!(passwords.matches(Some(TENANT), secret("correct horse"), Some(hash.clone())).await.unwrap());
        assert!(!passwords.matches(Some(TENANT), secret("correct horsf"), Some(hash)).await.unwrap());
        assert!(!passwords.matches(Some(TENANT), secret("correct horse"), None).await.unwrap());
        assert!(!passwords.matches(Some(TENANT), secret("x"), Some("nonsense".to_owned())).await.unwrap());
    }

    /// The hash of nobody is computed in full, and so takes as long as a user's.
    #[test]
    fn nobodys_hash_has_the_same_cost() {
        let known = argon2::PasswordHash::new(NOBODYS).unwrap();
        let params = Params::try_from(&known).unwrap();
        assert_eq!((params.m_cost(), params.t_cost(), params.p_cost()), (MEMORY_KIB, PASSES, LANES));
        assert_eq!(known.hash.unwrap().len(), 32);
    }

    #[tokio::test]
    async fn more_than_can_wait_are_refused() {
        let passwords = Passwords::new();
        let place = |tenant| passwords.place(Some(Uuid::from_u128(tenant)));
        let own: Vec<_> = (0..MOST_WAITING_OF_TENANT).map(|_| place(0).unwrap()).collect();
        assert!(matches!(passwords.hash(TENANT, secret("correct horse")).await, Err(IdentityError::Busy)));
        // Others are not kept out by that, but by a full house.
        let room = MOST_WAITING - MOST_WAITING_OF_TENANT;
        let others: Vec<_> = (1..=room as u128).map(|tenant| place(tenant).unwrap()).collect();
        assert!(place(u128::MAX).is_err() && passwords.matches(None, secret("x"), None).await.is_err());
        drop((own, others));
        passwords.hash(TENANT, secret("correct horse")).await.unwrap();
        assert!(passwords.waiting.lock().unwrap().is_empty(), "what nobody holds is not remembered");
    }

    #[test]
    fn weak_passwords_are_named() {
        for (password, expected) in [
            ("correct horse", Ok(())),
            ("pässwörter", Ok(())),
            ("short", Err(WeakPassword::Short)),
            ("", Err(WeakPassword::Short)),
            ("aaaaaaaaaa", Err(WeakPassword::Obvious)),
            ("Ada@Example.com", Err(WeakPassword::Obvious)),
        ] {
            assert_eq!(check(&secret(password), "ada@example.com"), expected, "{password}");
        }
        assert_eq!(check(&secret(&"ab".repeat(200)), "ada"), Err(WeakPassword::Long));
    }
}
