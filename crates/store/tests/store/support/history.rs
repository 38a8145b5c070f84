//! The images of a random history: some that are being imported, some that the catalogue names.

use std::{collections::BTreeMap, sync::Arc};

use galerie_store::{BlobSink, ManifestId};

use super::{MemoryLedger, TestStore, import_guest};

#[derive(Default)]
pub(crate) struct Images {
    /// Pin, number, manifest; the last begun is the first to end.
    begun: Vec<(u64, u8, ManifestId)>,
    pub(crate) alive: BTreeMap<u8, ManifestId>,
}

impl Images {
    /// Imports a guest, which the catalogue does not name yet.
    pub(crate) async fn begin(&mut self, number: u8, guest: &[u8], test: &TestStore, ledger: &MemoryLedger) {
        let pin = ledger.pin();
        let writer: Arc<dyn BlobSink> = test.domain.writer(ledger.condemned_packs()).await.unwrap();
        let manifest = import_guest(guest, writer).await.unwrap();
        self.begun.push((pin, number, manifest));
    }

    /// The catalogue names what was begun last.
    pub(crate) fn end(&mut self, ledger: &MemoryLedger) {
        if let Some((pin, number, manifest)) = self.begun.pop() {
            ledger.root(manifest);
            self.alive.insert(number, manifest);
            ledger.unpin(pin);
        }
    }

    /// The catalogue does not name an image any more.
    pub(crate) fn delete(&mut self, number: u8, ledger: &MemoryLedger) {
        if let Some(manifest) = self.alive.remove(&number) {
            ledger.unroot(manifest);
        }
    }

    /// Nothing is named any more, and nothing being imported.
    pub(crate) fn delete_all(self, ledger: &MemoryLedger) {
        self.begun.into_iter().for_each(|(pin, ..)| ledger.unpin(pin));
        self.alive.into_values().for_each(|manifest| ledger.unroot(manifest));
    }
}
