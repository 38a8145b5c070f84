//! Packs: the immutable objects that blobs are written into.
//!
//! A pack has a header, the stored blobs back to back, a table that names them, and a trailer with the table's
//! checksum. It is built in memory and put in one piece under a random name that is never used again, so whoever sees
//! a pack sees all of it, for ever the same. Layout: `docs/design/store-format.md`.
//!
//! The checksum protects the table only; blobs are protected by their ids.

mod builder;
mod format;
mod reader;

use std::{collections::HashSet, fmt, str::FromStr, sync::Arc};

pub use builder::{PackBuilder, SealedPack};
pub use format::{
    ENTRY_BYTES, HEADER_BYTES, PACK_END_MAGIC, PACK_MAGIC, PACK_MAX_BYTES, PACK_VERSION, PackEntry, PackTable,
    TRAILER_BYTES,
};
pub use reader::{blob_at, read_table, salvage, split_pack};

use crate::{Error, Result, TenantId, backend::Key};

/// The random name of a pack; never used twice.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PackId(pub [u8; 16]);

impl PackId {
    /// A new name.
    pub fn random() -> Self {
        Self(*uuid::Uuid::new_v4().as_bytes())
    }

    /// Where the tenant's pack of this name lies.
    pub fn key(&self, tenant: &TenantId) -> Key {
        format!("{}{self}", packs_prefix(tenant)).parse().expect("tenant ids and hexadecimal digits make a valid key")
    }
}

/// The folder of a tenant's packs.
pub(crate) fn packs_prefix(tenant: &TenantId) -> String {
    format!("tenants/{tenant}/packs/")
}

impl fmt::Display for PackId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for PackId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for PackId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let valid = text.len() == 32 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        match u128::from_str_radix(text, 16) {
            Ok(number) if valid => Ok(Self(number.to_be_bytes())),
            _ => Err(Error::Invalid(format!("'{}' is not a pack's name", text.chars().take(80).collect::<String>()))),
        }
    }
}

/// The packs that a catalogue has condemned: nothing is deduplicated against them any more.
#[derive(Debug, Clone, Default)]
pub struct CondemnedPacks(Arc<HashSet<PackId>>);

impl CondemnedPacks {
    /// No pack is condemned.
    pub fn none() -> Self {
        Self::default()
    }

    /// Whether the pack is condemned.
    pub fn contains(&self, pack: &PackId) -> bool {
        self.0.contains(pack)
    }
}

impl FromIterator<PackId> for CondemnedPacks {
    fn from_iter<I: IntoIterator<Item = PackId>>(packs: I) -> Self {
        Self(Arc::new(packs.into_iter().collect()))
    }
}
