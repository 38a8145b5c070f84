//! Fetching what a version's links name: how the replica in the version's own region comes to be.
//!
//! Look: which links are left. Act: gather the bytes of each beside the region's store, then pin and import them. Record, in one
//! transaction: the images, the replica, the other regions' replicas, which begin now, and what the subscription is charged.
//! What ends before that is fetched again from its beginning; what was stored already is not stored twice.

use std::sync::{Arc, atomic::Ordering};

use futures::StreamExt;
use galerie_arm::{ArmError, ResourceType};
use galerie_region::{Gathering, Region};
use galerie_store::ImportProgress;
use tokio_util::sync::CancellationToken;

use super::{
    failure::Failure,
    progress::{Progress, follow},
    replicate::settle_version,
};
use crate::{
    Control, FetchError,
    db::{
        self, Connection,
        disk_image::{self, DiskImageRow},
        package_link::{self, PackageLinkRow},
        replica::{self, ReplicaRow},
        resource::{self, ResourceRow},
        transact,
    },
    package::link,
    quota,
    resource::{effects::new_replica, plan::PackageLink},
    target_regions,
};

/// What wrapped links are, to the master key.
const PURPOSE: &str = "package-link";
const TARGETS: &str = "properties.publishingProfile.targetRegions";

impl PackageLinkRow {
    /// Wraps a link: it may hold a signature.
    ///
    /// # Errors
    /// When the system has no randomness.
    pub(crate) fn wrap(control: &Control, version: &str, link: &PackageLink) -> Result<Self, ArmError> {
        let wrapped = control.keys().wrap(PURPOSE, link.url.as_bytes(), 0).map_err(|error| {
            tracing::error!(error = &error as &dyn std::error::Error, "wrap a link");
            ArmError::internal(version)
        })?;
        Ok(Self {
            resource: version.to_owned(),
            lun: link.lun,
            property: link.property.to_owned(),
            wrap_id: wrapped.id,
            link: wrapped.wrapped,
        })
    }

    fn unwrap(&self, control: &Control) -> Result<String, Failure> {
        let row = db::wrapped_key::WrappedKeyRow {
            id: self.wrap_id,
            purpose: PURPOSE.to_owned(),
            wrapped: self.link.clone(),
            created_ms: 0,
        };
        let unreadable = || Failure::Final(ArmError::internal(&self.wrap_id.to_string()));
        let plain = control.keys().unwrap(&row).map_err(|_| unreadable())?;
        String::from_utf8(plain.to_vec()).map_err(|_| unreadable())
    }
}

/// Fetches the links of a version and makes the claimed replica complete.
pub(super) async fn run(
    control: &Control,
    claimed: &ReplicaRow,
    links: Vec<PackageLinkRow>,
    progress: &Arc<Progress>,
    cancel: &CancellationToken,
) -> Result<(), Failure> {
    let version = resource::find_kept(&mut *control.db().read().await?, &claimed.version).await?;
    let version = version.ok_or(Failure::Stopped)?;
    let region = control.region(&claimed.region).ok_or_else(|| Failure::region_absent(&claimed.region))?;
    let in_region = |error| Failure::in_region(&claimed.region, error);
    // Nothing is pinned yet: whoever sends slowly would hold up the tenant's collections.
    let mut fetching = Fetching { control, region: &*region, version: &version, progress, cancel, total_bytes: 0 };
    let mut gathered = Vec::with_capacity(links.len());
    for link in &links {
        gathered.push((link.lun, fetching.gather(link).await?));
    }
    let total_bytes = fetching.total_bytes;
    let pinned = control.pin(&claimed.region, version.tenant, &[], "fetch").await?;
    let condemned = control.condemned(&claimed.region, version.tenant).await?;
    let (mut images, mut before_bytes) = (Vec::with_capacity(links.len()), 0);
    for (lun, bytes) in gathered {
        let read = Arc::new(ImportProgress::default());
        let import = region.import_gathered(version.tenant, bytes, &condemned, read.clone(), cancel.clone());
        let add_up = || {
            let read_bytes = before_bytes + read.read_bytes.load(Ordering::Relaxed);
            progress.set(2 * total_bytes, total_bytes + read_bytes);
        };
        let imported = follow(pinned.guard(cancel, import), add_up).await.map_err(in_region)?;
        before_bytes += imported.virtual_size_bytes;
        images.push(DiskImageRow {
            resource: version.key.clone(),
            lun,
            tenant: version.tenant,
            region: version.location.clone(),
            manifest: imported.manifest,
            virtual_size_bytes: imported.virtual_size_bytes,
        });
    }
    let now_ms = control.now_ms();
    transact!(control.db(), |tx| -> Result<(), Failure> {
        if !pinned.check(tx).await? || !replica::complete(tx, claimed.lease(), total_bytes, now_ms).await? {
            return Err(Failure::Stopped);
        }
        record(tx, control, claimed, &images, now_ms).await
    })?;
    metrics::counter!("galerie_packages_fetched_total", "region" => claimed.region.clone()).increment(1);
    Ok(())
}

