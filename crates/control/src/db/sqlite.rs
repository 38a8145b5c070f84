//! The connections to a SQLite file, and transactions on them.
//!
//! One connection writes, the others read. They are ours, and not in the driver's pool: each of them is a thread, each statement an
//! exchange with it, and the pool would add exchanges of its own to every transaction. What is left is one exchange for
//! each statement and one for a commit:
//!
//! - `BEGIN` goes to the connection together with the first statement. SQLite fixes a snapshot with the first statement anyway.
//! - What ends a reading transaction goes to its connection without waiting for an answer. Whatever is asked next comes after it.
//! - A written transaction that is over needs nothing more.
//!
//! The statements that begin and end a transaction are not the driver's, which counts: after a full disk or a failed write
//! SQLite rolls back by itself, and the driver would go on counting a transaction that is over.

use std::{
    fmt,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures::{FutureExt, TryStreamExt};
use sqlx::{ConnectOptions, Connection as _, Either, Executor, Sqlite, SqliteConnection, sqlite::SqliteConnectOptions};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{
    ACQUIRE_TIMEOUT, Result,
    in_place::{after_all, done, is_in_place},
    row::Columns,
    sqlite_options,
    statement::Statement,
};

/// Connections that read. Each is a thread with a page cache of 2 MiB.
const READERS: u32 = 4;

/// A statement that cannot be done, such as a rollback of nothing (sqlite.org/rescode.html).
const SQLITE_ERROR: &str = "1";

/// The connections of this process.
#[derive(Debug, Clone)]
pub(super) struct SqliteConnections {
    writer: Arc<Places>,
    readers: Arc<Places>,
}

/// A few connections of one kind, which are opened when they are needed, and kept.
struct Places {
    options: SqliteConnectOptions,
    begin: &'static str,
    writes: bool,
    most: u32,
    /// A permit for each of them, given in the order of asking. Closed with the catalogue.
    free: Arc<Semaphore>,
    idle: Mutex<Vec<SqliteConnection>>,
}

/// A transaction. Dropping it rolls it back.
#[derive(Debug)]
pub(super) struct SqliteTransaction {
    places: Arc<Places>,
    /// There until it is given back.
    connection: Option<SqliteConnection>,
    permit: Option<OwnedSemaphorePermit>,
    phase: Phase,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Nothing is open. `BEGIN` goes with the first statement.
    Fresh,
    /// A statement is under way, was given up, or has failed. Some failures end the transaction
    /// (sqlite.org/lang_transaction.html), so perhaps nothing is open.
    Unknown,
    Open,
}

impl SqliteConnections {
    pub(super) async fn open(path: &Path) -> Result<Self> {
        let options = sqlite_options(path);
        let writer = Places::new(options.clone(), "BEGIN IMMEDIATE", true, 1);
        let first = done(writer.options.connect()).await?;
        writer.idle().push(first);
        let readers = Places::new(options.pragma("query_only", "ON"), "BEGIN", false, READERS);
        Ok(Self { writer: Arc::new(writer), readers: Arc::new(readers) })
    }

    /// Begins the one transaction that may write at a time.
    pub(super) async fn write(&self) -> Result<SqliteTransaction> {
        Ok(self.writer.begin().await?)
    }

    /// Begins a transaction that reads one snapshot, of the moment of its first statement.
    pub(super) async fn read(&self) -> Result<SqliteTransaction> {
        Ok(self.readers.begin().await?)
    }

    /// Closes every connection; waits for what they do.
    pub(super) async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }

    /// Runs a statement on the connection that writes, outside of any transaction.
    #[cfg(test)]
    pub(super) async fn run_on_writer(&self, text: &'static str) -> sqlx::Result<()> {
        self.writer.begin().await?.connection().execute(sqlx::query::<Sqlite>(text)).await.map(drop)
    }
}

impl Places {
    fn new(options: SqliteConnectOptions, begin: &'static str, writes: bool, most: u32) -> Self {
        let free = Arc::new(Semaphore::new(most as usize));
        Self { options, begin, writes, most, free, idle: Mutex::default() }
    }

