//! Work that may block, off the runtime's own threads.
//!
//! A deterministic simulation has one thread, whose order of events must not depend on another's speed: it asks once that
//! blocking work be done in place. Nothing in production does.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::{
    runtime::{Handle, RuntimeFlavor},
    task::JoinError,
};

static IN_PLACE: AtomicBool = AtomicBool::new(false);

/// From now on this whole program does blocking work where it is asked for. For simulations.
pub fn do_in_place() {
    IN_PLACE.store(true, Ordering::Relaxed);
}

/// Whether blocking work is done where it is asked for.
pub fn is_in_place() -> bool {
    IN_PLACE.load(Ordering::Relaxed)
}

/// Does `work` where it may block. Dropping the future does not stop what has begun.
///
/// # Errors
/// When the work panics. Done in place, it panics here.
pub async fn run<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, JoinError> {
    if is_in_place() { Ok(work()) } else { tokio::task::spawn_blocking(work).await }
}

/// Does `work` that may block or take long on this thread. The runtime's other tasks go on on another one, where there is one.
pub fn here<T>(work: impl FnOnce() -> T) -> T {
    let has_others = Handle::try_current().is_ok_and(|runtime| runtime.runtime_flavor() == RuntimeFlavor::MultiThread);
    if has_others && !is_in_place() { tokio::task::block_in_place(work) } else { work() }
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc::channel, time::Duration};

    use super::*;

    /// The runtime's only worker is taken; what waits behind it is done all the same.
    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn others_go_on_while_somebody_blocks_here() {
        let (done, is_done) = channel();
        let blocked = tokio::spawn(async move {
            tokio::spawn(async move { done.send(()) });
            here(|| is_done.recv_timeout(Duration::from_secs(10)))
        });
        assert_eq!(blocked.await.unwrap(), Ok(()));
    }

    #[tokio::test]
    async fn without_others_it_is_done_in_place() {
        assert_eq!(here(|| 7), 7);
    }
}
