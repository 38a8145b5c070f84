//! Being told to stop in the middle: what was begun is cleaned up.

use crate::signals::Signals;

/// Ends when the user, or the system, wants the command to stop. Never where that cannot be heard: then the command ends as
/// any program would.
pub(super) async fn interrupted() {
    match Signals::hear() {
        Ok(mut signals) => signals.next().await,
        Err(_) => std::future::pending().await,
    }
}
