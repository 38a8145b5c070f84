//! The catalogue's tables, one file per table, and the two kinds of transaction that reach them.
//!
//! Promises: every write is one `BEGIN IMMEDIATE` transaction on the one writing connection, durable when
//! [`WriteTx::commit`] returns (WAL, `synchronous=FULL`); every read sees one snapshot. Statements are constants,
//! listed in `STATEMENTS`, so that a test can prepare each. Does not: decide anything; rows go in and out as they are.

pub(crate) mod audit;
pub(crate) mod condemned_pack;
pub(crate) mod disk;
pub(crate) mod disk_image;
pub(crate) mod error;
pub(crate) mod grant;
pub(crate) mod image_version;
pub(crate) mod operation;
pub(crate) mod pin;
pub(crate) mod region_store;
pub(crate) mod replica;
pub(crate) mod resource;
pub(crate) mod resource_group;
mod row;
mod schema;
pub(crate) mod service_principal;
pub(crate) mod setting;
pub(crate) mod subscription;
pub(crate) mod tenant;
pub(crate) mod wrapped_key;

use std::{
    ops::{Deref, DerefMut},
    path::Path,
    time::Duration,
};

use sqlx::{
    Sqlite, SqlitePool, Transaction,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

pub(crate) use self::error::{Error, Result};

/// What table functions take: either kind of transaction derefs to it.
pub(crate) type Connection = sqlx::SqliteConnection;

/// Connections that read. Each is a thread with a page cache of 2 MiB.
const READERS: u32 = 4;
/// How long a statement waits for another process's write before it is an error.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
/// Rows that a connection reads ahead of who asked: a page of a list, so that the two do not wait for each other row by row.
const ROW_BUFFER: usize = 128;
/// How long a request waits for a connection of this process.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(30);

/// Handles to one catalogue.
#[derive(Debug, Clone)]
pub(crate) struct Db {
    writer: SqlitePool,
    readers: SqlitePool,
}

impl Db {
    /// Opens or creates a catalogue and brings it to the schema that this program knows.
    ///
    /// # Errors
    /// `Newer` when the file was written by a later program; it is left as it is.
    pub(crate) async fn open(path: &Path) -> Result<Self> {
        schema::prepare(path).await?;
        let options = options(path);
        let pool = |connections| {
            SqlitePoolOptions::new()
                .max_connections(connections)
                .acquire_timeout(ACQUIRE_TIMEOUT)
                .idle_timeout(None)
                .max_lifetime(None)
        };
        let writer = pool(1).after_release(|connection, _| Box::pin(is_whole(connection)));
        let writer = writer.connect_with(options.clone()).await?;
        let readers = pool(READERS).connect_lazy_with(options.pragma("query_only", "ON"));
        Ok(Self { writer, readers })
    }

    /// Begins a transaction that may write. There is one at a time; dropping it rolls it back.
    pub(crate) async fn write(&self) -> Result<WriteTx> {
        Ok(WriteTx(self.writer.begin_with("BEGIN IMMEDIATE").await?))
    }

    /// Begins a transaction that reads one snapshot.
    pub(crate) async fn read(&self) -> Result<ReadTx> {
        Ok(ReadTx(self.readers.begin().await?))
    }

    /// Closes every connection; waits for what they do.
    pub(crate) async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}

/// Whether the connection may be used again. After a full disk or a failed write SQLite rolls back by itself; the ROLLBACK
/// that follows is an error, the driver goes on counting a transaction that is over, and would refuse to begin another.
async fn is_whole(connection: &mut Connection) -> sqlx::Result<bool> {
    use sqlx::Connection as _;
    // Waits for the rollback of a dropped transaction, which is only queued.
    connection.ping().await?;
    Ok(!connection.is_in_transaction())
}

/// How the catalogue's file is opened.
fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(false)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(BUSY_TIMEOUT)
        .statement_cache_capacity(256)
        .row_buffer_size(ROW_BUFFER)
}

