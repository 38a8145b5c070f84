//! The catalogue in a SQLite file.
//!
//! One connection writes, the others read. A statement runs on the thread that asks for it: what it reads is mostly in memory, and
//! handing it to another thread and back takes longer than most statements do. What waits for the disk (a commit) has a thread of its own,
//! and what looks at many rows is done where the thread's other tasks can go on elsewhere (`Statement::looks_at_many`).
//!
//! Nobody can go away in the middle of a statement, so whether a transaction is open is always known.

mod columns;
mod committer;
mod file;
mod transaction;

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use galerie_store::blocking;
use rusqlite::Connection;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use self::committer::Committer;
pub(super) use self::{columns::SqliteColumns, file::open, transaction::SqliteTransaction};
use super::{ACQUIRE_TIMEOUT, Error, Result};

/// Connections that read. Each has a page cache of 2 MiB.
const READERS: u32 = 4;

/// The connections of this process.
#[derive(Debug, Clone)]
pub(super) struct SqliteConnections {
    writer: Arc<Places>,
    readers: Arc<Places>,
}

/// A few connections of one kind, which are opened when they are needed, and kept.
struct Places {
    file: PathBuf,
    settings: &'static str,
    most: u32,
    /// A permit for each of them, given in the order of asking. Closed with the catalogue.
    free: Arc<Semaphore>,
    idle: Mutex<Vec<Connection>>,
    committer: Committer,
}

impl SqliteConnections {
    pub(super) fn new(file: &Path) -> Self {
        // Another program's write is waited for elsewhere.
        let writer = Places::new(file, "PRAGMA busy_timeout = 0", 1);
        let readers = Places::new(file, "PRAGMA query_only = ON", READERS);
        Self { writer: Arc::new(writer), readers: Arc::new(readers) }
    }

    /// Begins the one transaction that may write at a time.
    pub(super) async fn write(&self) -> Result<SqliteTransaction> {
        let permit = self.writer.permit().await?;
        SqliteTransaction::writing(Arc::clone(&self.writer), self.writer.take()?, permit).await
    }

    /// Begins a transaction that reads one snapshot, of the moment of its first statement.
    pub(super) async fn read(&self) -> Result<SqliteTransaction> {
        let permit = self.readers.permit().await?;
        SqliteTransaction::reading(Arc::clone(&self.readers), self.readers.take()?, permit)
    }

    /// Closes every connection; waits for what they do.
    pub(super) async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }

    /// Runs a statement on the connection that writes, outside of any transaction.
    #[cfg(test)]
    pub(super) async fn run_on_writer(&self, text: &'static str) -> Result<()> {
        let _permit = self.writer.permit().await?;
        let connection = self.writer.take()?;
        connection.execute_batch(text)?;
        self.writer.put_back(connection);
        Ok(())
    }
}

impl Places {
    fn new(file: &Path, settings: &'static str, most: u32) -> Self {
        let free = Arc::new(Semaphore::new(most as usize));
        Self { file: file.to_owned(), settings, most, free, idle: Mutex::default(), committer: Committer::default() }
    }

    async fn permit(&self) -> Result<OwnedSemaphorePermit> {
        if let Ok(permit) = self.free.clone().try_acquire_owned() {
            return Ok(permit);
        }
        let free = tokio::time::timeout(ACQUIRE_TIMEOUT, self.free.clone().acquire_owned());
        free.await.map_err(|_| Error::Busy)?.map_err(|_| Error::Closed)
    }

    /// A connection for whoever has a permit.
    fn take(&self) -> Result<Connection> {
        let idle = self.idle().pop();
        if let Some(connection) = idle {
            return Ok(connection);
        }
        let connection = open(&self.file)?;
        connection.execute_batch(self.settings)?;
        Ok(connection)
    }

    fn put_back(&self, connection: Connection) {
        self.idle().push(connection);
    }

