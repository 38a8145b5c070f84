//! Regions whose store cannot be opened: they are away, the others serve.
//!
//! ```text
//!   away --(tried every 15 s; it is the store that the catalogue knows)--> available, its workers run
//! ```
//! While a region is away it is as one that another process serves: resources in it can be read, written and deleted, what needs
//! its bytes is answered 503, and its accepted work is not claimed, so that it waits without losing attempts.
//!
//! Only a region that the catalogue knows can be away. The store of a new one must be there, or it could not be told from
//! another one later.

use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use galerie_arm::ArmError;
use galerie_region::Region;

use crate::{
    Control, Error,
    db::{Connection, region_store, transact},
    operations, reconcile,
    regions::adopt,
};

/// Opens a region's data plane.
#[async_trait]
pub trait OpenRegion: Send + Sync {
    /// Opens it, or says why it cannot be.
    ///
    /// # Errors
    /// The region's.
    async fn open(&self) -> Result<Arc<dyn Region>, galerie_region::Error>;
}

/// A region of this process that could not be opened.
#[derive(Clone)]
pub struct AwayRegion {
    /// The normalised name.
    pub name: String,
    /// As for [`crate::ServedRegion`].
    pub display_name: Option<String>,
    /// How it is tried again.
    pub opener: Arc<dyn OpenRegion>,
}

/// A region that this process serves, or would if its store could be opened.
pub(crate) struct RegionSlot {
    plane: OnceLock<Arc<dyn Region>>,
    opener: Option<Arc<dyn OpenRegion>>,
}

impl RegionSlot {
    pub(crate) fn available(plane: Arc<dyn Region>) -> Self {
        Self { plane: OnceLock::from(plane), opener: None }
    }

    pub(crate) fn away(opener: Arc<dyn OpenRegion>) -> Self {
        Self { plane: OnceLock::new(), opener: Some(opener) }
    }

    /// `None` while it is away.
    pub(crate) fn plane(&self) -> Option<&Arc<dyn Region>> {
        self.plane.get()
    }
}

/// Refuses a region that was never there.
pub(crate) async fn check_known(tx: &mut Connection, name: &str) -> Result<(), Error> {
    match region_store::find(tx, name).await? {
        Some(_) => Ok(()),
        None => Err(Error::Regions(format!("the region '{name}' is new and its store cannot be opened"))),
    }
}

/// Tries the regions that are away again; shows which are. For the reconcilers.
pub(crate) async fn run(control: &Control) -> Result<(), ArmError> {
    for (name, slot) in control.slots() {
        if let (None, Some(opener)) = (slot.plane(), &slot.opener) {
            match open(control, name, slot, &**opener).await {
                Ok(()) => tracing::info!(region = name, "the region is available again"),
                Err(error) => {
                    tracing::warn!(region = name, error = &error as &dyn std::error::Error, "the region is away");
                }
            }
        }
        let is_available = if slot.plane().is_some() { 1.0 } else { 0.0 };
        metrics::gauge!("galerie_region_available", "region" => name.to_owned()).set(is_available);
    }
    Ok(())
}

async fn open(control: &Control, name: &str, slot: &RegionSlot, opener: &dyn OpenRegion) -> Result<(), Error> {
    let plane = opener.open().await.map_err(|source| Error::Region { region: name.to_owned(), source })?;
    transact!(control.db(), |tx| -> Result<(), Error> { adopt(tx, &*plane, control.now_ms()).await })?;
    if slot.plane.set(plane).is_ok() {
        operations::start_region(control, name);
        reconcile::start_region(control, name);
        control.announce_regions().await?;
        control.wake();
    }
    Ok(())
}

impl Control {
    /// The regions of this process that are away.
    #[must_use]
    pub fn away_regions(&self) -> Vec<String> {
        self.slots().filter(|(_, slot)| slot.plane().is_none()).map(|(name, _)| name.to_owned()).collect()
    }
}

#[cfg(test)]
mod tests;
