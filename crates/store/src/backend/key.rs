//! Keys of objects: relative paths that mean the same on every kind of storage.

use std::{fmt, str::FromStr};

use crate::Error;

/// The longest key; object stores allow 1024 bytes, file systems 255 per name.
const KEY_MAX_BYTES: usize = 512;
/// The longest name between two slashes.
const NAME_MAX_BYTES: usize = 200;

/// The key of an object: names of `a-z 0-9 . _ -`, none beginning with a dot, joined by `/`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(String);

impl Key {
    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The last name.
    pub fn name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Key {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        if text.len() <= KEY_MAX_BYTES && text.split('/').all(is_name) {
            Ok(Self(text.to_owned()))
        } else {
            Err(Error::Invalid(format!("'{}' is not an object key", text.chars().take(80).collect::<String>())))
        }
    }
}

fn is_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte);
    (1..=NAME_MAX_BYTES).contains(&name.len()) && !name.starts_with('.') && name.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::Key;

    #[test]
    fn keys_cannot_leave_the_root() {
        for bad in ["", "/", "a/", "/a", "a//b", "..", "a/../b", ".tmp/x", "A", "a b", "a\\b", "a\0b"] {
            assert!(bad.parse::<Key>().is_err(), "{bad:?}");
        }
        for good in ["store.json", "tenants/t-1/packs/00ff", "a/b/c"] {
            assert!(good.parse::<Key>().is_ok(), "{good:?}");
        }
    }
}
