//! A transaction on the catalogue's file.

use std::{sync::Arc, time::Duration};

use rusqlite::{CachedStatement, Connection, ErrorCode};
use tokio::{
    sync::OwnedSemaphorePermit,
    time::{Instant, sleep},
};

use super::{Places, columns::SqliteColumns, file::BUSY_TIMEOUT};
use crate::db::{
    Error, Result,
    row::Columns,
    statement::{Statement, Value},
};

/// A statement that takes longer is told of.
const SLOW: Duration = Duration::from_secs(1);
/// How long whoever wants to write waits before looking again whether another program has done.
const BUSY_PAUSE: Duration = Duration::from_millis(5);

/// A transaction. Dropping it rolls it back.
#[derive(Debug)]
pub(in crate::db) struct SqliteTransaction {
    places: Arc<Places>,
    /// There until it is given back.
    connection: Option<Connection>,
    permit: Option<OwnedSemaphorePermit>,
    /// A statement has failed. Some failures end the transaction (sqlite.org/lang_transaction.html), and nothing must be done
    /// outside of one: as on PostgreSQL, a failure is the end.
    has_failed: bool,
    /// Rows that the connection had changed before.
    changes_before: u64,
}

impl SqliteTransaction {
    /// Begins one that reads one snapshot, of the moment of its first statement.
    pub(super) fn reading(places: Arc<Places>, connection: Connection, permit: OwnedSemaphorePermit) -> Result<Self> {
        run(&connection, "BEGIN")?;
        Ok(Self::begun(places, connection, permit))
    }

    /// Begins the one that may write. Another program that writes is waited for, without keeping a thread from others.
    pub(super) async fn writing(
        places: Arc<Places>,
        connection: Connection,
        permit: OwnedSemaphorePermit,
    ) -> Result<Self> {
        let asked = Instant::now();
        while let Err(error) = run(&connection, "BEGIN IMMEDIATE") {
            if error.sqlite_error_code() != Some(ErrorCode::DatabaseBusy) || asked.elapsed() > BUSY_TIMEOUT {
                places.put_back(connection);
                return Err(error.into());
            }
            sleep(BUSY_PAUSE).await;
        }
        Ok(Self::begun(places, connection, permit))
    }

    fn begun(places: Arc<Places>, connection: Connection, permit: OwnedSemaphorePermit) -> Self {
        let changes_before = connection.total_changes();
        Self { places, connection: Some(connection), permit: Some(permit), has_failed: false, changes_before }
    }

    pub(in crate::db) fn fetch_optional<R>(
        &mut self,
        statement: &Statement<'_>,
        read: impl FnOnce(&Columns<'_>) -> Result<R>,
    ) -> Result<Option<R>> {
        let first = self.with(statement, |prepared| {
            let mut rows = prepared.raw_query();
            Ok(rows.next()?.map(|row| read(&Columns::Sqlite(SqliteColumns::new(row)))))
        });
        first?.transpose()
    }

    pub(in crate::db) fn fetch_all<R>(
        &mut self,
        statement: &Statement<'_>,
        mut read: impl FnMut(&Columns<'_>) -> Result<R>,
    ) -> Result<Vec<R>> {
        let mut all = Vec::new();
        self.for_each(statement, |columns| {
            all.push(read(columns)?);
            Ok(())
        })?;
        Ok(all)
    }

    /// Hands each row to `each` as it comes.
    pub(in crate::db) fn for_each(
        &mut self,
        statement: &Statement<'_>,
        mut each: impl FnMut(&Columns<'_>) -> Result<()>,
    ) -> Result<()> {
        self.with(statement, |prepared| {
            let mut rows = prepared.raw_query();
            while let Some(row) = rows.next()? {
                if let Err(error) = each(&Columns::Sqlite(SqliteColumns::new(row))) {
                    return Ok(Err(error));
                }
            }
            Ok(Ok(()))
        })?
    }

    /// How many rows it touched.
    pub(in crate::db) fn execute(&mut self, statement: &Statement<'_>) -> Result<u64> {
        self.with(statement, |prepared| prepared.raw_execute().map(|touched| touched as u64))
    }

    /// Makes everything written durable, which waits for the disk: not on the runtime's own threads. Once it is asked for,
    /// nobody's going away stops it.
    pub(in crate::db) async fn commit(self) -> Result<()> {
        if self.has_failed {
            return Err(ended());
        }
        if self.connection().total_changes() == self.changes_before {
            return Ok(run(self.connection(), "COMMIT")?);
        }
        let places = Arc::clone(&self.places);
        Ok(places.committer.run(move || run(self.connection(), "COMMIT")).await??)
    }

    /// Has the database read a statement, without running it.
    #[cfg(test)]
    pub(in crate::db) fn prepare(&mut self, text: &'static str) -> Result<()> {
        self.connection().prepare(text)?;
        Ok(())
    }

    fn with<T>(
        &mut self,
        statement: &Statement<'_>,
        work: impl FnOnce(&mut CachedStatement<'_>) -> rusqlite::Result<T>,
    ) -> Result<T> {
        if self.has_failed {
            return Err(ended());
        }
        tracing::trace!(statement = statement.for_sqlite(), "ask the catalogue");
        let begun = std::time::Instant::now();
        let done = prepared(self.connection(), statement).and_then(|mut prepared| work(&mut prepared));
        let took = begun.elapsed();
        if took > SLOW {
            tracing::warn!(statement = statement.for_sqlite(), took_ms = took.as_millis() as u64, "a slow statement");
        }
        self.has_failed = done.is_err();
        Ok(done?)
    }

    fn connection(&self) -> &Connection {
        self.connection.as_ref().expect("it is given back when the transaction is dropped")
    }
}

impl Drop for SqliteTransaction {
    /// Ends it, and gives the connection back when nothing is open on it.
    fn drop(&mut self) {
        let (Some(connection), Some(permit)) = (self.connection.take(), self.permit.take()) else { return };
        if !connection.is_autocommit()
            && let Err(error) = run(&connection, "ROLLBACK")
        {
            tracing::debug!(error = &error as &dyn std::error::Error, "roll back");
        }
        if connection.is_autocommit() {
            self.places.put_back(connection);
        }
        drop(permit);
    }
}

/// Runs a statement that begins or ends a transaction.
fn run(connection: &Connection, text: &'static str) -> rusqlite::Result<()> {
    connection.prepare_cached(text)?.raw_execute().map(drop)
}

/// The statement with its values. What it names `$3` is the third of them, wherever SQLite numbers it.
fn prepared<'c>(connection: &'c Connection, statement: &Statement<'_>) -> rusqlite::Result<CachedStatement<'c>> {
    let mut prepared = connection.prepare_cached(statement.for_sqlite())?;
    let values = statement.values();
    for place in 1..=prepared.parameter_count() {
        let number = prepared.parameter_name(place).and_then(|name| name.strip_prefix('$')?.parse::<usize>().ok());
        let value = number.and_then(|number| values.get(number.checked_sub(1)?));
        match value.ok_or(rusqlite::Error::InvalidParameterCount(prepared.parameter_count(), values.len()))? {
            Value::Text(text) => prepared.raw_bind_parameter(place, text.as_deref())?,
            Value::Integer(number) => prepared.raw_bind_parameter(place, number)?,
        }
    }
    Ok(prepared)
}

fn ended() -> Error {
    Error::Sql("an earlier statement of the transaction has failed".into())
}
