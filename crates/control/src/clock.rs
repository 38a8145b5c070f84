//! Time, through an interface, so that a test can move it, and so can whoever tests a pipeline (`--fault clock`).

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use galerie_arm::{ArmError, timestamp};
use serde_json::{Value, json};

use crate::{Control, RequestContext, audit, authz, db::transact};

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

/// The machine's clock, and as much as it was moved on. A file remembers how much, so that a restart does not take the
/// catalogue's time back.
#[derive(Debug)]
pub struct MovableClock {
    path: PathBuf,
    ahead_ms: Mutex<i64>,
}

impl MovableClock {
    /// The clock that a file remembers; without one it is the machine's, until it is moved.
    ///
    /// # Errors
    /// A file that cannot be read, or holds something else.
    pub fn open(path: PathBuf) -> io::Result<Self> {
        let ahead_ms = match fs::read_to_string(&path) {
            Ok(text) => {
                let ahead_ms = text.trim().parse().ok().filter(|ahead_ms| (0..=FARTHEST_AHEAD_MS).contains(ahead_ms));
                ahead_ms
                    .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "it holds no number of milliseconds"))?
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            Err(error) => return Err(error),
        };
        Ok(Self { path, ahead_ms: Mutex::new(ahead_ms) })
    }

    /// By how much it is ahead of the machine's, in ms.
    #[must_use]
    pub fn ahead_ms(&self) -> i64 {
        *self.ahead_ms.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Moves it on; `None` when that is too far. It stays moved when the process dies after this.
    fn advance(&self, by: Duration) -> io::Result<Option<()>> {
        let mut ahead_ms = self.ahead_ms.lock().unwrap_or_else(PoisonError::into_inner);
        let by_ms = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
        let moved_ms = ahead_ms.saturating_add(by_ms);
        if moved_ms > FARTHEST_AHEAD_MS {
            return Ok(None);
        }
        let beside = self.path.with_extension("new");
        let mut file = File::create(&beside)?;
        writeln!(file, "{moved_ms}")?;
        file.sync_all()?;
        fs::rename(&beside, &self.path)?;
        File::open(self.path.parent().unwrap_or(Path::new(".")))?.sync_all()?;
        *ahead_ms = moved_ms;
        Ok(Some(()))
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
    pub fn clock(&self, ctx: &RequestContext) -> Result<Value, ArmError> {
        authz::require_administrator(&ctx.caller, "Galerie/clock/read")?;
        Ok(shown(self.movable_clock()?))
    }

    /// Moves the time on, and has everything look at it that waits for its time.
    ///
    /// # Errors
    /// `AuthorizationFailed`; `NotFound` where the clock cannot be moved; when that would be too far, or cannot be remembered.
    pub async fn advance_clock(&self, ctx: &RequestContext, by: Duration) -> Result<Value, ArmError> {
        authz::require_administrator(&ctx.caller, ADVANCE)?;
        let clock = self.movable_clock()?;
        // The audit's rows are in the order of time: this one is the last of the time before.
        transact!(self.db(), |tx| -> Result<(), ArmError> {
            audit::record(tx, ctx, self.now_ms(), ADVANCE, "/", None).await
        })?;
        let moved = clock.advance(by).map_err(|error| {
            tracing::error!(error = &error as &dyn std::error::Error, "remember how far the clock was moved");
            ArmError::insufficient_storage("How far the clock was moved cannot be written down; it was not moved.")
        })?;
        moved.ok_or_else(|| {
            ArmError::invalid_parameter("seconds", "A clock is not moved on by more than a hundred years.")
        })?;
        tracing::warn!(by_s = by.as_secs(), ahead_ms = clock.ahead_ms(), "the clock was moved on");
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

fn shown(clock: &MovableClock) -> Value {
    json!({ "now": timestamp::format_ms(clock.now_ms()), "aheadMs": clock.ahead_ms() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_moved_stays_moved() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("clock");
        let clock = MovableClock::open(path.clone()).unwrap();
        let day = Duration::from_secs(24 * 3600);
        assert!(clock.ahead_ms() == 0 && !path.exists(), "nobody moved it");
        assert_eq!(clock.advance(8 * day).unwrap(), Some(()));
        assert_eq!(clock.advance(200 * 366 * day).unwrap(), None, "too far");
        let again = MovableClock::open(path.clone()).unwrap();
        assert_eq!(again.ahead_ms(), 8 * 24 * 3600 * 1000);
        assert!(again.now_ms() - SystemClock.now_ms() > 7 * 24 * 3600 * 1000);
        for text in ["soon", "-1", "999999999999999999", ""] {
            fs::write(&path, text).unwrap();
            assert!(MovableClock::open(path.clone()).is_err(), "{text}");
        }
    }
}
