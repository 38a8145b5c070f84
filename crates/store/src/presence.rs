//! Whether packs are there, asked of each by name.
//!
//! A listing may lag behind what it lists: it may still show a pack that was deleted, and not yet show one that was written
//! (`docs/design/store.md`, "Where listings lag"). So a listing only tells what to look at. That a pack is gone, or is to be
//! relied on, is what the backend says of its name.

use std::{
    collections::HashSet,
    sync::{Mutex, PoisonError},
};

use futures::{StreamExt, TryStreamExt, stream};

use crate::{Error, PackId, Result, domain::Domain};

/// How many packs are asked for at a time.
const LOOKS_MAX: usize = 16;

impl Domain {
    /// Those of the packs that are not there.
    ///
    /// # Errors
    /// `Io`, `Unavailable`: nothing is known of any of them then.
    pub(crate) async fn gone(&self, packs: Vec<PackId>) -> Result<Vec<PackId>> {
        let looks = stream::iter(packs).map(|pack| self.if_gone(pack)).buffer_unordered(LOOKS_MAX);
        // Boxed: the compiler cannot prove a future that holds the bare stream `Send`.
        let looked: Vec<Option<PackId>> = looks.boxed().try_collect().await?;
        Ok(looked.into_iter().flatten().collect())
    }

    async fn if_gone(&self, pack: PackId) -> Result<Option<PackId>> {
        match self.backend().size_bytes(&pack.key(self.tenant())).await {
            Ok(_) => Ok(None),
            Err(Error::NotFound(_)) => Ok(Some(pack)),
            Err(error) => Err(error),
        }
    }

    /// Takes in those of the packs that are there although no listing has shown them; answers those that are gone. One whose
    /// table does not read is neither known afterwards nor gone.
    ///
    /// # Errors
    /// `Io`, `Unavailable`.
    pub(crate) async fn learn_unlisted(&self, packs: &[PackId]) -> Result<HashSet<PackId>> {
        let known: HashSet<PackId> = self.packs().into_iter().map(|pack| pack.pack).collect();
        let mut gone = HashSet::new();
        for &pack in packs.iter().filter(|pack| !known.contains(*pack)) {
            match self.backend().size_bytes(&pack.key(self.tenant())).await {
                Ok(size_bytes) => self.learn(pack, size_bytes).await?,
                Err(Error::NotFound(_)) => {
                    gone.insert(pack);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(gone)
    }
}

/// The packs that somebody found blobs in, so as not to write them again.
#[derive(Debug, Default)]
pub(crate) struct ReliedPacks(Mutex<Relied>);

#[derive(Debug, Default)]
struct Relied {
    unconfirmed: HashSet<PackId>,
    /// There, whatever a listing says. A pack that was there once after its user's pin stays until the pin is released.
    confirmed: HashSet<PackId>,
}

impl ReliedPacks {
    fn relied(&self) -> std::sync::MutexGuard<'_, Relied> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A blob was found in this pack.
    pub(crate) fn add(&self, pack: PackId) {
        let mut relied = self.relied();
        if !relied.confirmed.contains(&pack) {
            relied.unconfirmed.insert(pack);
        }
    }

    /// This pack was just written.
    pub(crate) fn add_written(&self, pack: PackId) {
        let mut relied = self.relied();
        relied.unconfirmed.remove(&pack);
        relied.confirmed.insert(pack);
    }

    /// Makes sure that all of them are there.
    ///
    /// # Errors
    /// `Unavailable` when one is not: it is forgotten, so that the next attempt writes what was thought to be in it.
    pub(crate) async fn confirm(&self, domain: &Domain) -> Result<()> {
        let asked: Vec<PackId> = self.relied().unconfirmed.iter().copied().collect();
        let gone = domain.gone(asked.clone()).await?;
        if let Some(first) = gone.first() {
            domain.index().remove(&gone);
            return Err(Error::Unavailable(format!("pack {first}, which was to be shared, is gone; try again")));
        }
        let mut relied = self.relied();
        for pack in asked {
            relied.unconfirmed.remove(&pack);
            relied.confirmed.insert(pack);
        }
        Ok(())
    }
}
