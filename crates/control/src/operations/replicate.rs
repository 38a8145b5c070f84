//! Replicas: copying an image version into a region.
//!
//! ```text
//!   Replicating --(copied)--> Completed
//!       |  ^ `--(final, or passing MOST_ATTEMPTS times)--> Failed --(reconciler, or the same PUT)--> Replicating
//!       `--'  (passing: again after a wait; a copy resumes where it broke)
//! ```
//! A `Completed` replica of which something turns out to be damaged becomes `Replicating` again (`healing`).
//!
//! The worker of the target region pins in both regions, pulls what is missing, and records. A replica whose row is
//! deleted meanwhile stops its copy within a beat and leaves nothing but chunks for the collector. A version made from another
//! tenant's is copied into its home region, too, from that tenant's domain there; one of an application or script is fetched
//! into it (`fetch`).

use std::{
    panic::AssertUnwindSafe,
    sync::{Arc, atomic::Ordering},
};

use futures::FutureExt;
use galerie_arm::{AggregatedState, ArmError, ProvisioningState, ReplicationState};
use galerie_region::Region;
use galerie_store::{CopyProgress, ManifestId};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;
use uuid::Uuid;

use super::{
    MOST_ATTEMPTS, OperationKind, backoff_ms,
    failure::Failure,
    fetch,
    lease::{self, LEASE_MS},
    never_ended,
    progress::{Progress, follow},
};
use crate::{
    Control, db,
    db::{
        Connection, disk_image, foreign_source, operation, package_link,
        replica::{self, ReplicaRow, ReplicaWork},
        resource, transact,
    },
    reconcile::attempted,
    sharing::foreign,
};

/// Claims a region's replicas and makes them, in one of the ways, until the process stops.
pub(super) async fn worker(control: Control, region: String, work: ReplicaWork) {
    let slots = Arc::new(Semaphore::new(control.tuning().replicas_at_once));
    let mut woken = control.woken();
    while !control.stopping().is_cancelled() {
        woken.mark_unchanged();
        while let Ok(slot) = slots.clone().try_acquire_owned() {
            let Some(claimed) = attempted("claim-replicas", claim(&control, &region, work)).await.flatten() else {
                break;
            };
            let Claimed { replica, correlation_id } = claimed;
            let span = tracing::info_span!("replica", version = replica.version, region, correlation_id);
            control.track(carry_out(control.clone(), replica, slot).instrument(span));
        }
        control.rest(&mut woken).await;
    }
}

/// A replica to be copied, and the request that wants it.
struct Claimed {
    replica: ReplicaRow,
    /// Of the version's unfinished operation; `None` when the reconciler tries again what failed.
    correlation_id: Option<String>,
}

async fn claim(control: &Control, region: &str, work: ReplicaWork) -> db::Result<Option<Claimed>> {
    if control.is_draining() {
        return Ok(None);
    }
    {
        // As with operations: looking takes no write lock.
        let mut reading = control.db().read().await?;
        let now_ms = reading.now_ms().await?;
        if !replica::is_due(&mut reading, region, work, ReplicationState::Replicating, now_ms).await? {
            return Ok(None);
        }
    }
    transact!(control.db(), |tx| -> db::Result<Option<Claimed>> {
        let now_ms = tx.now_ms().await?;
        let until_ms = now_ms.saturating_add(LEASE_MS);
        let Some(replica) = replica::claim_due(tx, region, work, control.owner(), now_ms, until_ms).await? else {
            return Ok(None);
        };
        let mut correlation_id = None;
        if let Some(version) = resource::find_kept(tx, &replica.version).await? {
            let wanting = operation::unfinished(tx, &version.key, version.uid).await?.pop();
            correlation_id = wanting.map(|operation| operation.correlation_id.to_string());
        }
        Ok(Some(Claimed { replica, correlation_id }))
    })
}

async fn carry_out(control: Control, claimed: ReplicaRow, slot: OwnedSemaphorePermit) {
    let cancel = control.stopping().child_token();
    let progress = Arc::new(Progress::default());
    let copy = async {
        if claimed.attempts > MOST_ATTEMPTS {
            return Err(never_ended(claimed.attempts));
        }
        make(&control, &claimed, &progress, &cancel).await
    };
    let work = AssertUnwindSafe(copy).catch_unwind();
    let done = lease::under(&control, &claimed.lease(), &progress, &cancel, work).await;
    let outcome = match done {
        Some(Ok(outcome)) => outcome,
        Some(Err(_)) => Err(Failure::Passing(ArmError::internal(&claimed.uid.to_string()))),
        None => Err(Failure::Stopped),
    };
    if let Err(failure) = outcome
        && let Err(error) = put_back(&control, &claimed, failure).await
    {
        tracing::warn!(error = &error as &dyn std::error::Error, replica = %claimed.uid, "record a replica's failure");
    }
    drop(slot);
    control.wake();
}

