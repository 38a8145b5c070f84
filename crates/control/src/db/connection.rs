//! A transaction on either database, and the two kinds that others see.

use std::{
    ops::{Deref, DerefMut},
    sync::Arc,
};

use super::{
    Error, Result, postgres::PostgresTransaction, row::Columns, sqlite::SqliteTransaction, statement::Statement,
    time::Time,
};
use crate::authz::Remembered;

/// What table functions take: either kind of transaction derefs to it.
#[derive(Debug)]
pub(crate) struct Connection {
    transaction: Begun,
    /// Whether PostgreSQL has ended it for the sake of another one; the same work may succeed when it is done again.
    lost_race: bool,
    pub(super) time: Time,
    /// The transaction's present, once it was asked for.
    pub(super) present_ms: Option<i64>,
    remembered: Arc<Remembered>,
}

#[derive(Debug)]
enum Begun {
    Sqlite(SqliteTransaction),
    Postgres(PostgresTransaction),
}

impl Connection {
    pub(super) fn sqlite(transaction: SqliteTransaction, time: Time, remembered: Arc<Remembered>) -> Self {
        Self { transaction: Begun::Sqlite(transaction), lost_race: false, time, present_ms: None, remembered }
    }

    pub(super) fn postgres(transaction: PostgresTransaction, time: Time, remembered: Arc<Remembered>) -> Self {
        Self { transaction: Begun::Postgres(transaction), lost_race: false, time, present_ms: None, remembered }
    }

    /// What is known of who may do what from this and earlier transactions.
    pub(crate) fn remembered(&self) -> &Arc<Remembered> {
        &self.remembered
    }

    pub(super) async fn fetch_optional(&mut self, statement: Statement<'_>) -> Result<Option<Columns>> {
        let fetched = match &mut self.transaction {
            Begun::Sqlite(tx) => tx.fetch_optional(statement).await,
            Begun::Postgres(tx) => tx.fetch_optional(statement).await,
        };
        self.note(fetched)
    }

    pub(super) async fn fetch_all(&mut self, statement: Statement<'_>) -> Result<Vec<Columns>> {
        let fetched = match &mut self.transaction {
            Begun::Sqlite(tx) => tx.fetch_all(statement).await,
            Begun::Postgres(tx) => tx.fetch_all(statement).await,
        };
        self.note(fetched)
    }

    /// Hands each row to `each` as it comes, so that a table of any size takes the memory of a row.
    pub(super) async fn for_each(
        &mut self,
        statement: Statement<'_>,
        each: impl FnMut(&Columns) -> Result<()> + Send,
    ) -> Result<()> {
        match &mut self.transaction {
            Begun::Sqlite(tx) => tx.for_each(statement, each).await,
            Begun::Postgres(tx) => tx.for_each(statement, each).await,
        }
    }

    /// How many rows it touched.
    pub(super) async fn execute(&mut self, statement: Statement<'_>) -> Result<u64> {
        let done = match &mut self.transaction {
            Begun::Sqlite(tx) => tx.execute(statement).await,
            Begun::Postgres(tx) => tx.execute(statement).await,
        };
        self.note(done)
    }

    /// Has the database read a statement, without running it.
    #[cfg(test)]
    pub(super) async fn prepare(&mut self, text: &'static str) -> Result<(), sqlx::Error> {
        match &mut self.transaction {
            Begun::Sqlite(tx) => tx.prepare(text).await,
            Begun::Postgres(tx) => tx.prepare(text).await,
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

/// A transaction that reads one snapshot; of a look, one for each statement.
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
