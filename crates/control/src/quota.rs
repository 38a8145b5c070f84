//! Quotas: what a subscription or a tenant may hold, in bytes and in resources.
//!
//! A resource is charged the bytes that a guest sees of it, once for each region it is kept in, from the moment it is
//! accepted: the disk that is to be uploaded its declared size, before a page of it is taken. So bytes are reserved before
//! they are accepted, and what arrives later never exceeds what was reserved. The charge is written in the transaction that
//! changes what the resource holds, and the check is made in the same one: however many writes race, the sum stays within
//! the limit. `docs/design/quotas.md` has the definitions and the reasons.
//!
//! Beside what somebody sets there are Azure's own limits ([`azure`]), which hold unless they are lifted.
//!
//! What it deliberately does not count is stored bytes. They depend on what others store, come late, and would tell a
//! tenant what else is there.

pub(crate) mod azure;

use galerie_arm::{ArmError, ResourceType};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    Control, audit, authz,
    db::{
        self, Connection,
        quota::{self, QuotaRow, QuotaScope, Usage},
        resource::ResourceRow,
        setting, subscription, tenant, transact,
    },
    request::{Caller, RequestContext},
};

/// The code of the detail that says which quota it was; the error itself has compute's `OperationNotAllowed`.
pub(crate) const QUOTA_EXCEEDED: &str = "QuotaExceeded";
/// Rows that a subscription's use is spread over where no limit has to be kept.
const SLOTS: u8 = 8;
/// Setting a limit, as rights and the audit name it.
const WRITE: &str = "Galerie/quotas/write";

/// What a change of one quota says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// It stays as it is.
    Unchanged,
    /// There is none.
    Unlimited,
    /// As much as this.
    Most(u64),
}

impl Limit {
    fn over(self, stored: Option<u64>) -> Option<u64> {
        match self {
            Self::Unchanged => stored,
            Self::Unlimited => None,
            Self::Most(most) => Some(most),
        }
    }
}

/// Whose quota it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QuotaOf {
    /// A subscription's.
    Subscription(Uuid),
    /// A tenant's: all of its subscriptions together.
    Tenant(Uuid),
}

impl From<QuotaOf> for QuotaScope {
    fn from(of: QuotaOf) -> Self {
        match of {
            QuotaOf::Subscription(id) => Self::Subscription(id),
            QuotaOf::Tenant(id) => Self::Tenant(id),
        }
    }
}

/// Charges a resource for what it holds now, as its rows in this transaction say. More than before must be within the
/// quotas.
///
/// # Errors
/// `OperationNotAllowed` with the numbers and the remedy; then nothing may be committed.
pub(crate) async fn charge(tx: &mut Connection, row: &ResourceRow) -> Result<(), ArmError> {
    let change = change(tx, row).await?;
    if change.by == Usage::default() {
        return Ok(());
    }
    let quotas = quotas(tx, row).await?;
    let mut is_limited = false;
    for (scope, quota) in quotas.iter().filter(|(_, quota)| quota.limits()) {
        is_limited = true;
        let used = quota::used(tx, *scope).await?;
        check(*scope, *quota, used, change)?;
    }
    record(tx, row, change, is_limited).await?;
    if change.by.resources > 0 {
        let holds = !quotas.iter().any(|(_, quota)| quota.lifts_azure_limits);
        azure::count_new(tx, row, holds).await?;
    }
    Ok(())
}

/// As [`charge`], for work that was accepted before: what it reserved is at least what it holds in the end.
pub(crate) async fn settle(tx: &mut Connection, row: &ResourceRow) -> db::Result<()> {
    let change = change(tx, row).await?;
    if change.by.resources > 0 {
        azure::count(tx, row, 1).await?;
    }
    record(tx, row, change, false).await
}

/// Gives back what a resource was charged; it is being deleted.
pub(crate) async fn release(tx: &mut Connection, row: &ResourceRow) -> db::Result<()> {
    let Some(bytes) = quota::remove_charge(tx, &row.key).await? else { return Ok(()) };
    azure::count(tx, row, -1).await?;
    quota::add(tx, row.subscription, row.tenant, any_slot(), Usage { bytes: -bytes, resources: -1 }).await
}

/// Refuses new bytes while a scope holds more than it may, which happens when its limit is lowered: what was reserved before
/// is not taken in any more.
///
/// # Errors
/// `OperationNotAllowed`.
pub(crate) async fn check_not_exceeded(tx: &mut Connection, row: &ResourceRow) -> Result<(), ArmError> {
    for (scope, quota) in quotas(tx, row).await?.into_iter().filter(|(_, quota)| quota.limits()) {
        let used = quota::used(tx, scope).await?;
        if quota.most_bytes.is_some_and(|most| used.bytes > db_count(most)) {
            return Err(exceeded(scope, Dimension::Bytes, quota.most_bytes.unwrap_or(0), used.bytes, 0));
        }
    }
    Ok(())
}

