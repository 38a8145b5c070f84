//! Which database a test uses: a SQLite file, or, when `GALERIE_TEST_POSTGRES` holds the URL of a PostgreSQL database, one of
//! its own in the same cluster.
//!
//! The whole suite runs on both by setting the variable (`make test-postgres`). Databases are left behind: the cluster is a
//! throw-away one (`scripts/postgres.sh`).
//!
//! Making the catalogue's tables takes half a second, and most tests less: they are made once, in a database that the others
//! are copies of.

use std::path::Path;

use sqlx::{
    AssertSqlSafe, Connection, Executor, PgConnection, SqlSafeStr,
    migrate::{Migration, Migrator},
};
use uuid::Uuid;

/// The variable that chooses PostgreSQL.
pub const VARIABLE: &str = "GALERIE_TEST_POSTGRES";

/// What has the tables and nothing in them.
const TEMPLATE: &str = "template_with_tables";
/// What is made into [`TEMPLATE`].
const UNFINISHED: &str = "template_unfinished";
/// Held by who makes the template.
const TEMPLATE_LOCK: i64 = 0x6761_6c65_7269_6500;
/// Where the catalogue's tables are.
const MIGRATIONS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../control/migrations");

/// The URL of the PostgreSQL database that belongs to a test's directory, made when it is not there, with the catalogue's
/// tables; `None`: use a SQLite file in the directory.
///
/// # Panics
/// When the variable is set and its database cannot be used: a test that was meant for PostgreSQL must not pass on SQLite.
pub async fn postgres_of(directory: &Path) -> Option<String> {
    of(directory, true).await
}

/// As [`postgres_of`], without tables: for who restores a backup into it.
///
/// # Panics
/// As [`postgres_of`].
pub async fn empty_postgres_of(directory: &Path) -> Option<String> {
    of(directory, false).await
}

async fn of(directory: &Path, with_tables: bool) -> Option<String> {
    let url = std::env::var(VARIABLE).ok()?;
    let id = Uuid::new_v5(&Uuid::NAMESPACE_URL, directory.as_os_str().as_encoded_bytes());
    let name = format!("test_{}", id.simple());
    let made = make(&url, &name, with_tables).await;
    made.unwrap_or_else(|error| panic!("{VARIABLE}: {error}"));
    Some(url_of(&url, &name))
}

async fn make(url: &str, name: &str, with_tables: bool) -> sqlx::Result<()> {
    let mut connection = PgConnection::connect(url).await?;
    if exists(&mut connection, name).await? {
        return Ok(());
    }
    if with_tables {
        make_template(url, &mut connection).await?;
    }
    create(&mut connection, name, if with_tables { TEMPLATE } else { "template1" }).await?;
    connection.close().await
}

/// Tests are processes of their own: one of them makes it, and others wait.
async fn make_template(url: &str, connection: &mut PgConnection) -> sqlx::Result<()> {
    if exists(connection, TEMPLATE).await? {
        return Ok(());
    }
    sqlx::query("SELECT pg_advisory_lock($1)").bind(TEMPLATE_LOCK).execute(&mut *connection).await?;
    if !exists(connection, TEMPLATE).await? {
        run(connection, format!("DROP DATABASE IF EXISTS {UNFINISHED}")).await?;
        create(connection, UNFINISHED, "template1").await?;
        let mut unfinished = PgConnection::connect(&url_of(url, UNFINISHED)).await?;
        migrations().await?.run_direct(None, &mut unfinished, false).await?;
        unfinished.close().await?;
        run(connection, format!("ALTER DATABASE {UNFINISHED} RENAME TO {TEMPLATE}")).await?;
    }
    sqlx::query("SELECT pg_advisory_unlock($1)").bind(TEMPLATE_LOCK).execute(connection).await?;
    Ok(())
}

/// The catalogue's migrations as it makes them on PostgreSQL. Were they others, it would refuse the tables.
async fn migrations() -> sqlx::Result<Migrator> {
    let files = Migrator::new(Path::new(MIGRATIONS)).await?;
    let with_collation = |file: &Migration| {
        let sql = AssertSqlSafe(file.sql.as_str().replace("TEXT", "TEXT COLLATE \"C\"")).into_sql_str();
        Migration::new(file.version, file.description.clone(), file.migration_type, sql, file.no_tx)
    };
    Ok(Migrator::with_migrations(files.iter().map(with_collation).collect()))
}

async fn exists(connection: &mut PgConnection, name: &str) -> sqlx::Result<bool> {
    let found = sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM pg_database WHERE datname = $1)");
    found.bind(name).fetch_one(connection).await
}

/// Copying files is a quarter of what writing each page to the log takes.
async fn create(connection: &mut PgConnection, name: &str, template: &str) -> sqlx::Result<()> {
    run(connection, format!("CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")).await
}

async fn run(connection: &mut PgConnection, statement: String) -> sqlx::Result<()> {
    connection.execute(AssertSqlSafe(statement).into_sql_str()).await?;
    Ok(())
}

/// The same cluster's URL for another database.
fn url_of(url: &str, database: &str) -> String {
    let (place, options) =
        url.split_once('?').map_or((url, String::new()), |(place, options)| (place, format!("?{options}")));
    let (server, _) = place.rsplit_once('/').expect("a URL of a database");
    format!("{server}/{database}{options}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_database_of_the_same_cluster() {
        for (url, expected) in [
            ("postgres://u@localhost/galerie?host=/tmp/x", "postgres://u@localhost/other?host=/tmp/x"),
            ("postgres://u:p@db.example.com:5432/galerie", "postgres://u:p@db.example.com:5432/other"),
        ] {
            assert_eq!(url_of(url, "other"), expected);
        }
    }
}
