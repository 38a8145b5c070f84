//! Being told to stop: Ctrl-C, or what `kill` and a service manager send. Either way what was begun is cleaned up.

use tokio::signal::unix::{SignalKind, signal};

/// Ends when the user, or the system, wants the command to stop.
pub(super) async fn interrupted() {
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        // Nothing can be heard but Ctrl-C, and if not even that, nothing at all.
        return match tokio::signal::ctrl_c().await {
            Ok(()) => (),
            Err(_) => std::future::pending().await,
        };
    };
    tokio::select! {
        _ = terminate.recv() => (),
        Ok(()) = tokio::signal::ctrl_c() => (),
    }
}