/// Whether so many bytes more would be within what a resource's owner may hold, as things are now: to be asked before work that
/// [`charge`] decides about in its end.
///
/// # Errors
/// `OperationNotAllowed`, as `charge` would answer.
pub(crate) async fn check_room(tx: &mut Connection, row: &ResourceRow, more_bytes: u64) -> Result<(), ArmError> {
    let change = Change { now_bytes: more_bytes, by: Usage { bytes: db_count(more_bytes), resources: 0 } };
    for (scope, quota) in quotas(tx, row).await?.into_iter().filter(|(_, quota)| quota.limits()) {
        check(scope, quota, quota::used(tx, scope).await?, change)?;
    }
    Ok(())
}

/// What a resource's charge changes by.
#[derive(Debug, Clone, Copy)]
struct Change {
    now_bytes: u64,
    by: Usage,
}

async fn change(tx: &mut Connection, row: &ResourceRow) -> db::Result<Change> {
    let now_bytes = cost(tx, row).await?;
    let before = quota::charge(tx, &row.key).await?;
    let by = Usage { bytes: db_count(now_bytes) - before.unwrap_or(0), resources: i64::from(before.is_none()) };
    Ok(Change { now_bytes, by })
}

async fn record(tx: &mut Connection, row: &ResourceRow, change: Change, limited: bool) -> db::Result<()> {
    if change.by == Usage::default() {
        return Ok(());
    }
    quota::set_charge(tx, &row.key, row.subscription, change.now_bytes).await?;
    // Where the sum was read, a common row makes the loser of a race wait rather than do all its work in vain.
    let slot = if limited { 0 } else { any_slot() };
    quota::add(tx, row.subscription, row.tenant, slot, change.by).await
}

/// The quotas that a resource's owner has, if only that there is none.
async fn quotas(tx: &mut Connection, row: &ResourceRow) -> db::Result<[(QuotaScope, QuotaRow); 2]> {
    let (subscription, tenant) = (QuotaScope::Subscription(row.subscription), QuotaScope::Tenant(row.tenant));
    Ok([(subscription, quota::find(tx, subscription).await?), (tenant, quota::find(tx, tenant).await?)])
}

/// What a resource holds, in bytes of guests' disks.
pub(crate) async fn cost(tx: &mut Connection, row: &ResourceRow) -> db::Result<u64> {
    if matches!(row.resource_type, ResourceType::Gallery | ResourceType::ImageDefinition) {
        return Ok(0);
    }
    let images = db::disk_image::list_for(tx, &row.key).await?;
    if images.is_empty() {
        // An upload that has not arrived, or a disk of zeros that is not written yet.
        let upload_bytes = db::disk::find(tx, &row.key).await?.and_then(|disk| disk.upload_bytes);
        let promised = row.document["properties"]["diskSizeBytes"].as_u64();
        return Ok(upload_bytes.or(promised).unwrap_or(0));
    }
    let bytes = images.iter().fold(0_u64, |sum, image| sum.saturating_add(image.virtual_size_bytes));
    let mut regions = 1;
    if row.has_replicas() {
        let replicas = db::replica::list_for_version(tx, &row.key).await?;
        regions += replicas.iter().filter(|replica| replica.region != row.location).count() as u64;
    }
    Ok(bytes.saturating_mul(regions))
}

fn check(scope: QuotaScope, quota: QuotaRow, used: Usage, change: Change) -> Result<(), ArmError> {
    let dimensions = [
        (Dimension::Bytes, quota.most_bytes, used.bytes, change.by.bytes),
        (Dimension::Resources, quota.most_resources, used.resources, change.by.resources),
    ];
    for (dimension, most, used, more) in dimensions {
        if let Some(most) = most
            && more > 0
            && used.saturating_add(more) > db_count(most)
        {
            return Err(exceeded(scope, dimension, most, used, more));
        }
    }
    Ok(())
}

/// What is limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dimension {
    Bytes,
    Resources,
}

/// In the words of compute's quotas, with the remedy.
fn exceeded(scope: QuotaScope, dimension: Dimension, most: u64, used: i64, more: i64) -> ArmError {
    let (what, option) = match dimension {
        Dimension::Bytes => ("bytes", "--bytes"),
        Dimension::Resources => ("resources", "--resources"),
    };
    let (owner, scope_option) = match scope {
        QuotaScope::Subscription(id) => (format!("subscription '{id}'"), format!("--subscription {id}")),
        QuotaScope::Tenant(id) => (format!("tenant '{id}'"), format!("--tenant {id}")),
    };
    metrics::counter!("galerie_quota_refusals_total", "quota" => what).increment(1);
    let needed = used.saturating_add(more);
    let message = format!(
        "Operation could not be completed as it results in exceeding the quota of {what} of the {owner}. Additional details - \
         Current Limit: {most}, Current Usage: {used}, Additional Required: {more}, (Minimum) New Limit Required: {needed}. \
         Delete what is not needed any more, or ask the operator for `galerie quota set {scope_option} {option} {needed}`."
    );
    let detail = ArmError::new(409, QUOTA_EXCEEDED, message.clone()).with_target(format!("{scope}/{what}"));
    ArmError::operation_not_allowed(&message).with_detail(detail)
}