/// Names what was fetched, and has the other regions copy it.
async fn record(
    tx: &mut Connection,
    control: &Control,
    claimed: &ReplicaRow,
    images: &[DiskImageRow],
    now_ms: i64,
) -> Result<(), Failure> {
    let version = resource::find_kept(tx, &claimed.version).await?.ok_or(Failure::Stopped)?;
    for image in images {
        disk_image::insert(tx, image).await?;
    }
    package_link::delete(tx, &version.key).await?;
    for target in target_regions::stored(&version.document, TARGETS, control.locations()) {
        let region = target.region.as_str();
        if region != version.location && replica::find(tx, &version.key, region).await?.is_none() {
            replica::upsert(tx, &new_replica(&version, region, &target.terms, false, now_ms)).await?;
        }
    }
    // How much it is was not known before.
    quota::charge(tx, &version).await?;
    Ok(settle_version(tx, &version.key, None, now_ms).await?)
}

/// The links of a version on their way.
struct Fetching<'a> {
    control: &'a Control,
    region: &'a dyn Region,
    version: &'a ResourceRow,
    progress: &'a Arc<Progress>,
    cancel: &'a CancellationToken,
    /// What has come of all links.
    total_bytes: u64,
}

impl Fetching<'_> {
    /// Gathers what a link names. Of the whole work coming here is one half, storing it the other.
    async fn gather(&mut self, row: &PackageLinkRow) -> Result<Gathering, Failure> {
        let url = row.unwrap(self.control)?;
        let refused = |error| self.refused(row, error);
        let in_region = |error| Failure::in_region(self.region.name(), error);
        tracing::info!(version = self.version.id, link = link::without_query(&url), "fetch a package");
        let fetch = async {
            let mut fetched = self.control.fetcher().open(&url).await.map_err(refused)?;
            if let Some(length_bytes) = fetched.length_bytes {
                self.check_room(self.total_bytes.saturating_add(length_bytes)).await?;
            }
            let mut gathering = self.region.gather().await.map_err(in_region)?;
            while let Some(bytes) = fetched.body.next().await {
                gathering.append(bytes.map_err(refused)?).await.map_err(in_region)?;
                let so_far_bytes = self.total_bytes + gathering.length_bytes();
                // Without a length nobody knows how far it is until it is here.
                let expected_bytes = fetched
                    .length_bytes
                    .map_or(0, |length_bytes| 2 * so_far_bytes.max(self.total_bytes + length_bytes));
                self.progress.set(expected_bytes, so_far_bytes);
            }
            if gathering.length_bytes() == 0 {
                return Err(refused(FetchError::Final(format!("{} is empty", link::without_query(&url)))));
            }
            if fetched.length_bytes.is_none() {
                self.check_room(self.total_bytes + gathering.length_bytes()).await?;
            }
            Ok(gathering)
        };
        let gathering = tokio::select! {
            gathering = fetch => gathering?,
            () = self.cancel.cancelled() => return Err(Failure::Stopped),
        };
        self.total_bytes += gathering.length_bytes();
        Ok(gathering)
    }

    /// Refuses what would not be within the quota in every region, before all of it has come; `record` decides.
    async fn check_room(&self, total_bytes: u64) -> Result<(), Failure> {
        let regions = target_regions::stored(&self.version.document, TARGETS, self.control.locations());
        let others = regions.iter().filter(|target| target.region.as_str() != self.version.location).count() as u64;
        let more_bytes = total_bytes.saturating_mul(others + 1);
        Ok(quota::check_room(&mut *self.control.db().read().await?, self.version, more_bytes).await?)
    }

    /// A failure that names the property.
    fn refused(&self, row: &PackageLinkRow, error: FetchError) -> Failure {
        let target = format!("{}.{}", self.version.resource_type.body_parameter(), row.property);
        let what = if self.version.resource_type == ResourceType::ScriptVersion { "script" } else { "package" };
        let told = |why: String, advice: &str| {
            let message = format!("The {what} could not be fetched ({target}): {why}. {advice}");
            ArmError::invalid_parameter(&target, message)
        };
        match error {
            FetchError::Passing(why) => {
                Failure::Passing(told(why, "Send the PUT again when the link can be read from this server."))
            }
            FetchError::Final(why) => Failure::Final(told(why, "Send the PUT again with a link that can be read.")),
        }
    }
}

#[cfg(test)]
mod tests;