/// Copies the version's bytes from another region; fetches them, when they are nowhere yet.
async fn make(
    control: &Control,
    claimed: &ReplicaRow,
    progress: &Arc<Progress>,
    cancel: &CancellationToken,
) -> Result<(), Failure> {
    let links = package_link::list(&mut *control.db().read().await?, &claimed.version).await?;
    if links.is_empty() {
        copy(control, claimed, progress, cancel).await
    } else {
        fetch::run(control, claimed, links, progress, cancel).await
    }
}

/// What is to be copied, and from where.
struct Copy {
    tenant: Uuid,
    /// Whose domain it is pulled from: another tenant's while a version that is made from one of theirs is not here yet.
    source_tenant: Uuid,
    manifests: Vec<ManifestId>,
    source: Arc<dyn Region>,
    target: Arc<dyn Region>,
}

async fn copy(
    control: &Control,
    claimed: &ReplicaRow,
    progress: &Arc<Progress>,
    cancel: &CancellationToken,
) -> Result<(), Failure> {
    let Copy { tenant, source_tenant, manifests, source, target } = look(control, claimed).await?;
    let from = control.pin(source.name(), source_tenant, &manifests, "replicate-from").await?;
    // It names no manifest: what a pin names is whole, and here it comes last.
    let into = control.pin(target.name(), tenant, &[], "replicate-into").await?;
    check_foreign(control, claimed).await?;
    let condemned = control.condemned(target.name(), tenant).await?;
    let blobs = source.blobs(source_tenant).await.map_err(|error| Failure::in_region(source.name(), error))?;
    let mut total_bytes = 0;
    for manifest in manifests {
        let part = Arc::new(CopyProgress::default());
        let figures = || (part.total_bytes.load(Ordering::Relaxed), part.copied_bytes.load(Ordering::Relaxed));
        let pull = target.replicate(tenant, manifest, blobs.clone(), &condemned, part.clone(), cancel.clone());
        let pull = into.guard(cancel, from.guard(cancel, pull));
        let add_up = || progress.set(total_bytes + figures().0, total_bytes + figures().1);
        // A source that turns out to be damaged is healed (`reconcile::hurt`); this copy tries the next one meanwhile.
        follow(pull, add_up).await.map_err(|error| Failure::in_region(target.name(), error))?;
        total_bytes += figures().0;
    }
    let now_ms = control.now_ms();
    transact!(control.db(), |tx| -> Result<(), Failure> {
        check_foreign_in(tx, claimed).await?;
        let pinned = from.check(tx).await? && into.check(tx).await?;
        if !pinned || !replica::complete(tx, claimed.lease(), total_bytes, now_ms).await? {
            return Err(Failure::Stopped);
        }
        // From now on the version is at home what the other regions pull from.
        if source_tenant != tenant && source.name() == target.name() {
            foreign_source::delete(tx, &claimed.version).await?;
        }
        Ok(settle_version(tx, &claimed.version, None, now_ms).await?)
    })?;
    metrics::counter!("galerie_replicas_completed_total", "region" => claimed.region.clone()).increment(1);
    Ok(())
}

/// The version's images and the region to pull them from: its home first, at later attempts any that has them.
async fn look(control: &Control, claimed: &ReplicaRow) -> Result<Copy, Failure> {
    let mut tx = control.db().read().await?;
    let version = resource::find_kept(&mut tx, &claimed.version).await?.ok_or(Failure::Stopped)?;
    let images = disk_image::list_for(&mut tx, &claimed.version).await?;
    let target = control.region(&claimed.region).ok_or_else(|| Failure::region_absent(&claimed.region))?;
    let manifests = images.into_iter().map(|image| image.manifest).collect();
    if let Some(foreign) = foreign_source::find(&mut tx, &claimed.version).await? {
        let source = control.region(&version.location).ok_or_else(|| Failure::region_absent(&version.location))?;
        return Ok(Copy { tenant: version.tenant, source_tenant: foreign.tenant, manifests, source, target });
    }
    let replicas = replica::list_for_version(&mut tx, &claimed.version).await?;
    let names = source_regions(&version.location, claimed, &replicas);
    let served: Vec<_> = names.iter().filter_map(|name| control.region(name)).collect();
    let turn = usize::try_from(claimed.attempts.saturating_sub(1)).unwrap_or(0);
    let source = served.get(turn % served.len().max(1)).cloned();
    let source = source.ok_or_else(|| Failure::region_absent(&version.location))?;
    Ok(Copy { tenant: version.tenant, source_tenant: version.tenant, manifests, source, target })
}

/// Checks, now that it is pinned, that what is copied from another tenant may still be.
async fn check_foreign(control: &Control, claimed: &ReplicaRow) -> Result<(), Failure> {
    check_foreign_in(&mut *control.db().read().await?, claimed).await
}