/// A transaction that may write.
#[derive(Debug)]
pub(crate) struct WriteTx(Transaction<'static, Sqlite>);

impl WriteTx {
    /// Makes everything written durable and visible.
    pub(crate) async fn commit(self) -> Result<()> {
        Ok(self.0.commit().await?)
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
pub(crate) struct ReadTx(Transaction<'static, Sqlite>);

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

#[cfg(test)]
mod table_tests;
#[cfg(test)]
pub(crate) mod tests {
    use sqlx::{Executor, SqlSafeStr};

    use super::*;

    /// A fresh catalogue in a directory that lives as long as the test.
    pub(crate) async fn fresh() -> (tempfile::TempDir, Db) {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let db = Db::open(&directory.path().join("catalogue.db")).await.expect("a new catalogue opens");
        (directory, db)
    }

    #[tokio::test]
    async fn every_statement_prepares() {
        let (_directory, db) = fresh().await;
        let mut tx = db.write().await.unwrap();
        let tables: &[&[&'static str]] = &[
            audit::STATEMENTS,
            condemned_pack::STATEMENTS,
            disk::STATEMENTS,
            disk_image::STATEMENTS,
            grant::STATEMENTS,
            image_version::STATEMENTS,
            operation::STATEMENTS,
            pin::STATEMENTS,
            region_store::STATEMENTS,
            replica::STATEMENTS,
            resource::STATEMENTS,
            resource_group::STATEMENTS,
            service_principal::STATEMENTS,
            setting::STATEMENTS,
            subscription::STATEMENTS,
            tenant::STATEMENTS,
            wrapped_key::STATEMENTS,
        ];
        for statement in tables.iter().copied().flatten() {
            (&mut *tx).prepare(statement.into_sql_str()).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
        }
    }

    #[tokio::test]
    async fn a_dropped_write_leaves_nothing() {
        let (_directory, db) = fresh().await;
        let mut tx = db.write().await.unwrap();
        setting::put(&mut tx, "catalogue", "x").await.unwrap();
        drop(tx);
        assert_eq!(setting::find(&mut db.read().await.unwrap(), "catalogue").await.unwrap(), None);
    }

    /// Regression: a full disk was an internal error, and no transaction could begin after it until the next start.
    #[tokio::test]
    async fn a_full_disk_is_told_and_room_mends_it() {
        let (_directory, db) = fresh().await;
        // What a full file system answers, without one: the file may not grow. It is this connection's own limit.
        sqlx::query("PRAGMA max_page_count = 1").execute(&db.writer).await.unwrap();
        let mut tx = db.write().await.unwrap();
        let error = setting::put(&mut tx, "large", &"x".repeat(1 << 20)).await.unwrap_err();
        assert!(matches!(error, Error::Full(_)), "{error:?}");
        let told = galerie_arm::ArmError::from(error);
        assert_eq!((told.status, told.code.as_ref()), (507, "InsufficientStorage"));
        assert!(told.message.contains("catalogue is full"), "{told}");
        drop(tx);
        let mut tx = db.write().await.unwrap();
        setting::put(&mut tx, "large", &"x".repeat(1 << 20)).await.unwrap();
        tx.commit().await.unwrap();
    }

    #[tokio::test]
    async fn a_catalogue_that_cannot_be_written_is_503() {
        let (_directory, db) = fresh().await;
        let error = setting::put(&mut db.read().await.unwrap(), "catalogue", "x").await.unwrap_err();
        assert!(matches!(error, Error::Unavailable(_)), "{error:?}");
        assert_eq!(galerie_arm::ArmError::from(error).status, 503);
    }

    #[tokio::test]
    async fn a_read_transaction_cannot_write() {
        let (_directory, db) = fresh().await;
        assert!(setting::put(&mut db.read().await.unwrap(), "catalogue", "x").await.is_err());
    }
}
