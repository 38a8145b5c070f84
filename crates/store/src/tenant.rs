//! Tenants: whose bytes they are.

use std::{fmt, str::FromStr};

use crate::Error;

/// The longest tenant name; a UUID has 36 characters.
const TENANT_NAME_MAX_CHARS: usize = 64;

/// Names a tenant; with a region it names a deduplication domain. Lower-case letters, digits and dashes, as in a UUID.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TenantId(String);

impl TenantId {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for TenantId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let folded = text.to_ascii_lowercase();
        let valid = (1..=TENANT_NAME_MAX_CHARS).contains(&folded.len())
            && folded.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        if valid {
            Ok(Self(folded))
        } else {
            Err(Error::Invalid(format!("'{}' is not a tenant id", text.chars().take(80).collect::<String>())))
        }
    }
}

impl From<uuid::Uuid> for TenantId {
    fn from(id: uuid::Uuid) -> Self {
        Self(id.hyphenated().to_string())
    }
}
