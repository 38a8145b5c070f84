//! The audit is sealed, by one process, and what is older than it is kept is forgotten.

use std::time::Duration;

use galerie_arm::ArmError;

use crate::{Control, audit};

/// Longer than the period, so that the process that seals goes on doing so.
const CHORE: Duration = Duration::from_secs(30);

pub(super) async fn run(control: &Control) -> Result<(), ArmError> {
    if !control.takes_chore("seals", CHORE).await? {
        return Ok(());
    }
    audit::seal_all(control).await?;
    audit::prune(control).await
}
