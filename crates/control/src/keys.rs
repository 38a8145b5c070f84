//! The keys that sign and hash: distinct, wrapped in the catalogue, shared by every process on it.
//!
//! `master.key` (32 random bytes, mode 0600, beside the catalogue) wraps each key with AES-256-GCM; the key's id and
//! purpose are authenticated with it, so a wrapped key cannot be passed off as another. Plaintext keys live in this
//! process's memory only, and never in a row, a log or an error.

mod master;
mod rotation;
mod seal;
mod sealed;
mod token;

use std::{
    path::Path,
    sync::{Arc, PoisonError, RwLock},
};

use aws_lc_rs::{hmac, rand};
use base64::{Engine, engine::general_purpose::STANDARD};
use uuid::Uuid;
use zeroize::Zeroizing;

pub use self::sealed::{UnsealedMasterKey, seal_master_key};
use self::{master::MasterKey, seal::generate_seal_key, token::generate_token_key};
pub(crate) use self::{
    seal::{SealKey, verifies},
    token::TokenKey,
};
use crate::db::{
    self, Connection,
    wrapped_key::{self, WrappedKeyRow},
};

const TOKEN: &str = "token";
const SAS: &str = "sas";
const SECRET: &str = "secret";
const AUDIT: &str = "audit";
/// Not a key of this module's: see `authority`.
pub(crate) const AUTHORITY: &str = "authority";

/// Bytes of an HMAC key, and of its tags.
const HMAC_BYTES: usize = 32;

