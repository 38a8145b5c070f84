//! Snapshots: `Microsoft.Compute/snapshots`. Their actions are the disks'; see `disk`.

use super::{Answer, accepted::Family, call::Call, tracked};

/// `.../snapshots/{name}`.
pub(super) async fn answer(call: Call) -> Answer {
    tracked::answer(call, Family::Disk).await
}
