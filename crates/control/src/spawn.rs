//! Who runs what this process does beside answering requests, through an interface, so that a simulation can stop a process
//! anywhere.

use futures::future::BoxFuture;

/// Runs work that nobody waits for.
pub trait Spawn: Send + Sync + std::fmt::Debug {
    /// Runs `work` to its end, beside everything else. Call it within a tokio runtime.
    fn spawn(&self, work: BoxFuture<'static, ()>);
}

/// The tokio runtime of the caller.
#[derive(Debug, Clone, Copy, Default)]
pub struct TokioSpawn;

impl Spawn for TokioSpawn {
    fn spawn(&self, work: BoxFuture<'static, ()>) {
        tokio::spawn(work);
    }
}
