//! The signals that ask the program to end: Ctrl-C, what `kill` and a service manager send, and a terminal that goes away.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Hears them. One that comes is kept until it is asked for.
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    /// None where whoever started the program said that it goes on without a terminal (`nohup`).
    hang_up: Option<Signal>,
}

impl Signals {
    /// From now on they no longer end the process by themselves.
    ///
    /// # Errors
    /// When the system has no room for a handler.
    pub(crate) fn hear() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: if ignores_hang_ups() { None } else { Some(signal(SignalKind::hangup())?) },
        })
    }

    /// The next one.
    pub(crate) async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
            () = received(&mut self.hang_up) => {}
        }
    }
}

async fn received(signal: &mut Option<Signal>) {
    match signal {
        Some(signal) => drop(signal.recv().await),
        None => std::future::pending().await,
    }
}

/// Whether the program was started with `SIGHUP`, the lowest bit of the kernel's mask, ignored (proc(5), `SigIgn`).
fn ignores_hang_ups() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 == 1)
}