async fn check_foreign_in(tx: &mut Connection, claimed: &ReplicaRow) -> Result<(), Failure> {
    let Some(source) = foreign_source::find(tx, &claimed.version).await? else { return Ok(()) };
    let version = resource::find_kept(tx, &claimed.version).await?.ok_or(Failure::Stopped)?;
    Ok(foreign::check(tx, &version, &source).await?)
}

/// The regions that hold the version, its home first, without the one that wants it. At home, too, it may be damaged.
fn source_regions(home: &str, wanted: &ReplicaRow, replicas: &[ReplicaRow]) -> Vec<String> {
    let (complete, others): (Vec<_>, Vec<_>) =
        replicas.iter().partition(|replica| replica.state == ReplicationState::Completed);
    let complete = complete.iter().map(|replica| replica.region.as_str());
    let mut names: Vec<_> = std::iter::once(home).chain(complete).collect();
    names.retain(|name| *name != wanted.region && others.iter().all(|replica| replica.region != *name));
    let mut seen = std::collections::HashSet::new();
    names.into_iter().filter(|name| seen.insert(*name)).map(str::to_owned).collect()
}

/// Records what came of an attempt that did not succeed.
async fn put_back(control: &Control, claimed: &ReplicaRow, failure: Failure) -> db::Result<()> {
    let lease = claimed.lease();
    let is_final = transact!(control.db(), |tx| -> db::Result<bool> {
        let now_ms = tx.now_ms().await?;
        match &failure {
            Failure::Stopped => {
                replica::relinquish(tx, lease).await?;
            }
            Failure::Passing(error) if claimed.attempts < MOST_ATTEMPTS => {
                let next_ms = now_ms.saturating_add(backoff_ms(claimed.attempts));
                replica::postpone(tx, lease, &error.message, next_ms).await?;
            }
            Failure::Passing(error) | Failure::Final(error) => {
                let next_ms = now_ms.saturating_add(control.tuning().retry_failed_replicas_after_ms);
                if replica::fail(tx, lease, &error.message, next_ms).await? {
                    let is_fetched = package_link::list(tx, &claimed.version).await?.is_empty();
                    let why = if is_fetched { None } else { Some(error) };
                    settle_version(tx, &claimed.version, why, now_ms).await?;
                }
                return Ok(true);
            }
        }
        Ok(false)
    })?;
    if let (true, Failure::Passing(error) | Failure::Final(error)) = (is_final, failure) {
        let (version, region) = (&claimed.version, &claimed.region);
        tracing::warn!(%version, %region, %error, "a replica failed");
        metrics::counter!("galerie_replicas_failed_total", "region" => region.clone()).increment(1);
    }
    Ok(())
}

/// When all replicas of a version are terminal, makes the version `Succeeded` or `Failed` and ends its operation. `why` is told
/// when there is nothing that could have been replicated.
pub(crate) async fn settle_version(
    tx: &mut Connection,
    version: &str,
    why: Option<&ArmError>,
    now_ms: i64,
) -> db::Result<()> {
    let replicas = replica::list_for_version(tx, version).await?;
    let error = match AggregatedState::of(replicas.iter().map(|replica| replica.state)) {
        AggregatedState::Completed => None,
        AggregatedState::Failed => {
            let failed = replicas.iter().filter(|replica| replica.state == ReplicationState::Failed);
            let failed: Vec<_> = failed.map(|replica| (replica.region.as_str(), replica.details.as_str())).collect();
            Some(why.cloned().unwrap_or_else(|| ArmError::replication_failed(&failed)))
        }
        AggregatedState::InProgress | AggregatedState::Unknown => return Ok(()),
    };
    let Some(row) = resource::find_kept(tx, version).await? else { return Ok(()) };
    let state = if error.is_some() { ProvisioningState::Failed } else { ProvisioningState::Succeeded };
    resource::set_state(tx, version, row.uid, state).await?;
    for unfinished in operation::unfinished(tx, version, row.uid).await? {
        if unfinished.kind == OperationKind::ReplicateVersion {
            operation::finish(tx, unfinished.lease(), error.as_ref(), now_ms).await?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn home_comes_first_and_the_target_never() {
        let wanted = ReplicaRow::wanted("v", "westus", 0);
        let completed =
            |region| ReplicaRow { state: ReplicationState::Completed, ..ReplicaRow::wanted("v", region, 0) };
        let replicas = [completed("asia"), completed("eastus"), wanted.clone(), ReplicaRow::wanted("v", "north", 0)];
        assert_eq!(source_regions("eastus", &wanted, &replicas), ["eastus", "asia"]);
        assert_eq!(source_regions("westus", &wanted, &replicas[..1]), ["asia"]);
        assert_eq!(source_regions("north", &wanted, &replicas), ["asia", "eastus"], "its home is being healed");
    }
}
