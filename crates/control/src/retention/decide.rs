//! Which versions a policy deletes, and why not the others: one pure function, for dry runs, runs and the transaction that
//! deletes.
//!
//! Deleting what it says to delete changes its answer about nothing else: those are not among the last, nor `latest`
//! anywhere, so what is kept stays kept, and the rest goes, in any order and in any number of transactions. `tests/model.rs`
//! holds it against the rule as `docs/design/retention.md` tells it.

use std::collections::HashMap;

use galerie_arm::{ProvisioningState, ReplicationState, timestamp};
use uuid::Uuid;

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// What of a definition's versions is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Policy {
    /// So many of the highest stay; at least 1.
    pub(crate) keep: u32,
    /// What is younger stays, too.
    pub(crate) older_than_days: u32,
}

/// What is known of a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct VersionFacts {
    pub(crate) key: String,
    /// Its incarnation.
    pub(crate) uid: Uuid,
    /// Major, minor, patch.
    pub(crate) numbers: [u32; 3],
    pub(crate) state: ProvisioningState,
    pub(crate) published_ms: i64,
    /// Whether `latest` means it nowhere.
    pub(crate) is_excluded: bool,
    pub(crate) replicas: Vec<ReplicaFacts>,
    pub(crate) is_pinned: bool,
    /// Disks of its tenant that were made from it.
    pub(crate) disks: u64,
    /// What is being made from it.
    pub(crate) making: u64,
    /// The end of life before which it says it must not be deleted. Only asked of what would be deleted.
    pub(crate) protected_until: Option<String>,
}

/// What is known of a version in a region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ReplicaFacts {
    pub(crate) region: String,
    pub(crate) state: ReplicationState,
    /// Whether `latest` does not mean it there.
    pub(crate) is_excluded: bool,
}

/// Why a version stays, or goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reason {
    /// Somebody said so.
    Pinned,
    /// It is being made, or its making failed: it is looked after by people.
    State(ProvisioningState),
    /// `latest` means it nowhere.
    Excluded,
    /// It is one of so many.
    AmongTheLast(u32),
    /// `latest` means it there.
    Latest(Vec<String>),
    /// It is not old enough before then.
    Young(i64),
    /// It says that it must not be deleted before then.
    Protected(String),
    /// Disks were made from it, and things are being made.
    Used { disks: u64, making: u64 },
    /// So many higher versions stay, and it is old: it goes.
    Superseded(u32),
}

/// What becomes of a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) key: String,
    pub(crate) uid: Uuid,
    pub(crate) numbers: [u32; 3],
    pub(crate) published_ms: i64,
    pub(crate) reason: Reason,
}

impl Verdict {
    /// Whether it goes.
    pub(crate) fn deletes(&self) -> bool {
        matches!(self.reason, Reason::Superseded(_))
    }

    /// `1.0.0`.
    pub(crate) fn name(&self) -> String {
        let [major, minor, patch] = self.numbers;
        format!("{major}.{minor}.{patch}")
    }
}

impl Reason {
    /// The word for programs.
    pub(crate) const fn word(&self) -> &'static str {
        match self {
            Self::Pinned => "Pinned",
            Self::State(_) => "NotSucceeded",
            Self::Excluded => "ExcludedFromLatest",
            Self::AmongTheLast(_) => "AmongTheLast",
            Self::Latest(_) => "Latest",
            Self::Young(_) => "Young",
            Self::Protected(_) => "Protected",
            Self::Used { .. } => "InUse",
            Self::Superseded(_) => "Superseded",
        }
    }
}

impl std::fmt::Display for Reason {
    /// For people.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Pinned => write!(f, "it is pinned"),
            Self::State(state) => write!(f, "its provisioning state is {state}"),
            Self::Excluded => write!(f, "it is excluded from latest"),
            Self::AmongTheLast(1) => write!(f, "it is the highest"),
            Self::AmongTheLast(keep) => write!(f, "it is one of the last {keep}"),
            Self::Latest(regions) => write!(f, "it is latest in {}", regions.join(", ")),
            Self::Young(old_ms) => write!(f, "it is too young until {}", timestamp::format_ms(*old_ms)),
            Self::Protected(date) => write!(f, "it is protected from deletion until its end of life, {date}"),
            Self::Used { disks: 0, .. } => write!(f, "something is being made from it"),
            Self::Used { disks: 1, .. } => write!(f, "a disk was made from it"),
            Self::Used { disks, .. } => write!(f, "{disks} disks were made from it"),
            Self::Superseded(1) => write!(f, "it is old, and a higher version stays"),
            Self::Superseded(keep) => write!(f, "it is old, and {keep} higher versions stay"),
        }
    }
}

/// Decides about each of a definition's versions, the highest first.
pub(crate) fn decide(policy: Policy, versions: &[VersionFacts], now_ms: i64) -> Vec<Verdict> {
    let mut ordered: Vec<&VersionFacts> = versions.iter().collect();
    ordered.sort_by_key(|version| std::cmp::Reverse(version.numbers));
    let latest = latest_by_region(&ordered);
    let mut good = 0;
    let verdict = |version: &&VersionFacts| {
        let counts = is_good(version);
        good += u32::from(counts);
        let is_last = counts && good <= policy.keep;
        let reason = reason(policy, version, is_last, &latest, now_ms);
        let VersionFacts { key, uid, numbers, published_ms, .. } = version;
        Verdict { key: key.clone(), uid: *uid, numbers: *numbers, published_ms: *published_ms, reason }
    };
    ordered.iter().map(verdict).collect()
}

/// Whether a version counts as one of the last: it was made, and somebody may be given it who asks for `latest`.
fn is_good(version: &VersionFacts) -> bool {
    version.state == ProvisioningState::Succeeded && !version.is_excluded
}

/// What `latest` means in each region, as [`crate::latest`] has it.
fn latest_by_region<'a>(highest_first: &[&'a VersionFacts]) -> HashMap<&'a str, Uuid> {
    let mut latest = HashMap::new();
    for version in highest_first.iter().filter(|version| !version.is_excluded) {
        for replica in &version.replicas {
            if replica.state == ReplicationState::Completed && !replica.is_excluded {
                latest.entry(replica.region.as_str()).or_insert(version.uid);
            }
        }
    }
    latest
}

fn reason(policy: Policy, version: &VersionFacts, is_last: bool, latest: &HashMap<&str, Uuid>, now_ms: i64) -> Reason {
    if version.is_pinned {
        return Reason::Pinned;
    }
    if version.state != ProvisioningState::Succeeded {
        return Reason::State(version.state);
    }
    if version.is_excluded {
        return Reason::Excluded;
    }
    if is_last {
        return Reason::AmongTheLast(policy.keep);
    }
    let is_latest_there = |replica: &&ReplicaFacts| latest.get(replica.region.as_str()) == Some(&version.uid);
    let regions: Vec<String> =
        version.replicas.iter().filter(is_latest_there).map(|replica| replica.region.clone()).collect();
    if !regions.is_empty() {
        return Reason::Latest(regions);
    }
    let old_ms = version.published_ms.saturating_add(i64::from(policy.older_than_days) * DAY_MS);
    if old_ms > now_ms {
        return Reason::Young(old_ms);
    }
    if version.disks > 0 || version.making > 0 {
        return Reason::Used { disks: version.disks, making: version.making };
    }
    match &version.protected_until {
        Some(date) => Reason::Protected(date.clone()),
        None => Reason::Superseded(policy.keep),
    }
}