    async fn begin(self: &Arc<Self>) -> sqlx::Result<SqliteTransaction> {
        let permit = match self.free.clone().try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => {
                let free = tokio::time::timeout(ACQUIRE_TIMEOUT, self.free.clone().acquire_owned());
                free.await.map_err(|_| sqlx::Error::PoolTimedOut)?.map_err(|_| sqlx::Error::PoolClosed)?
            }
        };
        let idle = self.idle().pop();
        let connection = match idle {
            Some(connection) => connection,
            None => done(self.options.connect()).await?,
        };
        Ok(SqliteTransaction {
            places: Arc::clone(self),
            connection: Some(connection),
            permit: Some(permit),
            phase: Phase::Fresh,
        })
    }

    /// Lets nobody begin any more, and closes what is idle. In a simulation connections do nothing by themselves, and go with
    /// the world's.
    async fn close(&self) {
        // All places are held until it is closed: whoever waits behind us would get one that is given back.
        let held = if is_in_place() { None } else { self.free.acquire_many(self.most).await.ok() };
        self.free.close();
        drop(held);
        let idle = std::mem::take(&mut *self.idle());
        for connection in idle {
            if let Err(error) = done(connection.close()).await {
                tracing::debug!(error = &error as &dyn std::error::Error, "close a connection");
            }
        }
    }

    fn idle(&self) -> MutexGuard<'_, Vec<SqliteConnection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Places {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Places").field("writes", &self.writes).field("most", &self.most).finish_non_exhaustive()
    }
}

impl SqliteTransaction {
    pub(super) async fn fetch_optional(&mut self, statement: Statement<'_>) -> sqlx::Result<Option<Columns>> {
        let query = self.next(statement)?.for_sqlite();
        let row = done(query.fetch_optional(self.connection())).await;
        Ok(self.after(row)?.map(Columns::Sqlite))
    }

    pub(super) async fn fetch_all(&mut self, statement: Statement<'_>) -> sqlx::Result<Vec<Columns>> {
        let query = self.next(statement)?.for_sqlite();
        let rows = done(query.fetch_all(self.connection())).await;
        Ok(self.after(rows)?.into_iter().map(Columns::Sqlite).collect())
    }

    /// Hands each row to `each` as it comes.
    pub(super) async fn for_each(
        &mut self,
        statement: Statement<'_>,
        mut each: impl FnMut(&Columns) -> Result<()> + Send,
    ) -> Result<()> {
        let query = self.next(statement)?.for_sqlite();
        let connection = self.connection();
        let handed: Result<()> = done(async {
            let mut rows = query.fetch(connection);
            while let Some(row) = rows.try_next().await? {
                each(&Columns::Sqlite(row))?;
            }
            Ok(())
        })
        .await;
        self.after(handed)
    }

    /// How many rows it touched.
    pub(super) async fn execute(&mut self, statement: Statement<'_>) -> sqlx::Result<u64> {
        let query = self.next(statement)?.for_sqlite();
        let connection = self.connection();
        let touched: sqlx::Result<u64> = done(async {
            let mut outcomes = connection.fetch_many(query);
            let mut touched = 0;
            while let Some(outcome) = outcomes.try_next().await? {
                // `BEGIN` has an outcome, too, with the number of whatever came before it: the last one is the statement's.
                if let Either::Left(outcome) = outcome {
                    touched = outcome.rows_affected();
                }
            }
            Ok(touched)
        })
        .await;
        self.after(touched)
    }

    pub(super) async fn commit(mut self) -> sqlx::Result<()> {
        match self.phase {
            Phase::Fresh => {}
            Phase::Unknown => return Err(sqlx::Error::BeginFailed),
            Phase::Open => done(self.connection().execute(sqlx::query::<Sqlite>("COMMIT"))).await.map(drop)?,
        }
        self.phase = Phase::Fresh;
        Ok(())
    }

