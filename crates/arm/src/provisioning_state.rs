//! Three kinds of progress that are easily confused, as three types: of a resource, of a version in a region, of an operation.

use crate::wire_enum::wire_enum;

wire_enum! {
    /// Where a resource is in its life.
    ///
    /// ```text
    /// Creating --> Succeeded <--> Updating
    ///     \            |             |
    ///      `-> Failed <+-------------'      Succeeded | Failed --> Deleting --> gone (or Failed)
    /// ```
    ProvisioningState {
        Creating = "Creating",
        Updating = "Updating",
        Failed = "Failed",
        Succeeded = "Succeeded",
        Deleting = "Deleting",
        Migrating = "Migrating",
    }
}

impl ProvisioningState {
    /// Whether no operation is changing the resource.
    #[must_use]
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed)
    }
}

wire_enum! {
    /// How far a version's copy to one region is.
    ReplicationState {
        Unknown = "Unknown",
        Replicating = "Replicating",
        Completed = "Completed",
        Failed = "Failed",
    }
}

wire_enum! {
    /// How far a version's copies to all its regions are, together.
    AggregatedState {
        Unknown = "Unknown",
        InProgress = "InProgress",
        Completed = "Completed",
        Failed = "Failed",
    }
}

impl AggregatedState {
    /// What the regions' states amount to: any copy under way is in progress, else any failure fails, else all done.
    /// No region at all is unknown.
    #[must_use]
    pub fn of(states: impl IntoIterator<Item = ReplicationState>) -> Self {
        let (mut all_completed, mut any, mut any_failed) = (true, false, false);
        for state in states {
            any = true;
            match state {
                ReplicationState::Replicating => return Self::InProgress,
                ReplicationState::Failed => any_failed = true,
                ReplicationState::Unknown => all_completed = false,
                ReplicationState::Completed => {}
            }
        }
        match (any, any_failed, all_completed) {
            (_, true, _) => Self::Failed,
            (true, false, true) => Self::Completed,
            _ => Self::Unknown,
        }
    }
}

wire_enum! {
    /// The status of an asynchronous operation, as the status document spells it.
    OperationStatus {
        InProgress = "InProgress",
        Succeeded = "Succeeded",
        Failed = "Failed",
        Canceled = "Canceled",
    }
}

impl OperationStatus {
    /// Whether the operation will not change any more.
    #[must_use]
    pub const fn is_terminal(self) -> bool {
        !matches!(self, Self::InProgress)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aggregates() {
        use ReplicationState::{Completed, Failed, Replicating, Unknown};
        for (states, expected) in [
            (&[][..], AggregatedState::Unknown),
            (&[Completed, Completed], AggregatedState::Completed),
            (&[Completed, Replicating, Failed], AggregatedState::InProgress),
            (&[Completed, Failed], AggregatedState::Failed),
            (&[Completed, Unknown], AggregatedState::Unknown),
        ] {
            assert_eq!(AggregatedState::of(states.iter().copied()), expected, "{states:?}");
        }
    }

    #[test]
    fn any_case_is_read() {
        assert_eq!("SUCCEEDED".parse(), Ok(ProvisioningState::Succeeded));
        assert_eq!(serde_json::from_str::<OperationStatus>("\"inprogress\"").unwrap(), OperationStatus::InProgress);
        assert!("Done".parse::<ProvisioningState>().is_err());
    }
}
