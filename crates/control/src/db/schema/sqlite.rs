//! The catalogue as a SQLite file. One from an earlier program is copied beside itself (`catalogue.db.schema-3.bak`) before
//! anything is changed.

use std::{os::unix::fs::OpenOptionsExt, path::Path, time::Instant};

use galerie_store::blocking;
use rusqlite::{Connection, TransactionBehavior, params};
use sqlx::migrate::{MigrateError, Migration, Migrator};

use super::{MIGRATIONS, SCHEMA_VERSION, check, newest, up_to};
use crate::db::{Error, Result, error::Cause, sqlite::open};

const HAS_SCHEMA: &str = "SELECT COUNT(*) FROM sqlite_master WHERE type = 'table' AND name = '_sqlx_migrations'";
const COPY: &str = "VACUUM INTO ?1";
/// As in files that sqlx has made.
const CREATE_DONE: &str = "CREATE TABLE IF NOT EXISTS _sqlx_migrations ( \
     version BIGINT PRIMARY KEY, description TEXT NOT NULL, installed_on TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP, \
     success BOOLEAN NOT NULL, checksum BLOB NOT NULL, execution_time BIGINT NOT NULL)";
const DONE: &str = "SELECT version, success, checksum FROM _sqlx_migrations ORDER BY version";
const PUT_DONE: &str = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
     VALUES (?1, ?2, TRUE, ?3, ?4)";

/// Makes the file (readable by its owner only) when there is none, and migrates it.
pub(in crate::db) async fn prepare(path: &Path) -> Result<()> {
    migrate_where_it_may_block(path, None).await
}

/// Makes a file of an earlier schema.
pub(in crate::db) async fn prepare_at(path: &Path, schema: i64) -> Result<()> {
    migrate_where_it_may_block(path, Some(schema)).await
}

async fn migrate_where_it_may_block(path: &Path, schema: Option<i64>) -> Result<()> {
    let file = path.to_owned();
    let migrated = blocking::run(move || match schema {
        Some(schema) => migrate(&file, &up_to(&MIGRATIONS, schema)),
        None => migrate(&file, &MIGRATIONS),
    });
    migrated
        .await
        .unwrap_or_else(|error| Err(Error::Migrate { catalogue: path.display().to_string(), source: error.into() }))
}

fn migrate(path: &Path, migrations: &Migrator) -> Result<()> {
    create(path)?;
    let (catalogue, known) = (path.display().to_string(), newest(migrations));
    let mut connection = open(path)?;
    let found = version(&connection)?;
    check(&catalogue, found, known)?;
    if (1..known).contains(&found) {
        copy(&connection, path, found)?;
    }
    // Also when nothing is to be done: the checksums of what was done are compared.
    run(&mut connection, migrations).map_err(|source| Error::Migrate { catalogue, source })?;
    Ok(connection.close().map_err(|(_, error)| error)?)
}

/// Does what is not done yet, each in a transaction of its own.
fn run(connection: &mut Connection, migrations: &Migrator) -> Result<(), Cause> {
    connection.execute(CREATE_DONE, [])?;
    let done: Vec<(i64, bool, Vec<u8>)> = connection
        .prepare(DONE)?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
        .collect::<rusqlite::Result<_>>()?;
    for (version, is_whole, checksum) in &done {
        if !is_whole {
            return Err(MigrateError::Dirty(*version).into());
        }
        let known = migrations.iter().find(|migration| migration.version == *version);
        let known = known.ok_or(MigrateError::VersionMissing(*version))?;
        if known.checksum.as_ref() != checksum.as_slice() {
            return Err(MigrateError::VersionMismatch(*version).into());
        }
    }
    let is_due = |migration: &&Migration| done.iter().all(|(version, ..)| *version != migration.version);
    migrations.iter().filter(is_due).try_for_each(|migration| Ok(apply(connection, migration)?))
}

fn apply(connection: &mut Connection, migration: &Migration) -> rusqlite::Result<()> {
    let begun = Instant::now();
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute_batch(migration.sql.as_str())?;
    let took_ns = i64::try_from(begun.elapsed().as_nanos()).unwrap_or(i64::MAX);
    transaction
        .execute(PUT_DONE, params![migration.version, migration.description, migration.checksum.as_ref(), took_ns])?;
    transaction.commit()
}

