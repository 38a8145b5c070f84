//! The master key file, and wrapping with it.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use base64::{Engine, engine::general_purpose::STANDARD};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{KeyError, random};

/// Bytes of the file.
pub(super) const MASTER_KEY_BYTES: usize = 32;

/// The key that wraps the others.
pub(super) struct MasterKey {
    key: RandomizedNonceKey,
    file: String,
}

impl MasterKey {
    /// Reads the file; makes it when it is missing and `may_create` says that nothing was wrapped yet.
    pub(super) fn open(file: &Path, may_create: bool) -> Result<Self, KeyError> {
        let name = file.display().to_string();
        let bytes = match read(file)? {
            Some(bytes) => bytes,
            None if may_create => create(file)?,
            None => return Err(KeyError::MasterKeyMissing(name)),
        };
        let key = RandomizedNonceKey::new(&AES_256_GCM, bytes.as_slice())
            .map_err(|_| KeyError::MasterKeyUnusable(format!("the master key {name} cannot be used")))?;
        Ok(Self { key, file: name })
    }

    /// Base64 of nonce, ciphertext and tag.
    pub(super) fn wrap_key(&self, id: Uuid, purpose: &str, plain: &[u8]) -> Result<String, KeyError> {
        let mut sealed = plain.to_vec();
        let nonce = self
            .key
            .seal_in_place_append_tag(aad(id, purpose), &mut sealed)
            .map_err(|_| KeyError::Generation("wrapped"))?;
        let mut wrapped = nonce.as_ref().to_vec();
        wrapped.append(&mut sealed);
        Ok(STANDARD.encode(wrapped))
    }

    pub(super) fn unwrap_key(&self, id: Uuid, purpose: &str, wrapped: &str) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        let plain = self.try_unwrap(id, purpose, wrapped);
        plain.ok_or_else(|| KeyError::WrongMasterKey { file: self.file.clone(), purpose: purpose.to_owned() })
    }

    fn try_unwrap(&self, id: Uuid, purpose: &str, wrapped: &str) -> Option<Zeroizing<Vec<u8>>> {
        let mut sealed = Zeroizing::new(STANDARD.decode(wrapped).ok()?);
        let (nonce, ciphertext) = sealed.split_at_mut_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let plain = self.key.open_in_place(nonce, aad(id, purpose), ciphertext).ok()?;
        Some(Zeroizing::new(plain.to_vec()))
    }
}

/// What is authenticated with a wrapped key: a version, which key it is and what for.
fn aad(id: Uuid, purpose: &str) -> Aad<Vec<u8>> {
    Aad::from(format!("galerie wrapped key 1\n{id}\n{purpose}").into_bytes())
}

pub(super) fn read(file: &Path) -> Result<Option<Zeroizing<[u8; MASTER_KEY_BYTES]>>, KeyError> {
    let failed = |source| KeyError::Io { action: format!("read the master key {}", file.display()), source };
    let opened = match File::open(file) {
        Ok(opened) => opened,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(failed(source)),
    };
    let mut bytes = Zeroizing::new(Vec::with_capacity(MASTER_KEY_BYTES + 1));
    opened.take(MASTER_KEY_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
    let bytes = <[u8; MASTER_KEY_BYTES]>::try_from(bytes.as_slice()).map(Zeroizing::new);
    let unusable = |_| {
        let text = format!("the master key {} must have exactly {MASTER_KEY_BYTES} bytes", file.display());
        KeyError::MasterKeyUnusable(text)
    };
    bytes.map(Some).map_err(unusable)
}

/// Makes the file durable before anything is wrapped with it.
fn create(file: &Path) -> Result<Zeroizing<[u8; MASTER_KEY_BYTES]>, KeyError> {
    let bytes = random::<MASTER_KEY_BYTES>()?;
    write_new(file, bytes.as_slice())
        .map_err(|source| KeyError::Io { action: format!("make the master key {}", file.display()), source })?;
    Ok(bytes)
}

/// Writes the file beside its place and moves it there whole, replacing nothing: an empty or torn key would be refused at
/// every later start.
pub(super) fn write_new(file: &Path, bytes: &[u8]) -> io::Result<()> {
    let beside = beside(file);
    match fs::remove_file(&beside) {
        // What a start that was killed left there never wrapped anything.
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut created = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
    created.write_all(bytes)?;
    created.sync_all()?;
    let moved = match renameat_with(CWD, &beside, CWD, file, RenameFlags::NOREPLACE) {
        // File systems without that flag (some network ones) have hard links, which never replace either.
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => {
            fs::hard_link(&beside, file).and_then(|()| fs::remove_file(&beside))
        }
        other => other.map_err(io::Error::from),
    };
    if moved.is_err() {
        let _ = fs::remove_file(&beside);
    }
    moved?;
    let parent = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(parent)?.sync_all()
}

fn beside(file: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(file.file_name().unwrap_or_default());
    name.push(".new");
    file.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// Regression: the key was written in its place. Killed between the creation and the write, the program left an empty
    /// file, and no start ever succeeded again.
    #[test]
    fn a_key_is_whole_or_not_there() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("master.key");
        fs::write(beside(&file), "torn").unwrap();
        let bytes = create(&file).unwrap();
        assert_eq!(read(&file).unwrap().unwrap().as_slice(), bytes.as_slice());
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert!(!beside(&file).exists());
        // Another's key is never replaced.
        assert!(create(&file).is_err());
        assert_eq!(read(&file).unwrap().unwrap().as_slice(), bytes.as_slice());
        assert!(!beside(&file).exists());
    }
}
