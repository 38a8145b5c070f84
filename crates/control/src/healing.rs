//! Healing: what was complete in a region and turned out to be damaged is copied again from a region that has it.
//!
//! A replica that is hurt goes back from `Completed` to `Replicating`, and the copy that makes it complete again brings
//! only what is missing, which damaged blobs count as. The home region's replica is no exception. Disks and other
//! resources in the region that hold the same image are whole again with it. What no other region has stays as it is and
//! is named, so that somebody who has the bytes can bring them: equal bytes heal it, whoever imports them.

use std::collections::BTreeSet;

use galerie_arm::ReplicationState;
use galerie_store::ManifestId;
use uuid::Uuid;

use crate::{
    Control, db,
    db::{
        Connection,
        disk_image::{self, DiskImageRow},
        replica::{self, ReplicaRow},
        resource, transact,
    },
};

/// A resource with an image that is damaged in a region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HurtResource {
    /// Its id.
    pub(crate) id: String,
    pub(crate) manifest: ManifestId,
    /// Whether the image is being copied from another region.
    pub(crate) is_healing: bool,
}

impl Control {
    /// Has images that are damaged in a region copied again from where they are complete; everything in the region that
    /// is hurt, healing or not. Twice is once.
    pub(crate) async fn heal(
        &self,
        region: &str,
        tenant: Uuid,
        damaged: &BTreeSet<ManifestId>,
    ) -> db::Result<Vec<HurtResource>> {
        let healed = self.heal_images(region, tenant, damaged).await;
        // Also when not all of them could be looked at: the others' copies wait.
        self.wake();
        healed
    }

    async fn heal_images(
        &self,
        region: &str,
        tenant: Uuid,
        damaged: &BTreeSet<ManifestId>,
    ) -> db::Result<Vec<HurtResource>> {
        let mut hurt = Vec::new();
        // One by one: finding what has an image looks at all of the tenant's, and others want to write in between.
        for manifest in damaged {
            hurt.extend(transact!(self.db(), |tx| -> db::Result<Vec<HurtResource>> {
                heal_image(tx, region, tenant, *manifest, self.now_ms()).await
            })?);
        }
        Ok(hurt)
    }
}

async fn heal_image(
    tx: &mut Connection,
    region: &str,
    tenant: Uuid,
    manifest: ManifestId,
    now_ms: i64,
) -> db::Result<Vec<HurtResource>> {
    let (mut here, mut is_healing) = (Vec::new(), false);
    for image in disk_image::list_with(tx, tenant, manifest).await? {
        let Some(row) = resource::find_kept(tx, &image.resource).await? else { continue };
        let replicas = if row.has_replicas() { replica::list_for_version(tx, &row.key).await? } else { Vec::new() };
        let in_region = replicas.iter().find(|replica| replica.region == region);
        if in_region.is_none() && image.region != region {
            continue;
        }
        if in_region.is_some() && is_whole_elsewhere(&image, &replicas, region) {
            replica::copy_again(tx, &row.key, region, now_ms).await?;
            is_healing = true;
        }
        here.push(row.id);
    }
    Ok(here.into_iter().map(|id| HurtResource { id, manifest, is_healing }).collect())
}

/// Whether a version's image is complete in another region. Where a version has no replica its home has the image.
fn is_whole_elsewhere(image: &DiskImageRow, replicas: &[ReplicaRow], region: &str) -> bool {
    let mut elsewhere = replicas.iter().filter(|replica| replica.region != region);
    let home_has_a_replica = replicas.iter().any(|replica| replica.region == image.region);
    elsewhere.any(|replica| replica.state == ReplicationState::Completed)
        || image.region != region && !home_has_a_replica
}
