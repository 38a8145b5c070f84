//! Azure's own limits: galleries, image definitions and image versions of a subscription in a region, and how large a
//! version's disks may be. They hold unless the operator lifts them for a subscription or a tenant.
//!
//! A count is a few rows, changed in the transaction that makes or deletes what is counted, so that keeping a limit costs the
//! same whatever there is. Two that make the hundredth gallery at once both write the same row: one waits (SQLite) or is done
//! again (PostgreSQL), and then is refused. Where the limits are lifted a count is still kept, spread over its rows so that
//! nobody waits.
//!
//! Sources: Microsoft's "Store and share images in an Azure Compute Gallery", Limits; "Troubleshooting shared images".

use std::collections::BTreeMap;

use galerie_arm::{ArmError, ResourceType};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{QUOTA_EXCEEDED, any_slot};
use crate::{
    db::{
        self, Connection, azure_usage,
        azure_usage::AzureUsageRow,
        quota::{self, QuotaScope},
        resource::ResourceRow,
    },
    resource::plan::{HeldImage, gib},
};

/// What is counted, how it is called, and how many there may be in a subscription and region.
const LIMITS: [(ResourceType, &str, i64); 3] = [
    (ResourceType::Gallery, "galleries", 100),
    (ResourceType::ImageDefinition, "image definitions", 1_000),
    (ResourceType::ImageVersion, "image versions", 10_000),
];
/// The largest disk of an image version, in GiB, and of one whose replication mode is `Shallow`.
const LARGEST_DISK_GIB: u64 = 2048;
const LARGEST_SHALLOW_DISK_GIB: u64 = 32 * 1024;

/// Counts a resource that is new, if it is of a counted type. `holds`: whether there is a limit.
///
/// # Errors
/// `OperationNotAllowed` when there would be more than Azure allows; then nothing may be committed.
pub(super) async fn count_new(tx: &mut Connection, row: &ResourceRow, holds: bool) -> Result<(), ArmError> {
    let Some((resource_type, what, most)) = limit_of(row) else { return Ok(()) };
    if !holds {
        return Ok(count(tx, row, 1).await?);
    }
    azure_usage::add(tx, row.subscription, &row.location, resource_type, 0, 1).await?;
    let wanted = azure_usage::used(tx, row.subscription, &row.location, resource_type).await?;
    if wanted > most {
        return Err(exceeded(row, what, most, wanted));
    }
    Ok(())
}

/// Counts one more or less of what a resource is, without asking for the limit.
pub(super) async fn count(tx: &mut Connection, row: &ResourceRow, more: i64) -> db::Result<()> {
    let Some((resource_type, ..)) = limit_of(row) else { return Ok(()) };
    azure_usage::add(tx, row.subscription, &row.location, resource_type, any_slot(), more).await
}

/// Whether Azure's limits hold for a subscription.
pub(crate) async fn hold(tx: &mut Connection, subscription: Uuid, tenant: Uuid) -> db::Result<bool> {
    for scope in [QuotaScope::Subscription(subscription), QuotaScope::Tenant(tenant)] {
        if quota::find(tx, scope).await?.lifts_azure_limits {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Refuses disks that are larger than an image version's may be.
///
/// # Errors
/// `GallerySourceResourceExceedsMaxSize`.
pub(crate) fn check_sizes<'a>(
    disks: impl IntoIterator<Item = &'a HeldImage>,
    is_shallow: bool,
) -> Result<(), ArmError> {
    let most = if is_shallow { LARGEST_SHALLOW_DISK_GIB } else { LARGEST_DISK_GIB };
    match disks.into_iter().map(|disk| gib(disk.virtual_size_bytes)).find(|size| *size > most) {
        Some(size) => Err(ArmError::gallery_source_too_large(size, most)),
        None => Ok(()),
    }
}

/// A subscription's counts, beside their limits.
pub(super) async fn shown(tx: &mut Connection, subscription: Uuid) -> db::Result<Value> {
    let rows = azure_usage::list(tx, subscription).await?;
    let shown = |row: &AzureUsageRow| {
        let limit = LIMITS.iter().find(|(counted, ..)| counted.as_str() == row.resource_type).map(|(.., most)| *most);
        json!({ "region": row.region, "type": row.resource_type, "used": row.resources, "limit": limit })
    };
    Ok(rows.iter().map(shown).collect())
}

/// Compares a subscription's counts with what there is, and mends them; whether they differed.
pub(crate) async fn is_right(tx: &mut Connection, subscription: Uuid) -> db::Result<bool> {
    let mut kept = azure_usage::list(tx, subscription).await?;
    kept.sort_unstable();
    Ok(kept == counted(tx, subscription).await?)
}

/// Counts anew.
pub(crate) async fn mend(tx: &mut Connection, subscription: Uuid) -> db::Result<()> {
    let counted = counted(tx, subscription).await?;
    azure_usage::clear(tx, subscription).await?;
    for row in counted {
        if let Some(resource_type) = ResourceType::parse(&row.resource_type) {
            azure_usage::add(tx, subscription, &row.region, resource_type, 0, row.resources).await?;
        }
    }
    Ok(())
}

/// What there is, in order.
async fn counted(tx: &mut Connection, subscription: Uuid) -> db::Result<Vec<AzureUsageRow>> {
    let mut sums: BTreeMap<(String, &str), i64> = BTreeMap::new();
    let types = LIMITS.map(|(resource_type, ..)| resource_type).into_iter().chain([ResourceType::SoftDeletedVersion]);
    for resource_type in types {
        for row in azure_usage::count(tx, subscription, resource_type).await? {
            *sums.entry((row.region, counted_as(resource_type).as_str())).or_default() += row.resources;
        }
    }
    let row = |((region, resource_type), resources): ((String, &str), i64)| AzureUsageRow {
        region,
        resource_type: resource_type.to_owned(),
        resources,
    };
    Ok(sums.into_iter().map(row).collect())
}

/// A version that was put away is still one.
fn counted_as(resource_type: ResourceType) -> ResourceType {
    if resource_type == ResourceType::SoftDeletedVersion { ResourceType::ImageVersion } else { resource_type }
}

fn limit_of(row: &ResourceRow) -> Option<(ResourceType, &'static str, i64)> {
    let counted = counted_as(row.resource_type);
    LIMITS.into_iter().find(|(resource_type, ..)| *resource_type == counted)
}

/// In the words of compute's quotas, with the remedy.
fn exceeded(row: &ResourceRow, what: &'static str, most: i64, wanted: i64) -> ArmError {
    let (subscription, region) = (row.subscription, &row.location);
    metrics::counter!("galerie_quota_refusals_total", "quota" => what).increment(1);
    let message = format!(
        "Operation could not be completed as it results in exceeding the limit of {what} of the subscription '{subscription}' in \
         the region '{region}'. Additional details - Current Limit: {most}, Current Usage: {}, Additional Required: 1. Delete \
         what is not needed any more, or ask the operator for `galerie quota set --subscription {subscription} --azure-limits off`.",
        wanted - 1
    );
    let target = format!("subscriptions/{subscription}/{region}/{what}");
    let detail = ArmError::new(409, QUOTA_EXCEEDED, message.clone()).with_target(target);
    ArmError::operation_not_allowed(&message).with_detail(detail)
}