    /// Has the database read a statement, without running it.
    #[cfg(test)]
    pub(super) async fn prepare(&mut self, text: &'static str) -> sqlx::Result<()> {
        self.connection().prepare(sqlx::SqlSafeStr::into_sql_str(text)).await.map(drop)
    }

    /// The statement as it is to be sent: the first one begins the transaction. After one that failed nobody knows whether a
    /// transaction is open, and nothing must be done outside of one: as on PostgreSQL, a failure is the end.
    fn next<'q>(&mut self, statement: Statement<'q>) -> sqlx::Result<Statement<'q>> {
        match std::mem::replace(&mut self.phase, Phase::Unknown) {
            Phase::Fresh => Ok(statement.after_on_sqlite(self.places.begin)),
            Phase::Unknown => Err(sqlx::Error::BeginFailed),
            Phase::Open => Ok(statement),
        }
    }

    /// What is known after each statement: the transaction is open when it succeeded.
    fn after<T, E>(&mut self, outcome: Result<T, E>) -> Result<T, E> {
        if outcome.is_ok() {
            self.phase = Phase::Open;
        }
        outcome
    }

    fn connection(&mut self) -> &mut SqliteConnection {
        self.connection.as_mut().expect("it is given back when the transaction is dropped")
    }
}

impl Drop for SqliteTransaction {
    /// Ends it, and gives the connection back: to be used again when it is known that nothing is open on it.
    fn drop(&mut self) {
        let (Some(mut connection), Some(permit)) = (self.connection.take(), self.permit.take()) else { return };
        let places = Arc::clone(&self.places);
        match self.phase {
            Phase::Fresh => give_back(&places, connection, permit),
            // It was sent when this returns, and reading cannot fail to end.
            Phase::Open if !places.writes => {
                let _ = connection.execute(sqlx::query::<Sqlite>("ROLLBACK")).now_or_never();
                give_back(&places, connection, permit);
            }
            _ => after_all(async move {
                let ended = connection.execute(sqlx::query::<Sqlite>("ROLLBACK")).await;
                if is_over(&ended) {
                    give_back(&places, connection, permit);
                }
            }),
        }
    }
}

fn give_back(places: &Places, connection: SqliteConnection, permit: OwnedSemaphorePermit) {
    places.idle().push(connection);
    drop(permit);
}

/// Whether nothing is open after a rollback. That nothing was is an error to SQLite; after any other one the connection is closed.
fn is_over<T>(ended: &sqlx::Result<T>) -> bool {
    match ended {
        Ok(_) => true,
        Err(sqlx::Error::Database(error)) => error.code().as_deref() == Some(SQLITE_ERROR),
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{super::Error, *};
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

    /// `BEGIN` is sent with the first statement, and repeats the count of whatever was done before it.
    #[tokio::test]
    async fn a_first_statement_counts_its_own_rows() {
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

    /// A reading transaction's end is not waited for, and comes before the next one's beginning all the same.
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

    /// What cannot begin, or may not have begun, is not done outside of a transaction.
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

    /// A statement whose asker went away may be done or not; nothing of its transaction stays, and the connection is used again.
    #[tokio::test]
    async fn a_transaction_that_is_dropped_in_the_middle_of_a_statement_leaves_nothing() {
        let (_directory, db) = file().await;
        for _ in 0..20 {
            let mut tx = db.write().await.unwrap();
            let _ = setting::put(&mut tx, "a", "1").now_or_never();
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
        let connections = SqliteConnections::open(&directory.path().join("catalogue.db")).await.unwrap();
        for places in [&connections.readers, &connections.writer] {
            let mut held = Vec::new();
            for _ in 0..places.most {
                held.push(places.begin().await.unwrap());
            }
            let mut closing = Box::pin(places.close());
            assert!((&mut closing).now_or_never().is_none(), "its places are taken");
            let mut late = Box::pin(places.begin());
            assert!((&mut late).now_or_never().is_none(), "so are they for others");
            drop(held);
            closing.await;
            assert!(matches!(late.await, Err(sqlx::Error::PoolClosed)));
        }
    }
}