    /// Lets nobody begin any more, and closes what is idle. In a simulation nobody else goes on meanwhile, so that open transactions
    /// are not waited for: they go with their world.
    async fn close(&self) {
        // All places are held until it is closed: whoever waits behind us would get one that is given back.
        let held = if blocking::is_in_place() { None } else { self.free.acquire_many(self.most).await.ok() };
        self.free.close();
        drop(held);
        let idle = std::mem::take(&mut *self.idle());
        // The last one to close writes the log into the file.
        if let Err(error) = blocking::run(move || drop(idle)).await {
            tracing::debug!(error = &error as &dyn std::error::Error, "close the catalogue's file");
        }
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Places {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Places").field("settings", &self.settings).field("most", &self.most).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures::FutureExt;

    use super::*;
    use crate::db::{
        Database, Db, row, setting,
        statement::{query, query_text},
    };

    /// A new catalogue in a file, whatever else the tests use.
    async fn file() -> (tempfile::TempDir, Db) {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let db = Db::open(&Database::Sqlite(directory.path().join("catalogue.db"))).await.expect("a new catalogue");
        (directory, db)
    }

    async fn put(db: &Db, key: &'static str, value: &str) {
        let mut tx = db.write().await.unwrap();
        setting::put(&mut tx, key, value).await.unwrap();
        tx.commit().await.unwrap();
    }

    #[tokio::test]
    async fn a_statement_counts_the_rows_that_it_touched() {
        let (_directory, db) = file().await;
        put(&db, "a", "1").await;
        put(&db, "b", "1").await;
        for (text, touched) in [
            ("UPDATE settings SET value = '2' WHERE name IN ('a', 'b')", 2),
            ("UPDATE settings SET value = '3' WHERE name = 'none'", 0),
            ("UPDATE settings SET value = '3' WHERE name = 'a'", 1),
        ] {
            let mut tx = db.write().await.unwrap();
            assert_eq!(row::run(&mut tx, query(text)).await.unwrap(), touched, "{text}");
            tx.commit().await.unwrap();
        }
    }

    /// SQLite numbers parameters in the order in which a statement names them.
    #[tokio::test]
    async fn values_go_where_they_are_named() {
        let (_directory, db) = file().await;
        let mut tx = db.write().await.unwrap();
        let text = "SELECT $3 || $1 || $2 || $1";
        let found: Option<String> = row::one(&mut tx, query(text).bind("a").bind("b").bind("c")).await.unwrap();
        assert_eq!(found.as_deref(), Some("caba"));
        let missing = row::one::<String>(&mut tx, query(text).bind("a").bind("b")).await;
        assert!(matches!(missing, Err(Error::Sql(_))), "{missing:?}");
    }

    #[tokio::test]
    async fn every_reading_transaction_has_a_snapshot_of_its_own() {
        let (_directory, db) = file().await;
        for value in ["1", "2", "3", "4", "5", "6"] {
            put(&db, "a", value).await;
            let mut reading = db.read().await.unwrap();
            assert_eq!(setting::find(&mut reading, "a").await.unwrap().as_deref(), Some(value));
            put(&db, "a", "later").await;
            assert_eq!(setting::find(&mut reading, "a").await.unwrap().as_deref(), Some(value), "a snapshot");
        }
    }

    #[tokio::test]
    async fn nothing_is_done_after_a_first_statement_that_failed() {
        let (_directory, db) = file().await;
        put(&db, "a", "1").await;
        let mut tx = db.write().await.unwrap();
        let taken = row::run(&mut tx, query("INSERT INTO settings (name, value) VALUES ('a', '2')")).await;
        assert!(matches!(taken, Err(Error::Taken(_))), "{taken:?}");
        assert!(setting::put(&mut tx, "b", "2").await.is_err());
        assert!(tx.commit().await.is_err());
        let mut reading = db.read().await.unwrap();
        assert_eq!(setting::find(&mut reading, "b").await.unwrap(), None);
        drop(reading);
        put(&db, "b", "3").await;
    }

    /// A failure may end the transaction in the middle of it; what is asked afterwards would be done and kept by itself.
    #[tokio::test]
    async fn nothing_is_done_after_a_later_statement_that_failed() {
        let (_directory, db) = file().await;
        put(&db, "a", "1").await;
        for ends_it in ["INSERT OR ROLLBACK", "INSERT"] {
            let mut tx = db.write().await.unwrap();
            setting::put(&mut tx, "b", "2").await.unwrap();
            let again = format!("{ends_it} INTO settings (name, value) VALUES ('a', '2')");
            let taken = row::run(&mut tx, query_text(again)).await;
            assert!(matches!(taken, Err(Error::Taken(_))), "{ends_it}: {taken:?}");
            assert!(setting::put(&mut tx, "c", "2").await.is_err(), "{ends_it}");
            assert!(setting::find(&mut tx, "a").await.is_err(), "{ends_it}");
            assert!(tx.commit().await.is_err(), "{ends_it}");
            let mut reading = db.read().await.unwrap();
            for (name, expected) in [("a", Some("1")), ("b", None), ("c", None)] {
                assert_eq!(setting::find(&mut reading, name).await.unwrap().as_deref(), expected, "{ends_it}: {name}");
            }
        }
        put(&db, "b", "3").await;
    }

    /// What is given up is not there, and the connection is used again.
    #[tokio::test]
    async fn a_transaction_that_is_dropped_leaves_nothing() {
        let (_directory, db) = file().await;
        for _ in 0..20 {
            let mut tx = db.write().await.unwrap();
            setting::put(&mut tx, "a", "1").await.unwrap();
            drop(tx);
        }
        let found = setting::find(&mut db.read().await.unwrap(), "a").await.unwrap();
        assert_eq!(found, None);
        put(&db, "a", "2").await;
    }

    #[tokio::test]
    async fn closing_waits_for_transactions_and_refuses_others() {
        let (_directory, db) = file().await;
        let mut tx = db.write().await.unwrap();
        setting::put(&mut tx, "a", "1").await.unwrap();
        let closing = tokio::spawn({
            let db = db.clone();
            async move { db.close().await }
        });
        let late = tokio::spawn({
            let db = db.clone();
            async move { db.write().await.map(drop) }
        });
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(!closing.is_finished(), "a transaction is open");
        tx.commit().await.unwrap();
        closing.await.unwrap();
        // It asked before or after the closing; after it there is nothing to be had.
        let _ = late.await.unwrap();
        assert!(db.write().await.is_err());
        assert!(db.read().await.is_err());
    }

    /// Whoever waits behind the closing learns that it is closed, and nothing is left to be had. (That its places are held until then
    /// matters to other threads, between two instructions: no test can wait for that.)
    #[tokio::test]
    async fn nobody_who_waits_while_it_closes_gets_a_place() {
        let (directory, db) = file().await;
        db.close().await;
        let connections = SqliteConnections::new(&directory.path().join("catalogue.db"));
        for places in [&connections.readers, &connections.writer] {
            let mut held = Vec::new();
            for _ in 0..places.most {
                held.push(places.permit().await.unwrap());
            }
            let mut closing = Box::pin(places.close());
            assert!((&mut closing).now_or_never().is_none(), "its places are taken");
            let mut late = Box::pin(places.permit());
            assert!((&mut late).now_or_never().is_none(), "so are they for others");
            drop(held);
            closing.await;
            assert!(matches!(late.await, Err(Error::Closed)));
        }
    }

    /// Another program's write is waited for, by a task that lets others go on.
    #[tokio::test]
    async fn another_programs_write_is_waited_for() {
        let (directory, db) = file().await;
        let other = open(&directory.path().join("catalogue.db")).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        let writing = tokio::spawn({
            let db = db.clone();
            async move { put(&db, "a", "1").await }
        });
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(!writing.is_finished(), "the other one writes");
        other.execute_batch("COMMIT").unwrap();
        writing.await.unwrap();
    }
}
