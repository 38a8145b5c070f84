//! A gallery's `softDeletePolicy`: whether deleted versions are kept, and for how long.

use galerie_arm::ArmError;
use serde_json::Value;

use crate::{
    db::soft_deletion::SoftDeletionRow,
    resource::document::{integer, is_true, set_default},
};

/// Whether it is on.
pub(crate) const ENABLED: &str = "properties.softDeletePolicy.isSoftDeleteEnabled";
const RETENTION: &str = "properties.softDeletePolicy.retentionPeriodInDays";
const GRACE: &str = "properties.softDeletePolicy.gracePeriodInDays";
/// What 2024-03-03 has for everybody (Microsoft's "Soft Delete in Azure Compute Gallery"), and later versions fill in.
const DEFAULT_RETENTION_DAYS: i64 = 7;
/// Ours: Azure publishes no bound.
const LONGEST_DAYS: i64 = 365;
const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// A policy that is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Policy {
    retention_days: i64,
    grace_days: i64,
}

impl Policy {
    /// A gallery's; `None` while it is off.
    pub(crate) fn of(gallery: &Value) -> Option<Self> {
        let days = |path, default| integer(gallery, path).unwrap_or(default).clamp(0, LONGEST_DAYS);
        is_true(gallery, ENABLED)
            .then(|| Self { retention_days: days(RETENTION, DEFAULT_RETENTION_DAYS), grace_days: days(GRACE, 0) })
    }

    /// The phases of a version that is deleted now.
    pub(super) fn deletion(self, key: &str, now_ms: i64) -> SoftDeletionRow {
        let usable_until_ms = now_ms.saturating_add(self.retention_days * DAY_MS);
        let purge_ms = usable_until_ms.saturating_add(self.grace_days * DAY_MS);
        SoftDeletionRow { key: key.to_owned(), deleted_ms: now_ms, usable_until_ms, purge_ms }
    }
}

/// Checks a gallery's policy, and fills in how long deleted versions are kept.
///
/// # Errors
/// `InvalidParameter`: 1 to 365 days of retention, 0 to 365 of grace.
pub(crate) fn fill_in(gallery: &mut Value) -> Result<(), ArmError> {
    for (path, least) in [(RETENTION, 1), (GRACE, 0)] {
        match integer(gallery, path) {
            Some(days) if !(least..=LONGEST_DAYS).contains(&days) => {
                return Err(ArmError::out_of_range(&format!("gallery.{path}"), days, least, LONGEST_DAYS));
            }
            _ => {}
        }
    }
    if is_true(gallery, ENABLED) {
        set_default(gallery, RETENTION, DEFAULT_RETENTION_DAYS);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn gallery(policy: &Value) -> Value {
        json!({ "properties": { "softDeletePolicy": policy } })
    }

    #[test]
    fn a_policy_is_seven_days_unless_it_says_more() {
        let phases = |policy: Value| {
            let mut gallery = gallery(&policy);
            fill_in(&mut gallery).unwrap();
            let deletion = Policy::of(&gallery)?.deletion("k", 0);
            Some((deletion.usable_until_ms / DAY_MS, deletion.purge_ms / DAY_MS))
        };
        assert_eq!(phases(json!({ "isSoftDeleteEnabled": true })), Some((7, 7)));
        let long = json!({ "isSoftDeleteEnabled": true, "retentionPeriodInDays": 30, "gracePeriodInDays": 7 });
        assert_eq!(phases(long), Some((30, 37)));
        for off in [json!({}), json!({ "isSoftDeleteEnabled": false, "retentionPeriodInDays": 30 })] {
            assert_eq!(phases(off), None);
        }
    }

    #[test]
    fn days_out_of_range_are_named() {
        for (name, days) in [("retentionPeriodInDays", 0), ("retentionPeriodInDays", 366), ("gracePeriodInDays", -1)] {
            let error = fill_in(&mut gallery(&json!({ name: days }))).unwrap_err();
            assert_eq!((error.status, error.code.as_ref()), (400, "InvalidParameter"));
            assert_eq!(error.target, Some(format!("gallery.properties.softDeletePolicy.{name}")));
        }
        fill_in(&mut gallery(&json!({ "retentionPeriodInDays": 365, "gracePeriodInDays": 0 }))).unwrap();
    }
}
