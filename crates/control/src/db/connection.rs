//! A transaction on either database, and the two kinds that others see.
//!
//! A statement of SQLite's is done by the task that asks, at once: who asks many lets other tasks have their turn in between.

use std::{
    ops::{Deref, DerefMut},
    sync::Arc,
};

use galerie_store::blocking;
use tokio::task::{coop::consume_budget, yield_now};

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

    /// Reads the first row that a statement answers.
    pub(super) async fn fetch_optional<R: Send>(
        &mut self,
        statement: Statement<'_>,
        read: impl FnOnce(&Columns<'_>) -> Result<R> + Send,
    ) -> Result<Option<R>> {
        let fetched = match &mut self.transaction {
            Begun::Sqlite(tx) => in_turn(&statement, || tx.fetch_optional(&statement, read)).await,
            Begun::Postgres(tx) => tx.fetch_optional(statement, read).await,
        };
        self.note(fetched)
    }

    /// Reads every row that a statement answers.
    pub(super) async fn fetch_all<R: Send>(
        &mut self,
        statement: Statement<'_>,
        read: impl FnMut(&Columns<'_>) -> Result<R> + Send,
    ) -> Result<Vec<R>> {
        let fetched = match &mut self.transaction {
            Begun::Sqlite(tx) => in_turn(&statement, || tx.fetch_all(&statement, read)).await,
            Begun::Postgres(tx) => tx.fetch_all(statement, read).await,
        };
        self.note(fetched)
    }

    /// Hands each row to `each` as it comes, so that a table of any size takes the memory of a row.
    pub(super) async fn for_each(
        &mut self,
        statement: Statement<'_>,
        each: impl FnMut(&Columns<'_>) -> Result<()> + Send,
    ) -> Result<()> {
        let done = match &mut self.transaction {
            Begun::Sqlite(tx) => in_turn(&statement, || tx.for_each(&statement, each)).await,
            Begun::Postgres(tx) => tx.for_each(statement, each).await,
        };
        self.note(done)
    }

    /// How many rows it touched.
    pub(super) async fn execute(&mut self, statement: Statement<'_>) -> Result<u64> {
        let done = match &mut self.transaction {
            Begun::Sqlite(tx) => in_turn(&statement, || tx.execute(&statement)).await,
            Begun::Postgres(tx) => tx.execute(statement).await,
        };
        self.note(done)
    }

    /// Has the database read a statement, without running it.
    #[cfg(test)]
    pub(super) async fn prepare(&mut self, text: &'static str) -> Result<()> {
        match &mut self.transaction {
            Begun::Sqlite(tx) => tx.prepare(text),
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
            Begun::Sqlite(tx) => tx.commit().await,
            Begun::Postgres(tx) => tx.commit().await,
        }
    }

    fn note<T>(&mut self, outcome: Result<T>) -> Result<T> {
        outcome.inspect_err(|error| {
            // What is taken was taken by a transaction that ours did not see: ours looked first.
            self.lost_race |=
                matches!(self.transaction, Begun::Postgres(_)) && matches!(error, Error::LostRace | Error::Taken(_));
        })
    }
}

/// Does a statement. Other tasks have their turn now and then, and in any case before one that looks at many rows, which is done where
/// the thread's other tasks go on elsewhere. Not in a simulation: what it freezes between two statements would keep the catalogue
/// from everybody.
async fn in_turn<T>(statement: &Statement<'_>, work: impl FnOnce() -> T) -> T {
    if blocking::is_in_place() {
        return work();
    }
    if statement.is_of_many() {
        yield_now().await;
        return blocking::here(work);
    }
    consume_budget().await;
    work()
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
