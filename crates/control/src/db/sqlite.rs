//! The connections to a SQLite file, and transactions on them.
//!
//! One connection writes, the others read. The statements that begin and end a transaction are prepared once like all others, and
//! not the driver's, which counts: after a full disk or a failed write SQLite rolls back by itself, and the driver would go on
//! counting a transaction that is over. Whoever gives a connection back has whatever is open on it rolled back.

use std::path::Path;

use futures::TryStreamExt;
use sqlx::{Executor, Sqlite, SqliteConnection, SqlitePool, pool::PoolConnection};

use super::{
    Result,
    in_place::{acquire, close, done, give_back},
    pool,
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
    pub(super) writer: SqlitePool,
    readers: SqlitePool,
}

/// A transaction, or a connection on which each statement is one. Dropping it rolls it back.
#[derive(Debug)]
pub(super) struct SqliteTransaction(PoolConnection<Sqlite>);

impl SqliteConnections {
    pub(super) async fn open(path: &Path) -> Result<Self> {
        let options = sqlite_options(path);
        let one_place = |connections| {
            pool(connections)
                .idle_timeout(None)
                .max_lifetime(None)
                // It was looked at when it was given back.
                .test_before_acquire(false)
                .after_release(|connection, _| Box::pin(end_whatever_is_open(connection)))
        };
        let writer = one_place(1).connect_with(options.clone()).await?;
        let readers = one_place(READERS).connect_lazy_with(options.pragma("query_only", "ON"));
        Ok(Self { writer, readers })
    }

    /// Begins the one transaction that may write at a time.
    pub(super) async fn write(&self) -> Result<SqliteTransaction> {
        begin(&self.writer, "BEGIN IMMEDIATE").await
    }

    /// Begins a transaction that reads one snapshot, of the moment of its first statement.
    pub(super) async fn read(&self) -> Result<SqliteTransaction> {
        begin(&self.readers, "BEGIN").await
    }

    /// A connection that reads, on which each statement has a snapshot of its own.
    pub(super) async fn look(&self) -> Result<SqliteTransaction> {
        Ok(SqliteTransaction(acquire(&self.readers).await?))
    }

    /// Closes every connection; waits for what they do.
    pub(super) async fn close(&self) {
        close(&self.readers).await;
        close(&self.writer).await;
    }
}

async fn begin(pool: &SqlitePool, statement: &'static str) -> Result<SqliteTransaction> {
    let mut transaction = SqliteTransaction(acquire(pool).await?);
    done(transaction.0.execute(sqlx::query::<Sqlite>(statement))).await?;
    Ok(transaction)
}

/// Before a connection is used again. That nothing is open is the usual answer, and an error to SQLite; after any other one the
/// connection is closed, for nobody knows what is open on it.
async fn end_whatever_is_open(connection: &mut SqliteConnection) -> sqlx::Result<bool> {
    match connection.execute(sqlx::query::<Sqlite>("ROLLBACK")).await {
        Ok(_) => Ok(true),
        Err(sqlx::Error::Database(error)) => Ok(error.code().as_deref() == Some(SQLITE_ERROR)),
        Err(broken) => Err(broken),
    }
}

impl SqliteTransaction {
    pub(super) async fn fetch_optional(&mut self, statement: Statement<'_>) -> sqlx::Result<Option<Columns>> {
        let row = done(statement.for_sqlite().fetch_optional(&mut *self.0)).await?;
        Ok(row.map(Columns::Sqlite))
    }

    pub(super) async fn fetch_all(&mut self, statement: Statement<'_>) -> sqlx::Result<Vec<Columns>> {
        let rows = done(statement.for_sqlite().fetch_all(&mut *self.0)).await?;
        Ok(rows.into_iter().map(Columns::Sqlite).collect())
    }

    /// Hands each row to `each` as it comes.
    pub(super) async fn for_each(
        &mut self,
        statement: Statement<'_>,
        mut each: impl FnMut(&Columns) -> Result<()> + Send,
    ) -> Result<()> {
        done(async {
            let mut rows = statement.for_sqlite().fetch(&mut *self.0);
            while let Some(row) = rows.try_next().await? {
                each(&Columns::Sqlite(row))?;
            }
            Ok(())
        })
        .await
    }

    /// How many rows it touched.
    pub(super) async fn execute(&mut self, statement: Statement<'_>) -> sqlx::Result<u64> {
        Ok(done(statement.for_sqlite().execute(&mut *self.0)).await?.rows_affected())
    }

    pub(super) async fn commit(mut self) -> sqlx::Result<()> {
        done(self.0.execute(sqlx::query::<Sqlite>("COMMIT"))).await.map(drop)
    }

    /// Has the database read a statement, without running it.
    #[cfg(test)]
    pub(super) async fn prepare(&mut self, text: &'static str) -> sqlx::Result<()> {
        self.0.prepare(sqlx::SqlSafeStr::into_sql_str(text)).await.map(drop)
    }
}

impl Drop for SqliteTransaction {
    fn drop(&mut self) {
        give_back(&mut self.0);
    }
}
