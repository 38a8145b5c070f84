//! How the catalogue's file is opened.

use std::{path::Path, time::Duration};

use rusqlite::{Connection, OpenFlags};

/// How long another program's lock on the file is waited for before it is an error.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
/// Prepared statements that a connection keeps. There are about 300.
const PREPARED: usize = 512;

/// Durable when it is committed, and read while it is written (`docs/design/control-plane.md`).
const SETTINGS: &str = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON";

/// Opens a file that is there. A connection is one thread's at a time, so SQLite need not guard it.
pub(in crate::db) fn open(path: &Path) -> rusqlite::Result<Connection> {
    let connection =
        Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(PREPARED);
    connection.execute_batch(SETTINGS)?;
    Ok(connection)
}
