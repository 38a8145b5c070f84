//! Failures of work: final ones, passing ones, and being stopped.

use std::error::Error as StdError;

use galerie_arm::ArmError;

use crate::{db, space};

/// Why a step did not get done.
#[derive(Debug)]
pub(super) enum Failure {
    /// Trying again later may help; the error is what the client is told when it never does.
    Passing(ArmError),
    /// Trying again cannot help.
    Final(ArmError),
    /// The process stops, or the claim or a pin is gone.
    Stopped,
}

impl Failure {
    /// What a region's failure means to work in it. The log gets the whole chain; the client the root of it, which names
    /// no path.
    pub(super) fn in_region(region: &str, error: galerie_region::Error) -> Self {
        use galerie_region::Error;
        tracing::warn!(region, error = &error as &dyn StdError, "work in a region failed");
        let passing = error.is_passing();
        let failed = |why: &str| {
            let message = format!("The region '{region}' could not do its part: {why}.");
            ArmError::new(500, "InternalOperationError", message)
        };
        match &error {
            Error::Cancelled => return Self::Stopped,
            Error::LowSpace(low) => return Self::Passing(space::low_in_region(region, *low)),
            Error::Refused(reason) => return Self::Final(ArmError::invalid_disk_image("The upload", reason)),
            _ => {}
        }
        let full = matches!(error, Error::Full(_))
            || matches!(&error, Error::Store { source: galerie_store::Error::Full { .. }, .. });
        let told = if full { failed("it has no space left") } else { failed(&root(&error)) };
        if passing { Self::Passing(told) } else { Self::Final(told) }
    }

    /// A region that this process does not serve, or no longer.
    pub(super) fn region_absent(region: &str) -> Self {
        Self::Passing(ArmError::service_unavailable(&format!("The region '{region}' is not available.")))
    }
}

impl From<db::Error> for Failure {
    fn from(error: db::Error) -> Self {
        Self::Passing(error.into())
    }
}

impl From<ArmError> for Failure {
    fn from(error: ArmError) -> Self {
        if error.status >= 500 { Self::Passing(error) } else { Self::Final(error) }
    }
}

/// The last error of the chain.
fn root(error: &dyn StdError) -> String {
    let mut last = error;
    while let Some(source) = last.source() {
        last = source;
    }
    last.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_failures_are_told_apart() {
        use galerie_region::Error;
        let io = || std::io::Error::from(std::io::ErrorKind::PermissionDenied);
        for (error, passing, told) in [
            (Error::Refused("no footer".to_owned()), Some(false), "no footer"),
            (Error::NotFound("image x is not here".to_owned()), Some(false), "image x is not here"),
            (Error::Full("importing".to_owned()), Some(true), "no space left"),
            (Error::Io { action: "write /secret/path".to_owned(), source: io() }, Some(true), "permission denied"),
            (Error::Cancelled, None, ""),
        ] {
            match (Failure::in_region("eastus", error), passing) {
                (Failure::Passing(error), Some(true)) | (Failure::Final(error), Some(false)) => {
                    assert!(error.message.contains(told), "{}", error.message);
                    assert!(!error.message.contains("/secret"), "{}", error.message);
                }
                (Failure::Stopped, None) => {}
                (other, _) => panic!("{other:?}"),
            }
        }
    }
}
