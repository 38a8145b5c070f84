//! Images that are hurt: found, healed where another region has the bytes, and named where none has.
//!
//! Damage is met by whoever reads: a download, a copy, the collector, a backup, the scrubber. The region's store notes it
//! ([`galerie_store::DamageNotes`]), and soon after all the tenant's images there are walked, since others may need the same
//! bytes. A replica of a version is copied again (`healing`); what no replica can heal, a disk or a snapshot, is brought
//! straight from a region where something holds the same image. What nobody has is named: in the log, by a metric, in
//! `galerie store stats`. Nothing here depends on scrubbing, which may be off.

use std::{collections::BTreeSet, time::Duration};

use galerie_arm::{ArmError, ReplicationState, ResourceId};
use galerie_region::Region;
use galerie_store::{ManifestId, TenantId};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use uuid::Uuid;

use super::{attempted, collect::sources_elsewhere};
use crate::{
    Control,
    db::{Connection, disk_image, replica, scrub, transact},
    reconcile::scrub::{Scrub, of},
};

/// How long what reads meet is gathered before images are walked: damage seldom comes alone.
const GATHER: Duration = Duration::from_millis(500);
/// The least rest between two walks of a region.
const LEAST_REST: Duration = Duration::from_secs(5);
/// A walk rests this many times as long as it took: what is hurt and cannot be healed is met again and again.
const REST_FACTOR: u32 = 20;
/// The rest after a failure.
const SHORT_REST: Duration = Duration::from_secs(30);
/// Most resources that are remembered as hurt; what is beyond is counted.
const MOST_HURT: usize = 100;

/// A resource with a damaged image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Hurt {
    id: String,
    manifest: String,
    pub(super) healing: bool,
}

/// Looks into what reads meet in a region, until the process stops.
pub(super) async fn keep_true(control: Control, region: String) {
    let Some(plane) = control.region(&region) else { return };
    loop {
        tokio::select! {
            () = control.stopping().cancelled() => return,
            () = plane.damage().noted() => {}
        }
        tokio::select! {
            () = control.stopping().cancelled() => return,
            () = tokio::time::sleep(GATHER) => {}
        }
        let began = Instant::now();
        let looked = attempted("hurt", look_into_notes(&control, &*plane)).await;
        let rest = looked.map_or(SHORT_REST, |()| LEAST_REST.max(began.elapsed() * REST_FACTOR));
        tokio::select! {
            () = control.stopping().cancelled() => return,
            () = tokio::time::sleep(rest) => {}
        }
    }
}

async fn look_into_notes(control: &Control, region: &dyn Region) -> Result<(), ArmError> {
    for tenant in region.damage().list() {
        tracing::warn!(region = region.name(), %tenant, "something that was read is damaged: all images are walked");
        match tenant.as_str().parse() {
            Ok(id) => look(control, region, id).await.map(drop)?,
            Err(_) => region.damage().clear(&tenant),
        }
    }
    Ok(())
}

/// Walks a tenant's images in a region, has healed what lacks something, and remembers what is hurt; how many resources are.
/// What reads met before is looked into thereby; when it fails, it is still to be.
pub(super) async fn look(control: &Control, region: &dyn Region, tenant: Uuid) -> Result<u64, ArmError> {
    let id = TenantId::from(tenant);
    region.damage().clear(&id);
    let looked = walk(control, region, tenant).await;
    if looked.is_err() {
        region.damage().note(&id);
    }
    looked
}

async fn walk(control: &Control, region: &dyn Region, tenant: Uuid) -> Result<u64, ArmError> {
    let name = region.name();
    // What is a root now is not collected while it is walked.
    let _pinned = control.pin(name, tenant, &[], "walk").await?;
    let roots = disk_image::complete_roots(&mut *control.db().read().await?, name, tenant).await?;
    let missing = region.find_missing(tenant, roots, control.stopping().child_token()).await;
    let damaged: BTreeSet<_> = missing.map_err(|error| unreadable(name, &error))?.into_iter().collect();
    let mut hurt = control.heal(name, tenant, &damaged).await?;
    let healing: BTreeSet<ManifestId> = hurt.iter().filter(|hurt| hurt.is_healing).map(|hurt| hurt.manifest).collect();
    let left: BTreeSet<ManifestId> = hurt.iter().map(|hurt| hurt.manifest).collect();
    for manifest in left.difference(&healing) {
        match bring(control, region, tenant, *manifest).await {
            Ok(true) => hurt.retain(|hurt| hurt.manifest != *manifest),
            Ok(false) => {}
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(region = name, %manifest, error, "bring an image again");
            }
        }
    }
    for lost in hurt.iter().filter(|hurt| !hurt.is_healing) {
        tracing::error!(region = name, resource = lost.id, manifest = %lost.manifest, "an image is damaged, and no other region gives it");
    }
    let found = hurt
        .into_iter()
        .map(|hurt| Hurt { id: hurt.id, manifest: hurt.manifest.to_string(), healing: hurt.is_healing })
        .collect();
    remember(control, name, tenant, found).await
}

