//! The master key, encrypted with a passphrase: how it may lie in a backup.
//!
//! `galerie-master-key-1$ROUNDS$SALT$SEALED`, the last two in base64: AES-256-GCM (nonce, ciphertext, tag) under a key from
//! PBKDF2-HMAC-SHA-256; everything before the last `$` is authenticated. OWASP's password storage cheat sheet asks for
//! 600 000 rounds.

use std::{num::NonZeroU32, path::Path};

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey},
    pbkdf2,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use zeroize::Zeroizing;

use super::{
    KeyError,
    master::{self, MASTER_KEY_BYTES},
    random,
};

const PREFIX: &str = "galerie-master-key-1";
const ROUNDS: u32 = 600_000;
/// More would only keep a processor busy for whoever made the backup.
const MOST_ROUNDS: u32 = 20_000_000;
const SALT_BYTES: usize = 32;

/// Encrypts the master key in a file.
///
/// # Errors
/// When the file is not there or no master key.
pub fn seal_master_key(file: &Path, passphrase: &str) -> Result<String, KeyError> {
    let missing = || KeyError::MasterKeyMissing(file.display().to_string());
    seal(master::read(file)?.ok_or_else(missing)?.as_slice(), passphrase, ROUNDS)
}

fn seal(plain: &[u8], passphrase: &str, rounds: u32) -> Result<String, KeyError> {
    let salt = random::<SALT_BYTES>()?;
    let head = format!("{PREFIX}${rounds}${}", STANDARD.encode(salt.as_slice()));
    let key = derive(passphrase, salt.as_slice(), rounds).ok_or(KeyError::Generation("sealing"))?;
    let mut sealed = plain.to_vec();
    let nonce = key.seal_in_place_append_tag(Aad::from(head.as_bytes()), &mut sealed);
    let nonce = nonce.map_err(|_| KeyError::Generation("sealed"))?;
    let mut all = nonce.as_ref().to_vec();
    all.append(&mut sealed);
    Ok(format!("{head}${}", STANDARD.encode(all)))
}

/// A decrypted master key, not yet in a file.
pub struct UnsealedMasterKey(Zeroizing<[u8; MASTER_KEY_BYTES]>);

impl std::fmt::Debug for UnsealedMasterKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("UnsealedMasterKey(..)")
    }
}

impl UnsealedMasterKey {
    /// Decrypts.
    ///
    /// # Errors
    /// `WrongPassphrase`, which cannot be told from a changed text.
    pub fn unseal(sealed: &str, passphrase: &str) -> Result<Self, KeyError> {
        try_unseal(sealed, passphrase).map(Self).ok_or(KeyError::WrongPassphrase)
    }

    /// Reads a master key from its file.
    ///
    /// # Errors
    /// When it is not there or no master key.
    pub fn read(file: &Path) -> Result<Self, KeyError> {
        master::read(file)?.map(Self).ok_or_else(|| KeyError::MasterKeyMissing(file.display().to_string()))
    }

    /// Writes it to a file that must not be there, or hold the same.
    ///
    /// # Errors
    /// `Io`.
    pub fn write(&self, file: &Path) -> Result<(), KeyError> {
        match master::read(file)? {
            Some(found) if found.as_slice() == self.0.as_slice() => Ok(()),
            _ => master::write_new(file, self.0.as_slice())
                .map_err(|source| KeyError::Io { action: format!("make the master key {}", file.display()), source }),
        }
    }
}

fn try_unseal(sealed: &str, passphrase: &str) -> Option<Zeroizing<[u8; MASTER_KEY_BYTES]>> {
    let (head, sealed) = sealed.rsplit_once('$')?;
    let mut parts = head.split('$');
    let (prefix, rounds, salt) = (parts.next()?, parts.next()?.parse().ok()?, STANDARD.decode(parts.next()?).ok()?);
    if prefix != PREFIX || parts.next().is_some() || rounds > MOST_ROUNDS {
        return None;
    }
    let key = derive(passphrase, &salt, rounds)?;
    let mut sealed = Zeroizing::new(STANDARD.decode(sealed).ok()?);
    let (nonce, ciphertext) = sealed.split_at_mut_checked(NONCE_LEN)?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
    let plain = key.open_in_place(nonce, Aad::from(head.as_bytes()), ciphertext).ok()?;
    <[u8; MASTER_KEY_BYTES]>::try_from(&*plain).ok().map(Zeroizing::new)
}

fn derive(passphrase: &str, salt: &[u8], rounds: u32) -> Option<RandomizedNonceKey> {
    let mut key = Zeroizing::new([0; 32]);
    let rounds = NonZeroU32::new(rounds)?;
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, rounds, salt, passphrase.as_bytes(), key.as_mut_slice());
    RandomizedNonceKey::new(&AES_256_GCM, key.as_slice()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: [u8; MASTER_KEY_BYTES] = [7; MASTER_KEY_BYTES];

    #[test]
    fn the_passphrase_opens_it_and_nothing_else_does() {
        let sealed = seal(&KEY, "correct horse", 10).unwrap();
        assert_eq!(UnsealedMasterKey::unseal(&sealed, "correct horse").unwrap().0.as_slice(), KEY);
        assert!(matches!(UnsealedMasterKey::unseal(&sealed, "correct horsf"), Err(KeyError::WrongPassphrase)));
        for at in 0..sealed.len() {
            let mut changed = sealed.clone().into_bytes();
            changed[at] = if changed[at] == b'1' { b'2' } else { b'1' };
            let changed = String::from_utf8(changed).unwrap();
            assert!(UnsealedMasterKey::unseal(&changed, "correct horse").is_err(), "{changed}");
        }
    }

    #[test]
    fn what_would_take_for_ever_is_refused() {
        let sealed = format!("{PREFIX}$4000000000$AAAA$AAAA");
        assert!(UnsealedMasterKey::unseal(&sealed, "x").is_err());
    }

    /// RFC 7914, section 11: PBKDF2-HMAC-SHA-256 of "passwd" and "salt", one round, so that other programs can open it.
    #[test]
    fn the_derivation_is_the_standards() {
        let mut key = [0; 8];
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, NonZeroU32::MIN, b"salt", b"passwd", &mut key);
        assert_eq!(key, [0x55, 0xac, 0x04, 0x6e, 0x56, 0xe3, 0x08, 0x9f]);
    }
}
