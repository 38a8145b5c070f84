//! Scrubbing: a domain is read again pack by pack, in the order of their names, by whoever remembers where it was.
//!
//! [`scrub_next`] is one step: it checks one pack whole and says which. A pass is complete when there is no next one; what
//! was written behind the place meanwhile is the next pass's. The order is that of the backend's own listing, so a pack
//! whose table does not read, and which no index knows, is found like any other.
//!
//! A pass over the packs finds what is damaged. What is gone it cannot see; for that the images are walked
//! ([`crate::verify::find_missing`]).

use std::sync::Arc;

use crate::{
    Error, PackId, Result,
    backend::Key,
    domain::{Domain, complaint},
    index::IndexedPack,
    pack::packs_prefix,
    verify::{DamagedBlob, check_pack},
};

/// What a pack turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScrubbedPack {
    /// The pack.
    pub pack: PackId,
    /// What was read.
    pub read_bytes: u64,
    /// Blobs that were checked.
    pub blobs: u64,
    /// Blobs that are damaged and were not known to be; from now on they are left out.
    pub damaged: Vec<DamagedBlob>,
    /// Blobs that were known to be damaged. They stay until their pack is collected.
    pub known_damaged: u64,
    /// Blobs that were known to be damaged and read now; from now on they are served again.
    pub recovered: u64,
    /// Why it does not read as a whole, if it does not.
    pub complaint: Option<String>,
}

impl ScrubbedPack {
    /// Whether everything in it is as it was put.
    pub fn is_sound(&self) -> bool {
        self.damaged.is_empty() && self.known_damaged == 0 && self.complaint.is_none()
    }
}

/// Checks the first pack after `after`; `None` when there is none. Damage is in the answer, and no longer served.
///
/// # Errors
/// `Io`, `Unavailable`.
pub async fn scrub_next(domain: &Arc<Domain>, after: Option<PackId>) -> Result<Option<ScrubbedPack>> {
    let mut after: Option<Key> = after.map(|pack| pack.key(domain.tenant()));
    loop {
        let listed = domain.backend().list(&packs_prefix(domain.tenant()), after.as_ref(), 1).await?;
        let Some(object) = listed.into_iter().next() else { return Ok(None) };
        // What is no pack's name is nobody's; it is left alone.
        if let Ok(pack) = object.key.name().parse::<PackId>()
            && let Some(scrubbed) = scrub(domain, pack, object.size_bytes).await?
        {
            return Ok(Some(scrubbed));
        }
        after = Some(object.key);
    }
}

/// `None` when the pack was collected meanwhile.
async fn scrub(domain: &Arc<Domain>, pack: PackId, size_bytes: u64) -> Result<Option<ScrubbedPack>> {
    let mut scrubbed = ScrubbedPack {
        pack,
        read_bytes: size_bytes,
        blobs: 0,
        damaged: Vec::new(),
        known_damaged: 0,
        recovered: 0,
        complaint: None,
    };
    match check_pack(domain, IndexedPack { pack, size_bytes, blobs: 0 }).await {
        Ok(checked) => {
            scrubbed.blobs = checked.blobs;
            scrubbed.recovered = domain.lift_quarantine(pack, &checked.damaged_ids()).await?;
            scrubbed.complaint = checked.complaint;
            for damaged in checked.damaged {
                if domain.index().has_quarantined(&pack, &damaged.id) {
                    scrubbed.known_damaged += 1;
                    continue;
                }
                // What cannot be recorded is told all the same.
                let _ = domain.quarantine(pack, damaged.id, &damaged.reason).await;
                scrubbed.damaged.push(damaged);
            }
            Ok(Some(scrubbed))
        }
        Err(Error::NotFound(_)) => Ok(None),
        Err(error) if error.is_damage() || matches!(error, Error::Invalid(_)) => {
            let reason = complaint(&error);
            domain.give_up(pack, size_bytes, reason.clone());
            scrubbed.complaint = Some(reason);
            Ok(Some(scrubbed))
        }
        Err(error) => Err(error),
    }
}
