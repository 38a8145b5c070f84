//! Retention policies that are to run by themselves are run.

use std::time::Duration;

use galerie_arm::ArmError;

use crate::Control;

/// How often. Of several processes one does it.
pub(super) const EVERY: Duration = Duration::from_secs(3600);

pub(super) async fn run(control: &Control) -> Result<(), ArmError> {
    if control.takes_chore("retention", EVERY).await? {
        control.run_retention_policies().await?;
    }
    Ok(())
}
