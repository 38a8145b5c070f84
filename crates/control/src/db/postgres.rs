//! The connections to a PostgreSQL database, and transactions on them.
//!
//! Between two processes it is round trips that cost, so none is made for nothing: a connection that was used a moment ago is not
//! asked whether it is still there, and a single statement that reads has no transaction begun and ended around it.

use std::time::Duration;

use futures::TryStreamExt;
use sqlx::{
    Connection as _, PgConnection, PgPool, Postgres, Transaction,
    pool::PoolConnection,
    postgres::{PgConnectOptions, PgPoolOptions},
};

use super::{ACQUIRE_TIMEOUT, Result, row::Columns, statement::Statement};

/// Connections that a process has at most; each is a process there.
const CONNECTIONS: u32 = 16;
/// How long a connection lies idle before it is asked whether it is still there.
const TRUSTED_FOR: Duration = Duration::from_secs(1);

const NOTIFY: &str = "SELECT pg_notify($1, $2)";

/// The connections of this process.
#[derive(Debug, Clone)]
pub(super) struct PostgresConnections {
    pool: PgPool,
}

/// A transaction, or a connection on which each statement is one. Dropping it rolls it back.
#[derive(Debug)]
pub(super) enum PostgresTransaction {
    Begun(Transaction<'static, Postgres>),
    EachStatement(PoolConnection<Postgres>),
}

impl PostgresConnections {
    /// Connects when there is something to ask.
    pub(super) fn new(options: PgConnectOptions) -> Self {
        let pool = PgPoolOptions::new().max_connections(CONNECTIONS).acquire_timeout(ACQUIRE_TIMEOUT);
        let pool = pool.test_before_acquire(false).before_acquire(|connection, lain| {
            Box::pin(async move {
                if lain.idle_for > TRUSTED_FOR {
                    connection.ping().await?;
                }
                Ok(true)
            })
        });
        Self { pool: pool.connect_lazy_with(options) }
    }

    /// Begins a transaction that may write.
    pub(super) async fn write(&self) -> Result<PostgresTransaction> {
        self.begin("BEGIN ISOLATION LEVEL SERIALIZABLE").await
    }

    /// Begins a transaction that reads one snapshot, of the moment of its first statement.
    pub(super) async fn read(&self) -> Result<PostgresTransaction> {
        self.begin("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await
    }

    /// A connection on which each statement has a snapshot of its own.
    pub(super) async fn look(&self) -> Result<PostgresTransaction> {
        Ok(PostgresTransaction::EachStatement(self.pool.acquire().await?))
    }

    /// Whoever asks may go away at any moment, and the driver forgets a transaction whose `BEGIN` was sent and not answered: the
    /// next user of the connection would be in it. So it is begun by a task of its own, which does not go away, and which rolls back
    /// what nobody takes.
    async fn begin(&self, statement: &'static str) -> Result<PostgresTransaction> {
        let pool = self.pool.clone();
        let begun = tokio::spawn(async move { pool.begin_with(statement).await }).await;
        let begun = begun.unwrap_or(Err(sqlx::Error::WorkerCrashed))?;
        Ok(PostgresTransaction::Begun(begun))
    }

    pub(super) fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// Sends a hint to whoever listens on a channel.
    pub(super) async fn notify(&self, channel: &str, payload: &str) -> Result<()> {
        sqlx::query(NOTIFY).bind(channel).bind(payload).execute(&self.pool).await?;
        Ok(())
    }

    /// Closes every connection; waits for what they do.
    pub(super) async fn close(&self) {
        self.pool.close().await;
    }
}

impl PostgresTransaction {
    fn connection(&mut self) -> &mut PgConnection {
        match self {
            Self::Begun(transaction) => transaction,
            Self::EachStatement(connection) => connection,
        }
    }

    pub(super) async fn fetch_optional<R>(
        &mut self,
        statement: Statement<'_>,
        read: impl FnOnce(&Columns<'_>) -> Result<R>,
    ) -> Result<Option<R>> {
        let row = statement.for_postgres().fetch_optional(self.connection()).await?;
        row.map(|row| read(&Columns::Postgres(&row))).transpose()
    }

    pub(super) async fn fetch_all<R>(
        &mut self,
        statement: Statement<'_>,
        mut read: impl FnMut(&Columns<'_>) -> Result<R>,
    ) -> Result<Vec<R>> {
        let rows = statement.for_postgres().fetch_all(self.connection()).await?;
        rows.iter().map(|row| read(&Columns::Postgres(row))).collect()
    }

    /// Hands each row to `each` as it comes.
    pub(super) async fn for_each(
        &mut self,
        statement: Statement<'_>,
        mut each: impl FnMut(&Columns<'_>) -> Result<()>,
    ) -> Result<()> {
        let mut rows = statement.for_postgres().fetch(self.connection());
        while let Some(row) = rows.try_next().await? {
            each(&Columns::Postgres(&row))?;
        }
        Ok(())
    }

    /// How many rows it touched.
    pub(super) async fn execute(&mut self, statement: Statement<'_>) -> Result<u64> {
        Ok(statement.for_postgres().execute(self.connection()).await?.rows_affected())
    }

    pub(super) async fn commit(self) -> Result<()> {
        match self {
            Self::Begun(transaction) => Ok(transaction.commit().await?),
            Self::EachStatement(_) => Ok(()),
        }
    }

    /// Has the database read a statement, without running it.
    #[cfg(test)]
    pub(super) async fn prepare(&mut self, text: &'static str) -> Result<()> {
        use sqlx::{Executor, SqlSafeStr};
        self.connection().prepare(text.into_sql_str()).await?;
        Ok(())
    }
}
