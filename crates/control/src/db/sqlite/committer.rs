//! The thread on which commits wait for the disk.
//!
//! One writes at a time, so one thread is enough; and a commit must not wait behind other work that blocks, as on the runtime's
//! pool, which a volume that hangs can fill.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Mutex, PoisonError,
        mpsc::{Sender, channel},
    },
};

use galerie_store::blocking;
use tokio::sync::oneshot;

use crate::db::{Error, Result};

const NAME: &str = "catalogue";

type Work = Box<dyn FnOnce() + Send>;

/// A thread that begins with the first commit and ends with the value.
#[derive(Debug, Default)]
pub(super) struct Committer(Mutex<Option<Sender<Work>>>);

impl Committer {
    /// Does `work` on the thread, whether or not anybody waits for it; in a simulation now.
    ///
    /// # Errors
    /// `Io` when there is no thread to be had, or the work panicked.
    pub(super) async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
        if blocking::is_in_place() {
            return Ok(work());
        }
        let (done, answer) = oneshot::channel();
        self.hand_over(Box::new(move || drop(done.send(work()))))?;
        answer.await.map_err(|_| broken(std::io::Error::other("it panicked")))
    }

    fn hand_over(&self, work: Work) -> Result<()> {
        let mut thread = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if thread.is_none() {
            let (sender, works) = channel::<Work>();
            // Whoever waits for one that panics hears of it; the next one is another's.
            let each = move || works.into_iter().for_each(|work| drop(catch_unwind(AssertUnwindSafe(work))));
            std::thread::Builder::new().name(NAME.to_owned()).spawn(each).map_err(broken)?;
            *thread = Some(sender);
        }
        let sent = thread.as_ref().is_some_and(|thread| thread.send(work).is_ok());
        if sent { Ok(()) } else { Err(broken(std::io::Error::other("its thread has ended"))) }
    }
}

fn broken(source: std::io::Error) -> Error {
    Error::Io { action: "commit to the catalogue".to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_panics_ends_nothing_but_itself() {
        let committer = Committer::default();
        assert_eq!(committer.run(|| 1).await.unwrap(), 1);
        assert!(committer.run(|| panic!("a bug")).await.is_err());
        assert_eq!(committer.run(|| 2).await.unwrap(), 2);
    }

    #[tokio::test]
    async fn what_nobody_waits_for_is_done() {
        let committer = Committer::default();
        let (done, is_done) = std::sync::mpsc::channel();
        drop(tokio::time::timeout(std::time::Duration::ZERO, committer.run(move || done.send(()).unwrap())).await);
        is_done.recv_timeout(std::time::Duration::from_secs(10)).unwrap();
    }
}
