//! The catalogue's tables, one file per table, and the two kinds of transaction that reach them.
//!
//! Promises: every write is one transaction that might as well have been alone, durable when it is committed: `BEGIN
//! IMMEDIATE` on SQLite (WAL, `synchronous=FULL`), SERIALIZABLE on PostgreSQL, where `transact` does the work again that lost
//! a race. Every read sees one snapshot. One SQL text serves both. Statements are constants, listed in `STATEMENTS`, so that
//! a test can prepare each on both. Does not: decide anything; rows go in and out as they are.

pub(crate) mod access_revision;
pub(crate) mod app_role_assignment;
pub(crate) mod application;
pub(crate) mod audit;
pub(crate) mod audit_seal;
pub(crate) mod authorization_code;
pub(crate) mod azure_usage;
pub(crate) mod chore;
pub(crate) mod condemned_pack;
mod connection;
pub(crate) mod copy;
pub(crate) mod credential;
mod database;
pub(crate) mod device_code;
pub(crate) mod directory_object;
pub(crate) mod directory_role;
pub(crate) mod disk;
pub(crate) mod disk_image;
pub(crate) mod error;
pub(crate) mod foreign_source;
pub(crate) mod grant;
pub(crate) mod group;
pub(crate) mod image_version;
pub(crate) mod invitation;
pub(crate) mod operation;
pub(crate) mod package_link;
pub(crate) mod pin;
pub(crate) mod pinned_version;
pub(crate) mod process;
pub(crate) mod quota;
pub(crate) mod region_store;
pub(crate) mod replica;
pub(crate) mod resource;
pub(crate) mod resource_group;
pub(crate) mod restored;
pub(crate) mod retention_policy;
pub(crate) mod role_assignment;
pub(crate) mod role_definition;
mod row;
mod schema;
pub(crate) mod scrub;
pub(crate) mod service_principal;
pub(crate) mod session;
pub(crate) mod setting;
pub(crate) mod sharing;
pub(crate) mod soft_deletion;
pub(crate) mod subscription;
pub(crate) mod subscription_alias;
pub(crate) mod tenant;
pub(crate) mod upload;
pub(crate) mod user;
pub(crate) mod version_use;
pub(crate) mod wrapped_key;
pub(crate) mod wrong_passwords;

mod postgres;
mod sole_use;
mod sqlite;
mod statement;
mod time;
pub(crate) mod transact;

use std::{sync::Arc, time::Duration};

use sqlx::{PgPool, postgres::PgConnectOptions};

pub use self::database::Database;
pub(crate) use self::{
    connection::{Connection, ReadTx, WriteTx},
    error::{Error, Result},
    sole_use::CatalogueUse,
    time::Time,
    transact::transact,
};
use self::{postgres::PostgresConnections, sqlite::SqliteConnections};
use crate::{Clock, SystemClock, authz::Remembered};

/// How long a request waits for a connection of this process.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(30);

/// Handles to one catalogue.
#[derive(Debug, Clone)]
pub(crate) struct Db {
    pools: Pools,
    time: Time,
    /// What is known of who may do what, for all transactions.
    remembered: Arc<Remembered>,
}

#[derive(Debug, Clone)]
enum Pools {
    Sqlite(SqliteConnections),
    Postgres { connections: PostgresConnections, options: Box<PgConnectOptions> },
}

impl Db {
    /// Opens or creates a catalogue and brings it to the schema that this program knows.
    ///
    /// # Errors
    /// `Newer` when it was written by a later program; it is left as it is.
    pub(crate) async fn open(database: &Database) -> Result<Self> {
        Self::open_by(database, Arc::new(SystemClock)).await
    }

    /// As [`Db::open`], with a clock: of a SQLite file it is the catalogue's; see `time`.
    pub(crate) async fn open_by(database: &Database, clock: Arc<dyn Clock>) -> Result<Self> {
        match database {
            Database::Sqlite(path) => schema::sqlite::prepare(path).await?,
            Database::Postgres(options) => schema::postgres::prepare(options).await?,
        }
        Self::open_prepared(database, clock).await
    }

    /// Makes a catalogue of an earlier schema, for a copy that is of that schema. `what` is that copy, for messages.
    ///
    /// # Errors
    /// `Newer` when this program does not know the schema.
    pub(crate) async fn open_at(database: &Database, schema: i64, what: &str) -> Result<Self> {
        schema::check(what, schema, schema_version())?;
        match database {
            Database::Sqlite(path) => schema::sqlite::prepare_at(path, schema).await?,
            Database::Postgres(options) => schema::postgres::prepare_at(options, schema).await?,
        }
        Self::open_prepared(database, Arc::new(SystemClock)).await
    }

