//! A transaction on either database, and the two kinds that others see.

use std::{
    ops::{Deref, DerefMut},
    sync::Arc,
};

use futures::TryStreamExt;
use sqlx::{Postgres, Transaction};

use super::{Error, Result, row::Columns, sqlite::SqliteTransaction, statement::Statement, time::Time};
use crate::authz::AccessCache;

/// What table functions take: either kind of transaction derefs to it.
#[derive(Debug)]
pub(crate) struct Connection {
    transaction: Begun,
    /// Whether PostgreSQL has ended it for the sake of another one; the same work may succeed when it is done again.
    lost_race: bool,
    pub(super) time: Time,
    /// The transaction's present, once it was asked for.
    pub(super) present_ms: Option<i64>,
    access: Arc<AccessCache>,
}

#[derive(Debug)]
enum Begun {
    Sqlite(SqliteTransaction),
    Postgres(Transaction<'static, Postgres>),
}

impl Connection {
    pub(super) fn sqlite(transaction: SqliteTransaction, time: Time, access: Arc<AccessCache>) -> Self {
        Self { transaction: Begun::Sqlite(transaction), lost_race: false, time, present_ms: None, access }
    }

    pub(super) fn postgres(transaction: Transaction<'static, Postgres>, time: Time, access: Arc<AccessCache>) -> Self {
        Self { transaction: Begun::Postgres(transaction), lost_race: false, time, present_ms: None, access }
    }

    /// What was compiled of who may do what, in this and earlier transactions.
    pub(crate) fn access(&self) -> &Arc<AccessCache> {
        &self.access
    }

    pub(super) async fn fetch_optional(&mut self, statement: Statement<'_>) -> Result<Option<Columns>> {
        let fetched = match &mut self.transaction {
            Begun::Sqlite(tx) => tx.fetch_optional(statement).await,
            Begun::Postgres(tx) => {
                let row = statement.for_postgres().fetch_optional(&mut **tx).await;
                row.map(|row| row.map(Columns::Postgres))
            }
        };
        self.note(fetched)
    }

    pub(super) async fn fetch_all(&mut self, statement: Statement<'_>) -> Result<Vec<Columns>> {
        let fetched = match &mut self.transaction {
            Begun::Sqlite(tx) => tx.fetch_all(statement).await,
            Begun::Postgres(tx) => {
                let rows = statement.for_postgres().fetch_all(&mut **tx).await;
                rows.map(|rows| rows.into_iter().map(Columns::Postgres).collect())
            }
        };
        self.note(fetched)
    }

    /// Hands each row to `each` as it comes, so that a table of any size takes the memory of a row.
    pub(super) async fn for_each(
        &mut self,
        statement: Statement<'_>,
        mut each: impl FnMut(&Columns) -> Result<()> + Send,
    ) -> Result<()> {
        match &mut self.transaction {
            Begun::Sqlite(tx) => tx.for_each(statement, each).await?,
            Begun::Postgres(tx) => {
                let mut rows = statement.for_postgres().fetch(&mut **tx);
                while let Some(row) = rows.try_next().await? {
                    each(&Columns::Postgres(row))?;
                }
            }
        }
        Ok(())
    }

    /// How many rows it touched.
    pub(super) async fn execute(&mut self, statement: Statement<'_>) -> Result<u64> {
        let done = match &mut self.transaction {
            Begun::Sqlite(tx) => tx.execute(statement).await,
            Begun::Postgres(tx) => statement.for_postgres().execute(&mut **tx).await.map(|done| done.rows_affected()),
        };
        self.note(done)
    }

    /// Has the database read a statement, without running it.
    #[cfg(test)]
    pub(super) async fn prepare(&mut self, text: &'static str) -> Result<(), sqlx::Error> {
        use sqlx::{Executor, SqlSafeStr};
        match &mut self.transaction {
            Begun::Sqlite(tx) => tx.prepare(text).await,
            Begun::Postgres(tx) => tx.prepare(text.into_sql_str()).await.map(drop),
        }
    }

    /// The names of all tables, in order.
    #[cfg(test)]
    pub(super) async fn tables(&mut self) -> Result<Vec<String>> {
        let texts = [
            "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name",
            "SELECT tablename::text COLLATE \"C\" FROM pg_catalog.pg_tables WHERE schemaname = current_schema() ORDER BY 1",
        ];
        super::row::all(self, super::statement::query_of(texts)).await
    }

    async fn commit(self) -> Result<()> {
        match self.transaction {
            Begun::Sqlite(tx) => Ok(tx.commit().await?),
            Begun::Postgres(tx) => Ok(tx.commit().await?),
        }
    }

    fn note<T>(&mut self, outcome: Result<T, sqlx::Error>) -> Result<T> {
        outcome.map_err(|error| {
            let error = Error::from(error);
            // What is taken was taken by a transaction that ours did not see: ours looked first.
            self.lost_race |=
                matches!(self.transaction, Begun::Postgres(_)) && matches!(error, Error::LostRace | Error::Taken(_));
            error
        })
    }
}

/// A transaction that may write.
#[derive(Debug)]
pub(crate) struct WriteTx(pub(super) Connection);

impl WriteTx {
    /// Makes everything written durable and visible.
    pub(crate) async fn commit(self) -> Result<()> {
        self.0.commit().await
    }

    /// Whether the work is to be done again, from the start, because of another transaction.
    pub(super) fn lost_race(&self) -> bool {
        self.0.lost_race
    }
}

impl Deref for WriteTx {
    type Target = Connection;
    fn deref(&self) -> &Connection {
        &self.0
    }
}

impl DerefMut for WriteTx {
    fn deref_mut(&mut self) -> &mut Connection {
        &mut self.0
    }
}

/// A transaction that reads one snapshot.
#[derive(Debug)]
pub(crate) struct ReadTx(pub(super) Connection);

impl Deref for ReadTx {
    type Target = Connection;
    fn deref(&self) -> &Connection {
        &self.0
    }
}

impl DerefMut for ReadTx {
    fn deref_mut(&mut self) -> &mut Connection {
        &mut self.0
    }
}
