//! Fetching what a version's links name: how the replica in the version's own region comes to be.
//!
//! Look: which links are left. Act: pin, fetch each into the region's store. Record, in one transaction: the images, the
//! replica, the other regions' replicas, which begin now, and what the subscription is charged. What ends before that is
//! fetched again from its beginning; what was stored already is not stored twice.

use std::sync::{Arc, atomic::Ordering};

use futures::StreamExt;
use galerie_arm::{ArmError, ResourceType};
use galerie_region::{Imported, Region};
use galerie_store::{CondemnedPacks, ImportProgress};
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
    let pinned = control.pin(&claimed.region, version.tenant, &[], "fetch").await?;
    let condemned = control.condemned(&claimed.region, version.tenant).await?;
    let (mut images, mut total_bytes) = (Vec::with_capacity(links.len()), 0);
    for link in links {
        let fetching =
            Fetching { control, region: &*region, version: &version, condemned: &condemned, progress, cancel };
        let imported = pinned.guard(cancel, fetching.fetch(&link, total_bytes)).await?;
        total_bytes += imported.virtual_size_bytes;
        images.push(DiskImageRow {
            resource: version.key.clone(),
            lun: link.lun,
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

/// One fetch.
struct Fetching<'a> {
    control: &'a Control,
    region: &'a dyn Region,
    version: &'a ResourceRow,
    condemned: &'a CondemnedPacks,
    progress: &'a Arc<Progress>,
    cancel: &'a CancellationToken,
}

impl Fetching<'_> {
    /// Fetches what a link names. `before_bytes` were fetched of other links.
    async fn fetch(&self, row: &PackageLinkRow, before_bytes: u64) -> Result<Imported, Failure> {
        let url = row.unwrap(self.control)?;
        let refused = |error| self.refused(row, error);
        let in_region = |error| Failure::in_region(self.region.name(), error);
        tracing::info!(version = self.version.id, link = link::without_query(&url), "fetch a package");
        let mut upload = self.region.begin_bytes(self.version.tenant, self.condemned).await.map_err(in_region)?;
        let fetch = async {
            let mut fetched = self.control.fetcher().open(&url).await.map_err(refused)?;
            let expected_bytes = fetched.length_bytes.unwrap_or(0);
            let mut length_bytes = 0;
            while let Some(bytes) = fetched.body.next().await {
                let bytes = bytes.map_err(refused)?;
                length_bytes += bytes.len() as u64;
                self.progress.set(before_bytes + expected_bytes.max(length_bytes), before_bytes + length_bytes);
                upload.append(bytes).await.map_err(in_region)?;
            }
            if length_bytes == 0 {
                return Err(refused(FetchError::Final(format!("{} is empty", link::without_query(&url)))));
            }
            Ok(length_bytes)
        };
        let length_bytes = tokio::select! {
            fetched = fetch => fetched?,
            () = self.cancel.cancelled() => return Err(Failure::Stopped),
        };
        let read = Arc::new(ImportProgress::default());
        let import = upload.finish(read.clone(), self.cancel.clone());
        // What is left to do is little beside the way here.
        let imported = follow(import, || {
            let read_bytes = read.read_bytes.load(Ordering::Relaxed);
            self.progress.set(before_bytes + 2 * length_bytes, before_bytes + length_bytes + read_bytes);
        });
        imported.await.map_err(in_region)
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