    async fn open_prepared(database: &Database, clock: Arc<dyn Clock>) -> Result<Self> {
        let is_the_databases = database.is_shared() && clock.is_the_machines();
        let time = if is_the_databases { Time::of_database(&*clock) } else { Time::Process(clock) };
        let db = Self { pools: Self::connect(database), time, remembered: Arc::default() };
        if is_the_databases {
            db.read().await?.now_ms().await?;
        }
        Ok(db)
    }

    fn connect(database: &Database) -> Pools {
        match database {
            Database::Sqlite(path) => Pools::Sqlite(SqliteConnections::new(path)),
            Database::Postgres(options) => {
                let connections = PostgresConnections::new((**options).clone());
                Pools::Postgres { connections, options: options.clone() }
            }
        }
    }

    /// Begins a transaction that may write; dropping it rolls it back. On SQLite there is one at a time. What decides
    /// uses [`transact!`], which does it again when PostgreSQL demands it.
    pub(crate) async fn write(&self) -> Result<WriteTx> {
        let (time, remembered) = (self.time.clone(), Arc::clone(&self.remembered));
        Ok(WriteTx(match &self.pools {
            Pools::Sqlite(file) => Connection::sqlite(file.write().await?, time, remembered),
            Pools::Postgres { connections, .. } => Connection::postgres(connections.write().await?, time, remembered),
        }))
    }

    /// Begins a transaction that reads one snapshot.
    pub(crate) async fn read(&self) -> Result<ReadTx> {
        let (time, remembered) = (self.time.clone(), Arc::clone(&self.remembered));
        Ok(ReadTx(match &self.pools {
            Pools::Sqlite(file) => Connection::sqlite(file.read().await?, time, remembered),
            Pools::Postgres { connections, .. } => Connection::postgres(connections.read().await?, time, remembered),
        }))
    }

    /// As [`Db::read`], for one statement. On PostgreSQL it has no transaction around it, which is a third of the round trips; two
    /// statements would see two snapshots.
    pub(crate) async fn look(&self) -> Result<ReadTx> {
        let (time, remembered) = (self.time.clone(), Arc::clone(&self.remembered));
        Ok(ReadTx(match &self.pools {
            Pools::Sqlite(file) => Connection::sqlite(file.read().await?, time, remembered),
            Pools::Postgres { connections, .. } => Connection::postgres(connections.look().await?, time, remembered),
        }))
    }

    /// What is known of who may do what.
    pub(crate) fn remembered(&self) -> &Remembered {
        &self.remembered
    }

    /// Whose clock the catalogue goes by.
    pub(crate) fn time(&self) -> &Time {
        &self.time
    }

    /// Whether other processes may use the catalogue at the same time.
    pub(crate) fn is_shared(&self) -> bool {
        matches!(self.pools, Pools::Postgres { .. })
    }

    /// The connections, when it is a PostgreSQL database.
    pub(crate) fn postgres(&self) -> Option<&PgPool> {
        match &self.pools {
            Pools::Postgres { connections, .. } => Some(connections.pool()),
            Pools::Sqlite(_) => None,
        }
    }

    /// Sends a hint to whoever listens on a channel. Nobody does on SQLite.
    pub(crate) async fn notify(&self, channel: &str, payload: &str) -> Result<()> {
        match &self.pools {
            Pools::Postgres { connections, .. } => connections.notify(channel, payload).await,
            Pools::Sqlite(_) => Ok(()),
        }
    }

    /// Closes every connection; waits for what they do.
    pub(crate) async fn close(&self) {
        match &self.pools {
            Pools::Sqlite(file) => file.close().await,
            Pools::Postgres { connections, .. } => connections.close().await,
        }
    }
}

/// The schema that this program knows, and that every open catalogue has.
pub(crate) fn schema_version() -> i64 {
    schema::newest(&schema::MIGRATIONS)
}

