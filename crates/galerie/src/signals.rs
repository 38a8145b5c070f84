//! The signals that ask the program to end: Ctrl-C, and what `kill` and a service manager send.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Hears them. One that comes is kept until it is asked for.
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// From now on they no longer end the process by themselves.
    ///
    /// # Errors
    /// When the system has no room for a handler.
    pub(crate) fn hear() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// The next one.
    pub(crate) async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
