//! Whose clock a catalogue goes by.
//!
//! What several processes compare (leases, pins, grants, heartbeats) must be told from one clock. A SQLite file has one
//! process, whose clock it is. On PostgreSQL it is the database's: [`Connection::now_ms`] asks it once in a transaction, and
//! what such an answer taught is carried on by the machine's *monotonic* clock for whoever needs the time outside of one
//! ([`Time::now_ms`]). A process whose wall clock is wrong or jumps does no harm; one that was frozen is behind until its
//! next transaction, and decides nothing outside of one.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use super::{
    Connection, Result,
    row::{self},
    statement::query,
};
use crate::{Clock, MovableClock};

/// PostgreSQL's wall clock, not the transaction's beginning: work that was done again has waited meanwhile.
const NOW: &str = "SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)";

/// Where the present comes from.
#[derive(Debug, Clone)]
pub(crate) enum Time {
    /// This process's clock.
    Process(Arc<dyn Clock>),
    /// The database's.
    Database(Arc<Learned>),
}

/// What the database said last, and when that was by the monotonic clock.
#[derive(Debug)]
pub(crate) struct Learned(Mutex<(Instant, i64)>);

impl Time {
    /// The database's clock; until it was asked for the first time, the process's stands in.
    pub(super) fn of_database(until_asked: &dyn Clock) -> Self {
        Self::Database(Arc::new(Learned(Mutex::new((Instant::now(), until_asked.now_ms())))))
    }

    /// Milliseconds since the epoch, as far as this process knows: within what an answer takes to travel.
    pub(crate) fn now_ms(&self) -> i64 {
        match self {
            Self::Process(clock) => clock.now_ms(),
            Self::Database(learned) => {
                let (asked, answer_ms) = *learned.0.lock().unwrap_or_else(PoisonError::into_inner);
                answer_ms.saturating_add(i64::try_from(asked.elapsed().as_millis()).unwrap_or(i64::MAX))
            }
        }
    }
}

impl Time {
    /// The clock, if it can be moved.
    pub(crate) fn as_movable(&self) -> Option<&MovableClock> {
        match self {
            Self::Process(clock) => clock.as_movable(),
            Self::Database(_) => None,
        }
    }
}

impl Connection {
    /// Milliseconds since the epoch, by the catalogue's clock. On PostgreSQL a transaction has one present: it is asked for
    /// once.
    pub(crate) async fn now_ms(&mut self) -> Result<i64> {
        let learned = match &self.time {
            Time::Process(clock) => return Ok(clock.now_ms()),
            Time::Database(learned) => Arc::clone(learned),
        };
        if let Some(now_ms) = self.present_ms {
            return Ok(now_ms);
        }
        let now_ms: Option<i64> = row::one(self, query(NOW)).await?;
        let now_ms = now_ms.ok_or_else(|| super::Error::Corrupt("the database has no clock".to_owned()))?;
        *learned.0.lock().unwrap_or_else(PoisonError::into_inner) = (Instant::now(), now_ms);
        self.present_ms = Some(now_ms);
        Ok(now_ms)
    }
}

#[cfg(test)]
mod tests {
    use crate::{Clock, SystemClock, db::Db};

    /// A machine whose clock is a day ahead.
    #[derive(Debug)]
    struct Skewed;

    const DAY_MS: i64 = 24 * 60 * 60 * 1000;

    impl Clock for Skewed {
        fn now_ms(&self) -> i64 {
            SystemClock.now_ms() + DAY_MS
        }
        fn is_the_machines(&self) -> bool {
            true
        }
    }

    /// Both the exact time and the one that is carried on come from the database, when there is one to ask.
    #[tokio::test]
    async fn a_shared_catalogue_has_its_own_clock() {
        let directory = tempfile::tempdir().unwrap();
        let database = crate::testing::database(directory.path()).await;
        let db = Db::open_by(&database, std::sync::Arc::new(Skewed)).await.unwrap();
        let skewed_ms = if database.is_shared() { 0 } else { DAY_MS };
        let in_transaction = db.read().await.unwrap().now_ms().await.unwrap();
        for found in [in_transaction, db.time().now_ms()] {
            let off_ms = found - SystemClock.now_ms() - skewed_ms;
            assert!(off_ms.abs() < DAY_MS / 2, "{off_ms} ms off");
        }
    }
}
