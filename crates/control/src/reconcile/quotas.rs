//! What quotas count is what resources hold: drift is found and mended, and use is shown beside its limits.
//!
//! Charges are written where resources are, so there is nothing to find unless a program had a fault or somebody restored
//! rows by hand. A look reads; only what differs is written.

use galerie_arm::ArmError;
use uuid::Uuid;

use crate::{
    Control,
    db::{quota, quota::QuotaScope, resource, subscription, tenant, transact},
    quota as quotas,
};

/// Resources looked at in one transaction.
const BATCH: u32 = 100;

/// Shows the use of every scope that is limited.
pub(super) async fn show(control: &Control) -> Result<(), ArmError> {
    let mut tx = control.db().read().await?;
    for (scope, limit) in quota::list(&mut tx).await? {
        let used = quota::used(&mut tx, scope).await?;
        let scope = scope.to_string();
        let set = |name: &'static str, value: f64| metrics::gauge!(name, "scope" => scope.clone()).set(value);
        set("galerie_quota_used_bytes", used.bytes as f64);
        set("galerie_quota_used_resources", used.resources as f64);
        // No limit is shown as Prometheus writes infinity.
        let shown = |most: Option<u64>| most.map_or(f64::INFINITY, |most| most as f64);
        set("galerie_quota_limit_bytes", shown(limit.most_bytes));
        set("galerie_quota_limit_resources", shown(limit.most_resources));
    }
    Ok(())
}

/// Compares charges with what resources hold, and sums with charges.
pub(crate) async fn mend(control: &Control) -> Result<(), ArmError> {
    let tenants = tenant::list(&mut *control.db().read().await?).await?;
    for tenant in tenants {
        let subscriptions = subscription::list_in_tenant(&mut *control.db().read().await?, tenant.id).await?;
        for owned in subscriptions {
            mend_charges(control, owned.id).await?;
            mend_sums(control, owned.id, tenant.id).await?;
            mend_azure_counts(control, owned.id).await?;
        }
    }
    Ok(())
}

async fn mend_charges(control: &Control, subscription: Uuid) -> Result<(), ArmError> {
    let mut after: Option<String> = None;
    loop {
        let mut wrong = Vec::new();
        {
            let mut tx = control.db().read().await?;
            let page = resource::rows_in_subscription(&mut tx, subscription, after.as_deref(), BATCH).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.key.clone());
            for row in page {
                let charged = quota::charge(&mut tx, &row.key).await?;
                let cost = quotas::cost(&mut tx, &row).await?;
                if charged.and_then(|charged| u64::try_from(charged).ok()) != Some(cost) {
                    wrong.push(row.key);
                }
            }
        }
        for key in wrong {
            drifted(&key);
            transact!(control.db(), |tx| -> Result<(), ArmError> {
                // It is looked at again: it may have changed, or be gone.
                if let Some(row) = resource::find_kept(tx, &key).await? {
                    quotas::settle(tx, &row).await?;
                }
                Ok(())
            })?;
        }
        if control.stopping().is_cancelled() {
            return Ok(());
        }
    }
    let orphans = quota::orphans(&mut *control.db().read().await?, subscription).await?;
    for key in orphans {
        drifted(&key);
        transact!(control.db(), |tx| -> Result<(), ArmError> {
            if resource::find_kept(tx, &key).await?.is_none() {
                quota::remove_charge(tx, &key).await?;
            }
            Ok(())
        })?;
    }
    Ok(())
}

async fn mend_sums(control: &Control, subscription: Uuid, tenant: Uuid) -> Result<(), ArmError> {
    let scope = QuotaScope::Subscription(subscription);
    let is_right = {
        let mut tx = control.db().read().await?;
        quota::used(&mut tx, scope).await? == quota::charged(&mut tx, subscription).await?
    };
    if is_right {
        return Ok(());
    }
    drifted(&scope.to_string());
    transact!(control.db(), |tx| -> Result<(), ArmError> {
        let charged = quota::charged(tx, subscription).await?;
        Ok(quota::set_used(tx, subscription, tenant, charged).await?)
    })
}

async fn mend_azure_counts(control: &Control, subscription: Uuid) -> Result<(), ArmError> {
    if quotas::azure::is_right(&mut *control.db().read().await?, subscription).await? {
        return Ok(());
    }
    drifted(&format!("subscriptions/{subscription}, as Azure counts"));
    transact!(control.db(), |tx| -> Result<(), ArmError> { Ok(quotas::azure::mend(tx, subscription).await?) })
}

fn drifted(what: &str) {
    tracing::warn!(what, "a quota's count differed from what there is, and is mended");
    metrics::counter!("galerie_quota_drift_total").increment(1);
}
