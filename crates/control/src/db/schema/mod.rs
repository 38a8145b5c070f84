//! Bringing a catalogue to the schema that this program knows, without ever risking it.
//!
//! A catalogue from a later program is refused, both versions named. The migrations are one SQL text; what PostgreSQL must
//! be told beside it is that text compares by bytes, as SQLite's does.

mod migrations;
pub(super) mod postgres;
pub(super) mod sqlite;

use sqlx::migrate::Migrator;

use super::{Error, Result};
pub(super) use migrations::MIGRATIONS;

const SCHEMA_VERSION: &str = "SELECT COALESCE(MAX(version), 0) FROM _sqlx_migrations";

pub(super) fn newest(migrations: &Migrator) -> i64 {
    migrations.iter().map(|migration| migration.version).max().unwrap_or(0)
}

/// The first of the migrations, up to a schema.
fn up_to(migrations: &Migrator, schema: i64) -> Migrator {
    Migrator::with_migrations(migrations.iter().filter(|migration| migration.version <= schema).cloned().collect())
}

/// Refuses a schema that a later program made.
pub(super) fn check(catalogue: &str, found: i64, known: i64) -> Result<()> {
    if found > known {
        return Err(Error::Newer { catalogue: catalogue.to_owned(), found, known });
    }
    if found < known {
        tracing::info!(catalogue, from = found, to = known, "migrate the catalogue");
    }
    Ok(())
}
