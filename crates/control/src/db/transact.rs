//! Work that is one writing transaction, done again when PostgreSQL ended it for the sake of another.
//!
//! A SERIALIZABLE transaction that cannot be put in order with another one fails, at any statement or at its commit, and
//! has changed nothing; the whole work is done again, from its first read. So the work must decide from what it reads in
//! its transaction, and do nothing outside it that may not happen twice. On SQLite, which has one writer, work is done once.
//!
//! ```text
//! let made = transact!(self.db(), |tx| -> Result<Accepted, ArmError> {
//!     authz::authorize(tx, ...).await?;
//!     ...
//!     Ok(accepted)
//! })?;
//! ```
//!
//! It is a macro, not a function that takes a closure, because the compiler cannot tell that such a closure's future may
//! move between threads.

use std::time::Duration;

use super::{Db, Error, Result, WriteTx};

/// How often work is done before the catalogue counts as busy. Each attempt means that another one got through.
const MOST_ATTEMPTS: u32 = 30;
/// The pause after the first lost race; it doubles, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(2);
const LONGEST_PAUSE: Duration = Duration::from_millis(250);

/// Does the block in a transaction, given to it as `&mut Connection`; commits when it answers `Ok`, rolls back otherwise.
/// `return` leaves the block.
macro_rules! transact {
    ($db:expr, |$tx:ident| -> $answer:ty $work:block) => {{
        let mut attempts = $crate::db::transact::Attempts::new($db);
        loop {
            let mut begun = match attempts.begin().await {
                Ok(begun) => begun,
                Err(error) => break Err(error.into()),
            };
            let outcome: $answer = async {
                let $tx: &mut $crate::db::Connection = &mut begun;
                $work
            }
            .await;
            if let Some(answer) = attempts.end(begun, outcome).await.transpose() {
                break answer;
            }
        }
    }};
}
pub(crate) use transact;

/// The attempts at one piece of work.
#[derive(Debug)]
pub(crate) struct Attempts<'a> {
    db: &'a Db,
    made: u32,
}

impl<'a> Attempts<'a> {
    pub(crate) fn new(db: &'a Db) -> Self {
        Self { db, made: 0 }
    }

    /// Begins the next attempt's transaction.
    ///
    /// # Errors
    /// `Busy` when others were faster time and again.
    pub(crate) async fn begin(&mut self) -> Result<WriteTx> {
        if self.made == MOST_ATTEMPTS {
            return Err(Error::Busy);
        }
        if self.made > 0 {
            metrics::counter!("galerie_catalogue_lost_races_total").increment(1);
            tokio::time::sleep(pause(self.made)).await;
        }
        self.made += 1;
        self.db.write().await
    }

    /// Ends an attempt: commits what succeeded and answers it, rolls back what failed. `None`: the race was lost, and the
    /// work is to be done again.
    ///
    /// # Errors
    /// The work's own, or the commit's.
    pub(crate) async fn end<T, E: From<Error>>(&self, tx: WriteTx, outcome: Result<T, E>) -> Result<Option<T>, E> {
        match outcome {
            Ok(done) => match tx.commit().await {
                Ok(()) => Ok(Some(done)),
                Err(Error::LostRace) => Ok(None),
                Err(error) => Err(error.into()),
            },
            Err(_) if tx.lost_race() => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Up to twice as long after each attempt; a random part of it, so that those who met do not meet again.
fn pause(attempts: u32) -> Duration {
    let longest = FIRST_PAUSE.saturating_mul(1 << attempts.min(16)).min(LONGEST_PAUSE);
    let random = uuid::Uuid::new_v4().as_bytes()[0];
    longest.mul_f64(f64::from(random) / 255.0)
}
