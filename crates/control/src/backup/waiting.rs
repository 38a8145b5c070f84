//! Waiting: after a restore a region's garbage is not collected before the region was verified.
//!
//! A restored store may lack what the backup lacked, and its catalogue is older than what people remember. Until somebody
//! has seen what is whole, nothing is deleted. The mark is a row of the catalogue, for each region and tenant.

use uuid::Uuid;

use crate::{
    Control, db,
    db::{Connection, setting, transact},
};

/// What a collector that waits says.
pub(crate) fn describe_waiting(region: &str) -> String {
    format!(
        "The region '{region}' was restored from a backup and not verified since: collection waits for `galerie store verify`."
    )
}

fn name(region: &str, tenant: Uuid) -> String {
    format!("{}{region}/{tenant}", setting::COLLECTION_WAITS)
}

/// Has collection wait for a verification.
pub(super) async fn begin_waiting(tx: &mut Connection, region: &str, tenant: Uuid, now_ms: i64) -> db::Result<()> {
    setting::put(tx, &name(region, tenant), &now_ms.to_string()).await
}

impl Control {
    /// Whether a tenant's part of a region is not collected before it was verified.
    pub(crate) async fn is_collection_waiting(&self, region: &str, tenant: Uuid) -> db::Result<bool> {
        let found = setting::find(&mut *self.db().read().await?, &name(region, tenant)).await?;
        let waits = found.is_some();
        let gauge = metrics::gauge!("galerie_collection_waiting", "region" => region.to_owned());
        gauge.set(if waits { 1.0 } else { 0.0 });
        Ok(waits)
    }

    /// The region was verified, and no image in it is incomplete.
    pub(crate) async fn end_waiting(&self, region: &str, tenant: Uuid) -> db::Result<()> {
        if !self.is_collection_waiting(region, tenant).await? {
            return Ok(());
        }
        transact!(self.db(), |tx| -> db::Result<()> { setting::remove(tx, &name(region, tenant)).await })?;
        metrics::gauge!("galerie_collection_waiting", "region" => region.to_owned()).set(0.0);
        tracing::info!(region, %tenant, "verified after a restore: collection goes on");
        Ok(())
    }
}
