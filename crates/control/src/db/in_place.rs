//! Statements that are done before anything else goes on: the one place where a simulation reaches into the catalogue.
//!
//! SQLite's driver has a thread for each connection, and what it answers comes when the machine likes. A deterministic
//! simulation, which does blocking work in place, waits for each answer where it is asked for, so that nothing else is
//! polled meanwhile. Otherwise these functions only pass on.

use futures::executor::block_on;
pub(super) use galerie_store::blocking::is_in_place;

/// Awaits `work`; in a simulation without letting anything else go on. It may wait for a connection's thread, never for
/// another task.
pub(super) async fn done<F: Future>(work: F) -> F::Output {
    // Unconstrained: nobody is served by this task's yielding.
    if is_in_place() { block_on(tokio::task::unconstrained(work)) } else { work.await }
}

/// Does `work` for somebody who cannot wait: in a task of its own, in a simulation now. A program that is ending, and has no
/// tasks any more, does without.
pub(super) fn after_all(work: impl Future<Output = ()> + Send + 'static) {
    if is_in_place() {
        block_on(tokio::task::unconstrained(work));
    } else if let Ok(runtime) = tokio::runtime::Handle::try_current() {
        runtime.spawn(work);
    }
}