/// What can go wrong with keys.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The catalogue has keys and the file that unwraps them is gone.
    #[error(
        "the catalogue's keys are wrapped by the master key {0}, which does not exist; put it back from your \
         backup, or copy it from another process of the catalogue (or name it with master_key_file)"
    )]
    MasterKeyMissing(String),
    /// The file is no master key.
    #[error("{0}")]
    MasterKeyUnusable(String),
    /// The master key is another than the one that wrapped the catalogue's keys.
    #[error("the master key {file} does not unwrap the catalogue's {purpose} key; is it the right file?")]
    WrongMasterKey {
        /// The file.
        file: String,
        /// Which key.
        purpose: String,
    },
    /// The text is no master key that this passphrase sealed.
    #[error("the passphrase does not open the master key in the backup")]
    WrongPassphrase,
    /// The system gave no randomness, or a key could not be made.
    #[error("make a {0} key")]
    Generation(&'static str),
    /// The file could not be read or made.
    #[error("{action}")]
    Io {
        /// What was being done, with the path.
        action: String,
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
    /// The catalogue failed.
    #[error(transparent)]
    Catalogue(#[from] db::Error),
}

/// The keys, unwrapped.
pub(crate) struct Keys {
    master: MasterKey,
    /// The newest first; tokens of any are accepted. Others join and leave; see `rotation`.
    tokens: RwLock<Arc<[Arc<TokenKey>]>>,
    sas: Vec<hmac::Key>,
    secrets: Vec<hmac::Key>,
    /// The newest first.
    seals: Vec<SealKey>,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keys").finish_non_exhaustive()
    }
}

impl Keys {
    /// Unwraps the catalogue's keys; makes what is missing, and the master key with the first of them.
    ///
    /// # Errors
    /// A master key that is missing, unreadable or another's.
    pub(crate) async fn open(tx: &mut Connection, master_key_file: &Path, now_ms: i64) -> Result<Self, KeyError> {
        let mut rows = wrapped_key::list_live(tx).await?;
        let master = MasterKey::open(master_key_file, rows.is_empty())?;
        for purpose in [TOKEN, SAS, SECRET, AUDIT] {
            if !rows.iter().any(|row| row.purpose == purpose) {
                let row = make(&master, purpose, now_ms)?;
                wrapped_key::insert(tx, &row).await?;
                rows.push(row);
            }
        }
        let mut keys = Self {
            master,
            tokens: RwLock::new(Arc::default()),
            sas: Vec::new(),
            secrets: Vec::new(),
            seals: Vec::new(),
        };
        keys.reload_tokens(&rows)?;
        for row in rows {
            let plain = keys.master.unwrap_key(row.id, &row.purpose, &row.wrapped)?;
            match row.purpose.as_str() {
                SAS => keys.sas.push(hmac::Key::new(hmac::HMAC_SHA256, &plain)),
                AUDIT => keys.seals.push(SealKey::new(&plain)?),
                SECRET => keys.secrets.push(hmac::Key::new(hmac::HMAC_SHA256, &plain)),
                _ => {}
            }
        }
        Ok(keys)
    }

    /// Wraps something that is kept in the catalogue beside the keys.
    ///
    /// # Errors
    /// `Generation`, when the system has no randomness.
    pub(crate) fn wrap(&self, purpose: &str, plain: &[u8], now_ms: i64) -> Result<WrappedKeyRow, KeyError> {
        wrapped(&self.master, purpose, plain, now_ms)
    }

    /// What was wrapped.
    ///
    /// # Errors
    /// `WrongMasterKey`.
    pub(crate) fn unwrap(&self, row: &WrappedKeyRow) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        self.master.unwrap_key(row.id, &row.purpose, &row.wrapped)
    }

    /// The key that signs tokens now.
    pub(crate) fn token(&self, now_ms: i64) -> Arc<TokenKey> {
        let keys = self.tokens();
        let created_ms: Vec<i64> = keys.iter().map(|key| key.created_ms()).collect();
        keys[rotation::signing(&created_ms, now_ms)].clone()
    }

    /// Every key whose tokens are accepted, the newest first; there is at least one.
    pub(crate) fn tokens(&self) -> Arc<[Arc<TokenKey>]> {
        self.tokens.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes the token keys that the catalogue has now, the newest first.
    ///
    /// # Errors
    /// A row that the master key does not unwrap.
    pub(crate) fn reload_tokens(&self, rows: &[WrappedKeyRow]) -> Result<(), KeyError> {
        let known = self.tokens();
        let mut keys = Vec::new();
        for row in rows.iter().filter(|row| row.purpose == TOKEN) {
            let kid = row.id.simple().to_string();
            match known.iter().find(|key| key.kid() == kid) {
                Some(key) => keys.push(key.clone()),
                None => keys.push(Arc::new(TokenKey::new(row.id, row.created_ms, &self.unwrap(row)?)?)),
            }
        }
        if !keys.is_empty() {
            *self.tokens.write().unwrap_or_else(PoisonError::into_inner) = keys.into();
        }
        Ok(())
    }

    /// A new token key's row.
    ///
    /// # Errors
    /// `Generation`.
    pub(crate) fn new_token_key(&self, now_ms: i64) -> Result<WrappedKeyRow, KeyError> {
        make(&self.master, TOKEN, now_ms)
    }

    /// A keyed hash of something that is kept nowhere, for one purpose.
    pub(crate) fn tag(&self, purpose: &str, message: &[u8]) -> [u8; HMAC_BYTES] {
        let key = self.secrets.first().expect("made when the catalogue was opened");
        hmac::sign(key, &tagged(purpose, message)).as_ref().try_into().expect("HMAC-SHA-256 has 32 bytes")
    }

    /// The same as text, under which a code is found.
    pub(crate) fn tag_text(&self, purpose: &str, message: &str) -> String {
        STANDARD.encode(self.tag(purpose, message.as_bytes()))
    }

    /// Whether it is the keyed hash of the message, in constant time.
    pub(crate) fn tag_matches(&self, purpose: &str, message: &[u8], tag: &[u8]) -> bool {
        let message = tagged(purpose, message);
        self.secrets.iter().any(|key| hmac::verify(key, &message, tag).is_ok())
    }

    /// The key that seals the audit.
    pub(crate) fn seal(&self) -> &SealKey {
        self.seals.first().expect("made when the catalogue was opened")
    }

    /// Whether a public key is one of those that seal, or sealed, this catalogue's audit.
    pub(crate) fn is_seal_key(&self, public: &str) -> bool {
        self.seals.iter().any(|key| key.public() == public)
    }

    /// Signs what a SAS promises.
    pub(crate) fn sas_sign(&self, message: &[u8]) -> [u8; HMAC_BYTES] {
        let key = self.sas.first().expect("made when the catalogue was opened");
        hmac::sign(key, message).as_ref().try_into().expect("HMAC-SHA-256 has 32 bytes")
    }

    /// Whether `tag` is a signature of `message`, in constant time.
    pub(crate) fn sas_verify(&self, message: &[u8], tag: &[u8]) -> bool {
        self.sas.iter().any(|key| hmac::verify(key, message, tag).is_ok())
    }

    /// The keyed hash under which a client secret is stored.
    pub(crate) fn secret_hash(&self, secret: &str) -> String {
        let key = self.secrets.first().expect("made when the catalogue was opened");
        STANDARD.encode(hmac::sign(key, secret.as_bytes()))
    }

    /// Whether a stored hash is the secret's, in constant time.
    pub(crate) fn secret_matches(&self, secret: &str, hash: &str) -> bool {
        let Ok(tag) = STANDARD.decode(hash) else { return false };
        self.secrets.iter().any(|key| hmac::verify(key, secret.as_bytes(), &tag).is_ok())
    }
}

/// No purpose's message is another's: none holds a zero byte. A client secret, hashed with the same key, holds none, either.
fn tagged(purpose: &str, message: &[u8]) -> Vec<u8> {
    [purpose.as_bytes(), b"\0", message].concat()
}

fn make(master: &MasterKey, purpose: &str, now_ms: i64) -> Result<WrappedKeyRow, KeyError> {
    let plain = match purpose {
        TOKEN => generate_token_key()?,
        AUDIT => generate_seal_key()?,
        _ => Zeroizing::new(random::<HMAC_BYTES>()?.to_vec()),
    };
    wrapped(master, purpose, &plain, now_ms)
}

fn wrapped(master: &MasterKey, purpose: &str, plain: &[u8], now_ms: i64) -> Result<WrappedKeyRow, KeyError> {
    let id = Uuid::new_v4();
    let wrapped = master.wrap_key(id, purpose, plain)?;
    Ok(WrappedKeyRow { id, purpose: purpose.to_owned(), wrapped, created_ms: now_ms })
}

/// Random bytes from the system.
///
/// # Errors
/// `Generation`, when it has none.
pub(crate) fn random<const N: usize>() -> Result<Zeroizing<[u8; N]>, KeyError> {
    let mut bytes = Zeroizing::new([0; N]);
    rand::fill(bytes.as_mut_slice()).map_err(|_| KeyError::Generation("random"))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::tests::fresh;

    #[tokio::test]
    async fn keys_survive_and_stay_apart() {
        let (directory, db) = fresh().await;
        let file = directory.path().join("master.key");
        let mut tx = db.write().await.unwrap();
        let first = Keys::open(&mut tx, &file, 1).await.unwrap();
        let again = Keys::open(&mut tx, &file, 2).await.unwrap();
        assert_eq!(first.token(1).kid(), again.token(1).kid());
        assert!(
            again.tag_matches("p", b"m", &first.tag("p", b"m")) && !again.tag_matches("q", b"m", &first.tag("p", b"m"))
        );
        assert!(again.sas_verify(b"x", &first.sas_sign(b"x")));
        assert!(!again.sas_verify(b"y", &first.sas_sign(b"x")));
        assert!(again.secret_matches("s", &first.secret_hash("s")));
        assert!(!again.secret_matches("t", &first.secret_hash("s")));
        assert!(!again.secret_matches("s", &STANDARD.encode(first.sas_sign(b"s"))));
    }

    #[tokio::test]
    async fn a_lost_or_foreign_master_key_is_named() {
        let (directory, db) = fresh().await;
        let file = directory.path().join("master.key");
        let mut tx = db.write().await.unwrap();
        Keys::open(&mut tx, &file, 1).await.unwrap();
        let foreign = directory.path().join("foreign.key");
        std::fs::write(&foreign, [7; 32]).unwrap();
        let short = directory.path().join("short.key");
        std::fs::write(&short, [7; 31]).unwrap();
        for (file, expected) in
            [(directory.path().join("gone.key"), "does not exist"), (foreign, "does not unwrap"), (short, "32 bytes")]
        {
            let error = Keys::open(&mut tx, &file, 1).await.unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