#[cfg(test)]
mod table_tests;
#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A fresh catalogue in a directory that lives as long as the test.
    pub(crate) async fn fresh() -> (tempfile::TempDir, Db) {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let database = crate::testing::database(directory.path()).await;
        let db = Db::open(&database).await.expect("a new catalogue opens");
        (directory, db)
    }

    /// Does to the catalogue what no code of ours does.
    pub(crate) async fn run(tx: &mut Connection, text: &'static str) -> Result<u64> {
        row::run(tx, statement::query(text)).await
    }

    #[tokio::test]
    async fn every_statement_prepares() {
        let (_directory, db) = fresh().await;
        let mut tx = db.write().await.unwrap();
        let tables: &[&[&'static str]] = &[
            access_revision::STATEMENTS,
            app_role_assignment::STATEMENTS,
            application::STATEMENTS,
            audit::STATEMENTS,
            audit_seal::STATEMENTS,
            authorization_code::STATEMENTS,
            azure_usage::STATEMENTS,
            chore::STATEMENTS,
            condemned_pack::STATEMENTS,
            credential::STATEMENTS,
            device_code::STATEMENTS,
            directory_object::STATEMENTS,
            directory_role::STATEMENTS,
            disk::STATEMENTS,
            disk_image::STATEMENTS,
            foreign_source::STATEMENTS,
            grant::STATEMENTS,
            group::STATEMENTS,
            image_version::STATEMENTS,
            invitation::STATEMENTS,
            operation::STATEMENTS,
            package_link::STATEMENTS,
            pin::STATEMENTS,
            pinned_version::STATEMENTS,
            process::STATEMENTS,
            quota::STATEMENTS,
            region_store::STATEMENTS,
            replica::STATEMENTS,
            resource::STATEMENTS,
            resource_group::STATEMENTS,
            restored::STATEMENTS,
            retention_policy::STATEMENTS,
            role_assignment::STATEMENTS,
            role_definition::STATEMENTS,
            scrub::STATEMENTS,
            service_principal::STATEMENTS,
            session::STATEMENTS,
            setting::STATEMENTS,
            sharing::STATEMENTS,
            soft_deletion::STATEMENTS,
            subscription::STATEMENTS,
            subscription_alias::STATEMENTS,
            tenant::STATEMENTS,
            upload::STATEMENTS,
            user::STATEMENTS,
            version_use::STATEMENTS,
            wrapped_key::STATEMENTS,
            wrong_passwords::STATEMENTS,
        ];
        for statement in tables.iter().copied().flatten() {
            tx.prepare(statement).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
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

    /// Regression: a request that was given up while its transaction began left it open on PostgreSQL, and whoever had that connection
    /// next was in it.
    #[tokio::test]
    async fn a_transaction_that_is_given_up_while_it_begins_is_not_anothers() {
        let (_directory, db) = fresh().await;
        for turn in 0..300_u64 {
            let given_up = std::time::Duration::from_micros(turn % 100 * 10);
            drop(tokio::time::timeout(given_up, db.read()).await);
            drop(tokio::time::timeout(given_up, db.write()).await);
            setting::find(&mut db.look().await.unwrap(), "turn").await.unwrap();
            let mut tx = db.write().await.unwrap();
            setting::put(&mut tx, "turn", &turn.to_string()).await.unwrap();
            tx.commit().await.unwrap();
            let read = setting::find(&mut db.read().await.unwrap(), "turn").await.unwrap();
            assert_eq!(read, Some(turn.to_string()));
        }
    }

    /// Regression: a full disk was an internal error, and no transaction could begin after it until the next start.
    #[tokio::test]
    async fn a_full_disk_is_told_and_room_mends_it() {
        let directory = tempfile::tempdir().unwrap();
        let db = Db::open(&directory.path().join("catalogue.db").into()).await.unwrap();
        // What a full file system answers, without one: the file may not grow. It is this connection's own limit.
        let Pools::Sqlite(file) = &db.pools else { unreachable!("a file is SQLite's") };
        file.run_on_writer("PRAGMA max_page_count = 1").await.unwrap();
        let mut tx = db.write().await.unwrap();
        let error = setting::put(&mut tx, "large", &"x".repeat(1 << 20)).await.unwrap_err();
        assert!(matches!(error, Error::Full(_)), "{error:?}");
        let told = galerie_arm::ArmError::from(error);
        assert_eq!((told.status, told.code.as_ref()), (507, "InsufficientStorage"));
        assert!(told.message.contains("catalogue is full"), "{told}");
        drop(tx);
        file.run_on_writer("PRAGMA max_page_count = 1073741823").await.unwrap();
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
