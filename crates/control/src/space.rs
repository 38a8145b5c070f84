//! Room on the volumes of regions and of the catalogue: new work stops before they are full.
//!
//! What brings bytes is refused with 507, the numbers and the remedy; copies try again until there is room. Reading, deleting and collecting go on, so
//! that there can be room again; then work goes on by itself. See `docs/design/space.md`.

use galerie_arm::ArmError;
use galerie_store::{LowSpace, Watermark};

use crate::Control;

/// The code of 507, as the catalogue's full disk has it.
const INSUFFICIENT_STORAGE: &str = "InsufficientStorage";

/// What a region without room answers to new work.
pub(crate) fn low_in_region(region: &str, low: LowSpace) -> ArmError {
    let message = format!(
        "The region '{region}' takes nothing new: {low}. Delete what is not needed any more and run `galerie store collect \
         --region {region}`, or give its volume more room; then the region goes on by itself."
    );
    ArmError::new(507, INSUFFICIENT_STORAGE, message)
}

fn low_in_catalogue(low: LowSpace) -> ArmError {
    let message = format!(
        "The gallery takes nothing new: on the volume of its catalogue {low}. Free space there; then it goes on by itself."
    );
    ArmError::new(507, INSUFFICIENT_STORAGE, message)
}

impl Control {
    /// From now on nothing new is accepted while the catalogue's volume has less room than `space` keeps. Once, before
    /// [`Control::start`]; a catalogue in PostgreSQL is its server's to watch.
    pub fn watch_catalogue_space(&self, space: Watermark) {
        // Said twice, the first counts.
        let _ = self.catalogue_space().set(space);
    }

    /// Whether the catalogue's volume has room for something new.
    pub(crate) async fn check_catalogue_space(&self) -> Result<(), ArmError> {
        let Some(space) = self.catalogue_space().get().cloned() else { return Ok(()) };
        let admitted = galerie_store::blocking::run(move || space.admit(0)).await;
        // Whoever cannot ask has not been refused.
        admitted.unwrap_or(Ok(())).map_err(low_in_catalogue)
    }

    /// Whether a region has room for new bytes. One that is away says so when it is used.
    pub(crate) async fn check_region_space(&self, name: &str) -> Result<(), ArmError> {
        let Some(region) = self.region(name) else { return Ok(()) };
        match region.check_space().await {
            Err(galerie_region::Error::LowSpace(low)) => Err(low_in_region(name, low)),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
