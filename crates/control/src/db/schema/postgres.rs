//! The catalogue as a PostgreSQL database. Several processes may start at once: one migrates, the others wait for it.
//!
//! Each migration is one transaction, so a migration that fails leaves the schema that was there. A copy is not made here;
//! `docs/configuration.md` says to make one with `pg_dump` before a new version of the program is started.

use sqlx::{
    ConnectOptions, PgConnection, SqlSafeStr,
    migrate::{Migration, Migrator},
    postgres::PgConnectOptions,
};

use super::{MIGRATIONS, SCHEMA_VERSION, check, newest, up_to};
use crate::db::{Database, Error, Result};

const HAS_SCHEMA: &str = "SELECT COUNT(*) FROM pg_catalog.pg_class c \
     JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
     WHERE c.relname = '_sqlx_migrations' AND n.nspname = current_schema()";

/// Brings the database to the schema that this program knows.
pub(in crate::db) async fn prepare(options: &PgConnectOptions) -> Result<()> {
    migrate(options, &migrations()).await
}

/// Brings an empty database to an earlier schema.
pub(in crate::db) async fn prepare_at(options: &PgConnectOptions, schema: i64) -> Result<()> {
    migrate(options, &up_to(&migrations(), schema)).await
}

async fn migrate(options: &PgConnectOptions, migrations: &Migrator) -> Result<()> {
    let catalogue = Database::Postgres(Box::new(options.clone())).to_string();
    let mut connection = options.connect().await?;
    check(&catalogue, version(&mut connection).await?, newest(migrations))?;
    let migrated = migrations.run_direct(None, &mut connection, false).await;
    migrated.map_err(|error| Error::Migrate { catalogue, source: error.into() })?;
    Ok(sqlx::Connection::close(connection).await?)
}

async fn version(connection: &mut PgConnection) -> Result<i64> {
    let tables: i64 = sqlx::query_scalar(HAS_SCHEMA).fetch_one(&mut *connection).await?;
    if tables == 0 {
        return Ok(0);
    }
    Ok(sqlx::query_scalar(SCHEMA_VERSION).fetch_one(connection).await?)
}

/// The migrations, with text that compares by bytes, as keys and their ranges demand (`docs/design/control-plane.md`).
fn migrations() -> Migrator {
    let with_collation = |migration: &Migration| {
        let sql = migration.sql.as_str().replace("TEXT", "TEXT COLLATE \"C\"");
        let sql = sqlx::AssertSqlSafe(sql).into_sql_str();
        let (description, kind) = (migration.description.clone(), migration.migration_type);
        Migration::new(migration.version, description, kind, sql, migration.no_tx)
    };
    Migrator::with_migrations(MIGRATIONS.iter().map(with_collation).collect())
}
