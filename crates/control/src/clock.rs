//! Time, through an interface, so that a test can move it, and so can whoever tests a pipeline (`--fault clock`).

use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use galerie_arm::{ArmError, timestamp};
use serde_json::{Value, json};

use crate::{
    Control, Error, RequestContext, audit,
    db::{self, Connection, Db, setting, transact},
};

/// How far a clock may be ahead in all: within what documents' times can say.
const FARTHEST_AHEAD_MS: i64 = 100 * 366 * 24 * 3600 * 1000;
/// What moving the clock is to the audit.
const ADVANCE: &str = "Galerie/clock/advance/action";

/// Where the present comes from.
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// Milliseconds since the Unix epoch.
    fn now_ms(&self) -> i64;

    /// Whether this is the machine's clock, in whose place a catalogue that processes share goes by the database's. A test's
    /// clock stays what it is.
    fn is_the_machines(&self) -> bool {
        false
    }

    /// The clock itself, if it can be moved.
    fn as_movable(&self) -> Option<&MovableClock> {
        None
    }
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now_ms(&self) -> i64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    }

    fn is_the_machines(&self) -> bool {
        true
    }
}

/// The machine's clock, and as much as it was moved on. The catalogue remembers how much, so that neither a restart nor a restore
/// takes its time back: [`Control::open`] goes on where it was.
#[derive(Debug, Default)]
pub struct MovableClock {
    ahead_ms: AtomicI64,
}

impl MovableClock {
    /// By how much it is ahead of the machine's, in ms.
    #[must_use]
    pub fn ahead_ms(&self) -> i64 {
        self.ahead_ms.load(Ordering::SeqCst)
    }

    /// Moves it on to what the catalogue remembers; never back.
    fn move_to(&self, ahead_ms: i64) {
        self.ahead_ms.fetch_max(ahead_ms, Ordering::SeqCst);
    }
}

impl Clock for MovableClock {
    fn now_ms(&self) -> i64 {
        SystemClock.now_ms().saturating_add(self.ahead_ms())
    }

    fn as_movable(&self) -> Option<&MovableClock> {
        Some(self)
    }
}

impl Control {
    /// Whether the time can be moved.
    #[must_use]
    pub fn has_movable_clock(&self) -> bool {
        self.movable_clock().is_ok()
    }

    /// What time it is.
    ///
    /// # Errors
    /// `AuthorizationFailed`; `NotFound` where the clock cannot be moved.
    pub async fn clock(&self, ctx: &RequestContext) -> Result<Value, ArmError> {
        self.require_operator(&mut *self.db().read().await?, &ctx.caller, "Galerie/clock/read").await?;
        Ok(shown(self.movable_clock()?))
    }

    /// Moves the time on, and has everything look at it that waits for its time.
    ///
    /// # Errors
    /// `AuthorizationFailed`; `NotFound` where the clock cannot be moved; when that would be too far, or cannot be remembered.
    pub async fn advance_clock(&self, ctx: &RequestContext, by: Duration) -> Result<Value, ArmError> {
        let by_ms = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
        // It moves when that is durable, and is in the audit when it moves. The audit's rows are in the order of time: this one is
        // the last of the time before.
        let ahead_ms = transact!(self.db(), |tx| -> Result<i64, ArmError> {
            self.require_operator(tx, &ctx.caller, ADVANCE).await?;
            self.movable_clock()?;
            let ahead_ms = remembered(tx).await?.saturating_add(by_ms);
            if ahead_ms > FARTHEST_AHEAD_MS {
                let why = "A clock is not moved on by more than a hundred years.";
                return Err(ArmError::invalid_parameter("seconds", why));
            }
            audit::record(tx, ctx, self.now_ms(), ADVANCE, "/", None).await?;
            setting::put(tx, setting::CLOCK_AHEAD, &ahead_ms.to_string()).await?;
            Ok(ahead_ms)
        })?;
        let clock = self.movable_clock()?;
        clock.move_to(ahead_ms);
        tracing::warn!(by_s = by.as_secs(), ahead_ms, "the clock was moved on");
        self.time_has_moved();
        Ok(shown(clock))
    }

    fn movable_clock(&self) -> Result<&MovableClock, ArmError> {
        let clock = self.db().time().as_movable();
        clock.ok_or_else(|| {
            ArmError::new(404, "NotFound", "The clock is the machine's; start the server with --fault clock.")
        })
    }
}

/// Has a catalogue's clock go on where it was.
///
/// # Errors
/// `ClockMoved` when it was moved, and is one that cannot be.
pub(crate) async fn go_on(db: &Db) -> Result<(), Error> {
    let ahead_ms = remembered(&mut *db.read().await?).await?;
    match db.time().as_movable() {
        Some(clock) => clock.move_to(ahead_ms),
        None if ahead_ms > 0 => return Err(Error::ClockMoved),
        None => {}
    }
    Ok(())
}

/// By how much a catalogue's clock was moved on, in ms.
pub(crate) async fn remembered(tx: &mut Connection) -> db::Result<i64> {
    let Some(text) = setting::find(tx, setting::CLOCK_AHEAD).await? else { return Ok(0) };
    let ahead_ms = text.parse().ok().filter(|ahead_ms| (0..=FARTHEST_AHEAD_MS).contains(ahead_ms));
    ahead_ms.ok_or_else(|| db::Error::Corrupt(format!("'{text}' is no time by which a clock was moved on")))
}

fn shown(clock: &MovableClock) -> Value {
    json!({ "now": timestamp::format_ms(clock.now_ms()), "aheadMs": clock.ahead_ms() })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::testing::database;

    /// A clock that was moved is in the catalogue: whoever opens it goes by it, or is refused.
    #[tokio::test]
    async fn what_was_moved_stays_moved() {
        let folder = tempfile::tempdir().unwrap();
        let database = database(folder.path()).await;
        let remember = async |text: &'static str| {
            let db = Db::open(&database).await.unwrap();
            transact!(&db, |tx| -> db::Result<()> { setting::put(tx, setting::CLOCK_AHEAD, text).await }).unwrap();
            db.close().await;
        };
        let open = async |clock: Arc<dyn Clock>| {
            let db = Db::open_by(&database, clock).await.unwrap();
            let gone_on = go_on(&db).await;
            db.close().await;
            gone_on
        };
        open(Arc::new(SystemClock)).await.unwrap();
        remember("691200000").await;
        assert!(matches!(open(Arc::new(SystemClock)).await, Err(Error::ClockMoved)));
        let clock = Arc::new(MovableClock::default());
        open(clock.clone()).await.unwrap();
        assert_eq!(clock.ahead_ms(), 8 * 24 * 3600 * 1000);
        assert!(clock.now_ms() - SystemClock.now_ms() > 7 * 24 * 3600 * 1000);
        for text in ["soon", "-1", "999999999999999999", ""] {
            remember(text).await;
            assert!(open(clock.clone()).await.is_err(), "{text}");
        }
    }
}