/// A count as the database keeps it.
fn db_count(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn any_slot() -> i64 {
    i64::from(Uuid::new_v4().as_bytes()[0] % SLOTS)
}

impl Control {
    /// Every quota and use that the caller may see: its tenant's, or all for the operator, who is the administrator of the
    /// first tenant.
    ///
    /// # Errors
    /// `AuthorizationFailed`; the catalogue's.
    pub async fn quotas(&self, ctx: &RequestContext) -> Result<Value, ArmError> {
        authz::require_administrator(&ctx.caller, "Galerie/quotas/read")?;
        let mut tx = self.db().read().await?;
        let everything = is_operator(&mut tx, &ctx.caller).await?;
        let mut shown = Vec::new();
        for found in tenant::list(&mut tx).await? {
            if found.id != ctx.caller.tenant && !everything {
                continue;
            }
            shown.push(document(&mut tx, QuotaScope::Tenant(found.id), &found.display_name).await?);
            for owned in subscription::list_in_tenant(&mut tx, found.id).await? {
                shown.push(document(&mut tx, QuotaScope::Subscription(owned.id), &owned.display_name).await?);
            }
        }
        Ok(json!({ "value": shown }))
    }

    /// Sets a quota, and whether Azure's limits hold; its document. A limit below what is used stops growth, and takes nothing away.
    ///
    /// # Errors
    /// `AuthorizationFailed` for everybody but the operator; 404 when there is no such subscription or tenant.
    pub async fn set_quota(
        &self,
        ctx: &RequestContext,
        of: QuotaOf,
        bytes: Limit,
        resources: Limit,
        azure_limits: Option<bool>,
    ) -> Result<Value, ArmError> {
        authz::require_administrator(&ctx.caller, WRITE)?;
        let scope = QuotaScope::from(of);
        transact!(self.db(), |tx| -> Result<Value, ArmError> {
            if !is_operator(tx, &ctx.caller).await? {
                let message = "Only the operator, who is the administrator of the gallery's first tenant, sets quotas.";
                return Err(ArmError::new(403, "AuthorizationFailed", message));
            }
            let name = match of {
                QuotaOf::Subscription(id) => subscription::find(tx, id).await?.map(|found| found.display_name),
                QuotaOf::Tenant(id) => tenant::find(tx, id).await?.map(|found| found.display_name),
            };
            let unknown = || ArmError::new(404, "NotFound", format!("There is no '{scope}' in this gallery."));
            let name = name.ok_or_else(unknown)?;
            let stored = quota::find(tx, scope).await?;
            let quota = QuotaRow {
                most_bytes: bytes.over(stored.most_bytes),
                most_resources: resources.over(stored.most_resources),
                lifts_azure_limits: azure_limits.map_or(stored.lifts_azure_limits, |hold| !hold),
            };
            quota::put(tx, scope, quota, self.now_ms()).await?;
            audit::record(tx, ctx, self.now_ms(), WRITE, &audited(of), None).await?;
            document(tx, scope, &name).await
        })
    }
}

/// Whose limits were set, as the audit names it.
fn audited(of: QuotaOf) -> String {
    match of {
        QuotaOf::Subscription(id) => format!("/subscriptions/{id}"),
        QuotaOf::Tenant(id) => format!("/tenants/{id}"),
    }
}

async fn is_operator(tx: &mut Connection, caller: &Caller) -> db::Result<bool> {
    let first = setting::find(tx, setting::FIRST_TENANT).await?;
    Ok(caller.administrator && first == Some(caller.tenant.to_string()))
}

async fn document(tx: &mut Connection, scope: QuotaScope, name: &str) -> Result<Value, ArmError> {
    let (quota, used) = (quota::find(tx, scope).await?, quota::used(tx, scope).await?);
    let mut document = json!({
        "scope": scope.to_string(),
        "name": name,
        "bytes": { "used": used.bytes, "limit": quota.most_bytes },
        "resources": { "used": used.resources, "limit": quota.most_resources },
        "azureLimits": !quota.lifts_azure_limits,
    });
    if let QuotaScope::Subscription(subscription) = scope {
        document["azureUsage"] = azure::shown(tx, subscription).await?;
    }
    Ok(document)
}

#[cfg(test)]
mod tests;
