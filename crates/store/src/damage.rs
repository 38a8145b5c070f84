//! Damage that reads met and that nobody has looked into yet.
//!
//! Whoever reads damaged bytes gets an error, and learns of one image. Others may be hurt by the same damage, and which these
//! are takes a walk over all images. So what reads met is only noted, by tenant; whoever looks after the store waits for that,
//! walks, and has healed what can be. The notes are in memory: what was found damaged is on record in the store, and noted
//! again when a domain is opened that has such records.

use std::{
    collections::BTreeSet,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

use crate::TenantId;

/// Whose images are to be walked.
#[derive(Debug, Default)]
pub struct DamageNotes {
    tenants: Mutex<BTreeSet<TenantId>>,
    noted: Notify,
}

impl DamageNotes {
    /// Something of a tenant's is damaged or missing.
    pub fn note(&self, tenant: &TenantId) {
        if self.tenants().insert(tenant.clone()) {
            self.noted.notify_one();
        }
    }

    /// Waits until there is something to look into. For one waiter; cancel safe.
    pub async fn noted(&self) {
        while self.tenants().is_empty() {
            self.noted.notified().await;
        }
    }

    /// The tenants that are noted.
    pub fn list(&self) -> Vec<TenantId> {
        self.tenants().iter().cloned().collect()
    }

    /// A tenant's images are about to be walked: what was met up to now will be found. What is met from now on is noted again.
    pub fn clear(&self, tenant: &TenantId) {
        self.tenants().remove(tenant);
    }

    fn tenants(&self) -> MutexGuard<'_, BTreeSet<TenantId>> {
        self.tenants.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
