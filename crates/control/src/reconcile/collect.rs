//! Each region's garbage is collected, tenant by tenant; and the catalogue's part of that.

use std::sync::Arc;

use async_trait::async_trait;
use galerie_arm::ArmError;
use galerie_store::{BlobSource, CollectorLedger, Condemned, ManifestId, PackId, Roots, TenantId};
use uuid::Uuid;

use crate::{
    Control,
    backup::{describe_waiting, is_collection_held},
    db,
    db::{
        condemned_pack::{self, CondemnedPackRow},
        disk_image, pin, tenant, transact,
    },
};

pub(super) async fn run(control: &Control) -> Result<(), ArmError> {
    let tenants = tenant::list(&mut *control.db().read().await?).await?;
    for region in control.regions() {
        // One process collects a region for all that serve it.
        let chore = format!("collect/{}", region.name());
        if !control.takes_chore(&chore, control.tuning().collect_every).await? {
            continue;
        }
        for tenant in &tenants {
            if control.stopping().is_cancelled() {
                return Ok(());
            }
            if control.is_collection_waiting(region.name(), tenant.id).await? {
                tracing::warn!(region = region.name(), tenant = %tenant.id, "{}", describe_waiting(region.name()));
                continue;
            }
            let ledger = Ledger::new(control, region.name());
            let (options, cancel) = (control.tuning().collector(), control.stopping().child_token());
            match region.collect(tenant.id, &ledger, options, control.now_ms(), cancel).await {
                Ok(report) => tracing::info!(region = region.name(), tenant = %tenant.id, ?report, "collected garbage"),
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(region = region.name(), tenant = %tenant.id, error, "collect garbage");
                }
            }
        }
    }
    control.count_down_to_collection();
    Ok(())
}

/// What the collector of one region asks of the catalogue.
pub(crate) struct Ledger {
    control: Control,
    region: String,
}

impl Ledger {
    pub(crate) fn new(control: &Control, region: &str) -> Self {
        Self { control: control.clone(), region: region.to_owned() }
    }
}

#[async_trait]
impl CollectorLedger for Ledger {
    async fn roots(&self, tenant: &TenantId) -> galerie_store::Result<Roots> {
        let tenant = id(tenant)?;
        let mut tx = self.control.db().read().await.map_err(unavailable)?;
        disk_image::roots(&mut tx, &self.region, tenant).await.map_err(unavailable)
    }

    async fn condemned(&self, tenant: &TenantId) -> galerie_store::Result<Vec<Condemned>> {
        let tenant = id(tenant)?;
        let mut tx = self.control.db().read().await.map_err(unavailable)?;
        let rows = condemned_pack::list(&mut tx, &self.region, tenant).await.map_err(unavailable)?;
        let condemned = |row: CondemnedPackRow| {
            let CondemnedPackRow { pack, sequence, copied_ms, .. } = row;
            Condemned { pack, sequence, copied_ms }
        };
        Ok(rows.into_iter().map(condemned).collect())
    }

    async fn condemn(&self, tenant: &TenantId, packs: &[PackId]) -> galerie_store::Result<u64> {
        let tenant = id(tenant)?;
        let condemned = transact!(self.control.db(), |tx| -> db::Result<u64> {
            let sequence = pin::next_sequence(tx).await?;
            for pack in packs {
                condemned_pack::insert(tx, &self.region, tenant, *pack, sequence, self.control.now_ms()).await?;
            }
            Ok(sequence)
        });
        condemned.map_err(unavailable)
    }

    async fn record_copied(&self, tenant: &TenantId, packs: &[PackId], copied_ms: i64) -> galerie_store::Result<()> {
        let tenant = id(tenant)?;
        let recorded = transact!(self.control.db(), |tx| -> db::Result<()> {
            for pack in packs {
                condemned_pack::record_copied(tx, &self.region, tenant, *pack, copied_ms).await?;
            }
            Ok(())
        });
        recorded.map_err(unavailable)
    }

    async fn oldest_pin(&self, tenant: &TenantId) -> galerie_store::Result<Option<u64>> {
        let tenant = id(tenant)?;
        let mut tx = self.control.db().read().await.map_err(unavailable)?;
        if is_collection_held(&mut tx, self.control.now_ms()).await.map_err(unavailable)? {
            // Older than every condemnation, whose numbers begin at 1.
            return Ok(Some(0));
        }
        pin::oldest(&mut tx, &self.region, tenant).await.map_err(unavailable)
    }

    async fn elsewhere(&self, tenant: &TenantId, root: ManifestId) -> galerie_store::Result<Vec<Arc<dyn BlobSource>>> {
        let sources = sources_elsewhere(&self.control, &self.region, id(tenant)?, root).await;
        let sources = sources.map_err(|error| galerie_store::Error::Unavailable(error.to_string()))?;
        Ok(sources.into_iter().map(|(_, source)| source).collect())
    }

    async fn forget(&self, tenant: &TenantId, packs: &[PackId]) -> galerie_store::Result<()> {
        let tenant = id(tenant)?;
        let forgotten = transact!(self.control.db(), |tx| -> db::Result<()> {
            for pack in packs {
                condemned_pack::forget(tx, &self.region, tenant, *pack).await?;
            }
            Ok(())
        });
        forgotten.map_err(unavailable)
    }
}

/// The regions beside this one that have, or were to have, an image, and their blobs.
///
/// # Errors
/// When there are such regions and none can be asked.
pub(super) async fn sources_elsewhere(
    control: &Control,
    region: &str,
    tenant: Uuid,
    manifest: ManifestId,
) -> Result<Vec<(String, Arc<dyn BlobSource>)>, galerie_region::Error> {
    let catalogue = |error: db::Error| galerie_region::Error::Busy(format!("the catalogue: {error}"));
    let mut tx = control.db().read().await.map_err(catalogue)?;
    let mut names = disk_image::regions_with(&mut tx, tenant, manifest).await.map_err(catalogue)?;
    drop(tx);
    names.retain(|name| name != region);
    let mut sources = Vec::new();
    for other in names.iter().filter_map(|name| control.region(name)) {
        sources.push((other.name().to_owned(), other.blobs(tenant).await?));
    }
    if sources.is_empty() && !names.is_empty() {
        let names = names.join(", ");
        return Err(galerie_region::Error::Busy(format!("this process does not serve {names}")));
    }
    Ok(sources)
}

fn id(tenant: &TenantId) -> galerie_store::Result<Uuid> {
    let invalid = |_| galerie_store::Error::Invalid(format!("'{}' is not a tenant's GUID", tenant.as_str()));
    tenant.as_str().parse().map_err(invalid)
}

fn unavailable(error: db::Error) -> galerie_store::Error {
    tracing::warn!(error = &error as &dyn std::error::Error, "answer the collector");
    galerie_store::Error::Unavailable(format!("the catalogue: {error}"))
}