fn create(path: &Path) -> Result<()> {
    let created = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    match created {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(source) => Err(Error::Io { action: format!("create the catalogue {}", path.display()), source }),
    }
}

/// The schema of the file; 0 for an empty one.
fn version(connection: &Connection) -> Result<i64> {
    let tables: i64 = connection.query_one(HAS_SCHEMA, [], |row| row.get(0))?;
    if tables == 0 {
        return Ok(0);
    }
    Ok(connection.query_one(SCHEMA_VERSION, [], |row| row.get(0))?)
}

/// Copies the file as one consistent snapshot, whatever its log holds.
fn copy(connection: &Connection, path: &Path, found: i64) -> Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".schema-{found}.bak"));
    let target = Path::new(&name);
    match std::fs::remove_file(target) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(source) => return Err(Error::Io { action: format!("replace the copy {}", target.display()), source }),
    }
    // VACUUM INTO fills an existing empty file, so the copy has its mode before it has its content.
    create(target)?;
    connection.execute(COPY, [target.to_string_lossy()])?;
    tracing::info!(copy = %target.display(), "copied the catalogue before migrating it");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    use sqlx::{SqlSafeStr, migrate::MigrationType};

    const COUNT: &str = "SELECT COUNT(*) FROM sequences";
    const FORGE: &str = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
                         VALUES (9999, 'later', 1, x'00', 0)";
    const FORGET: &str = "DELETE FROM _sqlx_migrations WHERE version = 9999";

    #[tokio::test]
    async fn a_later_schema_is_refused_with_both_versions() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("catalogue.db");
        prepare(&path).await.unwrap();
        let connection = open(&path).unwrap();
        connection.execute(FORGE, []).unwrap();
        let error = prepare(&path).await.unwrap_err().to_string();
        assert!(error.contains("version 9999") && error.contains(&format!("up to {}", newest(&MIGRATIONS))), "{error}");
        connection.execute(FORGET, []).unwrap();
        prepare(&path).await.unwrap();
    }

    /// The migrations that there are, and one more.
    fn with_a_later_one(sql: &'static str) -> Migrator {
        let mut migrations: Vec<Migration> = MIGRATIONS.iter().cloned().collect();
        let (version, later) = (newest(&MIGRATIONS) + 1, MigrationType::Simple);
        migrations.push(Migration::new(version, "later".into(), later, sql.into_sql_str(), false));
        Migrator::with_migrations(migrations)
    }

    #[tokio::test]
    async fn the_file_is_copied_before_it_is_migrated() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("catalogue.db");
        let before = newest(&MIGRATIONS);
        let copied = directory.path().join(format!("catalogue.db.schema-{before}.bak"));
        prepare(&path).await.unwrap();
        prepare(&path).await.unwrap();
        assert!(!copied.exists(), "a file that was not migrated was copied");
        let failing = with_a_later_one("DELETE FROM nowhere");
        assert!(matches!(migrate(&path, &failing), Err(Error::Migrate { .. })));
        assert!(copied.exists(), "nothing to go back to after a migration that failed");
        std::fs::remove_file(&copied).unwrap();

        migrate(&path, &with_a_later_one("DELETE FROM sequences")).unwrap();
        let rows = |path: &Path| {
            let connection = open(path).unwrap();
            let rows: i64 = connection.query_one(COUNT, [], |row| row.get(0)).unwrap();
            (version(&connection).unwrap(), rows)
        };
        assert_eq!(rows(&path), (before + 1, 0));
        // The copy is the file as it was.
        assert_eq!(rows(&copied), (before, 1));
        // The program before refuses what the later one made.
        assert!(matches!(prepare(&path).await, Err(Error::Newer { .. })));
    }

    #[tokio::test]
    async fn the_copy_is_whole_and_private() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("catalogue.db");
        prepare(&path).await.unwrap();
        let connection = open(&path).unwrap();
        copy(&connection, &path, 1).unwrap();
        copy(&connection, &path, 1).unwrap();
        let copied = directory.path().join("catalogue.db.schema-1.bak");
        let connection = open(&copied).unwrap();
        assert_eq!(version(&connection).unwrap(), newest(&MIGRATIONS));
        for file in [&path, &copied] {
            assert_eq!(std::fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }
}
