//! `replicationStatus`: how each target region's replica is, shown with `$expand=ReplicationStatus` only.

use galerie_arm::{AggregatedState, Location, Locations, ReplicationState};
use serde_json::{Value, json};

/// A replica, as far as its status tells.
#[derive(Debug, Clone)]
pub(crate) struct ReplicaView {
    /// Where.
    pub(crate) region: Location,
    /// How it is.
    pub(crate) state: ReplicationState,
    /// What a person reads: the last error, or nothing.
    pub(crate) details: String,
    /// Bytes to copy in all; 0 until known.
    pub(crate) total_bytes: u64,
    /// Bytes copied.
    pub(crate) copied_bytes: u64,
}

impl ReplicaView {
    /// Of a region where nothing has begun.
    pub(crate) fn unknown(region: Location) -> Self {
        let state = ReplicationState::Unknown;
        Self { region, state, details: String::new(), total_bytes: 0, copied_bytes: 0 }
    }

    /// Whole percent. Only what is complete has 100.
    fn progress(&self) -> u64 {
        match self.state {
            ReplicationState::Completed => 100,
            _ if self.total_bytes == 0 => 0,
            _ => (u128::from(self.copied_bytes) * 100 / u128::from(self.total_bytes)).min(99) as u64,
        }
    }
}

/// The status of a version's replicas, in the order of `target_regions` (display names).
pub(crate) fn show(replicas: &[ReplicaView], target_regions: &[Value], locations: &Locations) -> Value {
    let position = |replica: &ReplicaView| {
        let display = locations.display_name(&replica.region);
        target_regions.iter().position(|entry| entry["name"] == display).unwrap_or(usize::MAX)
    };
    let mut ordered: Vec<&ReplicaView> = replicas.iter().collect();
    ordered.sort_by_key(|replica| position(replica));
    let summary: Vec<Value> = ordered
        .iter()
        .map(|replica| {
            json!({
                "region": locations.display_name(&replica.region),
                "state": replica.state,
                "details": replica.details,
                "progress": replica.progress(),
            })
        })
        .collect();
    json!({ "aggregatedState": AggregatedState::of(replicas.iter().map(|replica| replica.state)), "summary": summary })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::testing::location;

    fn replica(region: &str, state: ReplicationState, copied_bytes: u64) -> ReplicaView {
        ReplicaView { region: location(region), state, details: String::new(), total_bytes: 200, copied_bytes }
    }

    #[test]
    fn it_follows_the_target_regions() {
        let locations = Locations::new(["eastus", "westus"].map(|name| (location(name), None)));
        let targets = [json!({ "name": "West US" }), json!({ "name": "East US" })];
        let replicas =
            [replica("eastus", ReplicationState::Completed, 0), replica("westus", ReplicationState::Replicating, 50)];
        assert_eq!(
            show(&replicas, &targets, &locations),
            json!({
                "aggregatedState": "InProgress",
                "summary": [
                    { "region": "West US", "state": "Replicating", "details": "", "progress": 25 },
                    { "region": "East US", "state": "Completed", "details": "", "progress": 100 },
                ],
            })
        );
    }

    #[test]
    fn only_what_is_complete_has_all_of_it() {
        for (state, copied, expected) in [
            (ReplicationState::Replicating, 200, 99),
            (ReplicationState::Completed, 0, 100),
            (ReplicationState::Failed, 20, 10),
        ] {
            assert_eq!(replica("eastus", state, copied).progress(), expected);
        }
        assert_eq!(ReplicaView { total_bytes: 0, ..replica("eastus", ReplicationState::Replicating, 0) }.progress(), 0);
    }
}
