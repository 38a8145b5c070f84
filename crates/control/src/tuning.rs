//! How much workers and reconcilers do at once, and how often.

use std::time::Duration;

use galerie_store::CollectorOptions;

/// How much is done at once, and how often.
#[derive(Debug, Clone)]
pub struct WorkerTuning {
    /// How often workers look for work that nobody woke them for.
    pub poll_every: Duration,
    /// Operations (imports, deletions of groups) carried out at once.
    pub operations_at_once: usize,
    /// Replicas copied at once into each region.
    pub replicas_at_once: usize,
    /// After how long a failed replica is tried again, in ms.
    pub retry_failed_replicas_after_ms: i64,
    /// How often each region's garbage is collected.
    pub collect_every: Duration,
    /// How long a pack outlives its last use, for readers on their way, in ms.
    pub collect_grace_ms: i64,
    /// After how long what does not read, and nobody can bring, is taken for lost by the collector, in ms.
    pub lost_after_ms: i64,
    /// How fast each region's stored bytes are read again and checked; 0 for never.
    pub scrub_rate_bytes_s: u64,
    /// How long from the beginning of one reading of everything to the next.
    pub scrub_period: Duration,
    /// How long what was sealed of the audit is kept; `None`: for ever.
    pub audit_kept: Option<Duration>,
}

impl WorkerTuning {
    /// How garbage is collected while readers may be on their way.
    pub(crate) fn collector(&self) -> CollectorOptions {
        CollectorOptions {
            readers_grace_ms: self.collect_grace_ms,
            lost_after_ms: self.lost_after_ms,
            ..CollectorOptions::default()
        }
    }
}

impl Default for WorkerTuning {
    fn default() -> Self {
        Self {
            poll_every: Duration::from_secs(1),
            operations_at_once: 4,
            replicas_at_once: 2,
            retry_failed_replicas_after_ms: 5 * 60 * 1000,
            collect_every: Duration::from_secs(3600),
            collect_grace_ms: CollectorOptions::default().readers_grace_ms,
            lost_after_ms: CollectorOptions::default().lost_after_ms,
            scrub_rate_bytes_s: 8 << 20,
            scrub_period: Duration::from_secs(7 * 24 * 3600),
            audit_kept: Some(Duration::from_secs(365 * 24 * 3600)),
        }
    }
}
