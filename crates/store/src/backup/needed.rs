//! Which packs images need.

use std::{
    collections::{BTreeSet, HashSet},
    sync::Arc,
};

use tokio_util::sync::CancellationToken;

use super::manifest::MissingBlob;
use crate::{
    BlobId, Error, ManifestId, PackId, Result, Segment, SegmentId,
    blob::BlobSource,
    domain::{Domain, fetch_segment},
};

/// The packs that whole images lie in, and what they lack.
#[derive(Debug, Default)]
pub(super) struct Needed {
    pub(super) packs: BTreeSet<PackId>,
    pub(super) missing: Vec<MissingBlob>,
    walked: HashSet<SegmentId>,
}

impl Needed {
    /// Walks the images. Where several packs have a blob, one that is needed anyway or is `held` already is preferred.
    pub(super) async fn by(
        domain: &Arc<Domain>,
        roots: &[ManifestId],
        held: &HashSet<PackId>,
        cancel: &CancellationToken,
    ) -> Result<Self> {
        let mut needed = Self::default();
        for root in roots {
            needed.walk(domain, *root, held, cancel).await?;
        }
        Ok(needed)
    }

    async fn walk(
        &mut self,
        domain: &Domain,
        root: ManifestId,
        held: &HashSet<PackId>,
        cancel: &CancellationToken,
    ) -> Result<()> {
        let Some(manifest) = self.if_there(root, root.0, domain.manifest(root).await)? else { return Ok(()) };
        self.take(domain, root, root.0, held)?;
        for (_, id) in manifest.segments() {
            if cancel.is_cancelled() {
                return Err(Error::Cancelled);
            }
            if !self.walked.insert(*id) {
                continue;
            }
            let segment = fetch_segment(domain as &dyn BlobSource, *id, root).await;
            let Some(segment): Option<Segment> = self.if_there(root, id.0, segment)? else { continue };
            self.take(domain, root, id.0, held)?;
            for chunk in segment.entries().iter().filter_map(|entry| entry.chunk) {
                self.take(domain, root, chunk.0, held)?;
            }
        }
        Ok(())
    }

    fn take(&mut self, domain: &Domain, root: ManifestId, id: BlobId, held: &HashSet<PackId>) -> Result<()> {
        let locations = domain.index().locations(&id)?;
        if locations.iter().any(|location| self.packs.contains(&location.pack)) {
            return Ok(());
        }
        let preferred = locations.iter().find(|location| held.contains(&location.pack)).or(locations.first());
        match preferred {
            Some(location) => drop(self.packs.insert(location.pack)),
            None => self.missing.push(MissingBlob { manifest: root, blob: id }),
        }
        Ok(())
    }

    /// What is not there, or damaged wherever it is, is missing.
    fn if_there<T>(&mut self, root: ManifestId, id: BlobId, found: Result<T>) -> Result<Option<T>> {
        match found {
            Ok(found) => Ok(Some(found)),
            Err(Error::NotFound(_) | Error::Corrupt(_)) => {
                self.missing.push(MissingBlob { manifest: root, blob: id });
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}
