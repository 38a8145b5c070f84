//! The catalogue as a SQLite file. One from an earlier program is copied beside itself (`catalogue.db.schema-3.bak`) before
//! anything is changed.

use std::{os::unix::fs::OpenOptionsExt, path::Path};

use sqlx::{ConnectOptions, SqliteConnection, migrate::Migrator};

use super::{MIGRATIONS, SCHEMA_VERSION, check, newest, up_to};
use crate::db::{Error, Result, sqlite_options};

const HAS_SCHEMA: &str = "SELECT COUNT(*) FROM sqlite_master WHERE type = 'table' AND name = '_sqlx_migrations'";
const COPY: &str = "VACUUM INTO $1";

/// Makes the file (readable by its owner only) when there is none, and migrates it.
pub(in crate::db) async fn prepare(path: &Path) -> Result<()> {
    migrate(path, &MIGRATIONS).await
}

/// Makes a file of an earlier schema.
pub(in crate::db) async fn prepare_at(path: &Path, schema: i64) -> Result<()> {
    migrate(path, &up_to(&MIGRATIONS, schema)).await
}

async fn migrate(path: &Path, migrations: &Migrator) -> Result<()> {
    create(path)?;
    let (catalogue, known) = (path.display().to_string(), newest(migrations));
    let mut connection = sqlite_options(path).connect().await?;
    let found = version(&mut connection).await?;
    check(&catalogue, found, known)?;
    if (1..known).contains(&found) {
        copy(&mut connection, path, found).await?;
    }
    // Also when nothing is to be done: the checksums of what was done are compared.
    let migrated = migrations.run_direct(None, &mut connection, false).await;
    migrated.map_err(|source| Error::Migrate { catalogue, source })?;
    Ok(sqlx::Connection::close(connection).await?)
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
async fn version(connection: &mut SqliteConnection) -> Result<i64> {
    let tables: i64 = sqlx::query_scalar(HAS_SCHEMA).fetch_one(&mut *connection).await?;
    if tables == 0 {
        return Ok(0);
    }
    Ok(sqlx::query_scalar(SCHEMA_VERSION).fetch_one(&mut *connection).await?)
}

/// Copies the file as one consistent snapshot, whatever its log holds.
async fn copy(connection: &mut SqliteConnection, path: &Path, found: i64) -> Result<()> {
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
    sqlx::query(COPY).bind(target.to_string_lossy().into_owned()).execute(connection).await?;
    tracing::info!(copy = %target.display(), "copied the catalogue before migrating it");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    use sqlx::{
        SqlSafeStr,
        migrate::{Migration, MigrationType},
    };

    const COUNT: &str = "SELECT COUNT(*) FROM sequences";
    const FORGE: &str = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
                         VALUES (9999, 'later', 1, x'00', 0)";
    const FORGET: &str = "DELETE FROM _sqlx_migrations WHERE version = 9999";

    #[tokio::test]
    async fn a_later_schema_is_refused_with_both_versions() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("catalogue.db");
        prepare(&path).await.unwrap();
        let mut connection = sqlite_options(&path).connect().await.unwrap();
        sqlx::query(FORGE).execute(&mut connection).await.unwrap();
        let error = prepare(&path).await.unwrap_err().to_string();
        assert!(error.contains("version 9999") && error.contains(&format!("up to {}", newest(&MIGRATIONS))), "{error}");
        sqlx::query(FORGET).execute(&mut connection).await.unwrap();
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
        assert!(matches!(migrate(&path, &failing).await, Err(Error::Migrate { .. })));
        assert!(copied.exists(), "nothing to go back to after a migration that failed");
        std::fs::remove_file(&copied).unwrap();

        migrate(&path, &with_a_later_one("DELETE FROM sequences")).await.unwrap();
        let rows = async |path: &Path| {
            let mut connection = sqlite_options(path).connect().await.unwrap();
            let rows: i64 = sqlx::query_scalar(COUNT).fetch_one(&mut connection).await.unwrap();
            (version(&mut connection).await.unwrap(), rows)
        };
        assert_eq!(rows(&path).await, (before + 1, 0));
        // The copy is the file as it was.
        assert_eq!(rows(&copied).await, (before, 1));
        // The program before refuses what the later one made.
        assert!(matches!(prepare(&path).await, Err(Error::Newer { .. })));
    }

    #[tokio::test]
    async fn the_copy_is_whole_and_private() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("catalogue.db");
        prepare(&path).await.unwrap();
        let mut connection = sqlite_options(&path).connect().await.unwrap();
        copy(&mut connection, &path, 1).await.unwrap();
        copy(&mut connection, &path, 1).await.unwrap();
        let copied = directory.path().join("catalogue.db.schema-1.bak");
        let mut connection = sqlite_options(&copied).connect().await.unwrap();
        assert_eq!(version(&mut connection).await.unwrap(), newest(&MIGRATIONS));
        for file in [&path, &copied] {
            assert_eq!(std::fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }
}