/// Copies what an image lacks from a region where something else holds the same image; whether one had it all.
async fn bring(
    control: &Control,
    region: &dyn Region,
    tenant: Uuid,
    manifest: ManifestId,
) -> Result<bool, galerie_region::Error> {
    let catalogue = |error: crate::db::Error| galerie_region::Error::Busy(format!("the catalogue: {error}"));
    let (name, cancel) = (region.name(), control.stopping().child_token());
    let into = control.pin(name, tenant, &[], "heal-into").await.map_err(catalogue)?;
    let condemned = control.condemned(name, tenant).await.map_err(catalogue)?;
    for (other, source) in sources_elsewhere(control, name, tenant, manifest).await? {
        let from = control.pin(&other, tenant, &[manifest], "heal-from").await.map_err(catalogue)?;
        let pull = region.replicate(tenant, manifest, source, &condemned, Default::default(), cancel.clone());
        match into.guard(&cancel, from.guard(&cancel, pull)).await {
            Ok(_) => {
                tracing::info!(region = name, %manifest, from = other, "healed an image");
                return Ok(true);
            }
            Err(error @ galerie_region::Error::Cancelled) => return Err(error),
            Err(error) => {
                tracing::warn!(region = name, %manifest, from = other, error = &error as &dyn std::error::Error, "bring an image again");
            }
        }
    }
    Ok(false)
}

/// Writes down what is hurt, beside whatever a pass over the packs wrote meanwhile; how many resources are.
async fn remember(control: &Control, region: &str, tenant: Uuid, found: Vec<Hurt>) -> Result<u64, ArmError> {
    transact!(control.db(), |tx| -> Result<u64, ArmError> {
        let mut row = scrub::find(tx, region, tenant).await?.unwrap_or_default();
        let mut document: Scrub = of(&row);
        let mut hurt = found.clone();
        // What heals is no complete replica any more, and so was not looked at.
        for earlier in still_hurt(tx, region, &document.hurt).await? {
            if earlier.healing && hurt.iter().all(|hurt| hurt.id != earlier.id) {
                hurt.push(earlier);
            }
        }
        let count = hurt.len() as u64;
        hurt.truncate(MOST_HURT);
        if document.hurt != hurt || document.hurt_count != count {
            (document.hurt, document.hurt_count) = (hurt, count);
            row.document = document.to_value();
            scrub::write(tx, region, tenant, &row).await?;
        }
        Ok(count)
    })
}

/// Those of the resources whose image has not healed since.
pub(super) async fn still_hurt(tx: &mut Connection, region: &str, hurt: &[Hurt]) -> Result<Vec<Hurt>, ArmError> {
    let (mut left, mut healing) = (Vec::new(), BTreeSet::new());
    for version in hurt.iter().filter(|hurt| hurt.healing) {
        let id = ResourceId::parse(&version.id, "id")?;
        let replica = replica::find(tx, id.key(), region).await?;
        if replica.is_some_and(|replica| replica.state != ReplicationState::Completed) {
            healing.insert(version.manifest.clone());
        }
    }
    // A disk heals with the version that has the same image.
    left.extend(hurt.iter().filter(|hurt| !hurt.healing || healing.contains(&hurt.manifest)).cloned());
    Ok(left)
}

pub(super) fn unreadable(region: &str, error: &galerie_region::Error) -> ArmError {
    ArmError::service_unavailable(&format!("The region '{region}' could not be read: {error}"))
}

#[cfg(test)]
mod tests;
